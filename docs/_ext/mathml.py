"""Formulas as MathML, made by docutils: the pages need neither the network nor a LaTeX."""

import html
import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)
# What docutils calls otherwise, and a letter to which it would set indices wrongly.
_NAMES = {r"\dots": r"\ldots", "…": r"\ldots ", r"\hat S": "Ŝ"}
_KNOWN = re.compile("|".join(re.escape(name) + r"(?![A-Za-z])" for name in _NAMES))


def _convert(node, block):
    tex = _KNOWN.sub(lambda name: _NAMES[name[0]], node.astext())
    try:
        return tex2mathml(tex, as_block=block)
    except MathError as error:
        logger.warning("formula %r: %s", tex, error, location=node)
        return f"<code>{html.escape(tex)}</code>"


def _inline(self, node):
    self.body.append(_convert(node, block=False))
    raise nodes.SkipNode


def _block(self, node):
    self.body.append(f'<div class="math">{_convert(node, block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app):
    """Makes ``html_math_renderer = "mathml"`` known to Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
