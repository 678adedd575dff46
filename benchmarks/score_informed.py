"""What a score that is not on the clock of its recording costs in separation.

    python benchmarks/score_informed.py egs/slakh/data/mini_composed/prepared --split test

Songs with stems are separated with their true score, with the score at another tempo as it is, and
with that score aligned. The tempo is a random smooth curve within ±30 %, after a random lead-in.
"""

import argparse
import time

import numpy as np
from scipy.interpolate import PchipInterpolator

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.evaluation import separation_scores
from asteroid_scoresup.evaluation.evaluate import TestTrack
from asteroid_scoresup.inference import ScoreInformedSeparator
from asteroid_scoresup.inference.mask_correction import load_refiner
from asteroid_scoresup.score import Notes

#: Seconds between the knots of the tempo curve, and the longest lead-in.
KNOTS, LEAD_IN = 8.0, 3.0


def warped(notes: Notes, seconds: float, tempo: float, rng: np.random.Generator) -> Notes:
    """The notes at another tempo, slower or faster by a factor of up to ``1 + tempo``."""
    knots = np.arange(0.0, seconds + 2 * KNOTS, KNOTS)
    # Monotone cubic interpolation does not overshoot, so the factor stays within its bounds.
    exponent = PchipInterpolator(knots, rng.uniform(-1.0, 1.0, len(knots)))
    times = np.arange(0.0, knots[-1], 0.01)
    passed = np.cumsum(0.01 * (1.0 + tempo) ** exponent(times))
    clock = rng.uniform(0.0, LEAD_IN) + np.concatenate([[0.0], passed[:-1]])
    moved = {c: np.interp(getattr(notes, c), times, clock) for c in ("onset", "offset", "release")}
    return notes.replace(**moved)


def main() -> None:
    """Prints one row per way of using the score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", help="prepared folder with stems")
    parser.add_argument("--split", default="test")
    parser.add_argument("--songs", type=int, default=0, help="number of songs (0: all)")
    parser.add_argument("--tempo", type=float, default=0.3, help="largest change of the tempo")
    parser.add_argument("--refiner", default="auto", help="as for `separate` (auto)")
    args = parser.parse_args()
    manifest = Manifest.load(args.prepared)
    refiner = None if args.refiner == "none" else load_refiner(args.refiner, manifest.names)
    tracks = manifest.select(args.split)[: args.songs or None]
    gains: dict[str, list[list[float]]] = {}
    started, refused = time.process_time(), 0
    for number, track in enumerate(tracks):
        song, notes = TestTrack(manifest, track), manifest.notes(track)
        seconds = len(song.mixture) / manifest.sample_rate
        other = warped(notes, seconds, args.tempo, np.random.default_rng([0, number]))
        for row, score, align in (
            ("true score", notes, "never"),
            ("another tempo, as it is", other, "never"),
            ("another tempo, aligned", other, "auto"),
        ):
            separator = ScoreInformedSeparator(score, manifest.classes, align, refiner)
            try:
                stems = separator.separate(song.mixture.numpy(), manifest.sample_rate)
            except ValueError as error:  # the score seems to be that of another song
                refused += 1
                print(f"{track.id}: {error}")
                continue
            scores = separation_scores(song.stems, stems, song.mixture)
            gains.setdefault(row, []).append([record["si_sdr_imp"] for record in scores])
    print(f"{len(tracks)} songs, {refused} refused, {time.process_time() - started:.0f} CPU s")
    print(f"| SI-SDRi in dB | {' | '.join(manifest.names)} | mean |")
    print(f"|---|{'---:|' * (len(manifest.names) + 1)}")
    for row, values in gains.items():
        by_class = np.nanmean(values, axis=0)
        cells = [f"{value:.1f}" for value in (*by_class, by_class.mean())]
        print(f"| {row} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
