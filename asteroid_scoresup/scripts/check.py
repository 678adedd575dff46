"""``asteroid-scoresup check``: does the audio say what the notes say?"""

from __future__ import annotations

from .prepare import add_reading_arguments


def add_arguments(parser):
    """Adds the arguments of this command to an :class:`argparse.ArgumentParser`."""
    parser.add_argument("folder", help="a prepared folder, or songs as `prepare` reads them")
    add_reading_arguments(parser)
    parser.add_argument(
        "--correct",
        action="store_true",
        help="correct constant errors of which the check is sure (prepared folders only)",
    )
    parser.add_argument("--out", metavar="JSON", help="write the findings of all tracks here")


def run(args):
    """Runs the command.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        int: Exit status: 0, also where the check warns.
    """
    from ..data.labels import check_folder
    from ..data.report import summary
    from ..utils.files import write_json

    report = check_folder(
        args.folder,
        args.classes,
        correct=args.correct,
        sample_rate=args.sample_rate,
        mixture=args.mixture,
        label_shift=args.label_shift,
        splits=args.splits,
        include_omitted=args.include_omitted,
        jobs=args.jobs,
        progress=not args.quiet,
    )
    print(summary(report))
    if args.out:
        write_json(args.out, report)
    return 0
