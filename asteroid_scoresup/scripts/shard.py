"""``asteroid-scoresup shard``: packs a prepared folder into tar files."""

from __future__ import annotations

import argparse

from .prepare import refuse_empty

# A copy of data.shard_writer.TRACKS_PER_SHARD: importing it takes seconds.
TRACKS_PER_SHARD = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command to its parser.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    parser.add_argument("prepared", help="a prepared folder")
    parser.add_argument("out", help="folder of shards to write; finished shards are kept")
    parser.add_argument(
        "--tracks_per_shard",
        type=int,
        default=TRACKS_PER_SHARD,
        metavar="N",
        help="number of tracks in each tar file (default: %(default)s)",
    )
    parser.add_argument(
        "--no_stems", action="store_true", help="leave the stems out: scores do without them"
    )
    parser.add_argument(
        "--masks",
        action="store_true",
        help="include score-informed masks with the default settings, computed where necessary; "
        "losses that read them need them in the shards",
    )
    parser.add_argument("--jobs", type=int, help="number of processes (default: all cores)")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        int: Exit status, 0.
    """
    refuse_empty(args.prepared, args.out)
    from ..data import Manifest, ScoreInformedMasks, write_shards

    manifest = Manifest.load(args.prepared)
    done = write_shards(
        manifest,
        args.out,
        tracks_per_shard=args.tracks_per_shard,
        stems=not args.no_stems,
        masks=ScoreInformedMasks(manifest) if args.masks else None,
        jobs=args.jobs,
        progress=not args.quiet,
    )
    kept = f", {done['kept']} of them kept from an earlier run" if done["kept"] else ""
    print(
        f"{done['tracks']:,} tracks in {done['shards']:,} shards{kept}: "
        f"{done['bytes'] / 1e9:.3g} GB in {args.out}."
    )
    return 0
