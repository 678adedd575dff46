"""Scores separation with the score, without a network, for true, warped and aligned scores.

Reads songs in Slakh's format, their prepared form and the folder of local/unaligned_pairs.py, and
writes means per row, test set and class.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.evaluation import separation_scores, summarize, tidy, to_results
from asteroid_scoresup.evaluation.evaluate import TestTrack
from asteroid_scoresup.inference import ScoreInformedSeparator
from asteroid_scoresup.utils.files import atomic_path

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("slakh_dir", help="the songs, with their true scores")
parser.add_argument("prepared", help="the same songs prepared, with stems")
parser.add_argument("pairs", help="folder of local/unaligned_pairs.py")
parser.add_argument("results", help="CSV file to write")
parser.add_argument("--splits", default="test,test_unseen", help="comma-separated (%(default)s)")


def main(args: argparse.Namespace) -> None:
    """Scores all songs.

    Args:
        args (argparse.Namespace): The parsed arguments.
    """
    manifest, records = Manifest.load(args.prepared), []
    for split in args.splits.split(","):
        for track in manifest.select(split):
            song = TestTrack(manifest, track)
            true = Path(args.slakh_dir) / split / track.id / "all_src.mid"
            warped = Path(args.pairs) / "test_scores" / split / f"{track.id}.mid"
            rows = {
                "true score": (true, "never"),
                "warped score": (warped, "never"),
                "aligned score": (warped, "auto"),
            }
            for row, (score, align) in rows.items():
                separator = ScoreInformedSeparator(score, manifest.classes, align)
                stems = separator.separate(song.mixture.numpy(), song.sample_rate)
                made = {name: torch.from_numpy(stem) for name, stem in stems.items()}
                identity = {"row": row, "test_set": split, "track": track.id, "seed": 0}
                scores = separation_scores(song.stems, made, song.mixture)
                records += [{**identity, **score} for score in scores]
    results = to_results(summarize(tidy(records)))
    with atomic_path(Path(args.results)) as temporary:
        results.to_csv(temporary, index=False)
    chosen = results[(results.metric == "si_sdr_i") & (results.instrument == "mean")]
    print(chosen.pivot(index="row", columns="test_set", values="value").round(2))


if __name__ == "__main__":
    try:
        main(parser.parse_args())
    except (ValueError, OSError) as error:  # unreadable data
        raise SystemExit(f"score_informed.py: {error}") from None
