"""Produced songs: played by people, and mixed as in a studio.

A sum of dry parts that are played exactly as written teaches a network things that no recording
has. A produced song has, in this order:

1. *Human timing and velocity*: what is played differs from the score by some milliseconds. The
   score (MIDI files) stays exact.
2. *Layers*: some parts are played by two instruments of their class.
3. *Effects of each part*: chorus, compression and a room of its own.
4. *A common hall* for all parts, with a level for each.
5. *The bus*: saturation and a limiter act on the sum of the parts.
6. *MP3*: the mixture of some songs is encoded and decoded.

What the stems are: stems contain 1 to 5. Saturation and limiter are applied as gains that depend on
the sum of all parts, and each stem gets the same gain at each sample; stems therefore add up to the
mixture before MP3 exactly, although the intermodulation of a saturated sum belongs to no single
part. What MP3 adds to the mixture (20 to 50 dB below it) is in no stem.

All probabilities and ranges are our choice: the audible range of common practice, without extremes.
"""

from __future__ import annotations

import copy

import numpy as np
import pretty_midi

from . import effects
from .composer.palette import PROGRAM_RANGES
from .mixing import level_stems, normalize_peak

#: Standard deviation of onsets around the score, in seconds, and its bound; of the delay of a whole
#: part; and of velocities. Trained musicians are within 10 to 30 ms of each other. Score-informed
#: masks lose less than 0.05 dB for 20 ms.
ONSET_STD, ONSET_BOUND, PART_STD, VELOCITY_STD = 0.006, 0.02, 0.004, 6.0
#: Probability that a part is played by two instruments.
LAYERED = 0.2
#: Programs that layer a part of each class; extreme timbres are left out.
LAYERS = {"piano": (0, 1, 2, 4, 5), "guitar": (24, 25, 26, 27, 29), "bass": (33, 34, 38, 39)}
#: Probability of a chorus by kind of part: usual for guitars and pads, rare for a bass.
CHORUS = {"guitar": 0.35, "piano": 0.2, "other": 0.25, "bass": 0.1, "drums": 0.0}
#: Probability that a part is compressed, and that it has a room of its own.
COMPRESSED, ROOM = 0.5, 0.4
#: Levels of reverberation by kind of part, in dB relative to the others: a bass stays dry.
SEND = {"guitar": 0.0, "piano": 0.0, "other": 2.0, "bass": -9.0, "drums": -3.0}
#: Probability that a song has a common hall, a saturated bus, and that it was an MP3 file.
HALL, SATURATED, MP3 = 0.75, 0.5, 0.4


def part_kind(part: pretty_midi.Instrument) -> str:
    """The kind of a part: ``bass``, ``guitar``, ``piano``, ``drums`` or ``other``.

    Args:
        part (pretty_midi.Instrument): The part.

    Returns:
        str

    Examples
        >>> part_kind(pretty_midi.Instrument(33))
        'bass'
    """
    if part.is_drum:
        return "drums"
    kinds = (kind for kind, programs in PROGRAM_RANGES.items() if part.program in programs)
    return next(kinds, "other")


def humanize(
    part: pretty_midi.Instrument, seconds: float, rng: np.random.Generator
) -> pretty_midi.Instrument:
    """A part as a person would play it: onsets and velocities vary.

    Notes keep their lengths, unless a note of the same pitch begins. Bends and pedals stay.

    Args:
        part (pretty_midi.Instrument): The part as written; it is not changed.
        seconds (float): Length of the song.
        rng (numpy.random.Generator): Random generator.

    Returns:
        pretty_midi.Instrument

    Examples
        >>> part = pretty_midi.Instrument(0)
        >>> part.notes = [pretty_midi.Note(80, 60, 1.0, 2.0)]
        >>> played = humanize(part, 4.0, np.random.default_rng(0))
        >>> 0 < abs(played.notes[0].start - 1.0) < 0.04
        True
    """
    played = copy.deepcopy(part)
    late = np.clip(rng.normal(0, PART_STD), -2 * PART_STD, 2 * PART_STD)
    shifts = rng.normal(0, ONSET_STD, len(played.notes)).clip(-ONSET_BOUND, ONSET_BOUND) + late
    velocities = rng.normal(0, VELOCITY_STD, len(played.notes))
    last: dict[int, pretty_midi.Note] = {}
    order = sorted(range(len(played.notes)), key=lambda i: played.notes[i].start)
    for index in order:
        note, shift = played.notes[index], float(shifts[index])
        before = last.get(note.pitch)
        # After the onset of the previous note of this pitch, which ends before this one.
        earliest = 0.0 if before is None else before.start + 0.01
        start = max(note.start + shift, earliest)
        note.start, note.end = start, min(max(note.end + shift, start + 0.02), seconds)
        if before is not None:
            before.end = min(before.end, note.start)
        note.velocity = int(np.clip(round(note.velocity + velocities[index]), 1, 127))
        last[note.pitch] = note
    return played


def draw_layer(
    part: pretty_midi.Instrument, rng: np.random.Generator
) -> pretty_midi.Instrument | None:
    """A second instrument of the same class for a part, or None for most parts.

    Args:
        part (pretty_midi.Instrument): The part.
        rng (numpy.random.Generator): Random generator.

    Returns:
        pretty_midi.Instrument, optional: The part with another program; drums and other instruments
        keep theirs, and are doubled with another SoundFont only.
    """
    layered, choice = rng.random() < LAYERED, rng.random()
    if not layered:
        return None
    second = copy.deepcopy(part)
    programs = [p for p in LAYERS.get(part_kind(part), ()) if p != part.program]
    if programs:
        second.program = programs[int(choice * len(programs))]
    return second


def treat_part(
    stem: np.ndarray, kind: str, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    r"""Effects of one part: chorus, compression, a room of its own, each with some probability.

    Args:
        stem (array): Shape :math:`(time,)`.
        kind (str): See :func:`part_kind`.
        sample_rate (int): Sample rate, in Hz.
        rng (numpy.random.Generator): Random generator.

    Returns:
        :class:`numpy.ndarray`: float32, shape :math:`(time,)`.
    """
    stem = np.asarray(stem, dtype=np.float32)
    if rng.random() < CHORUS[kind]:
        depth, rate = rng.uniform(0.0005, 0.003), rng.uniform(0.2, 1.5)
        phase, level = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.8)
        stem = effects.chorus(stem, depth, rate, phase, level, sample_rate)
    if rng.random() < COMPRESSED:
        threshold, ratio = rng.uniform(-10, 2), rng.uniform(1.5, 6)
        attack, release = rng.uniform(0.002, 0.03), rng.uniform(0.05, 0.3)
        gain = effects.compressor_gain(stem, threshold, ratio, attack, release, sample_rate)
        stem = np.asarray(stem * gain, dtype=np.float32)
    if rng.random() < ROOM:
        time, damping, delay = rng.uniform(0.15, 0.5), rng.uniform(2000, 6000), rng.uniform(0, 0.01)
        room = effects.impulse_response(time, damping, delay, sample_rate, rng)
        stem = effects.reverberate(stem, room, _gain(rng.uniform(-20, -8) + SEND[kind]))
    return stem


def produce(
    stems: list[np.ndarray],
    kinds: list[str],
    sample_rate: int,
    level_spread: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float]:
    r"""Mixes the parts of a song: levels, a common hall, saturation, a limiter, MP3.

    Args:
        stems (list of array): float32, shape :math:`(time,)`, changed in place to what is in the
            mixture.
        kinds (list of str): Kind of each part, see :func:`part_kind`.
        sample_rate (int): Sample rate, in Hz; one of
            :data:`~asteroid_scoresup.synthesis.effects.MP3_RATES`.
        level_spread (float): See :func:`~asteroid_scoresup.synthesis.mixing.level_stems`.
        rng (numpy.random.Generator): Random generator.

    Returns:
        tuple: Mixture, float32, shape :math:`(time,)`, and the last gain, common to all stems.
    """
    level_stems(stems, sample_rate, level_spread, rng)
    if rng.random() < HALL:
        time, damping = rng.uniform(0.6, 2.2), rng.uniform(1500, 5000)
        hall = effects.impulse_response(time, damping, rng.uniform(0.01, 0.04), sample_rate, rng)
        level = rng.uniform(-22, -10)
        for index, kind in enumerate(kinds):
            send = _gain(level + SEND[kind] + rng.normal(0, 3))
            stems[index] = effects.reverberate(stems[index], hall, send)
    mixture = np.asarray(np.sum(stems, axis=0, dtype=np.float64))
    peak = float(np.abs(mixture).max(initial=0.0)) or 1.0
    gain = np.full(len(mixture), 1 / peak)
    if rng.random() < SATURATED:
        gain *= effects.saturation_gain(mixture * gain, rng.uniform(0.3, 1.5))
    # By how many dB the limiter lowers the highest peak.
    reduction = rng.uniform(0, 6)
    ceiling = _gain(-reduction) * float(np.abs(mixture * gain).max(initial=0.0)) or 1.0
    gain *= effects.limiter_gain(mixture * gain, ceiling, sample_rate)
    for stem in stems:
        stem *= gain
    mixture, overall_gain = normalize_peak(mixture * gain, stems)
    if rng.random() < MP3:
        mixture = effects.mp3_round_trip(mixture, sample_rate, rng.uniform(0.2, 0.6))
        mixture, second = normalize_peak(mixture, stems)
        overall_gain *= second
    return mixture, overall_gain


def _gain(decibels: float) -> float:
    return float(10 ** (decibels / 20))
