"""Does the audio follow the pitch bends of its score? Decided by the audio, part by part.

A synthesizer plays the wheel, a sampler may ignore it (those of Slakh2100 do), and of a recording
nobody knows. Labels that follow a bend which the audio does not have are as wrong as labels that
miss one. So the partials of bent notes are looked for in both places, with the bend and without,
at moments where the two lie apart and no other note explains either. Where the evidence is thin,
notes keep the pitch of their keys, and the report says so.

All thresholds are our choice, set so that clear cases (a stem of its own, a bend held for a second)
are decided and chance is not.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..score import Notes

FOLLOWED, IGNORED, UNCLEAR = "followed", "ignored", "unclear"

#: Smallest bend that is asked about, in semitones.
SMALLEST = 0.3
#: Evidence that a verdict takes: each moment gives at most 3, for a ratio of 18 dB and more.
ENOUGH = 6.0
_STEP = 0.1  # seconds between the moments that are looked at
_MAX_MOMENTS = 400
_LONGEST = 3.0  # seconds of a note: later it may be too faint
_N_PARTIALS = 12


def settle_bends(notes, signal, sample_rate, context=None):
    """Keeps the bends of a part if its audio has them, and takes them away if not.

    Args:
        notes (Notes): Notes of the part.
        signal (array): Audio of the part, or a mixture with it.
        sample_rate (float): Rate of the audio, in Hz.
        context (Notes, optional): Everything that sounds in `signal`; default: `notes`.

    Returns:
        tuple: The notes, and the verdict: ``"followed"``, ``"ignored"``, ``"unclear"``, or None if
        no note bends.
    """
    if notes.bend is None:
        return notes, None
    verdict = judge_bends(notes, signal, sample_rate, notes if context is None else context)
    return (notes if verdict == FOLLOWED else notes.replace(bend=None)), verdict


def judge_bends(notes, signal, sample_rate, context):
    """The verdict alone; arguments as for :func:`~asteroid_scoresup.checks.bends.settle_bends`."""
    moments = _moments(notes)
    chosen = np.linspace(0, len(moments) - 1, min(len(moments), _MAX_MOMENTS)).astype(int)
    evidence = []
    for place in chosen:
        row, time, bend = moments[place]
        foreign = _foreign(context, notes, row, time)
        evidence.append(_evidence(signal, sample_rate, time, notes.pitch[row], bend, foreign))
    total = sum(evidence)
    # Moments that disagree take the certainty away, however many there are.
    if abs(total) < max(ENOUGH, 0.5 * np.abs(evidence).sum()):
        return UNCLEAR
    return FOLLOWED if total > 0 else IGNORED


def _bend_at(bend, age):
    """Semitones of a bend so many seconds after the onset."""
    return bend[max(np.searchsorted(bend[:, 0], age, side="right") - 1, 0), 1]


def _moments(notes):
    """(row, seconds, semitones) where a note has been bent steadily for a while."""
    found = []
    for row in np.flatnonzero([bend is not None for bend in notes.bend]):
        bend, onset = notes.bend[row], notes.onset[row]
        length = min(notes.release[row] - onset, _LONGEST)
        for age in np.arange(0.1, length - 0.05, _STEP):
            around = [_bend_at(bend, max(age + shift, 0)) for shift in (-0.06, 0.0, 0.06)]
            if abs(around[1]) >= SMALLEST and np.ptp(around) < SMALLEST / 2:
                found.append((row, onset + age, around[1]))
    return found


def _frequency(pitch):
    return 440.0 * 2.0 ** ((np.asarray(pitch, dtype=np.float64) - 69) / 12)


def _window(frequency):
    """Seconds of the window in which partials of a fundamental are told apart."""
    return 0.128 if frequency > 200 else 0.256


def _foreign(context, notes, row, time):
    """Fundamentals of the other notes that sound around a time, bent and unbent, in Hz."""
    reach = _window(_frequency(notes.pitch[row])) / 2
    near = (context.onset < time + reach) & (context.release > time - reach - 0.1)
    same = (context.pitch == notes.pitch[row]) & (context.onset == notes.onset[row])
    pitches = set()
    for other in np.flatnonzero(near & ~same):
        pitches.add(float(context.pitch[other]))
        if context.bend is not None and context.bend[other] is not None:
            bend = _bend_at(context.bend[other], max(time - context.onset[other], 0))
            pitches.add(float(context.pitch[other] + bend))
    # A unison in another part tells nothing of this one.
    return _frequency(sorted(pitches))


def _evidence(signal, sample_rate, time, pitch, bend, foreign):
    """What one moment says: 1 for each 6 dB in favor of the bend, below 0 against it, up to 3."""
    straight, bent = float(_frequency(pitch)), float(_frequency(pitch + bend))
    n_fft = 2 ** round(np.log2(_window(straight) * sample_rate))
    first = round(time * sample_rate) - n_fft // 2
    part = np.zeros(n_fft)
    inside = np.asarray(signal[max(first, 0) : max(first + n_fft, 0)], dtype=np.float64)
    part[max(-first, 0) :][: len(inside)] = inside
    spectrum = np.abs(np.fft.rfft(part * np.hanning(n_fft))) / (n_fft / 4)
    per_bin = sample_rate / n_fft
    with_bend = _free_partials(spectrum, per_bin, bent, straight, foreign)
    without = _free_partials(spectrum, per_bin, straight, bent, foreign)
    # A bend of an octave leaves nothing to compare: all its partials lie on those of the key.
    if not with_bend or not without or len(with_bend) + len(without) < 3:
        return 0.0
    top = max([*with_bend, *without])
    region = spectrum[int(0.4 * straight / per_bin) : int(8 * straight / per_bin) + 1]
    if top < max(1e-5, 4 * float(np.median(region))):
        return 0.0
    ratio = (_level(with_bend) + 1e-9) / (_level(without) + 1e-9)
    return float(np.clip(np.log2(ratio), -3, 3))


def _level(amplitudes):
    """Level of a comb: root mean square of its three strongest partials."""
    return float(np.sqrt(np.mean(np.square(sorted(amplitudes, reverse=True)[:3]))))


def _free_partials(spectrum, per_bin, fundamental, rival, foreign):
    """Amplitudes at the partials of a fundamental that neither rival nor other notes explain."""
    frequencies = fundamental * np.arange(1, _N_PARTIALS + 1)
    frequencies = frequencies[frequencies < per_bin * (len(spectrum) - 4)]
    apart = np.ones(len(frequencies), dtype=bool)
    for other in [rival, *foreign]:
        nearest = np.clip(np.round(frequencies / other), 1, 24) * other
        apart &= np.abs(frequencies - nearest) > np.maximum(4 * per_bin, 0.012 * frequencies)
    width = np.maximum(1.5 * per_bin, 0.006 * frequencies[apart])
    low = np.ceil((frequencies[apart] - width) / per_bin).astype(int)
    high = np.floor((frequencies[apart] + width) / per_bin).astype(int)
    return [spectrum[max(a, 0) : b + 1].max() for a, b in zip(low, high)]


def as_sounding(notes):
    """Notes for checks that know whole semitones only: bent ones at the pitch that sounds.

    Returns:
        Notes: Without bends. Notes whose bend moves, or lies between two semitones, are left out.
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


def all_parts(parts):
    """Notes of all instruments of a song as one table: the context of each of them."""
    return Notes.concatenate(part.notes for part in parts)


def describe_bends(verdicts):
    """A sentence on the parts of all tracks; empty if no part bends.

    Args:
        verdicts (iterable of dict): Verdicts by class, one dict a track (``facts["bends"]``).

    Examples
        >>> describe_bends([{"guitar": ["followed", "ignored"]}, {"guitar": ["ignored"]}])
        'pitch bends: guitar followed in 1 part, ignored in 2 parts'
    """
    counts = {}
    for track in verdicts:
        for name, found in track.items():
            counts.setdefault(name, Counter()).update(found)
    texts = []
    for name, found in counts.items():
        said = [
            f"{verdict} in {found[verdict]} part{'s' if found[verdict] > 1 else ''}"
            for verdict in (FOLLOWED, IGNORED, UNCLEAR)
            if found[verdict]
        ]
        texts.append(f"{name} {', '.join(said)}")
    if not texts:
        return ""
    unclear = any(found[UNCLEAR] for found in counts.values())
    return f"pitch bends: {'; '.join(texts)}" + (" (notes keep their keys' pitch)" * unclear)
