"""``asteroid-scoresup check``: compares the notes of songs with their audio."""

from __future__ import annotations

import argparse

from .prepare import add_reading_arguments, reading_options, refuse_empty


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command to its parser.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    parser.add_argument("folder", help="a prepared folder, or songs that `prepare` can read")
    add_reading_arguments(parser)
    parser.add_argument(
        "--correct",
        action="store_true",
        help="correct constant errors that the check is certain of (prepared folders only)",
    )
    parser.add_argument("--out", metavar="JSON", help="file for the findings of all tracks")


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        int: Exit status, 0 even if the check warns.
    """
    from ..data.labels import check_folder
    from ..data.report import summary
    from ..utils.files import write_json

    refuse_empty(args.folder)

    report = check_folder(args.folder, correct=args.correct, **reading_options(args))
    print(summary(report))
    if args.out:
        write_json(args.out, report)
    return 0
