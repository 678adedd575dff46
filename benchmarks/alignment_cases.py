"""The damage grid of benchmarks/alignment.py: the changes to recordings and scores, and the truth.

Each case returns the samples, the score, and the truth: a row (time in the score, time in the
recording) for every note of the score that the recording plays, and the jumps as times in the
recording.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
import soundfile
import soxr
from alignment_songs import RATE, Song

from asteroid_scoresup.score import Notes

CASES = (
    "warped",
    "warped, drums",
    "mp3, drums",
    "intro and applause",
    "score longer",
    "score shorter",
    "transposed and detuned",
    "a class missing, drums",
    "20 % missing, 10 % wrong",
    "skip",
    "repeat",
    "wrong score",
    "ends missing",
)


@dataclass
class Trial:
    """One recording with one score, and the truth."""

    audio: np.ndarray
    score: Notes
    truth: np.ndarray
    jumps: list[float] = field(default_factory=list)
    transposition: float = 0.0
    right: bool = True


def make_trial(case: str, song: Song, other: Song, seed: int) -> Trial:
    """One trial of a case.

    Args:
        case (str): One of :data:`CASES`.
        song (Song): The song that is played.
        other (Song): Another song, for intros and wrong scores.
        seed (int): Seed of the random generator.
    """
    rng = np.random.default_rng([CASES.index(case), seed])
    # Half of the remaining cases have drums.
    drums = case.endswith("drums") or (case != "warped" and seed % 2 == 1)
    audio, notes = song.mixture(drums), song.notes
    truth = notes.onset.copy()
    jumps: list[float] = []
    shift = 0.0
    keep = np.ones(len(notes), dtype=bool)
    if case == "mp3, drums":
        audio = _mp3(audio)
    elif case == "intro and applause":
        foreign = other.mixture(drums)[: 8 * RATE]
        before = foreign if seed % 3 == 0 else _applause(rng, rng.uniform(4, 12))
        audio = np.concatenate([before, np.zeros(RATE, np.float32), audio, _applause(rng, 8.0)])
        truth = truth + len(before) / RATE + 1.0
    elif case in ("score longer", "ends missing"):
        first, last = 0.2 * song.seconds, 0.8 * song.seconds
        if case == "ends missing":
            first, last = rng.uniform(0.3, 2.5), song.seconds - rng.uniform(0.3, 2.5)
        audio = audio[int(first * RATE) : int(last * RATE)]
        truth = truth - int(first * RATE) / RATE
        truth[(truth < 0) | (notes.onset >= last)] = np.nan
    elif case == "score shorter":
        keep = (notes.onset > 0.15 * song.seconds) & (notes.onset < 0.75 * song.seconds)
    elif case == "transposed and detuned":
        shift = float(rng.integers(-7, 8))
        ratio = 440 / rng.uniform(415, 466)  # of lengths
        audio = soxr.resample(audio, RATE, RATE * ratio)
        truth = truth * ratio
        notes = notes.replace(pitch=notes.pitch - round(shift))
        shift -= 12 * float(np.log2(ratio))
    elif case == "a class missing, drums":
        parts = [p for p in np.unique(notes.class_index) if np.mean(notes.class_index == p) < 0.6]
        if parts:
            keep = notes.class_index != rng.choice(parts)
    elif case == "20 % missing, 10 % wrong":
        keep = rng.random(len(notes)) > 0.2
        wrong = rng.random(len(notes)) < 0.1
        moved = np.where(wrong, rng.integers(-7, 8, len(notes)), 0)
        notes = notes.replace(pitch=np.clip(notes.pitch + moved, 21, 108))
    elif case in ("skip", "repeat"):
        edge = rng.choice(notes.onset[(notes.onset > 15) & (notes.onset < song.seconds - 32)])
        other_edge = edge + rng.uniform(8, 15)
        a, b = int(edge * RATE), int(other_edge * RATE)
        length = (b - a) / RATE
        if case == "skip":
            audio = np.concatenate([audio[:a], audio[b:]])
            truth = np.where(truth < edge, truth, truth - length)
            truth[(notes.onset >= edge) & (notes.onset < b / RATE)] = np.nan
            jumps = [edge]
        else:
            audio = np.concatenate([audio[:b], audio[a:]])
            jumps = [b / RATE]
    rows = np.column_stack([notes.onset, truth])
    if case == "repeat":  # from the second time on
        again = notes.onset >= edge
        first_time = rows[notes.onset < b / RATE]
        rows = np.concatenate([first_time, rows[again] + [0, length]])
    clock = _tempo_curve(rng, song.seconds)
    if case == "wrong score":
        notes, rows = other.notes, np.zeros((0, 2))
        clock = _tempo_curve(rng, other.seconds)
        keep = np.ones(len(notes), dtype=bool)
    score = notes.select(np.flatnonzero(keep))
    columns = {name: np.interp(getattr(score, name), *clock) for name in ("onset", "offset")}
    score = score.replace(**columns, release=columns["offset"])
    if case in ("repeat", "wrong score"):
        kept = rows
    else:
        kept = rows[keep]
    kept = kept[np.isfinite(kept[:, 1])]
    kept = np.column_stack([np.interp(kept[:, 0], *clock), kept[:, 1]])
    return Trial(audio.astype(np.float32), score, kept, jumps, shift, case != "wrong score")


def _tempo_curve(rng: np.random.Generator, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """A random, varying tempo: times of the song, and of the score."""
    knots = np.arange(0, seconds + 20, 4.0)
    speed = np.exp(rng.normal(0, 0.075, len(knots)).cumsum())
    speed *= rng.uniform(0.75, 1.35) / np.exp(np.log(speed).mean())
    time = np.arange(0, seconds + 15, 0.05)
    passed = np.cumsum(0.05 * np.interp(time, knots, np.clip(speed, 0.4, 2.2)))
    return time, np.concatenate([[0], passed[:-1]]) + rng.uniform(0, 3)


def _applause(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Noise of many claps."""
    count = int(seconds * RATE)
    claps = np.zeros(count)
    places = rng.integers(0, count, int(60 * seconds))
    np.add.at(claps, places, rng.lognormal(0, 0.5, len(places)))
    decay = np.exp(-np.arange(800) / 120) * rng.normal(size=800)
    return np.asarray(0.1 * np.convolve(claps, decay)[:count], dtype=np.float32)


def _mp3(audio: np.ndarray) -> np.ndarray:
    """Through a lossy codec, with its delay of 1,105 samples if the decoder leaves it."""
    buffer = io.BytesIO()
    soundfile.write(buffer, audio / max(1.0, np.abs(audio).max()), RATE, format="MP3")
    buffer.seek(0)
    return np.asarray(soundfile.read(buffer, dtype="float32")[0])
