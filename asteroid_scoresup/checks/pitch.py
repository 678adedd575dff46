r"""The label check, pitch: how many semitones, and how many cents, the audio is from the labels.

Every transposition :math:`s` from -24 to 24 semitones is held against the spectral peaks under each
long note of label pitch :math:`p`. It scores what the comb of :math:`p + s` explains and loses what
contradicts it:

- a tooth :math:`k f` of the comb counts :math:`w_k (x_k - \theta)`, where :math:`x_k \in [0, 1]` is
  the prominence of a peak there: a tooth without a peak speaks against the comb, so that an octave
  or a twelfth *below* the sound, whose comb has every peak of it and many empty teeth, loses;
- peaks *between* the teeth, at odd multiples of :math:`f/2` and at thirds of :math:`f`, speak
  against it too, so that an octave or a twelfth *above* the sound loses.

Places where another note may have a partial do not count. Notes of the same class move with it;
other classes are where they were found themselves: either all of them are moved alike (a recording
in another key) or each by its own interval, whichever explains more. The answer is sure if it beats
every other transposition by several standard errors over the notes, and unclear otherwise.

The tuning is a circular mean of all peaks first, by which the combs are moved, and in the end the
median distance of the partials from where the sure notes have them.

All thresholds are our choice, set on rendered songs of many programs: no sure answer was wrong.
"""

from __future__ import annotations

import numpy as np

from .spectra import frequency_of, pitch_of

#: Transpositions that are compared, in semitones.
SHIFTS = np.arange(-24, 25)
#: Of these, the ones that are believed: others are harmonics that happened to fit better.
BELIEVED = (-24, *range(-12, 13), 24)
#: Tunings up to this are normal, in cents; harmonic masks allow for about 10.
TUNING_TOLERANCE = 15.0
#: An answer below this confidence is no answer.
SURE = 0.5

_STEP = 0.1  # of the pitch axis on which peaks are drawn, in semitones
_GRID = round(125 / _STEP)
_TEETH = np.arange(1.0, 9.0)
_TOOTH_WEIGHT = _TEETH**-0.7
_BETWEEN = np.array([1 / 2, 3 / 2, 5 / 2, 7 / 2, 1 / 3, 2 / 3, 4 / 3, 5 / 3, 7 / 3, 8 / 3])
_BETWEEN_WEIGHT = 0.6 * np.array([1, 1, 0.7, 0.5, 0.5, 0.7, 0.7, 0.7, 0.5, 0.5])
_INTERVALS = 12 * np.log2(np.concatenate([_TEETH, _BETWEEN]))
_WEIGHTS = np.concatenate([_TOOTH_WEIGHT, -_BETWEEN_WEIGHT])
_EXPECTED = np.concatenate([np.full(len(_TEETH), 0.4), np.zeros(len(_BETWEEN))])
_MAX_NOTES = 60  # per class and window: the longest
_SHORTEST = 0.1  # seconds: in a shorter note's spectrum its neighbors are louder
_FOREIGN_PARTIALS = 10  # of other notes, whose places do not count
_SURE_ERRORS = 8.0  # standard errors of full confidence; half of them are sure
_LARGE_LEAD = 0.8  # of one note over another transposition
_LEAST_SPREAD = 0.2  # of the notes' leads
_LEAST_COVER = 0.35  # of the teeth, weighted: less is no comb


class PitchEvidence:
    """The spectral peaks under the long notes of one class in one window.

    Args:
        excerpt (Excerpt): The audio.
        mine (Notes): Notes of the class, where they sound.
        inside (Notes): All notes of the window, those of the class too.
        n_src (int): Number of classes.
        alone (bool): Whether the audio holds this class only.
    """

    def __init__(self, excerpt, mine, inside, n_src, alone):
        power, self.per_bin, per_frame = excerpt.spectrum(0.256, 0.064)
        spectra, pitches, own, others = [], [], [], []
        for row in np.argsort(mine.onset - mine.offset, kind="stable")[: 4 * _MAX_NOTES]:
            if len(spectra) == _MAX_NOTES:
                break
            onset, offset, pitch = mine.onset[row], mine.offset[row], mine.pitch[row]
            if offset - onset < _SHORTEST:
                break
            # Past the attack, where all frequencies sound.
            first = int(np.ceil((onset + 0.06 - excerpt.origin) / per_frame))
            last = int(np.floor((min(offset, onset + 1.0) - excerpt.origin) / per_frame))
            last = min(max(first, last), power.shape[1] - 1)
            if first < 0 or first > last:
                continue
            magnitude = np.sqrt(power[:, first : last + 1].mean(axis=1))
            if magnitude.max() <= 1e-5:
                continue
            # What still sounds a little after its end counts too.
            begin = first * per_frame + excerpt.origin - 0.33
            end = last * per_frame + excerpt.origin + 0.13
            near = (inside.onset < end) & (inside.offset > begin)
            same = inside.class_index == mine.class_index[row]
            spectra.append(magnitude)
            pitches.append(pitch)
            own.append(_key_roll(inside.pitch[near & same & (inside.pitch != pitch)]))
            rest = near & ~same & (not alone)
            others.append([_key_roll(inside.pitch[rest & (inside.class_index == k)])
                           for k in range(n_src)])  # fmt: skip
        self.pitch = np.array(pitches, dtype=np.int64)
        if not len(self):
            return
        self.peaks = _find_peaks(np.array(spectra), self.per_bin)
        self.drawn = _draw_peaks(self.peaks, len(self), self.per_bin)
        self.others = np.array(others)
        self.places = np.round((self.pitch[:, None] + _INTERVALS) / _STEP).astype(int)
        taken = np.array(own) @ _partials_of_keys(self.per_bin) > 0
        # Notes of the class move with it, so that this does not depend on the transposition.
        self.free = ~_look_up(taken, self.places, True)

    def __len__(self):
        return len(self.pitch)

    def scores(self, moved, tuning, together=False):
        r"""How well each transposition explains each note.

        Args:
            moved (sequence of int): Semitones by which each class is moved.
            tuning (float): Of the audio, in semitones.
            together (bool): Whether all classes move with this one instead.

        Returns:
            tuple: scores, the share of the comb that has peaks, and how much of it is free; each of
            shape :math:`(notes, shifts)`.
        """
        roll = sum(np.roll(self.others[:, k], shift, axis=1) for k, shift in enumerate(moved))
        taken = roll @ _partials_of_keys(self.per_bin) > 0
        steps = np.round(SHIFTS / _STEP).astype(int)
        places = self.places[:, None, :] + steps[None, :, None]
        if together:
            free = (self.free & ~_look_up(taken, self.places, True))[:, None, :]
            free = free & (places >= 0) & (places < _GRID)
        else:
            free = self.free[:, None, :] & ~_look_up(taken, places, True)
        found = _look_up(self.drawn, places + round(tuning / _STEP), 0.0)
        scores = (_WEIGHTS * free * (found - _EXPECTED)).sum(axis=-1)
        teeth = free[..., : len(_TEETH)]
        weight = teeth @ _TOOTH_WEIGHT
        covered = (teeth * found[..., : len(_TEETH)]) @ _TOOTH_WEIGHT
        return scores, covered / np.maximum(weight, 1e-9), weight / _TOOTH_WEIGHT.sum()

    def deviations(self, shift, tuning):
        """Distances of partials from their places, in semitones, and the weight of each."""
        note, pitch, prominence = self.peaks
        distances, weights = [], []
        for k in range(4):
            place = self.pitch[note] + shift + _INTERVALS[k] + tuning
            near = (np.abs(pitch - place) < 0.5) & self.free[note, k]
            distances.append(pitch[near] - place[near] + tuning)
            # Of low partials a bin is more than a semitone.
            weights.append(prominence[near] * np.clip(frequency_of(pitch[near]) / 400, 0, 1))
        return np.concatenate(distances), np.concatenate(weights)


def _key_roll(pitches):
    roll = np.zeros(128, dtype=np.float32)
    roll[pitches[(pitches >= 0) & (pitches <= 127)]] = 1
    return roll


def _look_up(table, places, outside):
    """Values of each note's row of a table at places of any shape (notes, ...)."""
    inside = (places >= 0) & (places < table.shape[1])
    flat = np.clip(places, 0, table.shape[1] - 1).reshape(len(table), -1)
    values = np.take_along_axis(table, flat, axis=1).reshape(places.shape)
    return np.where(inside, values, outside)


_partials = {}


def _partials_of_keys(per_bin):
    """Where on the pitch axis the partials of each MIDI note lie, shape (128, grid)."""
    if per_bin not in _partials:
        axis = np.arange(_GRID) * _STEP
        table = np.zeros((128, _GRID), dtype=np.float32)
        for k in range(1, _FOREIGN_PARTIALS + 1):
            center = np.arange(128)[:, None] + 12 * np.log2(k)
            width = np.maximum(0.4, 12 * np.log2(1 + 1.2 * per_bin / frequency_of(center)))
            table[np.abs(axis - center) <= width] = 1
        _partials[per_bin] = table
    return _partials[per_bin]


def _find_peaks(magnitudes, per_bin):
    """Local maxima of spectra of shape (notes, freq), as columns.

    Returns:
        tuple: rows of the notes; pitches; prominences from 0 to 1, by the height above the median
        of the surroundings and, where those are silent, above 50 dB below the loudest peak.
    """
    level = 20 * np.log10(np.maximum(magnitudes, 1e-9))
    n_bins = level.shape[1]
    # Median of blocks of about 250 Hz, with straight lines between them.
    size = max(round(250 / per_bin), 9)
    n_blocks = n_bins // size
    medians = np.median(level[:, : n_blocks * size].reshape(len(level), n_blocks, size), axis=-1)
    middle = (np.arange(n_blocks) + 0.5) * size
    floor = np.array([np.interp(np.arange(n_bins), middle, row) for row in medians])
    floor = np.maximum(floor, level.max(axis=1, keepdims=True) - 50)
    prominence = np.clip((level - floor - 6) / 18, 0, 1)
    peak = (level[:, 1:-1] >= level[:, :-2]) & (level[:, 1:-1] > level[:, 2:])
    peak &= (prominence[:, 1:-1] > 0) & (level[:, 1:-1] > -100)
    note, column = np.nonzero(peak)
    column += 1
    left, top, right = (level[note, column + k] for k in (-1, 0, 1))
    bend = left - 2 * top + right
    fraction = np.clip(0.5 * (left - right) / np.where(bend < 0, bend, -1), -0.5, 0.5)
    frequency = (column + fraction) * per_bin
    kept = frequency > 20
    pitch = pitch_of(frequency[kept])
    return note[kept], pitch, prominence[note, column][kept]


def _draw_peaks(peaks, n_notes, per_bin):
    """Prominence by note and place on the pitch axis: a parabola around each peak."""
    note, pitch, prominence = peaks
    width = np.maximum(0.4, 12 * np.log2(1 + 0.45 * per_bin / frequency_of(pitch)))[:, None]
    places = np.round(pitch / _STEP).astype(int)[:, None] + np.arange(-14, 15)
    distance = (places * _STEP - pitch[:, None]) / width
    height = prominence[:, None] * np.minimum(1.6 * (1 - distance**2), 1)
    drawn = np.zeros((n_notes, _GRID))
    used = (height > 0) & (places >= 0) & (places < _GRID)
    rows = np.broadcast_to(note[:, None], places.shape)
    np.maximum.at(drawn, (rows[used], places[used]), height[used])
    return drawn


def _mean_tuning(evidence):
    """Circular mean of the peaks' distances from the notes of A4 = 440 Hz, in semitones."""
    total = 0.0
    for part in evidence:
        _, pitch, prominence = part.peaks
        used = (pitch > 48) & (pitch < 96)
        total += np.sum(prominence[used] * np.exp(2j * np.pi * pitch[used]))
    return float(np.angle(total) / (2 * np.pi))


def find_pitch(evidence):
    """The transposition and the tuning of each class.

    Args:
        evidence (list): By class, a list of :class:`PitchEvidence`, one a window.

    Returns:
        tuple: list with a dict by class: ``semitones`` (by which the notes must be moved to be
        where they sound; None if unclear), ``semitones_confidence`` (0 to 1), ``tuning_cents``
        (rest, None if unclear); and the tuning of all, in cents, None if unclear.
    """
    evidence = [[part for part in parts if len(part)] for parts in evidence]
    playing = [index for index, parts in enumerate(evidence) if parts]
    found = [
        {"semitones": None, "semitones_confidence": 0.0, "tuning_cents": None} for _ in evidence
    ]
    if not playing:
        return found, None
    tuning = _mean_tuning([part for parts in evidence for part in parts])

    def score(moved, together=False):
        """Scores, covers and weights of all notes of each class that plays."""
        by_class = {}
        for index in playing:
            parts = [part.scores(moved, tuning, together) for part in evidence[index]]
            by_class[index] = [np.concatenate(columns) for columns in zip(*parts)]
        return by_class

    moved, by_class = _settle(score, len(evidence), playing)
    for index in playing:
        best = moved[index] - int(SHIFTS[0])
        confidence = _confidence(*by_class[index], best)
        if confidence >= SURE and moved[index] in BELIEVED:
            found[index]["semitones"] = moved[index]
        found[index]["semitones_confidence"] = confidence
    return found, _tune(found, evidence, tuning)


def _settle(score, n_src, playing):
    """The intervals by which the classes are moved, and what they score.

    What another class may have played does not count, and where that is depends on by how much
    *it* is moved: intervals are improved in turn, from no transposition and from the common one
    that fits best.
    """
    apart = score([0] * n_src, together=True)
    common = int(SHIFTS[sum(apart[index][0].mean(axis=0) for index in playing).argmax()])
    best = None
    for start in sorted({0, common}, key=abs):
        moved = [start] * n_src
        for _ in range(3):
            by_class = score(moved)
            better = list(moved)
            for index in playing:
                better[index] = int(SHIFTS[by_class[index][0].mean(axis=0).argmax()])
            if better == moved:
                break
            moved, by_class = better, None
        by_class = by_class or score(moved)
        total = sum(by_class[index][0][:, moved[index] - SHIFTS[0]].mean() for index in playing)
        if best is None or total > best[0]:
            best = total, moved, by_class
    return best[1:]


def _confidence(scores, covered, weight, best):
    """Confidence in a transposition: by how many standard errors it beats every other."""
    n_notes = len(scores)
    cover = np.sum(covered[:, best] * weight[:, best]) / max(weight[:, best].sum(), 1e-9)
    if cover < _LEAST_COVER:
        return 0.0
    # A note that speaks loudly for it is no reason for doubt.
    lead = np.minimum(scores[:, [best]] - scores, _LARGE_LEAD)
    error = np.hypot(lead.std(axis=0), _LEAST_SPREAD) / np.sqrt(n_notes)
    worst = np.delete(lead.mean(axis=0) / error, best).min()
    clear = min(max(float(worst) / _SURE_ERRORS, 0.0), 1.0)
    # A few notes are enough to believe in the labels, but not in a fault of theirs.
    enough = min(n_notes / 4, 1.0) if SHIFTS[best] == 0 else min(n_notes / 8, 1.0) ** 2
    return round(clear * enough, 3)


def _tune(found, evidence, tuning):
    """Adds the tuning to the findings of each sure class; returns that of all, in cents."""
    medians = {}
    for index, finding in enumerate(found):
        if finding["semitones"] is None:
            continue
        pairs = [part.deviations(finding["semitones"], tuning) for part in evidence[index]]
        distances, weights = (np.concatenate(column) for column in zip(*pairs))
        if weights.sum() > 0:
            medians[index] = _weighted_median(distances, weights), weights.sum()
    if not medians:
        return None
    common = _weighted_median(*(np.array(column) for column in zip(*medians.values())))
    for index, (own, _) in medians.items():
        # A quarter tone belongs to the nearer side of the labels, and all classes to one side.
        tuned = common if abs(own - common) < 0.25 else own
        whole = found[index]["semitones"] + tuned
        semitones = int(np.sign(whole) * np.floor(abs(whole) + 0.3999))
        rest = found[index]["semitones"] + own - semitones
        found[index].update(semitones=semitones, tuning_cents=round(100 * float(rest), 1))
    return round(
        float(_weighted_median(
            np.array([found[index]["tuning_cents"] for index in medians]),
            np.array([weight for _, weight in medians.values()]),
        )), 1,
    )  # fmt: skip


def _weighted_median(values, weights):
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
