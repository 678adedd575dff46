"""Timbre augmentation of training stems.

A stem of a training song is rendered with a synthetic instrument (:mod:`.timbre`) or with the
SoundFont, then possibly at another speed (varispeed). Test stems are rendered as they are.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pretty_midi

from ..utils.partial_files import scratch_folder
from .composer.palette import PROGRAM_RANGES
from .render import render_instrument
from .soundfont import write_soundfont
from .timbre import synthetic_instrument

#: Rendering rates are multiples of this (Hz), for which resampling is cheap.
_RATE_STEP = 100


def render_varied(
    part: pretty_midi.Instrument,
    seconds: float,
    sample_rate: int,
    soundfont: Path,
    renderer: str,
    rng: np.random.Generator,
    synthetic: float,
    varispeed: float,
) -> np.ndarray:
    r"""Renders one instrument of a training song, with a random timbre.

    Args:
        part (pretty_midi.Instrument): The part.
        seconds (float): Length of the result.
        sample_rate (int): Sample rate of the result, in Hz.
        soundfont (Path): SoundFont for instruments that are not synthetic.
        renderer (str): See :func:`~asteroid_scoresup.synthesis.render.render_instrument`.
        rng (numpy.random.Generator): Random generator.
        synthetic (float): Probability of a synthetic instrument.
        varispeed (float): Otherwise, largest speed change, in semitones; 0 for none.

    Returns:
        :class:`numpy.ndarray`: float32, shape :math:`(time,)`.
    """
    kind = _kind(part)
    use_synthetic, shift = rng.random() < synthetic, rng.uniform(-varispeed, varispeed)
    if kind is None:
        return render_instrument(part, seconds, sample_rate, soundfont, renderer)
    if not use_synthetic:
        return render_at_speed(part, seconds, sample_rate, soundfont, renderer, round(shift))
    with scratch_folder() as folder:
        path = folder / "synthetic.sf2"
        preset = synthetic_instrument(kind, part.program, sample_rate, rng)
        write_soundfont(path, "synthetic", [preset])
        return render_instrument(part, seconds, sample_rate, path, renderer)


def render_at_speed(
    part: pretty_midi.Instrument,
    seconds: float,
    sample_rate: int,
    soundfont: Path,
    renderer: str,
    semitones: int,
) -> np.ndarray:
    r"""Renders a part with a speed change (varispeed).

    The part is rendered some semitones higher and faster, then played slower: the notes and their
    times stay the same, but they come from other samples, with shifted formants and decays. The
    rendering rate is rounded to 100 Hz, so pitches are off by up to 6 cents at 16 kHz.

    Args:
        part (pretty_midi.Instrument): The part.
        seconds (float): Length of the result.
        sample_rate (int): Sample rate of the result, in Hz.
        soundfont (Path): The SoundFont.
        renderer (str): See :func:`~asteroid_scoresup.synthesis.render.render_instrument`.
        semitones (int): How much higher the part is rendered; negative for lower.

    Returns:
        :class:`numpy.ndarray`: float32, shape :math:`(time,)`.
    """
    if semitones == 0:
        return render_instrument(part, seconds, sample_rate, soundfont, renderer)
    render_rate = round(sample_rate * 2 ** (semitones / 12) / _RATE_STEP) * _RATE_STEP
    speed = render_rate / sample_rate
    played = copy.deepcopy(part)
    for note in played.notes:
        note.start, note.end = note.start / speed, note.end / speed
        note.pitch = int(np.clip(note.pitch + semitones, 0, 127))
    for event in (*played.pitch_bends, *played.control_changes):
        event.time /= speed
    # Played at `sample_rate`, what was rendered at `render_rate` is slower and lower by that ratio.
    rendered = render_instrument(played, seconds / speed, render_rate, soundfont, renderer)
    result = np.zeros(round(seconds * sample_rate), dtype=np.float32)
    result[: len(rendered)] = rendered[: len(result)]
    return result


def _kind(part: pretty_midi.Instrument) -> str | None:
    """The class of an instrument in the composer, or None."""
    if part.is_drum:
        return None
    kinds = (kind for kind, programs in PROGRAM_RANGES.items() if part.program in programs)
    return next(kinds, None)
