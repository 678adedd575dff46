"""``asteroid-scoresup prepare``: songs in, a prepared folder out."""

from __future__ import annotations

# data.classes.DEFAULT_CLASSES and data.song.MIXTURES, whose import would make --help wait.
DEFAULT_CLASSES = "bass=32-39,Bass;guitar=24-31,Guitar;piano=0-7,Piano"
MIXTURES = ("submix", "song")


def add_reading_arguments(parser):
    """Adds the flags that say how songs are read."""
    parser.add_argument(
        "--classes",
        default=DEFAULT_CLASSES,
        help="classes as 'name=programs or Slakh inst_class,…;…' (default: %(default)s)",
    )
    parser.add_argument("--sample_rate", type=int, default=16000, help="in Hz (%(default)s)")
    parser.add_argument(
        "--mixture",
        choices=MIXTURES,
        default="submix",
        help="submix: the sum of the classes; song: everything (default: %(default)s)",
    )
    parser.add_argument(
        "--splits",
        metavar="JSON",
        help="file of splits, e.g. redux.json of slakh-utils (default: the folders)",
    )
    parser.add_argument(
        "--label_shift",
        default="auto",
        help="semitones by which labels are wrong: 'none', 'bass=-12,…', or 'auto': basses of "
        "real Slakh down an octave (default: %(default)s)",
    )
    parser.add_argument(
        "--include_omitted", action="store_true", help="use Slakh's split 'omitted' too"
    )
    parser.add_argument("--jobs", type=int, help="processes (default: all cores)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def add_arguments(parser):
    """Adds the arguments of this command to an :class:`argparse.ArgumentParser`."""
    parser.add_argument("input", help="folder of Slakh, of its form, or of own audio and MIDI")
    parser.add_argument("out", help="the prepared folder")
    add_reading_arguments(parser)
    parser.add_argument("--no_check", action="store_true", help="do not check labels by the audio")
    parser.add_argument(
        "--correct",
        action="store_true",
        help="correct constant errors (offset, interval) of which the check is sure",
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


def run(args):
    """Runs the command.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        int: Exit status, 0.
    """
    from ..data.prepare import prepare, summary

    report = prepare(
        args.input,
        args.out,
        args.classes,
        sample_rate=args.sample_rate,
        mixture=args.mixture,
        splits=args.splits,
        label_shift=args.label_shift,
        check=not args.no_check,
        correct=args.correct,
        include_omitted=args.include_omitted,
        validation_fraction=args.validation_fraction,
        test_fraction=args.test_fraction,
        seed=args.seed,
        jobs=args.jobs,
        overwrite=args.overwrite,
        progress=not args.quiet,
    )
    print(summary(report))
    return 0
