"""Does the audio follow the pitch bends of its score? Decided by the audio, part by part.

A synthesizer plays the pitch wheel, a sampler may ignore it (those of Slakh2100 do), and for a
recording it is unknown. Labels that follow a bend which the audio does not have are as wrong as
labels that miss one. The partials of bent notes are therefore searched for in both places, with the
bend and without, at times when the two are apart and no other note explains either. Where there is
too little evidence, notes keep the pitch of their keys, and the report says so.

All thresholds are our choice, set so that clear cases (a part with a stem of its own, a bend held
for a second) are decided, and chance decides nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pretty_midi import note_number_to_hz

from ..score import Notes

#: The verdicts.
FOLLOWED, IGNORED, UNCLEAR = "followed", "ignored", "unclear"

#: Smallest bend that is tested, in semitones.
SMALLEST = 0.3
#: Evidence that a verdict needs; each time adds at most 3, for a ratio of 18 dB or more.
ENOUGH = 6.0
_STEP = 0.1  # seconds between the times that are tested
_MAX_TIMES = 400
_LONGEST = 3.0  # seconds of a note: later it may be too faint
_N_PARTIALS = 12


def resolve_bends(
    notes: Notes, signal: np.ndarray, sample_rate: float, context: Notes | None = None
) -> tuple[Notes, str | None]:
    r"""Keeps the bends of a part if its audio has them, and removes them otherwise.

    Args:
        notes (Notes): Notes of the part.
        signal (array): Audio of the part, or a mixture with it, shape :math:`(time,)`.
        sample_rate (float): Rate of the audio, in Hz.
        context (Notes, optional): All notes that sound in `signal`. Default: `notes`.

    Returns:
        tuple: The notes, and the verdict: ``"followed"``, ``"ignored"``, ``"unclear"``, or None if
        no note bends.
    """
    if notes.bend is None:
        return notes, None
    verdict = compare_bends(notes, signal, sample_rate, notes if context is None else context)
    return (notes if verdict == FOLLOWED else notes.replace(bend=None)), verdict


def compare_bends(notes: Notes, signal: np.ndarray, sample_rate: float, context: Notes) -> str:
    """The verdict of :func:`resolve_bends`, for notes of which at least one bends."""
    steady = _steady_bends(notes)
    chosen = np.linspace(0, len(steady) - 1, min(len(steady), _MAX_TIMES)).astype(int)
    evidence = []
    for place in chosen:
        row, time, bend = steady[place]
        others = _other_fundamentals(context, notes, row, time)
        evidence.append(_evidence(signal, sample_rate, time, notes.pitch[row], bend, others))
    total = sum(evidence)
    # Contradictory evidence is unclear, however much of it there is.
    if abs(total) < max(ENOUGH, 0.5 * np.abs(evidence).sum()):
        return UNCLEAR
    return FOLLOWED if total > 0 else IGNORED


def _bend_at(bend: np.ndarray, age: float) -> float:
    """Semitones of a bend, `age` seconds after the onset."""
    return float(bend[max(int(np.searchsorted(bend[:, 0], age, side="right")) - 1, 0), 1])


def _steady_bends(notes: Notes) -> list[tuple[int, float, float]]:
    """(row, seconds, semitones) where a note has been bent steadily for a while."""
    found = []
    release = np.asarray(notes.release)
    for row, bend in enumerate(notes.bends()):
        if bend is None:
            continue
        onset = notes.onset[row]
        length = min(release[row] - onset, _LONGEST)
        for age in np.arange(0.1, length - 0.05, _STEP):
            around = [_bend_at(bend, max(age + shift, 0)) for shift in (-0.06, 0.0, 0.06)]
            if abs(around[1]) >= SMALLEST and np.ptp(around) < SMALLEST / 2:
                found.append((row, onset + age, around[1]))
    return found


def _window(frequency: float) -> float:
    """Length in seconds of a window that resolves the partials of a fundamental in Hz."""
    return 0.128 if frequency > 200 else 0.256


def _other_fundamentals(context: Notes, notes: Notes, row: int, time: float) -> np.ndarray:
    """Fundamentals of the other notes that sound around a time, bent and unbent, in Hz."""
    reach = _window(note_number_to_hz(notes.pitch[row])) / 2
    near = (context.onset < time + reach) & (np.asarray(context.release) > time - reach - 0.1)
    same = (context.pitch == notes.pitch[row]) & (context.onset == notes.onset[row])
    bends = context.bends()
    pitches = set()
    for other in np.flatnonzero(near & ~same):
        pitches.add(float(context.pitch[other]))
        bend = bends[other]
        if bend is not None:
            age = max(time - context.onset[other], 0)
            pitches.add(float(context.pitch[other] + _bend_at(bend, age)))
    # A unison in another part says nothing about this one.
    return note_number_to_hz(np.array(sorted(pitches)))


def _evidence(
    signal: np.ndarray,
    sample_rate: float,
    time: float,
    pitch: int,
    bend: float,
    others: np.ndarray,
) -> float:
    """Evidence at one time, from -3 to 3: 1 per 6 dB in favor of the bend, negative against it."""
    straight, bent = float(note_number_to_hz(pitch)), float(note_number_to_hz(pitch + bend))
    n_fft = 2 ** round(np.log2(_window(straight) * sample_rate))
    first = round(time * sample_rate) - n_fft // 2
    frame = np.zeros(n_fft)
    inside = np.asarray(signal[max(first, 0) : max(first + n_fft, 0)], dtype=np.float64)
    frame[max(-first, 0) :][: len(inside)] = inside
    spectrum = np.abs(np.fft.rfft(frame * np.hanning(n_fft))) / (n_fft / 4)
    per_bin = sample_rate / n_fft
    with_bend = _free_partials(spectrum, per_bin, bent, straight, others)
    without = _free_partials(spectrum, per_bin, straight, bent, others)
    # A bend of an octave leaves nothing to compare: all its partials coincide with the key's.
    if not with_bend or not without or len(with_bend) + len(without) < 3:
        return 0.0
    top = max([*with_bend, *without])
    region = spectrum[int(0.4 * straight / per_bin) : int(8 * straight / per_bin) + 1]
    if top < max(1e-5, 4 * float(np.median(region))):
        return 0.0
    ratio = (_level(with_bend) + 1e-9) / (_level(without) + 1e-9)
    return float(np.clip(np.log2(ratio), -3, 3))


def _level(amplitudes: Sequence[float]) -> float:
    """Level of a comb: root mean square of its three strongest partials."""
    return float(np.sqrt(np.mean(np.square(sorted(amplitudes, reverse=True)[:3]))))


def _free_partials(
    spectrum: np.ndarray, per_bin: float, fundamental: float, rival: float, others: np.ndarray
) -> list[float]:
    """Amplitudes at the partials of a fundamental that neither rival nor other notes explain."""
    frequencies = fundamental * np.arange(1, _N_PARTIALS + 1)
    frequencies = frequencies[frequencies < per_bin * (len(spectrum) - 4)]
    apart = np.ones(len(frequencies), dtype=bool)
    for other in [rival, *others]:
        nearest = np.clip(np.round(frequencies / other), 1, 24) * other
        apart &= np.abs(frequencies - nearest) > np.maximum(4 * per_bin, 0.012 * frequencies)
    width = np.maximum(1.5 * per_bin, 0.006 * frequencies[apart])
    low = np.ceil((frequencies[apart] - width) / per_bin).astype(int)
    high = np.floor((frequencies[apart] + width) / per_bin).astype(int)
    return [float(spectrum[max(a, 0) : b + 1].max()) for a, b in zip(low, high)]


def to_sounding_pitch(notes: Notes) -> Notes:
    """Notes for checks in whole semitones: bent notes at the pitch that sounds.

    Args:
        notes (Notes): Notes with or without bends.

    Returns:
        Notes: Without bends. Notes whose bend changes, or is between two semitones, are left out.
    """
    if notes.bend is None:
        return notes
    shift, steady = np.zeros(len(notes)), np.ones(len(notes), dtype=bool)
    for row, bend in enumerate(notes.bend):
        if bend is not None:
            shift[row] = np.round(bend[0, 1])
            steady[row] = np.abs(bend[:, 1] - shift[row]).max() <= SMALLEST / 2
    moved = notes.replace(pitch=notes.pitch + shift.astype(np.int64), bend=None)
    return moved.select(steady)


def describe_bends(verdicts: Iterable[Mapping[str, Iterable[str]]]) -> str:
    """Describes the verdicts of all tracks.

    Args:
        verdicts (iterable of dict): Verdicts of the parts by class, a dict per track
            (``facts["bends"]``).

    Returns:
        str: Empty if no part bends.

    Examples
        >>> describe_bends([{"guitar": ["followed", "ignored"]}, {"guitar": ["ignored"]}])
        'pitch bends: guitar followed in 1 part, ignored in 2 parts'
    """
    counts: dict[str, Counter[str]] = {}
    for track in verdicts:
        for name, found in track.items():
            counts.setdefault(name, Counter()).update(found)
    texts = []
    for name, count in counts.items():
        parts = [
            f"{verdict} in {count[verdict]} part{'s' if count[verdict] > 1 else ''}"
            for verdict in (FOLLOWED, IGNORED, UNCLEAR)
            if count[verdict]
        ]
        texts.append(f"{name} {', '.join(parts)}")
    if not texts:
        return ""
    unclear = any(count[UNCLEAR] for count in counts.values())
    return f"pitch bends: {'; '.join(texts)}" + (" (notes keep their keys' pitch)" * unclear)
