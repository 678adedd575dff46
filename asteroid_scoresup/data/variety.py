"""Training stems that differ from song to song as instruments of one name differ in the world.

A stem of a training song is played by an invented instrument (:mod:`.timbre`) or by the SoundFont;
in the latter case its tape may run at another speed. Test stems are played as they are.
"""

from __future__ import annotations

import copy

import numpy as np

from .composer.palette import PROGRAM_RANGES
from .leftovers import scratch_folder
from .render import render_instrument
from .soundfont import write_soundfont
from .timbre import invent_instrument

#: Speeds are chosen so that the rate of the tape is a multiple of this (Hz): a short resampler.
_RATE_STEP = 100


def render_varied(part, seconds, sample_rate, soundfont, renderer, rng, invented, varispeed):
    r"""Plays one instrument of a training song.

    Args:
        part (pretty_midi.Instrument): The part.
        seconds (float): Length of the result.
        sample_rate (int): Rate of the result, in Hz.
        soundfont (Path), renderer (str): See
            :func:`~asteroid_scoresup.data.render.render_instrument`.
        rng (numpy.random.Generator): Source of chance.
        invented (float): Chance that the instrument is an invented one.
        varispeed (float): Otherwise: largest shift of the tape, in semitones; 0 for none.

    Returns:
        array: float32, shape :math:`(time,)`.
    """
    kind = _kind(part)
    invent, shift = rng.random() < invented, rng.uniform(-varispeed, varispeed)
    if kind is None:
        return render_instrument(part, seconds, sample_rate, soundfont, renderer)
    if not invent:
        return render_at_speed(part, seconds, sample_rate, soundfont, renderer, round(shift))
    with scratch_folder() as folder:
        path = folder / "invented.sf2"
        write_soundfont(path, "invented", [invent_instrument(kind, part.program, sample_rate, rng)])
        return render_instrument(part, seconds, sample_rate, path, renderer)


def render_at_speed(part, seconds, sample_rate, soundfont, renderer, semitones):
    r"""Plays a part some semitones higher and faster, then runs the tape slower: the same notes at
    the same times, from other recordings, with formants and decays moved.

    Rates of the tape are whole hundreds of Hz, so notes are off by up to 6 cents at 16 kHz.

    Args:
        part, seconds, sample_rate, soundfont, renderer: See :func:`render_varied`.
        semitones (int): How much higher; negative for lower.

    Returns:
        array: float32, shape :math:`(time,)`.
    """
    if semitones == 0:
        return render_instrument(part, seconds, sample_rate, soundfont, renderer)
    tape_rate = round(sample_rate * 2 ** (semitones / 12) / _RATE_STEP) * _RATE_STEP
    speed = tape_rate / sample_rate
    played = copy.deepcopy(part)
    for note in played.notes:
        note.start, note.end = note.start / speed, note.end / speed
        note.pitch = int(np.clip(note.pitch + semitones, 0, 127))
    for event in (*played.pitch_bends, *played.control_changes):
        event.time /= speed
    # Read at `sample_rate`, what was made at `tape_rate` is slower and lower by that ratio.
    tape = render_instrument(played, seconds / speed, tape_rate, soundfont, renderer)
    result = np.zeros(round(seconds * sample_rate), dtype=np.float32)
    result[: len(tape)] = tape[: len(result)]
    return result


def _kind(part):
    """The composer's class of an instrument, or None."""
    if part.is_drum:
        return None
    kinds = (kind for kind, programs in PROGRAM_RANGES.items() if part.program in programs)
    return next(kinds, None)
