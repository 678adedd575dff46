r"""The search for the coarse path of a recording through its score.

1. Transpositions are ranked by coarse paths of any tempo.
2. The mean tempo is the one, among many, at which a path of nearly even tempo fits best.
3. From one path to the next, the clock follows the tempo of the last path, averaged over shorter
   and shorter stretches, and deviations from it cost more and more. Cheap deviations would let the
   path linger and hurry to wherever the same chord sounds louder, most of all in music that repeats
   itself and under scores with wrong notes.

All choices are ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..score import Notes
from .clock import ScoreClock
from .features import HOP, audio_vectors, score_vectors, shifted
from .path import FREE_TEMPO, Evidence, Penalties, find_margins, find_path, find_total

#: Recordings and scores beyond this length, in seconds, have a coarser path.
LONG = 1800.0

_EVERY = 10  # frames of the levels per frame of the path
_EXCERPT = 300.0  # seconds of the recording in which transposition and mean tempo are looked for

_TRANSPOSITION_EVERY = 40
_TRANSPOSITION_RISES = 0.5  # weight of the rises
_PROFILE = 0.5  # weight of the pitch profile, besides the mean similarity

_TEMPO_EVERY = 20
_TEMPO_PENALTIES = Penalties(60.0, 30.0, outside=0.3, advance=(2.0, 0.0, 2.0, 5.0, 8.0))
#: Lengths of a second of the score in the recording that are tried; the best are followed up.
_STRETCHES = np.geomspace(0.4, 2.5, 20)
_STARTS = 2

#: Penalties of successive paths, and the seconds over which the tempo before each is averaged.
#: While haste is cheap, jumps are, too: a path that hurries over what the recording skips bends the
#: clock to it, so that later paths do not find the jump.
_ROUNDS = (
    (Penalties(50.0, 45.0, outside=0.3, advance=(1.0, 0.0, 1.0, 3.0, 5.0)), 0.0),
    (Penalties(50.0, 45.0, outside=0.3, advance=(1.5, 0.0, 1.5, 4.5, 7.5)), 12.0),
    (Penalties(80.0, 45.0, outside=0.3, advance=(2.0, 0.0, 2.0, 6.0, 10.0)), 8.0),
)
_SHORT = 30.0  # seconds; in shorter recordings, jumps and edges cost less in proportion
_REST = 0.25  # evidence where the score has a rest
_APART = 0.5  # seconds by which another place in the score differs


@dataclass(frozen=True)
class CoarsePath:
    r"""A path of a recording through a score.

    Args:
        clock (ScoreClock): The clock of the score.
        notes (Notes): The score on that clock, transposed.
        frames (array): Frames of that clock for each frame of the recording, -1 outside.
        hop (float): Seconds per frame.
        gain (float): Evidence minus penalties, per frame of the recording.
        fit (Evidence): The evidence on that clock.
        penalties (Penalties): What deviations cost.
    """

    clock: ScoreClock
    notes: Notes
    frames: np.ndarray
    hop: float
    gain: float
    fit: Evidence
    penalties: Penalties

    def fitness(self) -> float:
        """Evidence minus penalties per frame in the score, above a frame outside of it.

        What short recordings are spared in penalties counts here: a few seconds prove little.
        """
        inside = max(int(np.sum(self.frames >= 0)), 1)
        above = (self.gain - self.penalties.outside) * len(self.frames)
        spared = _ROUNDS[-1][0].leave - self.penalties.leave
        return (above - spared) / inside

    def margins(self) -> np.ndarray:
        """The margins of :func:`~asteroid_scoresup.alignment.path.find_margins`, per frame."""
        apart = round(_APART / self.hop)
        return find_margins(self.fit.rows, self.frames, self.fit.n_score, self.penalties, apart)


class Search:
    r"""Searches the paths of a recording through one score, under different transpositions.

    Args:
        levels (array): From :func:`~asteroid_scoresup.alignment.features.band_levels`.
        loud (float): From :func:`~asteroid_scoresup.alignment.features.loudness`.
        notes (Notes): The score, from its first note on.
        end (float): Where the score ends, in seconds.
    """

    def __init__(self, levels: np.ndarray, loud: float, notes: Notes, end: float) -> None:
        self.levels, self.loud, self.notes, self.end = levels, loud, notes, end

    def transpositions(self, most: int) -> list[int]:
        """Transpositions of up to `most` semitones, the most likely first."""
        hop = _TRANSPOSITION_EVERY * HOP
        audio = self._excerpt(_TRANSPOSITION_EVERY)
        score = _vectors(self.notes, hop, self.end)
        half = score.shape[1] // 2
        fits = {}
        for shift in range(-most, most + 1):
            moved = np.concatenate(
                [shifted(score[:, :half], shift), shifted(score[:, half:], shift)], axis=1
            )
            fit = Evidence(audio, moved, _TRANSPOSITION_RISES)
            path, _ = find_path(fit.rows, len(audio), len(moved), Penalties(advance=FREE_TEMPO))
            # The similarity itself, not what it is above chance: chance differs between keys.
            similarity = np.nan_to_num(fit.along(path) * fit.deviation + fit.mean)
            # How often each band sounds on both sides: wrong keys cannot bend that to fit.
            profile = _correlation(audio[:, :half].mean(axis=0), moved[:, :half].mean(axis=0))
            fits[shift] = float(similarity.mean() + _PROFILE * profile)
        return sorted(fits, key=lambda shift: -fits[shift])

    def stretches(self, shift: int) -> list[float]:
        """Lengths of a second of the score in the recording, at its likely mean tempi."""
        hop = _TEMPO_EVERY * HOP
        audio = self._excerpt(_TEMPO_EVERY)
        notes = self._transposed(shift)
        totals = np.empty(len(_STRETCHES))
        for number, stretch in enumerate(_STRETCHES):
            clock = ScoreClock.even(stretch, self.end)
            score = _vectors(_on_clock(notes, clock), hop, self.end * stretch)
            fit = Evidence(audio, score, rest=_REST)
            totals[number] = find_total(fit.rows, len(audio), len(score), _TEMPO_PENALTIES)
        found: list[float] = []
        for _ in range(_STARTS):
            best = int(totals.argmax())
            found.append(float(_STRETCHES[best]))
            totals[max(0, best - 1) : best + 2] = -np.inf
        return found

    def path(self, shift: int) -> CoarsePath:
        """The path under a transposition."""
        seconds = len(self.levels) * HOP
        stretches = self.stretches(shift)
        every = _EVERY if max(seconds, self.end * stretches[0]) <= LONG else 2 * _EVERY
        audio = audio_vectors(self.levels, self.loud, every)
        notes = self._transposed(shift)
        found = [
            _follow(audio, every * HOP, notes, self.end, ScoreClock.even(s, self.end))
            for s in stretches
        ]
        return max(found, key=lambda one: one.gain)

    def _transposed(self, shift: int) -> Notes:
        return self.notes.replace(pitch=self.notes.pitch + shift, bend=None)

    def _excerpt(self, every: int) -> np.ndarray:
        audio = audio_vectors(self.levels, self.loud, every)
        count = round(_EXCERPT / (every * HOP))
        first = max(0, (len(audio) - count) // 2)
        return audio[first : first + count]


def _follow(
    audio: np.ndarray, hop: float, score: Notes, end: float, clock: ScoreClock
) -> CoarsePath:
    """The path that is found from a mean tempo."""
    frames, total = np.zeros(0, dtype=np.int64), 0.0
    scale = min(1.0, len(audio) * hop / _SHORT)
    for penalties, smoothing in _ROUNDS:
        jump, leave = scale * penalties.jump, scale * penalties.leave
        penalties = replace(penalties, jump=jump, leave=leave)
        if smoothing:
            clock = clock.bent(frames, hop, smoothing)
        notes = _on_clock(score, clock)
        vectors = _vectors(notes, hop, float(clock.of(np.array(end))))
        fit = Evidence(audio, vectors, rest=_REST)
        frames, total = find_path(fit.rows, len(audio), len(vectors), penalties)
    return CoarsePath(clock, notes, frames, hop, total / len(audio), fit, penalties)


def _on_clock(notes: Notes, clock: ScoreClock) -> Notes:
    times = {name: clock.of(getattr(notes, name)) for name in ("onset", "offset", "release")}
    return notes.replace(**times)


def _vectors(notes: Notes, hop: float, end: float) -> np.ndarray:
    return score_vectors(notes, hop, max(2, int(np.ceil(end / hop))))


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-9))
