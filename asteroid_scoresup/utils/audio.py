"""Decodes audio files completely, for preparation and separation.

libsndfile decodes most formats, and ffmpeg, if it is installed, some others (AAC, WMA, WebM…). The
length of a file is the number of samples that decode, since headers are estimates or wrong.
Truncated files are refused: half a song with a whole score, or half a stem, is worse than none.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import soundfile as sf

from .audio_streams import (
    Slice,
    Truncated,
    asf_size,
    flac_streams,
    mapped,
    mpeg_streams,
    ogg_streams,
)
from .ffmpeg import FfmpegStream, ffmpeg

#: Suffixes of the formats that libsndfile decodes, lossless ones first.
SNDFILE_SUFFIXES = (
    *(".flac", ".wav", ".w64", ".rf64", ".aiff", ".aif", ".aifc", ".caf", ".au", ".snd"),
    *(".ogg", ".oga", ".opus", ".mp3", ".mp2"),
)
#: Suffixes of the formats that need ffmpeg.
FFMPEG_SUFFIXES = (
    *(".m4a", ".m4b", ".mp4", ".mov", ".3gp", ".aac", ".wma", ".asf", ".webm", ".mka", ".mkv"),
    *(".ac3", ".eac3", ".dts", ".ape", ".wv", ".tta", ".mpc", ".amr"),
)
AUDIO_SUFFIXES = (*SNDFILE_SUFFIXES, *FFMPEG_SUFFIXES)
#: Range of sample rates, in Hz. Others are errors, and would need gigabytes.
LOWEST_RATE, HIGHEST_RATE = 4000, 384_000
#: Number of samples that are read at a time.
BLOCK = 1 << 18

# File formats whose headers tell the number of bytes of samples, so that none need be counted.
_PLAIN = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU")
_PCM = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
# Sizes that programs write for "unknown" to pipes: 0, or about 2 ** 31 or 2 ** 32.
_UNKNOWN = ((-1, 0), (0x7FFF_0000, 0x8000_0000), (0xFFFF_0000, 0xFFFF_FFFF))
_SIZES = re.compile(r"^ *(data|SSND|BODY|riff|Data Size) *: (-?\d+) \(should be (\d+)\)", re.M)
_DS64 = re.compile(r"Calculated frame count (\d+) does not match .*'ds64' chunk of (\d+)")
# Where libsndfile stopped to look for chunks, and the most bytes there that are tolerated.
_LENGTH = re.compile(r"^Length : (\d+)", re.M)
_DATA = re.compile(r"^ *(?:data|SSND) : (\d+)", re.M)
_STOP = re.compile(
    r"Unknown chunk marker \(\w+\) at position (\d+)\. Exiting"
    r"|Unknown chunk marker at position (\d+)\. Resynching\.\n\*\*\* Chunk size"
)
_STRAY = 4096


def sndfile_path(path: str | os.PathLike[str]) -> str | bytes:
    """A path as soundfile takes it: on POSIX as bytes, since names need not be UTF-8.

    Args:
        path (str or Path): The path.

    Returns:
        str or bytes: The same path.
    """
    return os.fsencode(path) if os.name == "posix" else os.fspath(path)


class _Unfinished(Exception):
    """The header of a file announces fewer samples than it has."""


class _Forward(sf.SoundFile):
    """Reads all that decodes, where soundfile would stop at the length in the header."""

    def __init__(self, file: Any) -> None:
        super().__init__(sndfile_path(file) if isinstance(file, os.PathLike) else file)

    def seekable(self) -> bool:
        return False


#: Opens a stream, the number of samples in its header (0: unknown), (sample rate, channels).
_Stream: TypeAlias = tuple[Callable[[], Any], int, tuple[int, int]]


class AudioFile:
    """An audio file that can be decoded block by block, any number of times.

    Args:
        path (str or Path): A file in a format of libsndfile, or of ffmpeg if that is installed.

    Attributes:
        sample_rate (int): Sample rate, in Hz.
        n_channels (int): Number of channels.
        remarks (list of str): Irregularities that did not prevent the use of the file.

    Raises:
        ValueError: if the file cannot be read, is truncated, joins streams of different sample
            rates or numbers of channels, or has a sample rate outside 4000 to 384,000 Hz. The
            message names the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.remarks: list[str] = []
        self._n_samples: int | None = None
        with _named(self.path):
            if not self.path.exists():
                raise ValueError(f"{self.path}: no such file.")
            if not self.path.is_file():
                raise ValueError(f"{self.path} is not a file.")
            if not self.path.stat().st_size:
                raise ValueError(f"{self.path} is empty: it contains no samples.")
            self._streams = self._find_streams()
            shapes = list(dict.fromkeys(shape for *_, shape in self._streams))
        if len(shapes) > 1:
            raise ValueError(
                f"{self.path} joins streams of different (Hz, channels): "
                f"{', '.join(map(str, shapes))}. Convert them to separate files."
            )
        self.sample_rate, self.n_channels = shapes[0]
        if not LOWEST_RATE <= self.sample_rate <= HIGHEST_RATE:
            raise ValueError(
                f"{self.path} has a sample rate of {self.sample_rate} Hz, expected {LOWEST_RATE} "
                f"to {HIGHEST_RATE}: resample it, or correct its header."
            )

    def count(self) -> int:
        """Counts the samples; decodes the file if its header cannot be trusted.

        Returns:
            int: Number of samples per channel.
        """
        if self._n_samples is None:
            self._n_samples = sum(map(len, self.blocks()))
        return self._n_samples

    def blocks(self, size: int = BLOCK) -> Iterator[np.ndarray]:
        r"""Decodes the file from the beginning.

        Args:
            size (int): Number of samples of a block; the last of a stream may have fewer.

        Yields:
            :class:`numpy.ndarray`: float32, shape :math:`(time, channels)`.

        Raises:
            ValueError: if the file is truncated or damaged.
        """
        with _named(self.path):
            for open_stream, promised, _ in self._streams:
                done = 0
                with contextlib.closing(open_stream()) as stream:
                    try:
                        while len(block := stream.read(size, dtype="float32", always_2d=True)):
                            done += len(block)
                            yield block
                    except sf.LibsndfileError as error:
                        # Tags after the last frame are not damage.
                        if not promised or done != promised:
                            raise ValueError(
                                f"{self.path} is damaged: it decodes up to "
                                f"{done / self.sample_rate:.2f} s ({_reason(error)})."
                            ) from None
                if done < promised:
                    raise ValueError(
                        f"{self.path} is damaged: {done} samples can be read, its header says "
                        f"{promised}."
                    )

    def _find_streams(self) -> list[_Stream]:
        """Finds the streams that the file consists of; most files have one."""
        try:
            with _Forward(self.path) as stream:
                kind, subtype, log = stream.format, stream.subtype, stream.extra_info
                n_samples, shape = stream.frames, (stream.samplerate, stream.channels)
        except (sf.LibsndfileError, TypeError) as error:
            return self._streams_of_other_format(error)
        with self._truncated():
            if kind == "FLAC" and (flac := flac_streams(mapped(self.path))):
                return [_opened(partial(_open, stream), n) for stream, n in flac]
            if kind == "OGG" and len(ogg := ogg_streams(mapped(self.path))) > 1:
                return [_opened(partial(_open, stream)) for stream in ogg]
            if kind in ("MP3", "MPEG") and (mpeg := self._mpeg()):
                return mpeg
            _check_sizes(log)
        if kind in _PLAIN and subtype in _PCM:
            self._n_samples = n_samples
            if not n_samples and self.path.stat().st_size > 4096:
                raise ValueError(
                    f"{self.path} is empty according to its header, although the file has "
                    f"{self.path.stat().st_size} bytes: was the recording not finished?"
                )
        return [(lambda: _Forward(self.path), 0 if n_samples >= 1 << 62 else n_samples, shape)]

    @contextlib.contextmanager
    def _truncated(self) -> Iterator[None]:
        """Turns :class:`Truncated` into a message that says how to use what is left."""
        try:
            yield
        except _Unfinished as error:
            raise ValueError(
                f"{self.path} is damaged: {error}. Was the recording not finished? Correct its "
                "header, or export it again."
            ) from None
        except Truncated as error:
            raise ValueError(
                f"{self.path} is truncated: {error}. Copy it again, or convert what is left "
                f"(ffmpeg -i {self.path.name} -c:a flac rest.flac)."
            ) from None

    def _mpeg(self) -> list[_Stream]:
        streams, cut = mpeg_streams(mapped(self.path))
        if cut:
            self.remarks.append("its last MPEG frame is incomplete: it may have been longer")
        return [_opened(partial(_open, stream)) for stream in streams]

    def _streams_of_other_format(self, error: Exception) -> list[_Stream]:
        """Finds the streams of a file that libsndfile cannot read."""
        if self.path.suffix.lower() in (".mp3", ".mp2"):  # frames after a misleading tag?
            with contextlib.suppress(Truncated, sf.LibsndfileError):
                if streams := self._mpeg():
                    return streams
        command = ffmpeg()
        if command is None:
            if self.path.suffix.lower() not in FFMPEG_SUFFIXES:
                raise ValueError(
                    f"{self.path} cannot be read as audio: {_reason(error)}."
                ) from None
            raise ValueError(
                f"{self.path} cannot be read without ffmpeg, which is not installed: install it, "
                "or convert the file to FLAC or WAV."
            ) from None
        with self._truncated(), open(self.path, "rb") as file:
            _check_asf(file.read(1 << 16), self.path.stat().st_size)
        stream = FfmpegStream(command, self.path)
        stream.close()
        return [(lambda: FfmpegStream(command, self.path), 0, stream.shape)]


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turns errors of decoders into sentences that name the file."""
    try:
        yield
    except (sf.LibsndfileError, OSError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be read as audio: {_reason(error)}.") from None


def _reason(error: Exception) -> str:
    reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
    return " ".join(str(reason).split()).rstrip(".")


def _opened(opener: Callable[[], sf.SoundFile], promised: int = 0) -> _Stream:
    """Opens a stream once, for its sample rate and number of channels."""
    with opener() as stream:
        return opener, promised, (stream.samplerate, stream.channels)


def _open(stream: bytes | Slice) -> _Forward:
    """Opens a part of a file, from its beginning; several may be open at a time."""
    return _Forward(_piped(stream) if isinstance(stream, bytes) else stream.reopened())


def _check_sizes(log: str) -> None:
    """Compares sizes in the header with those of the file, as in the log of libsndfile."""
    for _, announced, found in _SIZES.findall(log):
        expected, there = int(announced), int(found)
        known = not any(low <= expected <= high for low, high in _UNKNOWN)
        # Some programs omit a byte of padding.
        if known and expected > there + 1:
            raise Truncated(f"its header announces {expected} bytes of samples, it has {there}")
    for found, announced in _DS64.findall(log):
        if int(announced) > int(found):
            raise Truncated(f"its header announces {announced} samples, it has {found}")
    _check_rest(log)


def _check_rest(log: str) -> None:
    """Refuses files with many bytes after the samples that belong to no chunk."""
    length, data, stop = _LENGTH.search(log), _DATA.search(log), _STOP.search(log)
    if not (length and data and stop) or not int(data[1]):  # 0 is reported as empty
        return
    announced, rest = int(data[1]), int(length[1]) - int(stop[1] or stop[2])
    # Without a byte of padding after an odd size, libsndfile does not find the next chunk.
    if rest > max(_STRAY, announced if announced % 2 else 0):
        raise _Unfinished(
            f"its header announces {announced} bytes of samples, but {rest} more bytes follow that "
            "belong to no chunk"
        )


def _check_asf(head: bytes, size: int) -> None:
    if (announced := asf_size(head)) > size:
        raise Truncated(f"its header announces {announced} bytes, it has {size}")


def _piped(data: bytes) -> int:
    """Opens a pipe with data and returns its descriptor; libsndfile reads pipes to the end."""
    reading, writing = os.pipe()

    def feed() -> None:
        with contextlib.suppress(OSError), os.fdopen(writing, "wb", buffering=0) as pipe:
            view = memoryview(data)
            while len(view):
                view = view[pipe.write(view[:65536]) :]

    threading.Thread(target=feed, daemon=True).start()
    return reading
