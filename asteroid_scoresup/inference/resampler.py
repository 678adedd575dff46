"""From the sample rate of a recording to that of a model, and back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soxr

from ..dsp.level import LevelMeter
from ..utils.files import RESAMPLER
from ..utils.stream import Recording, resampled

#: Values at the model's sample rate that are kept from the first reading for the second: 64 MiB,
#: nine minutes of stereo at 16 kHz.
KEPT_VALUES = 1 << 24


class ModelInput:
    r"""A recording at the sample rate of a model, read twice: for its level, and for its samples.

    A recording that is not too long is resampled only once.

    Args:
        recording (Recording): The recording.
        model_rate (float): Sample rate of the model, in Hz.
    """

    def __init__(self, recording: Recording, model_rate: float) -> None:
        self.recording, self.rate = recording, model_rate
        self._kept: list[np.ndarray] = []

    def level(self) -> float:
        """The level of the whole recording; see :class:`~asteroid_scoresup.dsp.LevelMeter`."""
        meter, n_values = LevelMeter(self.rate), 0
        keeps = self.recording.sample_rate != self.rate
        for block in self._resampled():
            meter.add(block)
            n_values += block.size
            keeps = keeps and n_values <= KEPT_VALUES
            self._kept = [*self._kept, block] if keeps else []
        return meter.level

    def blocks(self) -> Iterator[np.ndarray]:
        r"""The samples, :math:`(time, channels)`, at least one."""
        blocks, self._kept = self._kept, []
        is_empty = True
        for block in blocks or self._resampled():
            is_empty = is_empty and not len(block)
            yield block
        if is_empty:  # shorter than one sample at this rate
            yield np.zeros((1, self.recording.n_channels), dtype=np.float32)

    def _resampled(self) -> Iterator[np.ndarray]:
        own = self.recording
        return resampled(own.blocks(), own.sample_rate, self.rate, own.n_channels)


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
