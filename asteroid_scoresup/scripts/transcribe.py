"""``asteroid-scoresup transcribe``: songs in, MIDI out."""

from __future__ import annotations

from .separate import add_song_arguments, process_all


def add_arguments(parser):
    """Adds the verb's arguments to its parser."""
    add_song_arguments(parser)


def run(args):
    """Transcribes each song; a song that fails is reported and the others go on.

    Returns:
        int: 0, or 1 if any song failed.
    """
    from ..inference.songs import OutputOptions

    request = OutputOptions(stems=False, midi=True, overwrite=args.overwrite)
    return process_all(args, request, "transcribe")
