"""Excerpts of a song and their spectra, which all parts of the label check use."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import torch

from ..score import Notes
from ..utils.files import resample_audio

#: How much of a song is analyzed, in seconds, and in how many excerpts.
ANALYZED_SECONDS = 60.0
N_EXCERPTS = 3
#: The check needs no more bandwidth than that of this sample rate, in Hz.
MAX_RATE = 16000
#: Largest offset between notes and audio that is searched for, in seconds.
MAX_LAG = 1.0


def find_excerpts(notes: Notes, duration: float) -> list[tuple[float, float]]:
    """Chooses what to analyze: the whole song, or excerpts around quantiles of the onsets.

    Args:
        notes (Notes): The score.
        duration (float): Length of the song, in seconds.

    Returns:
        list of tuple: Start and stop, in seconds; the excerpts do not overlap.
    """
    if duration <= ANALYZED_SECONDS or not len(notes):
        return [(0.0, duration)]
    length = ANALYZED_SECONDS / N_EXCERPTS
    centers = np.quantile(notes.onset, (np.arange(N_EXCERPTS) + 0.5) / N_EXCERPTS)
    starts = np.clip(centers - length / 2, 0, duration - length)
    # Side by side where the quantiles are close together: forwards, then back from the end.
    apart = length * np.arange(N_EXCERPTS)
    starts = np.maximum.accumulate(starts - apart) + apart
    starts = np.minimum(starts, duration - length - apart[::-1])
    return [(float(start), float(start + length)) for start in starts]


class Excerpt:
    r"""An excerpt of a signal and its spectra, with a margin for the largest lag on both sides.

    Args:
        signal (array): Shape :math:`(time,)`.
        sample_rate (float): Its rate, in Hz.
        start (float): Beginning of the excerpt, in seconds.
        stop (float): End of the excerpt, in seconds.

    Attributes:
        origin (float): Time of the first sample, in seconds.
        rate (float): Sample rate, at most :data:`MAX_RATE`, in Hz.
        signal (:class:`torch.Tensor`): The samples, float32.
    """

    def __init__(self, signal: np.ndarray, sample_rate: float, start: float, stop: float):
        first = max(int((start - MAX_LAG - 0.2) * sample_rate), 0)
        last = int((stop + MAX_LAG + 0.2) * sample_rate)
        samples = np.ascontiguousarray(signal[first:last], dtype=np.float32)
        self.origin = first / sample_rate
        self.rate = sample_rate
        if sample_rate > MAX_RATE:
            samples, self.rate = resample_audio(samples, int(sample_rate), MAX_RATE), MAX_RATE
        self.signal = torch.from_numpy(samples)
        self._cache: dict[Hashable, Any] = {}

    def spectrum(self, window: float, hop: float) -> tuple[np.ndarray, float, float]:
        r"""Power spectrogram under a Hann window; a sinusoid of amplitude A has the power A².

        Args:
            window (float): Length of the window, in seconds, rounded to a power of 2 samples.
            hop (float): Hop, in seconds, rounded to samples.

        Returns:
            tuple: The power, shape :math:`(freq, frames)`; Hz per bin; seconds per frame.
        """
        return self.cached(("spectrum", window, hop), lambda: self._spectrum(window, hop))

    def cached(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """The result of `compute()`, which is called the first time only."""
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]

    def _spectrum(self, window: float, hop: float) -> tuple[np.ndarray, float, float]:
        n_fft = 2 ** round(np.log2(window * self.rate))
        step = round(hop * self.rate)
        hann = torch.hann_window(n_fft)
        signal = torch.nn.functional.pad(self.signal, (n_fft // 2, n_fft // 2))
        spectrum = torch.stft(signal, n_fft, step, window=hann, center=False, return_complex=True)
        power = (spectrum.real**2 + spectrum.imag**2) / (n_fft / 4) ** 2
        return power.numpy(), self.rate / n_fft, step / self.rate
