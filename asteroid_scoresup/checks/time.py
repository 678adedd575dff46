r"""The label check, time: how much later the audio is than the notes, and which notes are missing.

The rise of each note's own partials is laid over all others by its onset; the lag in
:math:`\pm 1` s where the mean rise is largest is the offset. Where the labels have a wrong pitch,
partials are looked for where they are right: each class is tried with every transposition, and the
one whose rises coincide best is taken.
"""

from __future__ import annotations

import numpy as np
import torch

from ..score import partial_frequencies
from .spectra import MAX_LAG

#: Seconds between notes of the fastest riff that is taken for one.
SHORTEST_BEAT = 0.14
#: Offsets up to this are normal (attack times, latency of the renderer), in seconds.
OFFSET_TOLERANCE = 0.03
#: Notes that stay so far below the loud notes count as silent, in dB; honest ones reach -25 dB.
SILENT_DB = -50.0
#: A finding below this confidence is no finding.
SURE = 0.5
#: Transpositions that are tried where the notes as they are fit nowhere, in semitones.
SHIFTS = tuple(range(-12, 13))

_HOP = 0.01  # of the rise of partials, in seconds
_ATTACK = 0.005  # an honest rise is steepest so long after the onset, in seconds
_MAX_RISES = 400  # per class and window: more tell nothing new
_MAX_TRIED = 120  # the same, for each transposition that is tried


def _partial_bins(per_bin, n_bins):
    """Rows of weights over the bins for the partials of MIDI notes 0 to 127."""
    centers = partial_frequencies(torch.arange(128), 6).numpy()
    bins = np.arange(n_bins) * per_bin
    width = np.maximum(1.5 * per_bin, 0.006 * centers)
    inside = np.abs(bins - centers[..., None]) <= width[..., None]
    inside &= (centers < per_bin * (n_bins - 1))[..., None]
    return inside.any(axis=1).astype(np.float32)


def _salience(excerpt):
    """RMS amplitude at the partials of each MIDI note, shape (128, frames), and s per frame."""

    def compute():
        power, per_bin, per_frame = excerpt.spectrum(0.064, _HOP)
        templates = _partial_bins(per_bin, len(power))
        share = templates / np.maximum(templates.sum(axis=1, keepdims=True), 1)
        return np.sqrt(share @ power), per_frame

    return excerpt.once("salience", compute)


def _thin_out(notes, count):
    return notes.select(np.linspace(0, len(notes) - 1, min(len(notes), count)).astype(int))


def rises_of(excerpt, mine, shift=0, count=_MAX_RISES):
    """How the partials of each note rise around its onset.

    Args:
        excerpt (Excerpt): The audio.
        mine (Notes): Notes of one class.
        shift (int): Semitones by which they are moved.
        count (int): How many of the notes are used.

    Returns:
        tuple: rises, shape (notes, lags), lags from -1 to 1 s, nan outside the audio; and the
        onsets, in seconds, shape (notes,).
    """
    mine = _thin_out(mine, count)
    salience, per_frame = _salience(excerpt)
    n_frames = salience.shape[1]

    def compute():
        rise = np.full_like(salience, np.nan)
        rise[:, 2:-2] = np.maximum(salience[:, 4:] - salience[:, :-4], 0)
        return rise

    rise = excerpt.once("rise", compute)
    span = round(MAX_LAG / _HOP)
    # To the nearest frame: over many notes the rounding averages out.
    onset = np.round((mine.onset - excerpt.origin) / per_frame).astype(int)
    frame = onset[:, None] + np.arange(-span, span + 1)
    outside = (frame < 0) | (frame >= n_frames)
    pitch = np.clip(mine.pitch + shift, 0, 127)
    laid = rise[pitch[:, None], np.clip(frame, 0, n_frames - 1)]
    laid[outside] = np.nan
    return laid, mine.onset


def levels_of(excerpt, mine, shift=0, offset=0.0):
    """Largest RMS amplitude at each note's partials while it should sound, shape (notes,).

    Args:
        excerpt (Excerpt): The audio.
        mine (Notes): Notes of one class.
        shift (int): Semitones by which they are moved.
        offset (float): Seconds by which they are moved.
    """
    mine = _thin_out(mine, _MAX_RISES)
    salience, per_frame = _salience(excerpt)
    onset = mine.onset + offset
    # A little after the note-off too, so that a small offset does not silence short notes.
    until = np.maximum(mine.offset + offset, onset + 0.1)
    first = np.round((onset - excerpt.origin) / per_frame).astype(int)
    first = np.clip(first, 0, salience.shape[1] - 1)
    stop = np.maximum(np.ceil((until - excerpt.origin) / per_frame).astype(int), first + 1)
    pitch = np.clip(mine.pitch + shift, 0, 127)
    return np.array([salience[k, a:b].max() for k, a, b in zip(pitch, first, stop)])


def share_silent(levels, loud):
    """Share of notes that stay :data:`SILENT_DB` below the loud ones; None without notes."""
    if not len(levels):
        return None
    return round(float(np.mean(levels <= max(loud, 1e-5) * 10 ** (SILENT_DB / 20))), 4)


def best_transposition(excerpts, tables):
    """The transposition of a class under which its notes' partials rise most at one lag.

    Harmonically related ones (an octave, a fifth) do for this purpose: the lag is what counts.

    Args:
        excerpts (list of Excerpt): Windows of the audio.
        tables (list of Notes): The notes of the class in each.

    Returns:
        int: Semitones.
    """
    best, found = 0, 0.0
    for shift in sorted(SHIFTS, key=abs):
        laid = [rises_of(e, t, shift, _MAX_TRIED)[0] for e, t in zip(excerpts, tables)]
        curve = _mean_rise(_normalized(np.concatenate(laid))[0])
        # Notes at a pitch that does not sound rise little and at any lag.
        contrast = curve.max() - np.median(curve)
        if contrast > 1.1 * found:
            best, found = shift, contrast
    return best


def _normalized(rises):
    """Every note counts alike, loud or soft; those that never rise say nothing."""
    height = np.nan_to_num(rises).max(axis=1)
    kept = height > 1e-5
    return rises[kept] / height[kept, None], kept


def find_offset(rises, onsets):
    """The lag at which the notes' partials rise most, and the share of the song that agrees.

    Args:
        rises (list of array): From :func:`rises_of`, by class and window.
        onsets (list of array): The onsets of the notes.

    Returns:
        dict: ``offset_seconds`` (None if unclear) and ``offset_confidence``.
    """
    unclear = {"offset_seconds": None, "offset_confidence": 0.0}
    if not rises:
        return unclear
    rises, onsets = np.concatenate(rises), np.concatenate(onsets)
    rises, kept = _normalized(rises)
    rises = rises[np.argsort(onsets[kept])]
    if len(rises) < 4:
        return unclear
    curve = _mean_rise(rises)
    top = int(curve.argmax())
    # Parts of the song in turn: only a constant offset is the same in most of them.
    parts = np.array_split(np.arange(len(rises)), min(8, len(rises) // 4))
    tops = np.array([_mean_rise(rises[part]).argmax() for part in parts])
    agreement = float(np.mean(np.abs(tops - top) <= 3))
    confidence = round(agreement * min(len(parts) / 6, 1.0), 3)
    left, middle, right = curve[max(top - 1, 0)], curve[top], curve[min(top + 1, len(curve) - 1)]
    bend = left - 2 * middle + right
    fraction = 0.5 * (left - right) / bend if bend < 0 else 0.0
    offset = (top + np.clip(fraction, -0.5, 0.5)) * _HOP - MAX_LAG - _ATTACK
    beside = np.abs(np.arange(len(curve)) - top) > 8
    if abs(offset) <= OFFSET_TOLERANCE and curve[top] > max(0.3, 1.1 * curve[beside].max()):
        # By chance alone the highest of 201 lags is one of the few around 0 in 3 % of cases: a few
        # notes are enough to believe in an alignment, but not in an offset.
        confidence = max(confidence, 0.6)
    around_zero = curve[np.abs(np.arange(len(curve)) - round(MAX_LAG / _HOP)) <= 8]
    if abs(offset) > SHORTEST_BEAT and around_zero.max() > 0.95 * curve[top]:
        # Hardly better than no offset at all: in a steady riff every beat is as good as the next.
        confidence = min(confidence, round(SURE / 2, 3))
    found = round(float(offset), 4) if confidence >= SURE else None
    return {"offset_seconds": found, "offset_confidence": confidence}


def _mean_rise(rises):
    """Mean over the notes that lie inside the audio at each lag; 0 where half of them do not."""
    inside = np.isfinite(rises).sum(axis=0)
    total = np.nansum(rises, axis=0)
    return np.where(inside * 2 >= len(rises), total / np.maximum(inside, 1), 0.0)
