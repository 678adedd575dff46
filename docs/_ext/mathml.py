"""Formulas as MathML, converted by docutils: pages need neither the network nor LaTeX."""

import html
import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)
# Names that docutils spells differently, and a letter whose indices it would misplace.
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
    """Registers the renderer of ``html_math_renderer = "mathml"``."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
