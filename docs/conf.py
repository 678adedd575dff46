"""Sphinx configuration: ``make docs``, or ``sphinx-build -W -b html docs docs/_build/html``."""

import importlib
import inspect
import re
import sys
from pathlib import Path

from sphinx.addnodes import pending_xref

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE / "_ext")]

project = "asteroid-scoresup"
author = "The asteroid-scoresup authors"
project_copyright = author
_init = (ROOT / "asteroid_scoresup" / "__init__.py").read_text(encoding="utf-8")
release = version = re.search(r'^__version__ = "(.+)"', _init, re.MULTILINE)[1]

extensions = [
    "mathml",
    "parts",
    "myst_parser",  # README.md and CHANGELOG.md, included in pages
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
default_role = "code"
highlight_language = "none"
# Included parts of README.md start at any heading level.
suppress_warnings = ["myst.header"]

html_theme = "sphinx_rtd_theme"
html_theme_options = {"navigation_depth": 3}
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False

add_module_names = False
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Shape"]

# Every reference into the package must resolve. References to other projects would need the
# network, and types in argument lists are plain words.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:(class|exc|obj)", r"(?!asteroid_scoresup\b).*"),
    (r"py:.*", r"(asteroid|matplotlib|numpy|pandas|torch)\..*"),
    # Type variables.
    (
        r"py:class",
        r"asteroid_scoresup\.(utils\.(locks|parallel)|inference\.threads)\.(Item|Result)",
    ),
]


def _resolve(app, env, node, content):
    """Resolves ``asteroid_scoresup.losses.clip_mixture_loss`` to the module that defines it."""
    parts = node.get("reftarget", "").split(".")
    if node.get("refdomain") != "py" or parts[0] != "asteroid_scoresup":
        return None
    for end in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for name in parts[end:]:
            found = getattr(found, name, None)
        home, name = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
        if home is None or name is None:
            return None
        domain = env.get_domain("py")
        return domain.resolve_xref(
            env, node["refdoc"], app.builder, node["reftype"], f"{home}.{name}", node, content
        )
    return None


def _unlink(app, doctree):
    """Turns links from README.md to files that are not pages of the documentation into text."""
    for node in list(doctree.findall(pending_xref)):
        if node["reftype"] == "myst":
            node.replace_self(node.children)


def _skip(app, what, name, obj, skip, options):
    """Skips the fields of a NamedTuple, which are documented in its class."""
    return True if type(obj).__name__ == "_tuplegetter" else skip


def _no_type_as_text(app, what, name, obj, options, lines):
    """Removes the docstring of the type from constants without a comment."""
    if what == "data" and lines[:1] == (inspect.getdoc(type(obj)) or "").splitlines()[:1]:
        lines.clear()


def setup(app):
    """Registers the functions above."""
    app.connect("doctree-read", _unlink)
    app.connect("missing-reference", _resolve)
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _no_type_as_text)
