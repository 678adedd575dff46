"""Fits the constants of the certainty and of the confidence of an alignment, on the set ``dev``.

    python benchmarks/alignment_fit.py /tmp/alignment_songs --songs 12 --every 2

Right pairs are songs with their scores, damaged as in ``benchmarks/alignment.py``, and excerpts of
30 s. Wrong pairs are recordings with the scores of other songs, under the likeliest transpositions.
Two logistic regressions are fitted: confidence from the signs of the whole (each kind of pair with
the same total weight), certainty from the signs of stretches of 5 s to the fraction of their onsets
within 100 ms. It prints the constants for ``asteroid_scoresup/alignment/certainty.py``, and for
these and the stored ones the area under the ROC curve and the rates at several thresholds, also
with the songs left out, one after the other, of which a recording is judged.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from alignment import area, onset_errors
from alignment_cases import CASES, Trial, make_trial
from alignment_songs import RATE, Song, songs
from scipy.optimize import minimize

from asteroid_scoresup.alignment import Alignment, certainty
from asteroid_scoresup.alignment.align import Aligner, Draft
from asteroid_scoresup.alignment.features import band_levels
from asteroid_scoresup.alignment.tuning import find_tuning
from asteroid_scoresup.utils.stream import Recording

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("folder", help="folder for the songs, as for benchmarks/alignment.py")
parser.add_argument("--songs", type=int, default=12, help="songs of each of the three sources")
parser.add_argument("--seconds", type=float, default=75.0, help="largest length of a song")
parser.add_argument("--every", type=int, default=1, help="use only every n-th song")
parser.add_argument("--right", type=int, default=3, help="damaged scores of each song")
parser.add_argument("--wrong", type=int, default=3, help="other scores tried with each recording")

EXCERPT = 30  # seconds
SHIFTS = 2  # likeliest transpositions tried with wrong scores, besides none
LEAST_ONSETS = 3  # of a stretch whose certainty is fitted
WEIGHT_DECAY = 1e-3


class Pair(NamedTuple):
    """A recording with a score: the signs under each transposition that was tried."""

    song: str
    right: bool
    signs: np.ndarray  # (shifts, 3)
    stretches: np.ndarray  # (n, 4): contrast, margin, share of onsets within 100 ms, onsets


def signs_of(draft: Draft) -> list[float] | None:
    """The signs that the confidence follows from; None where no section was found."""
    return draft.signs.values() if draft.signs.audio_share > 0 else None


def stretches_of(draft: Draft, truth: np.ndarray) -> np.ndarray:
    """Signs of the stretches of 5 s, with the accuracy of their onsets and their number."""
    # Only the warp counts for the errors.
    found = Alignment(draft.warp, 0, 0.0, np.zeros(0), 0.0, (), True)
    close = np.abs(onset_errors(found, truth)) <= 0.1
    place = (truth[:, 1] / certainty.CERTAINTY_STEP).astype(int)
    rows = []
    for number, signs in enumerate(draft.local):
        here = close[place == number]
        if np.isfinite(signs).all() and len(here) >= LEAST_ONSETS:
            rows.append((*signs, here.mean(), len(here)))
    return np.array(rows).reshape(-1, 4)


def excerpt(trial: Trial, start: float) -> tuple[np.ndarray, Any, np.ndarray]:
    """Part of a recording with the notes of the score that it plays, on their clock."""
    samples = trial.audio[int(start * RATE) : int((start + EXCERPT) * RATE)]
    played = (trial.truth[:, 1] >= start) & (trial.truth[:, 1] < start + EXCERPT)
    kept = np.isin(trial.score.onset, trial.truth[played, 0])
    return samples, trial.score.select(np.flatnonzero(kept)), trial.truth[played] - [0, start]


def measure(
    song: str, samples: np.ndarray, score: Any, truth: np.ndarray | None, shift: int
) -> Pair | None:
    """The signs of one pair; of a wrong one, without truth, under several transpositions."""
    recording = Recording(samples, RATE)
    score = score.select(np.flatnonzero((score.pitch >= 21) & (score.pitch < 109)))
    if len(score) < 8:
        return None
    aligner = Aligner(band_levels(recording, find_tuning(recording)), score, recording.seconds)
    right = truth is not None
    likely = [shift] if right else [*aligner.search.transpositions(7)[:SHIFTS], 0]
    drafts = [aligner.draft(one) for one in dict.fromkeys(likely)]
    signs = [one for one in map(signs_of, drafts) if one is not None]
    stretches = stretches_of(drafts[0], truth) if truth is not None else np.zeros((0, 4))
    return Pair(song, right, np.array(signs).reshape(-1, 3), stretches)


def pairs(available: list[Song], n_right: int, n_wrong: int) -> Iterator[Pair | None]:
    """All pairs of the set."""
    damages = [case for case in CASES if case != "wrong score"]
    for number, song in enumerate(available):
        rng = np.random.default_rng(number)
        others = [available[(number + k) % len(available)] for k in (1, 2, 3, 5, 7)]
        for turn in range(n_right):
            case = damages[(n_right * number + turn) % len(damages)]
            trial = make_trial(case, song, others[0], number)
            shift = round(trial.transposition)
            yield measure(song.name, trial.audio, trial.score, trial.truth, shift)
        plain = make_trial("warped", song, others[0], number)
        start = rng.uniform(0, max(song.seconds - EXCERPT, 1))
        samples, score, truth = excerpt(plain, start)
        yield measure(song.name, samples, score, truth, 0)
        for turn, other in enumerate(others[:n_wrong]):
            wrong = make_trial("warped", other, song, number)
            yield measure(song.name, plain.audio, wrong.score, None, 0)
            if not turn:
                _, score, _ = excerpt(wrong, rng.uniform(0, max(other.seconds - EXCERPT, 1)))
                yield measure(song.name, samples, score, None, 0)


def fit(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weights and constant of a logistic regression; `y` may be a fraction."""
    weight = weight / weight.sum()
    x = np.column_stack([x, np.ones(len(x))])

    def loss(p: np.ndarray) -> float:
        z = x @ p
        error = y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)
        return float(weight @ error + WEIGHT_DECAY * np.sum(p[:-1] ** 2 * x[:, :-1].var(axis=0)))

    return np.asarray(minimize(loss, np.zeros(x.shape[1])).x)


def fit_whole(found: list[Pair]) -> np.ndarray:
    """Constants of the confidence."""
    used = [pair for pair in found if len(pair.signs)]
    x = np.concatenate([pair.signs for pair in used])
    y = np.concatenate([np.full(len(pair.signs), float(pair.right)) for pair in used])
    return fit(x, y, np.where(y > 0, 1 / max(y.sum(), 1), 1 / max((1 - y).sum(), 1)))


def confidence(pair: Pair, constants: np.ndarray) -> float:
    """That of the best transposition; 0 where no section was found."""
    if not len(pair.signs):
        return 0.0
    return float(1 / (1 + np.exp(-(pair.signs @ constants[:-1] + constants[-1]).max())))


def report(name: str, found: list[Pair], values: list[float]) -> None:
    """Area under the ROC curve, extremes, and rates at thresholds."""
    right = [v for pair, v in zip(found, values) if pair.right]
    wrong = [v for pair, v in zip(found, values) if not pair.right]
    print(f"{name}: area {area(right, wrong):.4f}; {len(right)} right, {len(wrong)} wrong pairs")
    lowest, highest = np.sort(right)[:6].round(3), np.sort(wrong)[-6:].round(3)
    print(f"  lowest right {lowest}, highest wrong {highest}")
    for limit in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        refused, accepted = np.mean(np.array(right) < limit), np.mean(np.array(wrong) >= limit)
        print(f"  below {limit}: {refused:.1%} of right, {1 - accepted:.1%} of wrong")


def main(args: argparse.Namespace) -> None:
    """Measures the pairs, fits the constants, and prints them and their rates."""
    available = list(songs(args.folder, "dev", args.songs, args.seconds, args.every))
    found = []
    for pair in pairs(available, args.right, args.wrong):
        if pair is not None:
            found.append(pair)
            value = confidence(pair, np.array(certainty.WHOLE))
            print(f"{pair.song} {'right' if pair.right else 'wrong'} {value:.3f}", flush=True)
    stored = np.array(certainty.WHOLE)
    report("stored constants", found, [confidence(pair, stored) for pair in found])
    whole = fit_whole(found)
    print(f"WHOLE = {tuple(whole.round(3).tolist())}")
    report("fitted", found, [confidence(pair, whole) for pair in found])
    left_out = {
        name: fit_whole([pair for pair in found if pair.song != name])
        for name in dict.fromkeys(pair.song for pair in found)
    }
    report("each song left out", found, [confidence(pair, left_out[pair.song]) for pair in found])
    rows = np.concatenate([pair.stretches for pair in found])
    local = fit(rows[:, :2], rows[:, 2], np.minimum(rows[:, 3], 10))
    print(f"LOCAL = {tuple(local.round(3).tolist())}, of {len(rows)} stretches")
    for name, constants in (("stored", np.array(certainty.LOCAL)), ("fitted", local)):
        values = 1 / (1 + np.exp(-(rows[:, :2] @ constants[:2] + constants[2])))
        for low, high in ((0, 0.5), (0.5, 0.85), (0.85, 0.96), (0.96, 0.99), (0.99, 1.01)):
            here = (values >= low) & (values < high)
            if here.any():
                accuracy = np.average(rows[here, 2], weights=rows[here, 3])
                print(f"  {name} {low} to {high}: {here.sum()} stretches, {accuracy:.1%} in 100 ms")


if __name__ == "__main__":
    main(parser.parse_args())
