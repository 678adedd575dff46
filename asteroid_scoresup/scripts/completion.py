"""``asteroid-scoresup completion``: prints the completion script of a shell."""

from __future__ import annotations

import argparse
from typing import Any

#: Shells that shtab knows.
SHELLS = ("bash", "zsh", "tcsh")
# Arguments that are files or folders, by their names in the parsers.
_FILES = {"songs", "model", "transcriptor", "score", "audio", "output", "plot", "splits", "files"}
_FILES |= {"soundfont", "unseen_soundfont", "models", "out"}
_FOLDERS = {"out_dir", "output_dir", "folder", "input", "midi_dir"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command to its parser.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    parser.add_argument("shell", choices=SHELLS, help="the shell")


def run(args: argparse.Namespace) -> int:
    """Prints the script.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        int: Exit status, 0.

    Raises:
        ImportError: if shtab is missing.
    """
    from asteroid_scoresup_cli import make_parser

    try:
        import shtab
    except ImportError:
        raise ImportError(
            "Completion needs shtab: pip install 'asteroid-scoresup[completion]'."
        ) from None
    parser = make_parser()
    _complete_paths(parser, shtab)
    print(shtab.complete(parser, args.shell))
    return 0


def _complete_paths(parser: argparse.ArgumentParser, shtab: Any) -> None:
    """Marks the arguments of a parser and its subcommands that are paths."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                _complete_paths(sub, shtab)
        elif action.dest in _FILES | _FOLDERS and action.choices is None:
            kind = shtab.DIRECTORY if action.dest in _FOLDERS else shtab.FILE
            action.complete = kind  # type: ignore[attr-defined]
