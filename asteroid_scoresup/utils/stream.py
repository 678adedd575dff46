"""Recordings in blocks: any length, any rate, constant memory.

A network whose outputs depend on a bounded stretch of its input (``norm_type="cLN"``, see
:class:`~asteroid_scoresup.models.spectrogram_model.SpectrogramModel`) gives in pieces what it gives
on the whole, if every piece comes with enough context, and the context's results are thrown away.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr

from .audio import BLOCK, HIGHEST_RATE, LOWEST_RATE, AudioFile
from .files import RESAMPLER

#: With more rows than this, and than columns, an array is taken to lie on its side.
_MOST_CHANNELS = 64


class Recording:
    r"""A recording that can be read in blocks, as often as wanted.

    Args:
        audio (str, Path or array): A file, see :class:`~asteroid_scoresup.utils.audio.AudioFile`,
            or samples of shape :math:`(time)` or :math:`(channels, time)`: floats, whose full
            scale is ±1, or integers (uint8 with 128 as zero, int8, int16, int32), whose full
            scale is that of their type.
        sample_rate (int, optional): Rate of an array, in Hz.

    Attributes:
        remarks (list of str): What is odd about a file and did not prevent its use.

    Raises:
        ValueError: if a file cannot be read as audio, there are no samples, or an array comes
            without a rate or is of another type.

    Examples
        >>> recording = Recording(np.zeros((2, 1000), dtype="float32"), 8000)
        >>> recording.n_channels, recording.n_samples, recording.sample_rate
        (2, 1000, 8000)
    """

    def __init__(self, audio, sample_rate=None):
        self.path, self.samples, self.remarks = None, None, []
        if isinstance(audio, (str, Path)):
            self.path, self.name = Path(audio), str(audio)
            if self.path.is_dir():
                raise ValueError(f"{self.path} is a folder without audio files.")
            self._file = AudioFile(self.path)
            self.n_channels, self.n_samples = self._file.n_channels, self._file.count()
            self.sample_rate, self.remarks = self._file.sample_rate, self._file.remarks
        else:
            if sample_rate is None or not sample_rate >= 1:
                raise ValueError(
                    f"An array of samples needs its sample_rate in Hz, found {sample_rate}."
                )
            if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
                raise ValueError(
                    f"The sample_rate of an array is {sample_rate} Hz, expected {LOWEST_RATE} to "
                    f"{HIGHEST_RATE}."
                )
            samples = _as_floats(np.asarray(audio))
            if samples.ndim not in (1, 2):
                raise ValueError(
                    f"Expected samples of shape (time) or (channels, time), found {samples.shape}."
                )
            if samples.ndim == 2 and samples.shape[0] > max(samples.shape[1], _MOST_CHANNELS):
                raise ValueError(
                    f"Expected samples of shape (channels, time), found {samples.shape}: transpose "
                    "what is (time, channels)."
                )
            self.name = "The recording"
            self.samples = np.atleast_2d(samples)
            self.n_channels, self.n_samples = self.samples.shape
            self.sample_rate = int(sample_rate)
        if not self.n_samples or not self.n_channels:
            raise ValueError(f"{self.name} is empty: it holds no samples.")

    @property
    def seconds(self):
        """float: Length in seconds."""
        return self.n_samples / self.sample_rate

    def blocks(self, size=BLOCK):
        r"""Reads from the beginning.

        Yields:
            array: float32, shape :math:`(time, channels)`, `size` samples or, at the end, fewer.

        Raises:
            ValueError: if the file breaks off, or holds NaN or infinite samples.
        """
        done = 0
        for block in self._file.blocks(size) if self.path else self._array_blocks(size):
            if not np.isfinite(block).all():
                where = done + int(np.argmin(np.isfinite(block).all(1)))
                raise ValueError(
                    f"{self.name} holds NaN or infinite samples (the first at "
                    f"{where / self.sample_rate:.3f} s)."
                )
            done += len(block)
            yield block
        if done < self.n_samples:
            raise ValueError(
                f"{self.name} is damaged: {done} samples can be read, its header says "
                f"{self.n_samples}."
            )

    def _array_blocks(self, size):
        for start in range(0, self.n_samples, size):
            yield self.samples[:, start : start + size].T


def _as_floats(samples):
    """float32 with full scale ±1, from any type that has a full scale."""
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # infinity is told as such, with its place
            return samples.astype(np.float32, copy=False)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i" and samples.dtype.itemsize <= 4:
        # In double precision: float32 would round 32 bits before they are scaled.
        full_scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
        return (samples / full_scale).astype(np.float32)
    raise ValueError(
        f"Samples of type {samples.dtype} have no known full scale: expected floats within ±1, "
        "uint8, int8, int16 or int32."
    )


def resampled(blocks, rate, new_rate, n_channels):
    r"""Resamples a stream of blocks; the pieces join without seams.

    Args:
        blocks (iterable of array): float32, shape :math:`(time, channels)`.
        rate, new_rate (float): Rates in Hz.
        n_channels (int): Number of channels.

    Yields:
        array: float32, shape :math:`(time', channels)`, of any length.

    Examples
        >>> blocks = [np.zeros((700, 1), dtype="float32"), np.zeros((300, 1), dtype="float32")]
        >>> sum(len(block) for block in resampled(blocks, 8000, 16000, 1))
        2000
    """
    if rate == new_rate:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, new_rate, n_channels, dtype="float32", quality=RESAMPLER)
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block))
    yield stream.resample_chunk(np.zeros((0, n_channels), dtype=np.float32), last=True)


class Chunk(NamedTuple):
    r"""A piece of a stream with context on both sides.

    Args:
        samples (array): float32, shape :math:`(channels, time)`.
        start (int): Where its core begins in `samples`: the length of the context before it.
        length (int): Samples of the core.
        last (bool): Whether the stream ends with this core.
    """

    samples: np.ndarray
    start: int
    length: int
    last: bool


def chunks(blocks, core, context):
    """Cuts a stream into cores that follow each other, each with what lies around it.

    Args:
        blocks (iterable of array): Shape :math:`(time, channels)`.
        core (int): Samples of a core; the last may have fewer.
        context (int): Samples before and after the core, fewer at the stream's ends.

    Yields:
        Chunk

    Examples
        >>> stream = [np.arange(10.0)[:, None]]
        >>> for chunk in chunks(stream, core=4, context=2):
        ...     print(chunk.samples[0], chunk.start, chunk.length, chunk.last)
        [0. 1. 2. 3. 4. 5.] 0 4 False
        [2. 3. 4. 5. 6. 7. 8. 9.] 2 4 False
        [6. 7. 8. 9.] 2 2 True
    """
    waiting, n_waiting, before = [], 0, 0
    for block in blocks:
        waiting.append(block)
        n_waiting += len(block)
        # One sample more than is needed: then this core is not the last.
        while n_waiting > before + core + context:
            samples = np.concatenate(waiting)
            yield Chunk(samples[: before + core + context].T, before, core, False)
            kept = samples[max(before + core - context, 0) :]
            before = min(context, before + core)
            waiting, n_waiting = [kept], len(kept)
    samples = np.concatenate(waiting)
    while len(samples) > before:
        length = min(core, len(samples) - before)
        last = before + length == len(samples)
        yield Chunk(samples[: before + length + context].T, before, length, last)
        samples = samples[max(before + length - context, 0) :]
        before = min(context, before + length)
        if last:
            return
