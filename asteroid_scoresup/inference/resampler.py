"""Stems from the model's sample rate back to that of the recording."""

from __future__ import annotations

import numpy as np
import soxr

from ..utils.files import RESAMPLER


class StemResampler:
    r"""Resamples the stems of successive chunks; they join without seams.

    Together they have exactly as many samples as the recording: rounding at two sample rates can
    make the end differ by a sample or two, which are cut off or filled with zeros.

    Args:
        model_rate (float): Sample rate of the stems, in Hz.
        sample_rate (float): That of the recording.
        n_samples (int, optional): Number of samples of the recording. If it is not known yet,
            :attr:`n_left` has to be set before the last stems.

    Attributes:
        n_left (int, optional): Number of samples that are still to come.

    Shape:
        - input: :math:`(time, n\_src, channels)`
        - output: :math:`(time', n\_src, channels)`
    """

    def __init__(self, model_rate: float, sample_rate: float, n_samples: int | None = None) -> None:
        self.rates = (model_rate, sample_rate)
        self.n_left = n_samples
        self._stream: soxr.ResampleStream | None = None

    def __call__(self, stems: np.ndarray, last: bool) -> np.ndarray:
        """Resamples the next stems.

        Args:
            stems (array): float32.
            last (bool): Whether they are the last ones.
        """
        shape = stems.shape[1:]
        flat = stems.reshape(len(stems), -1)
        if self.rates[0] != self.rates[1]:
            if self._stream is None:
                n_channels = flat.shape[1]
                self._stream = soxr.ResampleStream(*self.rates, n_channels, "float32", RESAMPLER)
            flat = self._stream.resample_chunk(np.ascontiguousarray(flat), last=last)
        if self.n_left is not None:
            flat = flat[: self.n_left]
            self.n_left -= len(flat)
            if last and self.n_left:
                flat = np.pad(flat, ((0, self.n_left), (0, 0)))
        return flat.reshape(len(flat), *shape)
