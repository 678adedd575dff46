"""Which parts of a track the score describes with certainty, and segments drawn from them.

Where a score was aligned with its recording, some stretches may be uncertain: they are listed in
the track (:class:`~asteroid_scoresup.data.track.PreparedTrack`). Training segments, fits of
score-informed masks and metrics leave them out. All other tracks are certain throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..dsp import FrameGrid
from ..score import Notes
from .track import PreparedTrack

#: Seconds of the shortest stretch between uncertain ones that is used.
SHORTEST_STRETCH = 1.0


class Segment(NamedTuple):
    """Where an item of a dataset comes from.

    Args:
        track (int): Index of the track.
        start (int): First sample.
        stop (int): End of the certain stretch, in samples; beyond it the segment is silent.
        n_samples (int): Length of the item, in samples.
        semitones (int): How much faster and higher it is played.
    """

    track: int
    start: int
    stop: int
    n_samples: int
    semitones: int = 0

    @property
    def n_played(self) -> int:
        """Samples of the recording that become `n_samples` at the speed of the segment."""
        if not self.semitones:
            return self.n_samples
        return round(self.n_samples * 2 ** (self.semitones / 12)) + 1


def certain_stretches(track: PreparedTrack, sample_rate: float) -> list[tuple[int, int]]:
    """The parts of a track that are not uncertain.

    Args:
        track (PreparedTrack): The track.
        sample_rate (float): Sample rate, in Hz.

    Returns:
        list of tuple: First sample and end of each. Those between uncertain stretches have at
        least :data:`SHORTEST_STRETCH` seconds.

    Examples
        >>> track = PreparedTrack("song", "train", 1000, 0.1, uncertain=[[2.0, 5.0], [5.5, 7.0]])
        >>> certain_stretches(track, 100)
        [(0, 200), (700, 1000)]
    """
    if not track.uncertain:
        return [(0, track.n_samples)]
    edges = [0]
    for start, stop in track.uncertain:
        edges += [round(start * sample_rate), round(stop * sample_rate)]
    edges = [min(edge, track.n_samples) for edge in [*edges, track.n_samples]]
    shortest = SHORTEST_STRETCH * sample_rate
    return [pair for pair in zip(edges[::2], edges[1::2]) if pair[1] - pair[0] >= shortest]


def stretch_table(tracks: Sequence[PreparedTrack], sample_rate: float) -> np.ndarray:
    """The certain stretches of several tracks.

    Args:
        tracks (sequence of PreparedTrack): The tracks.
        sample_rate (float): Sample rate, in Hz.

    Returns:
        :class:`numpy.ndarray`: int64, one row per stretch: index of the track, first sample, end.
    """
    rows = [
        (index, start, stop)
        for index, track in enumerate(tracks)
        for start, stop in certain_stretches(track, sample_rate)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def partly_certain(tracks: Iterable[PreparedTrack], sample_rate: float) -> list[PreparedTrack]:
    """The tracks that have a certain stretch."""
    return [track for track in tracks if certain_stretches(track, sample_rate)]


def cumulative_weights(
    lengths: np.ndarray, favored: np.ndarray, least: float | None = None
) -> np.ndarray:
    r"""Cumulative probabilities with which stretches are drawn: by length, or some more often.

    Args:
        lengths (array): Lengths of the stretches, shape :math:`(n,)`.
        favored (array): Which of them are favored, bool.
        least (float, optional): Minimum probability of the favored ones together.

    Returns:
        :class:`numpy.ndarray`: Shape :math:`(n,)`.

    Examples
        >>> cumulative_weights(np.array([1, 3]), np.array([True, False]), 0.5)
        array([0.5, 1. ])
    """
    weights = lengths / lengths.sum()
    if least is not None and weights[favored].sum() < least and not favored.all():
        weights[favored] *= least / weights[favored].sum()
        weights[~favored] *= (1 - least) / weights[~favored].sum()
    return np.cumsum(weights) / weights.sum()


def certain_signal(signal: torch.Tensor, track: PreparedTrack, sample_rate: float) -> torch.Tensor:
    r"""A signal of a track without its uncertain stretches.

    Args:
        signal (:class:`torch.Tensor`): Shape :math:`(..., time)`.
        track (PreparedTrack): The track.
        sample_rate (float): Sample rate, in Hz.

    Returns:
        :class:`torch.Tensor`: The certain stretches, one after another; the signal itself where
        all of it is certain.
    """
    if not track.uncertain:
        return signal
    parts = [signal[..., a:b] for a, b in certain_stretches(track, sample_rate)]
    return torch.cat([signal[..., :0], *parts], dim=-1)


def certain_frames(track: PreparedTrack, n_frames: int, grid: FrameGrid) -> torch.Tensor:
    r"""Which frames of a track have their centers in certain stretches.

    Args:
        track (PreparedTrack): The track.
        n_frames (int): Number of frames.
        grid (FrameGrid): The grid of the STFT.

    Returns:
        :class:`torch.Tensor`: bool, shape :math:`(n\_frames,)`.
    """
    if not track.uncertain:
        return torch.ones(n_frames, dtype=torch.bool)
    center = torch.arange(n_frames) * grid.hop_length
    inside = torch.zeros(n_frames, dtype=torch.bool)
    for start, stop in certain_stretches(track, grid.sample_rate):
        # The last frame of a track may have its center at, or beyond, the last sample.
        inside |= (center >= start) & ((center < stop) | (stop == track.n_samples))
    return inside


def certain_notes(notes: Notes, uncertain: Iterable[Sequence[float]]) -> Notes:
    """The notes that begin in no uncertain stretch.

    Args:
        notes (Notes): Notes of a track.
        uncertain (iterable): Stretches (start, stop), in seconds.

    Returns:
        Notes: The same table where nothing is uncertain.
    """
    stretches = list(uncertain)
    if not stretches:
        return notes
    kept = np.ones(len(notes), dtype=bool)
    for start, stop in stretches:
        kept &= (notes.onset < start) | (notes.onset >= stop)
    return notes.select(kept)
