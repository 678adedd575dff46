"""Raw PCM samples in, stems out as they come: what ``separate -`` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.files import audio_writers
from .encoding import ClippingCounter, Encoding
from .streaming import SeparationStream

#: Name of a type of samples → NumPy's; little endian, interleaved channels.
PCM_TYPES = {"s16": "<i2", "f32": "<f4"}
#: Most bytes that are read at a time; what is there is processed without waiting for more.
_MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class PcmFormat:
    """Raw samples: little endian, channels interleaved, without a header.

    Args:
        kind (str): One of :data:`PCM_TYPES`.
        sample_rate (int): In Hz.
        n_channels (int): Number of channels.
    """

    kind: str
    sample_rate: int
    n_channels: int

    def blocks(self, source: Any) -> Iterator[np.ndarray]:
        """Reads samples as they arrive.

        Args:
            source (file): A buffered binary file, such as ``sys.stdin.buffer``.

        Yields:
            :class:`numpy.ndarray`: shape (channels, time).

        Raises:
            ValueError: if the input ends within a sample.
        """
        dtype = np.dtype(PCM_TYPES[self.kind])
        width, rest = dtype.itemsize * self.n_channels, b""
        while data := source.read1(_MOST_BYTES):
            data = rest + data
            whole = len(data) // width * width
            rest = data[whole:]
            if whole:
                yield np.frombuffer(data[:whole], dtype).reshape(-1, self.n_channels).T
        if rest:
            raise ValueError(
                f"The input ends within a sample: {len(rest)} bytes remain, and {self.n_channels} "
                f"channels of {self.kind} take {width}. Are --pcm and --channels right?"
            )

    def encoded(self, stems: Sequence[np.ndarray]) -> bytes:
        """Raw samples of stems, whose channels follow each other.

        Args:
            stems (sequence of array): float32, each of shape (channels, time).
        """
        samples = np.concatenate(stems).T
        if self.kind == "s16":
            samples = np.clip(np.round(samples * 2**15), -(2**15), 2**15 - 1)
        return samples.astype(PCM_TYPES[self.kind]).tobytes()


def separate_pcm(
    stream: SeparationStream,
    pcm: PcmFormat,
    source: Any,
    write: Callable[[dict[str, np.ndarray]], object],
) -> float:
    """Separates raw samples while they arrive.

    Args:
        stream (SeparationStream): A new stream of the same sample rate and channels.
        pcm (PcmFormat): The samples.
        source (file): See :meth:`PcmFormat.blocks`.
        write (callable): Receives the stems by name, each of shape (channels, time), whenever there
            are some.

    Returns:
        float: Seconds that were separated.

    Raises:
        ValueError: if the input is empty, ends within a sample, or has NaN or infinite samples.
    """
    n_samples = 0
    for block in pcm.blocks(source):
        n_samples += block.shape[1]
        stems = stream.push(block)
        if next(iter(stems.values())).shape[1]:
            write(stems)
    if not n_samples:
        raise ValueError("The input is empty: expected raw samples on standard input.")
    write(stream.finish())
    return n_samples / pcm.sample_rate


def write_stems(
    stream: SeparationStream,
    pcm: PcmFormat,
    source: Any,
    targets: Mapping[str, Path],
    encoding: Encoding,
) -> list[str]:
    """Separates raw samples into audio files, which get their names at the end.

    Args:
        stream, pcm, source: See :func:`separate_pcm`.
        targets (dict): Name of each stem to write → its file.
        encoding (Encoding): How they are stored; ``rescale`` is not possible.

    Returns:
        list of str: Warnings.

    Raises:
        ValueError: see :func:`separate_pcm`; or if the format cannot store such stems.
        OSError: if a file cannot be written.
    """
    shape = (pcm.n_channels, pcm.sample_rate)
    if reason := encoding.misfit(*shape):
        raise ValueError(f"The input has {shape[0]} channels at {shape[1]} Hz. {reason}")
    clipping = ClippingCounter(encoding)
    options = encoding.options(0, *shape)
    if options["container"] == "WAV":
        options["container"] = "RF64"  # the length is not known; short files become WAV
    paths = list(targets.values())
    with audio_writers(paths, pcm.sample_rate, pcm.n_channels, **options) as writers:

        def write(stems: dict[str, np.ndarray]) -> None:
            for name, writer in zip(targets, writers):
                writer(clipping.limited(name, stems[name].T))

        separate_pcm(stream, pcm, source, write)
    return clipping.warnings(targets)
