"""``asteroid-scoresup prepare``: turns songs into a prepared folder."""

from __future__ import annotations

import argparse
from typing import Any

# Copies of data.classes.DEFAULT_CLASSES, data.settings.MIXTURES and alignment.ALIGN_MODES:
# importing them takes seconds.
DEFAULT_CLASSES = "bass=32-39,Bass;guitar=24-31,Guitar;piano=0-7,Piano"
MIXTURES = ("submix", "song")
ALIGN_MODES = ("auto", "always", "never")


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that specify how songs are read.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    parser.add_argument(
        "--classes",
        default=DEFAULT_CLASSES,
        help="classes as 'name=item,…;…', an item being General MIDI programs (32-39), drums, a "
        "Slakh inst_class, or @ and a pattern of track names (@*bass*); or 'families', for "
        "those of General MIDI (default: %(default)s)",
    )
    parser.add_argument(
        "--sample_rate", type=int, default=16000, help="in Hz (default: %(default)s)"
    )
    parser.add_argument(
        "--mixture",
        choices=MIXTURES,
        default="submix",
        help="submix: the sum of the classes; song: all instruments (default: %(default)s)",
    )
    parser.add_argument(
        "--splits",
        metavar="JSON",
        help="file of splits, e.g. redux.json of slakh-utils (default: use the folders)",
    )
    parser.add_argument(
        "--label_shift",
        default="auto",
        help="semitones to add to the pitch of labels: 'none', 'bass=-12,…', or 'auto', which "
        "lowers basses of real Slakh by an octave (default: %(default)s)",
    )
    parser.add_argument(
        "--include_omitted", action="store_true", help="include Slakh's split 'omitted'"
    )
    parser.add_argument("--jobs", type=int, help="number of processes (default: all cores)")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")


def reading_options(args: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of `prepare` and `check_folder`, from :func:`add_reading_arguments`.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        dict: The arguments by name.
    """
    names = (
        "classes",
        "sample_rate",
        "mixture",
        "splits",
        "label_shift",
        "include_omitted",
        "jobs",
    )
    return {name: getattr(args, name) for name in names} | {"progress": not args.quiet}


def refuse_empty(*folders: str) -> None:
    """Refuses empty arguments, which would mean the current folder.

    Args:
        *folders (str): The folders that a command line names.

    Raises:
        ValueError: if one is empty.
    """
    if not all(folders):
        raise ValueError("A folder has an empty name: name a folder ('.' is this folder).")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command to its parser.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    parser.add_argument("input", help="folder in Slakh's format, or of audio and MIDI pairs")
    parser.add_argument("out", help="prepared folder to write")
    add_reading_arguments(parser)
    parser.add_argument(
        "--mirdata",
        metavar="NAME",
        help="the input is the data home of this data set of mirdata, e.g. slakh or maestro",
    )
    parser.add_argument(
        "--mirdata-version", metavar="V", help="its version, e.g. baby (default: mirdata's)"
    )
    parser.add_argument(
        "--align",
        choices=ALIGN_MODES,
        default="auto",
        help="align pairs whose notes are off according to the label check (auto), all (always), "
        "or none (never) (default: %(default)s)",
    )
    parser.add_argument("--no_check", action="store_true", help="skip comparing labels with audio")
    correct = parser.add_mutually_exclusive_group()
    correct.add_argument(
        "--correct",
        action="store_true",
        default=None,
        help="correct constant errors (offset, interval) that the check is certain of",
    )
    correct.add_argument(
        "--no_correct",
        dest="correct",
        action="store_false",
        help="revert the corrections of earlier runs (default: keep them)",
    )
    parser.add_argument(
        "--validation_fraction",
        type=float,
        default=0.1,
        help="fraction of the songs for validation if no folder or file assigns any (%(default)s)",
    )
    parser.add_argument(
        "--test_fraction", type=float, default=0.0, help="the same for test (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of that choice (%(default)s)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace tracks prepared with other settings"
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        int: Exit status, 0.
    """
    from ..data.prepare import prepare, summary

    refuse_empty(args.input, args.out)
    if args.mirdata_version is not None and args.mirdata is None:
        raise ValueError("--mirdata-version is for --mirdata, which is missing.")

    report = prepare(
        args.input,
        args.out,
        align=args.align,
        check=not args.no_check,
        correct=args.correct,
        validation_fraction=args.validation_fraction,
        test_fraction=args.test_fraction,
        seed=args.seed,
        overwrite=args.overwrite,
        mirdata=args.mirdata,
        mirdata_version=args.mirdata_version,
        **reading_options(args),
    )
    print(summary(report))
    return 0
