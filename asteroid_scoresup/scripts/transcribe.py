"""``asteroid-scoresup transcribe``: transcribes songs to MIDI."""

from __future__ import annotations

import argparse

from .songs import add_song_arguments, list_models, process_all, requires_songs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command to its parser.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    add_song_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command. If a song fails, it is reported and the next one follows.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        int: Exit status: 0, or 1 if a song failed.
    """
    if not requires_songs(args):
        return list_models()
    from ..inference.outputs import OutputOptions

    options = OutputOptions(stems=False, midi=True, csv=args.csv, overwrite=args.overwrite)
    return process_all(args, options, "transcribe")
