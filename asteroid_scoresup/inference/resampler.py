"""Stems from the model's sample rate back to that of the recording."""

from __future__ import annotations

import numpy as np
import soxr

from ..utils.files import RESAMPLER
from ..utils.stream import Recording


class StemResampler:
    r"""Resamples the stems of successive chunks; they join without seams.

    Together they have exactly as many samples as the recording: rounding at two sample rates can
    make the end differ by a sample or two, which are cut off or filled with zeros.

    Args:
        model_rate (float): Sample rate of the stems, in Hz.
        recording (Recording): Has the desired sample rate and number of samples.

    Shape:
        - input: :math:`(time, n\_src, channels)`
        - output: :math:`(time', n\_src, channels)`
    """

    def __init__(self, model_rate: float, recording: Recording) -> None:
        self.rates = (model_rate, recording.sample_rate)
        self.n_left = recording.n_samples
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
        flat = flat[: self.n_left]
        self.n_left -= len(flat)
        if last and self.n_left:
            flat = np.pad(flat, ((0, self.n_left), (0, 0)))
        return flat.reshape(len(flat), *shape)
