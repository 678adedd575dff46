"""Spectral peaks under the notes of a song, and their positions on a fine pitch axis."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from pretty_midi import hz_to_note_number, note_number_to_hz

#: Resolution of the pitch axis, in semitones; see also ``N_STEPS``, its length from MIDI note 0.
STEP = 0.1
N_STEPS = round(125 / STEP)

_FOREIGN_PARTIALS = 10  # of other notes, whose places do not count


class Peaks(NamedTuple):
    """Spectral peaks of several notes; one row per peak.

    Args:
        note (array): Row of the note.
        pitch (array): MIDI note number, not rounded.
        prominence (array): 0 to 1.
    """

    note: np.ndarray
    pitch: np.ndarray
    prominence: np.ndarray


def find_peaks(magnitudes: np.ndarray, per_bin: float) -> Peaks:
    r"""Local maxima of spectra.

    Their prominence is the height above the median of the surroundings and, where those are silent,
    above 50 dB below the loudest peak.

    Args:
        magnitudes (array): Shape :math:`(n\_notes, freq)`.
        per_bin (float): Hz per bin.

    Returns:
        Peaks: Those above 20 Hz.
    """
    level = 20 * np.log10(np.maximum(magnitudes, 1e-9))
    n_bins = level.shape[1]
    # Median of bands of about 250 Hz, interpolated linearly.
    size = max(round(250 / per_bin), 9)
    n_bands = n_bins // size
    medians = np.median(level[:, : n_bands * size].reshape(len(level), n_bands, size), axis=-1)
    middle = (np.arange(n_bands) + 0.5) * size
    floor = np.array([np.interp(np.arange(n_bins), middle, row) for row in medians])
    floor = np.maximum(floor, level.max(axis=1, keepdims=True) - 50)
    prominence = np.clip((level - floor - 6) / 18, 0, 1)
    peak = (level[:, 1:-1] >= level[:, :-2]) & (level[:, 1:-1] > level[:, 2:])
    peak &= (prominence[:, 1:-1] > 0) & (level[:, 1:-1] > -100)
    note, column = np.nonzero(peak)
    column += 1
    left, top, right = (level[note, column + k] for k in (-1, 0, 1))
    curvature = left - 2 * top + right
    fraction = 0.5 * (left - right) / np.where(curvature < 0, curvature, -1)
    frequency = (column + np.clip(fraction, -0.5, 0.5)) * per_bin
    kept = frequency > 20
    pitch = hz_to_note_number(frequency[kept])
    return Peaks(note[kept], pitch, prominence[note, column][kept])


def draw_peaks(peaks: Peaks, n_notes: int, per_bin: float) -> np.ndarray:
    r"""Draws each peak on the pitch axis as a parabola as high as its prominence.

    Returns:
        array: Shape :math:`(n\_notes, N\_STEPS)`.
    """
    note, pitch, prominence = peaks
    width = np.maximum(0.4, 12 * np.log2(1 + 0.45 * per_bin / note_number_to_hz(pitch)))[:, None]
    places = np.round(pitch / STEP).astype(int)[:, None] + np.arange(-14, 15)
    distance = (places * STEP - pitch[:, None]) / width
    height = prominence[:, None] * np.minimum(1.6 * (1 - distance**2), 1)
    drawn = np.zeros((n_notes, N_STEPS))
    used = (height > 0) & (places >= 0) & (places < N_STEPS)
    rows = np.broadcast_to(note[:, None], places.shape)
    np.maximum.at(drawn, (rows[used], places[used]), height[used])
    return drawn


@lru_cache(maxsize=8)
def partials_of_keys(per_bin: float) -> np.ndarray:
    r"""Where the partials of each MIDI note are on the pitch axis, 0 or 1.

    Args:
        per_bin (float): Hz per bin; partials of low notes are as wide as the bins resolve them.

    Returns:
        array: Shape :math:`(128, N\_STEPS)`, float32.
    """
    axis = np.arange(N_STEPS) * STEP
    table = np.zeros((128, N_STEPS), dtype=np.float32)
    for k in range(1, _FOREIGN_PARTIALS + 1):
        center = np.arange(128)[:, None] + 12 * np.log2(k)
        width = np.maximum(0.4, 12 * np.log2(1 + 1.2 * per_bin / note_number_to_hz(center)))
        table[np.abs(axis - center) <= width] = 1
    return table


def look_up(table: np.ndarray, places: np.ndarray, outside: float | bool) -> np.ndarray:
    """Values at places on the pitch axis.

    Args:
        table (array): A row per note.
        places (array): Shape (notes, ...).
        outside (float or bool): Value of places outside the axis.

    Returns:
        array: In the shape of `places`.
    """
    inside = (places >= 0) & (places < table.shape[1])
    flat = np.clip(places, 0, table.shape[1] - 1).reshape(len(table), -1)
    values = np.take_along_axis(table, flat, axis=1).reshape(places.shape)
    return np.where(inside, values, outside)
