r"""The label check, pitch: how many semitones, and how many cents, the audio is from the labels.

Every transposition :math:`s` from -24 to 24 semitones is compared with the spectral peaks under
each long note of label pitch :math:`p`. Its score is what the comb of :math:`p + s` explains, minus
what contradicts it:

- a tooth :math:`k f` of the comb counts :math:`w_k (x_k - \theta)`, where :math:`x_k \in [0, 1]` is
  the prominence of a peak there: a tooth without a peak speaks against the comb, so that an octave
  or a twelfth *below* the sound, whose comb has every peak of it and many empty teeth, loses;
- peaks *between* the teeth, at odd multiples of :math:`f/2` and at thirds of :math:`f`, speak
  against it too, so that an octave or a twelfth *above* the sound loses.

Places where another note may have a partial do not count. Notes of the same class move with it;
other classes stay where they were found: either all of them are transposed alike (a recording in
another key) or each by its own interval, whichever explains more. An answer is certain if it beats
every other transposition by several standard errors over the notes, and unclear otherwise.

The tuning is first the circular mean of all peaks, by which the combs are moved, and finally the
median distance of the partials from the pitches that were found.

All thresholds are our choice, set on rendered songs of many programs, where no certain answer was
wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from pretty_midi import note_number_to_hz

from ..score import Notes
from .peaks import N_STEPS, STEP, draw_peaks, find_peaks, look_up, partials_of_keys
from .spectra import Excerpt

#: Transpositions that are compared, in semitones.
SHIFTS = np.arange(-24, 25)
#: Of these, the ones that are accepted: others are harmonics that happened to fit better.
ACCEPTED = (-24, *range(-12, 13), 24)
#: Tunings up to this are normal, in cents; harmonic masks allow for about 10.
TUNING_TOLERANCE = 15.0
#: An answer below this confidence is discarded.
SURE = 0.5

_TEETH = np.arange(1.0, 9.0)
_TOOTH_WEIGHT = _TEETH**-0.7
_BETWEEN = np.array([1 / 2, 3 / 2, 5 / 2, 7 / 2, 1 / 3, 2 / 3, 4 / 3, 5 / 3, 7 / 3, 8 / 3])
_BETWEEN_WEIGHT = 0.6 * np.array([1, 1, 0.7, 0.5, 0.5, 0.7, 0.7, 0.7, 0.5, 0.5])
_INTERVALS = 12 * np.log2(np.concatenate([_TEETH, _BETWEEN]))
_WEIGHTS = np.concatenate([_TOOTH_WEIGHT, -_BETWEEN_WEIGHT])
_EXPECTED = np.concatenate([np.full(len(_TEETH), 0.4), np.zeros(len(_BETWEEN))])
_MAX_NOTES = 60  # per class and excerpt: the longest
_SHORTEST = 0.1  # seconds: in a shorter note's spectrum its neighbors are louder
_SURE_ERRORS = 8.0  # standard errors of full confidence; half of them suffice
_MAX_LEAD = 0.8  # of one note over another transposition
_MIN_SPREAD = 0.2  # of the notes' leads
_MIN_COVER = 0.35  # of the teeth, weighted: with less it is not a comb


class ClassPitch(TypedDict):
    """Pitch of a class: semitones by which its notes must be moved, confidence, and the rest."""

    semitones: int | None
    semitones_confidence: float
    tuning_cents: float | None


class Scores(NamedTuple):
    r"""How well transpositions explain notes; each of shape :math:`(n\_notes, shifts)`.

    Args:
        score (array): What the combs explain, minus what contradicts them.
        cover (array): Fraction of the free teeth that have peaks.
        free (array): Fraction of the teeth where no other note has a partial.
    """

    score: np.ndarray
    cover: np.ndarray
    free: np.ndarray


def unclear_pitch() -> ClassPitch:
    """The answer where there is too little evidence."""
    return {"semitones": None, "semitones_confidence": 0.0, "tuning_cents": None}


class PitchEvidence:
    """The spectral peaks under the long notes of one class in one excerpt.

    Args:
        excerpt (Excerpt): The audio.
        own (Notes): Notes of the class, at the offset of the audio.
        inside (Notes): All notes of the excerpt, those of the class included.
        n_src (int): Number of classes.
        alone (bool): Whether the audio contains this class only.
    """

    def __init__(self, excerpt: Excerpt, own: Notes, inside: Notes, n_src: int, alone: bool):
        power, self.per_bin, per_frame = excerpt.spectrum(0.256, 0.064)
        spectra: list[np.ndarray] = []
        pitches, same_class, others = [], [], []
        for row in np.argsort(own.onset - own.offset, kind="stable")[: 4 * _MAX_NOTES]:
            if len(spectra) == _MAX_NOTES:
                break
            onset, offset, pitch = own.onset[row], own.offset[row], own.pitch[row]
            if offset - onset < _SHORTEST:
                break
            # After the attack, which is broadband.
            first = int(np.ceil((onset + 0.06 - excerpt.origin) / per_frame))
            last = int(np.floor((min(offset, onset + 1.0) - excerpt.origin) / per_frame))
            last = min(max(first, last), power.shape[1] - 1)
            if first < 0 or first > last:
                continue
            magnitude = np.sqrt(power[:, first : last + 1].mean(axis=1))
            if magnitude.max() <= 1e-5:
                continue
            # Notes that ended a little before may still sound.
            begin = first * per_frame + excerpt.origin - 0.33
            end = last * per_frame + excerpt.origin + 0.13
            near = (inside.onset < end) & (inside.offset > begin)
            same = inside.class_index == own.class_index[row]
            spectra.append(magnitude)
            pitches.append(pitch)
            same_class.append(_key_roll(inside.pitch[near & same & (inside.pitch != pitch)]))
            rest = near & ~same & (not alone)
            others.append([_key_roll(inside.pitch[rest & (inside.class_index == k)])
                           for k in range(n_src)])  # fmt: skip
        self.pitch = np.array(pitches, dtype=np.int64)
        if not len(self):
            return
        self.peaks = find_peaks(np.array(spectra), self.per_bin)
        self.drawn = draw_peaks(self.peaks, len(self), self.per_bin)
        self.others = np.array(others)
        self.places = np.round((self.pitch[:, None] + _INTERVALS) / STEP).astype(int)
        taken = np.array(same_class) @ partials_of_keys(self.per_bin) > 0
        # Notes of the class move with it, so that this does not depend on the transposition.
        self.free = ~look_up(taken, self.places, True)

    def __len__(self) -> int:
        return len(self.pitch)

    def scores(self, moved: Sequence[int], tuning: float, together: bool = False) -> Scores:
        r"""How well each transposition explains each note.

        Args:
            moved (sequence of int): Semitones by which each class is moved.
            tuning (float): Of the audio, in semitones.
            together (bool): Whether all classes move with this one instead.

        Returns:
            Scores: For every transposition in :data:`SHIFTS`.
        """
        roll = sum(np.roll(self.others[:, k], shift, axis=1) for k, shift in enumerate(moved))
        taken = roll @ partials_of_keys(self.per_bin) > 0
        steps = np.round(SHIFTS / STEP).astype(int)
        places = self.places[:, None, :] + steps[None, :, None]
        if together:
            free = (self.free & ~look_up(taken, self.places, True))[:, None, :]
            free = free & (places >= 0) & (places < N_STEPS)
        else:
            free = self.free[:, None, :] & ~look_up(taken, places, True)
        found = look_up(self.drawn, places + round(tuning / STEP), 0.0)
        scores = (_WEIGHTS * free * (found - _EXPECTED)).sum(axis=-1)
        teeth = free[..., : len(_TEETH)]
        weight = teeth @ _TOOTH_WEIGHT
        covered = (teeth * found[..., : len(_TEETH)]) @ _TOOTH_WEIGHT
        return Scores(scores, covered / np.maximum(weight, 1e-9), weight / _TOOTH_WEIGHT.sum())

    def deviations(self, shift: int, tuning: float) -> tuple[np.ndarray, np.ndarray]:
        """Distances of partials from their nominal pitch, in semitones, and their weights."""
        note, pitch, prominence = self.peaks
        distances, weights = [], []
        for k in range(4):
            place = self.pitch[note] + shift + _INTERVALS[k] + tuning
            near = (np.abs(pitch - place) < 0.5) & self.free[note, k]
            distances.append(pitch[near] - place[near] + tuning)
            # A bin of low partials is wider than a semitone.
            weights.append(prominence[near] * np.clip(note_number_to_hz(pitch[near]) / 400, 0, 1))
        return np.concatenate(distances), np.concatenate(weights)


def _key_roll(pitches: np.ndarray) -> np.ndarray:
    roll = np.zeros(128, dtype=np.float32)
    roll[pitches[(pitches >= 0) & (pitches <= 127)]] = 1
    return roll


def _mean_tuning(evidence: Sequence[PitchEvidence]) -> float:
    """Circular mean of the peaks' distances from the notes of A4 = 440 Hz, in semitones."""
    total = 0j
    for part in evidence:
        _, pitch, prominence = part.peaks
        used = (pitch > 48) & (pitch < 96)
        total += np.sum(prominence[used] * np.exp(2j * np.pi * pitch[used]))
    return float(np.angle(total) / (2 * np.pi))


def find_pitch(
    evidence: Sequence[Sequence[PitchEvidence]],
) -> tuple[list[ClassPitch], float | None]:
    """The transposition and the tuning of each class.

    Args:
        evidence (list): By class, a list of :class:`PitchEvidence`, one per excerpt.

    Returns:
        tuple: A list with a dict per class: ``semitones`` (by which the notes must be moved to
        match their sound; None if unclear), ``semitones_confidence`` (0 to 1), ``tuning_cents``
        (the rest; None if unclear); and the tuning of all classes, in cents, None if unclear.
    """
    evidence = [[part for part in parts if len(part)] for parts in evidence]
    playing = [index for index, parts in enumerate(evidence) if parts]
    found = [unclear_pitch() for _ in evidence]
    if not playing:
        return found, None
    tuning = _mean_tuning([part for parts in evidence for part in parts])

    def score(moved: Sequence[int], together: bool = False) -> dict[int, Scores]:
        """Scores of all notes of each class that plays."""
        by_class = {}
        for index in playing:
            parts = [part.scores(moved, tuning, together) for part in evidence[index]]
            by_class[index] = Scores(*(np.concatenate(columns) for columns in zip(*parts)))
        return by_class

    moved, by_class = _best_intervals(score, len(evidence), playing)
    for index in playing:
        best = moved[index] - int(SHIFTS[0])
        confidence = _confidence(by_class[index], best)
        if confidence >= SURE and moved[index] in ACCEPTED:
            found[index]["semitones"] = moved[index]
        found[index]["semitones_confidence"] = confidence
    return found, _tune(found, evidence, tuning)


def _best_intervals(
    score: Callable[..., dict[int, Scores]], n_src: int, playing: Sequence[int]
) -> tuple[list[int], dict[int, Scores]]:
    """The intervals in semitones by which the classes are moved, and their scores.

    Places where other classes have partials do not count, and these depend on by how much *those*
    are moved. The intervals are therefore improved in turn, starting from no transposition and from
    the common one that fits best.
    """
    together = score([0] * n_src, together=True)
    common = int(SHIFTS[sum(together[index].score.mean(axis=0) for index in playing).argmax()])
    candidates = []
    for start in sorted({0, common}, key=abs):
        moved = [start] * n_src
        for _ in range(3):
            by_class = score(moved)
            better = list(moved)
            for index in playing:
                better[index] = int(SHIFTS[by_class[index].score.mean(axis=0).argmax()])
            if better == moved:
                break
            moved = better
        else:
            by_class = score(moved)
        total = sum(by_class[index].score[:, moved[index] - SHIFTS[0]].mean() for index in playing)
        candidates.append((total, moved, by_class))
    # Of equal ones the first, with the smaller transposition.
    _, moved, by_class = max(candidates, key=lambda candidate: candidate[0])
    return moved, by_class


def _confidence(scores: Scores, best: int) -> float:
    """Confidence in the transposition `SHIFTS[best]`, by its lead over the others."""
    score, covered, free = scores
    n_notes = len(score)
    cover = np.sum(covered[:, best] * free[:, best]) / max(free[:, best].sum(), 1e-9)
    if cover < _MIN_COVER:
        return 0.0
    # The spread that one very clear note adds is not a reason for doubt.
    lead = np.minimum(score[:, [best]] - score, _MAX_LEAD)
    error = np.hypot(lead.std(axis=0), _MIN_SPREAD) / np.sqrt(n_notes)
    worst = np.delete(lead.mean(axis=0) / error, best).min()
    clear = min(max(float(worst) / _SURE_ERRORS, 0.0), 1.0)
    # A few notes are enough evidence that labels are right, but not that they are wrong.
    enough = min(n_notes / 4, 1.0) if SHIFTS[best] == 0 else min(n_notes / 8, 1.0) ** 2
    return round(clear * enough, 3)


def _tune(
    found: list[ClassPitch], evidence: Sequence[Sequence[PitchEvidence]], tuning: float
) -> float | None:
    """Adds the tuning to the findings of each certain class; returns that of all, in cents."""
    certain: list[tuple[ClassPitch, int, float, float]] = []  # with own tuning and its weight
    for finding, parts in zip(found, evidence):
        semitones = finding["semitones"]
        if semitones is None:
            continue
        pairs = [part.deviations(semitones, tuning) for part in parts]
        distances, weights = (np.concatenate(column) for column in zip(*pairs))
        if weights.sum() > 0:
            own = _weighted_median(distances, weights)
            certain.append((finding, semitones, own, weights.sum()))
    if not certain:
        return None
    weights = np.array([weight for *_, weight in certain])
    common = _weighted_median(np.array([own for _, _, own, _ in certain]), weights)
    cents = []
    for finding, semitones, own, _ in certain:
        # A quarter tone belongs to the nearer side of the labels, and all classes to one side.
        tuned = common if abs(own - common) < 0.25 else own
        total = semitones + tuned
        whole = int(np.sign(total) * np.floor(abs(total) + 0.3999))
        cents.append(round(100 * float(semitones + own - whole), 1))
        finding["semitones"], finding["tuning_cents"] = whole, cents[-1]
    return round(_weighted_median(np.array(cents), weights), 1)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
