"""Directives that generate tables of public names and the help of commands from the package."""

import argparse
import importlib
import os
from unittest import mock

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.ext.autosummary import Autosummary


class Public(Autosummary):
    """``.. public:: package``: a table of the functions and classes in its ``__all__``."""

    has_content = False
    required_arguments = 1

    def run(self):
        """Lists functions and classes; constants are documented with their modules."""
        package = importlib.import_module(self.arguments[0])
        names = [name for name in package.__all__ if callable(getattr(package, name))]
        self.options["nosignatures"] = None
        self.content = StringList(sorted(names, key=str.lower))
        return super().run()


class CommandHelp(Directive):
    """``.. command-help:: verb``: the output of ``asteroid-scoresup verb --help``."""

    required_arguments = 1

    def run(self):
        """Builds the parser of the command and formats its help."""
        verb = self.arguments[0]
        parser = argparse.ArgumentParser(prog=f"asteroid-scoresup {verb}")
        importlib.import_module(f"asteroid_scoresup.scripts.{verb}").add_arguments(parser)
        with mock.patch.dict(os.environ, {"COLUMNS": "88"}):
            text = parser.format_help()
        return [nodes.literal_block(text, text, language="none")]


def setup(app):
    """Registers the directives."""
    app.setup_extension("sphinx.ext.autosummary")
    app.add_directive("public", Public)
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
