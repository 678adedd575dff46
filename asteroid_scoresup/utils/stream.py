"""Recordings as streams of blocks and chunks, in constant memory at any length and sample rate.

A *block* is what is read from a file in one go. A *chunk* is what a network processes in one go: it
has context on both sides. A network with a bounded receptive field (``norm_type="cLN"``, see
:class:`~asteroid_scoresup.models.spectrogram_model.SpectrogramModel`) has the same outputs for the
chunks as for the whole recording, if the context is long enough and its outputs are discarded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr

from .audio import BLOCK, HIGHEST_RATE, LOWEST_RATE, AudioFile
from .files import RESAMPLER

#: An array with more rows than this, and than columns, is assumed to be transposed.
_MOST_CHANNELS = 64


class Recording:
    r"""A recording that can be read in blocks, any number of times.

    Args:
        audio (str, Path or array): A file, see :class:`~asteroid_scoresup.utils.audio.AudioFile`,
            or samples of shape :math:`(time)` or :math:`(channels, time)`: floats with a full
            scale of ±1, or integers (uint8 with 128 as zero, int8, int16, int32) with the full
            scale of their type.
        sample_rate (int, optional): Sample rate of an array, in Hz.

    Attributes:
        sample_rate (int): Sample rate, in Hz.
        n_channels (int): Number of channels.
        n_samples (int): Number of samples per channel.
        remarks (list of str): Irregularities of a file that did not prevent its use.

    Raises:
        ValueError: if a file cannot be read as audio, there are no samples, or an array has another
            type or no sample rate.

    Examples
        >>> recording = Recording(np.zeros((2, 1000), dtype="float32"), 8000)
        >>> recording.n_channels, recording.n_samples, recording.sample_rate
        (2, 1000, 8000)
    """

    def __init__(self, audio: str | Path | np.ndarray, sample_rate: float | None = None) -> None:
        self.path: Path | None = None
        self.samples: np.ndarray | None = None
        self.remarks: list[str] = []
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
            samples = as_floats(np.asarray(audio))
            if samples.ndim not in (1, 2):
                raise ValueError(
                    f"Expected samples of shape (time) or (channels, time), found {samples.shape}."
                )
            if samples.ndim == 2 and samples.shape[0] > max(samples.shape[1], _MOST_CHANNELS):
                raise ValueError(
                    f"Expected samples of shape (channels, time), found {samples.shape}: transpose "
                    "arrays of shape (time, channels)."
                )
            self.name = "The recording"
            self.samples = np.atleast_2d(samples)
            self.n_channels, self.n_samples = self.samples.shape
            self.sample_rate = int(sample_rate)
        if not self.n_samples or not self.n_channels:
            raise ValueError(f"{self.name} is empty: it contains no samples.")

    @property
    def seconds(self) -> float:
        """float: Length in seconds."""
        return self.n_samples / self.sample_rate

    def blocks(self, size: int = BLOCK) -> Iterator[np.ndarray]:
        r"""Reads the recording from the beginning.

        Args:
            size (int): Number of samples of a block; the last may have fewer.

        Yields:
            :class:`numpy.ndarray`: float32, shape :math:`(time, channels)`.

        Raises:
            ValueError: if the file is truncated, or has NaN or infinite samples.
        """
        done = 0
        blocks = self._file.blocks(size) if self.samples is None else self._array_blocks(size)
        for block in blocks:
            if not np.isfinite(block).all():
                where = done + int(np.argmin(np.isfinite(block).all(1)))
                raise ValueError(
                    f"{self.name} contains NaN or infinite samples (the first at "
                    f"{where / self.sample_rate:.3f} s)."
                )
            done += len(block)
            yield block
        if done < self.n_samples:
            raise ValueError(
                f"{self.name} is damaged: {done} samples can be read, its header says "
                f"{self.n_samples}."
            )

    def at_rate(self, sample_rate: float) -> Iterator[np.ndarray]:
        r"""Reads the recording at another sample rate, from the beginning.

        Args:
            sample_rate (float): In Hz.

        Yields:
            :class:`numpy.ndarray`: float32, shape :math:`(time, channels)`, together at least one
            sample.

        Raises:
            ValueError: see :meth:`blocks`.
        """
        is_empty = True
        for block in resampled(self.blocks(), self.sample_rate, sample_rate, self.n_channels):
            is_empty = is_empty and not len(block)
            yield block
        if is_empty:  # shorter than one sample at this rate
            yield np.zeros((1, self.n_channels), dtype=np.float32)

    def _array_blocks(self, size: int) -> Iterator[np.ndarray]:
        assert self.samples is not None
        for start in range(0, self.n_samples, size):
            yield self.samples[:, start : start + size].T


def as_floats(samples: np.ndarray) -> np.ndarray:
    """Converts samples of any type with a full scale to float32 with a full scale of ±1.

    Args:
        samples (array): Floats, uint8 with 128 as zero, int8, int16 or int32, of any shape.

    Returns:
        :class:`numpy.ndarray`: float32, of the same shape.

    Raises:
        ValueError: if the type has no known full scale.

    Examples
        >>> as_floats(np.array([-(2**15), 2**14], dtype="int16"))
        array([-1. ,  0.5], dtype=float32)
    """
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):  # infinite samples are reported later, with their time
            return samples.astype(np.float32, copy=False)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i" and samples.dtype.itemsize <= 4:
        # In double precision, since float32 cannot represent 32-bit integers.
        full_scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
        return (samples / full_scale).astype(np.float32)
    raise ValueError(
        f"Samples of type {samples.dtype} have no known full scale: expected floats within ±1, "
        "uint8, int8, int16 or int32."
    )


def resampled(
    blocks: Iterable[np.ndarray], rate: float, new_rate: float, n_channels: int
) -> Iterator[np.ndarray]:
    r"""Resamples a stream of blocks, without seams between them.

    Args:
        blocks (iterable of array): float32, shape :math:`(time, channels)`.
        rate (float): Sample rate of the blocks, in Hz.
        new_rate (float): New sample rate, in Hz.
        n_channels (int): Number of channels.

    Yields:
        :class:`numpy.ndarray`: float32, shape :math:`(time', channels)`, of any length.

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
    r"""A part of a stream, with context on both sides.

    Args:
        samples (array): float32, shape :math:`(channels, time)`, including the context.
        start (int): Number of samples of context before the chunk.
        length (int): Number of samples without context.
        last (bool): Whether this is the last chunk of the stream.
    """

    samples: np.ndarray
    start: int
    length: int
    last: bool


def chunks(blocks: Iterable[np.ndarray], length: int, context: int) -> Iterator[Chunk]:
    r"""Splits a stream into consecutive chunks with context.

    Args:
        blocks (iterable of array): Blocks of the stream, shape :math:`(time, channels)`.
        length (int): Number of samples of a chunk, without context; the last may have fewer.
        context (int): Number of samples of context on each side; fewer at the ends of the stream.

    Yields:
        Chunk: Each chunk in turn.

    Examples
        >>> stream = [np.arange(10.0)[:, None]]
        >>> for chunk in chunks(stream, length=4, context=2):
        ...     print(chunk.samples[0], chunk.start, chunk.length, chunk.last)
        [0. 1. 2. 3. 4. 5.] 0 4 False
        [2. 3. 4. 5. 6. 7. 8. 9.] 2 4 False
        [6. 7. 8. 9.] 2 2 True
    """
    splitter = ChunkSplitter(length, context)
    for block in blocks:
        yield from splitter.push(block)
    yield from splitter.finish()


class ChunkSplitter:
    """Splits a stream that arrives block by block into chunks, see :func:`chunks`.

    Args:
        length (int): Number of samples of a chunk, without context.
        context (int): Number of samples of context before a chunk, and after it.
        after (int, optional): Another number of samples of context after it.
    """

    def __init__(self, length: int, context: int, after: int | None = None) -> None:
        self.length, self.context = length, context
        self.after = context if after is None else after
        self._waiting: list[np.ndarray] = []
        self._n_waiting, self._before = 0, 0

    def push(self, block: np.ndarray) -> Iterator[Chunk]:
        r"""Adds a block of shape :math:`(time, channels)`, and yields the chunks that are complete.

        They are complete once the iterator is used up.
        """
        self._waiting.append(block)
        self._n_waiting += len(block)
        # With at least one more sample than needed, this chunk is not the last.
        while self._n_waiting > self._before + self.length + self.after:
            samples = np.concatenate(self._waiting)
            yield self._chunk(samples, self.length, last=False)

    def finish(self) -> Iterator[Chunk]:
        """Yields the remaining chunks; the stream has ended."""
        if not self._waiting:
            return
        samples = np.concatenate(self._waiting)
        while len(samples) > self._before:
            n_left = min(self.length, len(samples) - self._before)
            last = self._before + n_left == len(samples)
            yield self._chunk(samples, n_left, last)
            samples = self._waiting[0]
            if last:
                return

    def _chunk(self, samples: np.ndarray, length: int, last: bool) -> Chunk:
        stop = self._before + length
        chunk = Chunk(samples[: stop + self.after].T, self._before, length, last)
        kept = samples[max(stop - self.context, 0) :]
        self._before = min(self.context, stop)
        self._waiting, self._n_waiting = [kept], len(kept)
        return chunk
