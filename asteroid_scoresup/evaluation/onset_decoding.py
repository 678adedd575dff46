"""From probabilities of frames and onsets to notes: repeated notes stay apart."""

from __future__ import annotations

import numpy as np

from ..score import LOWEST_PITCH, N_PITCHES, Notes
from .transcription import VELOCITY


def onset_peaks(probabilities: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    r"""Local maxima of onset probabilities, between the frames.

    Around an onset the target is a triangle (:func:`~asteroid_scoresup.score.onset_targets`), whose
    top follows from three values: Kong et al. 2021, eq. 4.

    Args:
        probabilities (array): Onset probabilities, shape :math:`(88, frames)`.
        threshold (float): Lowest probability of a maximum.

    Returns:
        tuple: the pitch index and the time in frames of each onset, by pitch and then by time.

    Examples
        >>> probabilities = np.zeros((88, 6))
        >>> probabilities[3, 1:5] = 0.2, 0.6, 0.8, 0.4
        >>> [value.tolist() for value in onset_peaks(probabilities, 0.5)]
        [[3], [2.75]]
    """
    padded = np.pad(probabilities, ((0, 0), (1, 1)))
    before, here, after = padded[:, :-2], padded[:, 1:-1], padded[:, 2:]
    row, frame = np.nonzero((here >= threshold) & (here > before) & (here >= after))
    low, top, high = (values[row, frame].astype(np.float64) for values in (before, here, after))
    shift = (high - low) / (2 * np.maximum(top - np.minimum(low, high), 1e-9))
    return row, np.maximum(frame + np.clip(shift, -0.5, 0.5), 0)


def notes_from_onsets(
    frames: np.ndarray,
    onsets: np.ndarray,
    hop_length: int,
    sample_rate: float,
    threshold: float,
    onset_threshold: float,
    min_seconds: float = 0.05,
    max_gap_seconds: float = 0.0,
    class_index: int = 0,
) -> Notes:
    r"""Notes of one class: each begins at an onset and lasts while its frames sound.

    A note ends where its frames fall below the threshold, interpolated between two frames, or at
    the next onset of its pitch. Frames without an onset give no note.

    Args:
        frames, onsets (array): Probabilities, shape :math:`(88, frames)`.
        hop_length (int): Hop of the frames, in samples.
        sample_rate (float): Sample rate, in Hz.
        threshold (float): A pitch sounds in frames of at least this probability.
        onset_threshold (float): A note begins at maxima of at least this onset probability.
        min_seconds (float): Shorter notes are dropped.
        max_gap_seconds (float): Longest gap in the frames of a note.
        class_index (int): Class of the notes.

    Returns:
        Notes: sorted by onset; all velocities are 90.

    Raises:
        ValueError: if the shapes are not :math:`(88, frames)`.

    Examples
        >>> frames, onsets = np.zeros((88, 9)), np.zeros((88, 9))
        >>> frames[0, 2:8], onsets[0, [2, 5]] = 0.8, 0.9
        >>> notes = notes_from_onsets(frames, onsets, 500, 1000, 0.4, 0.5)
        >>> notes.onset.tolist(), notes.offset.tolist()
        ([1.0, 2.5], [2.5, 3.75])
    """
    if frames.shape != onsets.shape or frames.ndim != 2 or len(frames) != N_PITCHES:
        raise ValueError(
            f"Frames of shape {frames.shape} and onsets of shape {onsets.shape}: expected "
            f"({N_PITCHES}, frames) twice."
        )
    hop = hop_length / sample_rate
    rows, times = onset_peaks(onsets, onset_threshold)
    sounding = frames >= threshold
    gap = int(max_gap_seconds / hop * (1 + 1e-9))
    ends = np.empty(len(rows))
    for place, (row, time) in enumerate(zip(rows, times)):
        last = frames.shape[1]
        if place + 1 < len(rows) and rows[place + 1] == row:
            last = times[place + 1]
        ends[place] = min(_end(frames[row], sounding[row], time, threshold, gap), last)
    long_enough = (ends - times) * hop >= min_seconds * (1 - 1e-9)
    rows, times, ends = rows[long_enough], times[long_enough], ends[long_enough]
    notes = Notes(
        onset=times * hop,
        offset=ends * hop,
        pitch=rows + LOWEST_PITCH,
        class_index=np.full(len(rows), class_index),
        velocity=np.full(len(rows), VELOCITY),
    )
    return Notes.concatenate([notes])


def _end(
    probabilities: np.ndarray, sounding: np.ndarray, time: float, threshold: float, gap: int
) -> float:
    """Where the note that begins at `time` falls below the threshold, in frames."""
    first = int(np.ceil(time))
    # A note that begins between two frames may reach the threshold one frame late.
    first += int(first + 1 < len(sounding) and not sounding[first : first + 1].any())
    quiet = np.flatnonzero(~sounding[first:]) + first
    for frame in quiet:
        rest = sounding[frame : frame + gap + 1]
        if gap and rest.any():
            continue
        if frame == first:
            return float(frame)
        # The gap may begin before the last frame that was looked at.
        above, below = probabilities[frame - 1], probabilities[frame]
        if above < threshold:
            return float(frame)
        return float(frame - 1 + (above - threshold) / max(above - below, 1e-9))
    return float(len(sounding))
