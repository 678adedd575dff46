r"""The label check, time: how much later the audio is than the notes, and which notes are silent.

The rise in level of each note's own partials is averaged over the notes, aligned at their onsets;
the offset is the lag within :math:`\pm 1` s at which the mean rise is largest. Labels of a wrong
pitch have their partials elsewhere: each class is tried with every transposition, and the one whose
rises coincide best is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

import numpy as np
import torch

from ..score import Notes, partial_frequencies
from .spectra import MAX_LAG, Excerpt

#: Shortest time between the notes of a steady riff, in seconds.
SHORTEST_BEAT = 0.14
#: Offsets up to this are normal (attack times, latency of the renderer), in seconds.
OFFSET_TOLERANCE = 0.03
#: Notes this far below the loud notes count as silent, in dB; audible ones reach -25 dB.
SILENT_DB = -50.0
#: A finding below this confidence is discarded.
SURE = 0.5
#: Transpositions that are tried where the notes as they are fit at no lag, in semitones.
SHIFTS = tuple(range(-12, 13))

_HOP = 0.01  # seconds between frames
_ATTACK = 0.005  # seconds after an onset at which a level typically rises fastest
_MAX_NOTES = 400  # per class and excerpt: more add nothing
_MAX_TRIED = 120  # the same, for each transposition that is tried


class Offset(TypedDict):
    """Offset of the audio in seconds (None if unclear), and its confidence from 0 to 1."""

    offset_seconds: float | None
    offset_confidence: float


def _partial_bins(per_bin: float, n_bins: int) -> np.ndarray:
    """Bins of the partials of MIDI notes 0 to 127, shape (128, freq), 0 or 1."""
    centers = partial_frequencies(torch.arange(128), 6).numpy()
    bins = np.arange(n_bins) * per_bin
    width = np.maximum(1.5 * per_bin, 0.006 * centers)
    inside = np.abs(bins - centers[..., None]) <= width[..., None]
    inside &= (centers < per_bin * (n_bins - 1))[..., None]
    return inside.any(axis=1).astype(np.float32)


def _pitch_levels(excerpt: Excerpt) -> tuple[np.ndarray, float]:
    """RMS amplitude at the partials of each MIDI note, shape (128, frames); seconds per frame."""

    def compute() -> tuple[np.ndarray, float]:
        power, per_bin, per_frame = excerpt.spectrum(0.064, _HOP)
        bins = _partial_bins(per_bin, len(power))
        weights = bins / np.maximum(bins.sum(axis=1, keepdims=True), 1)
        return np.sqrt(weights @ power), per_frame

    return excerpt.cached("pitch levels", compute)


def _thin_out(notes: Notes, count: int) -> Notes:
    return notes.select(np.linspace(0, len(notes) - 1, min(len(notes), count)).astype(int))


def onset_strengths(
    excerpt: Excerpt, notes: Notes, shift: int = 0, count: int = _MAX_NOTES
) -> tuple[np.ndarray, np.ndarray]:
    r"""How much the level at each note's partials rises around its onset.

    Args:
        excerpt (Excerpt): The audio.
        notes (Notes): Notes of one class.
        shift (int): Semitones by which they are moved.
        count (int): How many of the notes are used.

    Returns:
        tuple: The rises, shape :math:`(n\_notes, lags)` with lags from -1 to 1 s, nan outside the
        audio; and the onsets in seconds, shape :math:`(n\_notes,)`.
    """
    notes = _thin_out(notes, count)
    levels, per_frame = _pitch_levels(excerpt)
    n_frames = levels.shape[1]

    def compute() -> np.ndarray:
        rise = np.full_like(levels, np.nan)
        rise[:, 2:-2] = np.maximum(levels[:, 4:] - levels[:, :-4], 0)
        return rise

    rise = excerpt.cached("rise", compute)
    span = round(MAX_LAG / _HOP)
    # To the nearest frame: over many notes the rounding averages out.
    onset = np.round((notes.onset - excerpt.origin) / per_frame).astype(int)
    frame = onset[:, None] + np.arange(-span, span + 1)
    outside = (frame < 0) | (frame >= n_frames)
    pitch = np.clip(notes.pitch + shift, 0, 127)
    strengths = rise[pitch[:, None], np.clip(frame, 0, n_frames - 1)]
    strengths[outside] = np.nan
    return strengths, notes.onset


def note_levels(excerpt: Excerpt, notes: Notes, shift: int = 0, offset: float = 0.0) -> np.ndarray:
    r"""Largest RMS amplitude at each note's partials while it should sound.

    Args:
        excerpt (Excerpt): The audio.
        notes (Notes): Notes of one class.
        shift (int): Semitones by which they are moved.
        offset (float): Seconds by which they are moved.

    Returns:
        array: Shape :math:`(n\_notes,)`.
    """
    notes = _thin_out(notes, _MAX_NOTES)
    levels, per_frame = _pitch_levels(excerpt)
    onset = notes.onset + offset
    # A little after the note-off too, so that a small offset does not silence short notes.
    until = np.maximum(notes.offset + offset, onset + 0.1)
    first = np.round((onset - excerpt.origin) / per_frame).astype(int)
    first = np.clip(first, 0, levels.shape[1] - 1)
    stop = np.maximum(np.ceil((until - excerpt.origin) / per_frame).astype(int), first + 1)
    pitch = np.clip(notes.pitch + shift, 0, 127)
    return np.array([levels[k, a:b].max() for k, a, b in zip(pitch, first, stop)])


def silent_fraction(levels: np.ndarray, loud: float) -> float | None:
    """Fraction of notes more than :data:`SILENT_DB` below the loud ones; None without notes."""
    if not len(levels):
        return None
    return round(float(np.mean(levels <= max(loud, 1e-5) * 10 ** (SILENT_DB / 20))), 4)


def best_transposition(excerpts: Iterable[Excerpt], tables: Iterable[Notes]) -> int:
    """The transposition of a class under which its notes' partials rise most at one lag.

    Harmonically related ones (an octave, a fifth) serve this purpose: only the lag matters.

    Args:
        excerpts (list of Excerpt): Excerpts of the audio.
        tables (list of Notes): The notes of the class in each.

    Returns:
        int: Semitones.
    """
    excerpts, tables = list(excerpts), list(tables)
    best, found = 0, 0.0
    for shift in sorted(SHIFTS, key=abs):
        pairs = [onset_strengths(e, t, shift, _MAX_TRIED) for e, t in zip(excerpts, tables)]
        curve = _mean_strength(_normalized(np.concatenate([pair[0] for pair in pairs]))[0])
        # Notes at a pitch that does not sound rise little, and at any lag.
        contrast = curve.max() - np.median(curve)
        if contrast > 1.1 * found:
            best, found = shift, contrast
    return best


def _normalized(strengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales each note's largest rise to 1; notes that never rise are left out (second result)."""
    height = np.nan_to_num(strengths).max(axis=1)
    kept = height > 1e-5
    return strengths[kept] / height[kept, None], kept


def find_offset(strengths: Sequence[np.ndarray], onsets: Sequence[np.ndarray]) -> Offset:
    """The lag at which the notes' partials rise most, and the fraction of the song that agrees.

    Args:
        strengths (list of array): From :func:`onset_strengths`, by class and excerpt.
        onsets (list of array): The onsets of the notes, in seconds.

    Returns:
        dict: ``offset_seconds`` (None if unclear) and ``offset_confidence``.
    """
    if not strengths:
        return {"offset_seconds": None, "offset_confidence": 0.0}
    curves, kept = _normalized(np.concatenate(strengths))
    curves = curves[np.argsort(np.concatenate(onsets)[kept])]
    if len(curves) < 4:
        return {"offset_seconds": None, "offset_confidence": 0.0}
    curve = _mean_strength(curves)
    top = int(curve.argmax())
    # Groups of successive notes: only a constant offset is the same in most of them.
    groups = np.array_split(np.arange(len(curves)), min(8, len(curves) // 4))
    tops = np.array([_mean_strength(curves[group]).argmax() for group in groups])
    agreement = float(np.mean(np.abs(tops - top) <= 3))
    confidence = round(agreement * min(len(groups) / 6, 1.0), 3)
    left, middle, right = curve[max(top - 1, 0)], curve[top], curve[min(top + 1, len(curve) - 1)]
    curvature = left - 2 * middle + right
    fraction = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    offset = (top + np.clip(fraction, -0.5, 0.5)) * _HOP - MAX_LAG - _ATTACK
    beside = np.abs(np.arange(len(curve)) - top) > 8
    if abs(offset) <= OFFSET_TOLERANCE and curve[top] > max(0.3, 1.1 * curve[beside].max()):
        # By chance alone the highest of 201 lags is one of the few around 0 in 3 % of cases: a few
        # notes are enough evidence of an alignment, but not of an offset.
        confidence = max(confidence, 0.6)
    around_zero = curve[np.abs(np.arange(len(curve)) - round(MAX_LAG / _HOP)) <= 8]
    if abs(offset) > SHORTEST_BEAT and around_zero.max() > 0.95 * curve[top]:
        # Hardly better than no offset: in a steady riff every beat fits as well as the next.
        confidence = min(confidence, round(SURE / 2, 3))
    found = round(float(offset), 4) if confidence >= SURE else None
    return {"offset_seconds": found, "offset_confidence": confidence}


def _mean_strength(strengths: np.ndarray) -> np.ndarray:
    """Mean over the notes that are inside the audio at each lag; 0 where half of them do not."""
    inside = np.isfinite(strengths).sum(axis=0)
    total = np.nansum(strengths, axis=0)
    return np.where(inside * 2 >= len(strengths), total / np.maximum(inside, 1), 0.0)
