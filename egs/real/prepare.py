"""Prepares a published data set of real recordings: finds its pieces, and prepares them for rows.

    python egs/real/prepare.py urmp /data/URMP prepared/urmp

The pieces are first written, mostly as links, to a folder in Slakh's form (``OUT_tracks``), which
`asteroid-scoresup prepare` and `check` read too. All of them are in the split ``test``, unless
``--splits`` assigns others.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from local.layouts import LAYOUTS
from local.pieces import write_pieces

from asteroid_scoresup.data.prepare import prepare, summary
from asteroid_scoresup.utils.locks import folder_lock

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("data_set", choices=list(LAYOUTS), help="which data set it is")
parser.add_argument("input", help="its folder")
parser.add_argument("out", help="prepared folder to write")
parser.add_argument("--classes", help="as for `asteroid-scoresup prepare`; the default is its own")
parser.add_argument("--sample_rate", type=int, default=44100, help="in Hz (default: %(default)s)")
parser.add_argument("--tracks", help="folder for the tracks in Slakh's form (default: OUT_tracks)")
parser.add_argument("--splits", metavar="JSON", help="file of splits (default: all are `test`)")
parser.add_argument(
    "--align",
    action="store_true",
    help="instead of annotated notes, use those of the written score, aligned with the recording "
    "(URMP, PHENICX)",
)
parser.add_argument("--jobs", type=int, help="number of processes (default: all cores)")
parser.add_argument("--quiet", action="store_true", help="show no progress bar")


def main(args: argparse.Namespace) -> None:
    layout = LAYOUTS[args.data_set]
    if args.align and not layout.has_written_score:
        raise ValueError(f"--align: {layout.title} has no score besides its notes: omit it.")
    out = Path(args.out)
    tracks = Path(args.tracks) if args.tracks else out.with_name(out.name + "_tracks")
    root = Path(args.input)
    for folder in (out, tracks):
        if folder.resolve() == root.resolve() or root.resolve() in folder.resolve().parents:
            raise ValueError(f"{folder} is inside the input {root}: choose a folder outside of it.")
    left_out: list[str] = []
    pieces = layout.pieces(root, left_out)
    with folder_lock(tracks, "prepare.py"):
        written, failed = write_pieces(pieces, tracks, layout.title, args.align)
    for line in [*left_out, *failed]:
        print(f"left out: {line}", file=sys.stderr)
    if not written:
        raise ValueError(f"none of the {len(pieces)} pieces in {root} can be used: {failed[0]}")
    report = prepare(
        tracks,
        out,
        args.classes or layout.classes,
        sample_rate=args.sample_rate,
        mixture=layout.mixture,
        splits=args.splits,
        label_shift="none",
        check=layout.has_score,
        jobs=args.jobs,
        progress=not args.quiet,
    )
    print(summary(report))


if __name__ == "__main__":
    try:
        main(parser.parse_args())
    except (OSError, ValueError) as error:
        raise SystemExit(f"prepare.py: {error}") from None
