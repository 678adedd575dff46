"""Reads and writes files: atomically, verified, and with errors that name the file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from .audio import BLOCK, AudioFile, sndfile_path
from .downmix import LEAST_OPPOSED, downmix
from .partial_files import sweep_beside

#: Quality of resampling in soxr: passband to 95 % of Nyquist, 28 bits.
RESAMPLER = "VHQ"


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Provides a temporary path, which is renamed to `path` if the block raises no error.

    A killed run leaves the old file or none, never half of a new one. The temporary path has the
    same suffix, from which soundfile and others derive the format.

    Args:
        path (str or Path): The final path.

    Yields:
        Path: The temporary path, in the same folder.

    Raises:
        WriteError: if the file cannot be written.
    """
    path = Path(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_beside(path)
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


#: Errors for a full disk or an exceeded quota or limit.
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class WriteError(OSError):
    """A file could not be written; the message is a complete sentence."""


@contextlib.contextmanager
def explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns errors while a file is written into sentences that name the file.

    Args:
        path (str or Path): File that the block writes.

    Raises:
        WriteError: for an OSError or an error of libsndfile in the block, except for those whose
            message is such a sentence already (:class:`WriteError`, or without an ``errno``).
    """
    try:
        yield
    except sf.LibsndfileError as error:
        raise WriteError(_cannot_write(path, str(error).strip().rstrip("."))) from error
    except OSError as error:
        if error.errno is None:
            raise
        full = error.errno in _FULL
        raise WriteError(_cannot_write(path, os.strerror(error.errno).lower(), full)) from error


def _cannot_write(path: str | os.PathLike[str], why: str, full: bool = True) -> str:
    what = "Make room" if full else "Change that"
    return (
        f"{path} cannot be written: {why}. {what}, or choose another folder, and run it again: "
        "finished files are kept."
    )


def short_name(name: str, most_bytes: int = 180) -> str:
    """Shortens a name that is too long for a file; it then ends with a hash of the whole name.

    Most file systems allow 255 bytes.

    Args:
        name (str): The name.
        most_bytes (int): Largest length, in bytes of UTF-8.

    Returns:
        str: The name, or a shortened one.

    Examples
        >>> short_name("song"), short_name("x" * 300, 20)
        ('song', 'xxxxxxxxxxx-0d4e2ca9')
    """
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) <= most_bytes:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    return encoded[: most_bytes - 9].decode("utf-8", "ignore") + f"-{digest}"


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes an object as indented JSON, atomically.

    Args:
        path (str or Path): File to write.
        value (object): Anything that ``json.dumps`` accepts.

    Raises:
        OSError: if the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads a JSON file.

    Args:
        path (str or Path): The file.

    Returns:
        object: Its content.

    Raises:
        ValueError: if the file is not JSON.
    """
    try:
        # Skips a byte order mark, which some editors write.
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except RecursionError:
        raise ValueError(f"{path} is not a JSON file of ours: it is nested too deeply.") from None
    except ValueError as error:  # wrong syntax or encoding, or a number with too many digits
        raise ValueError(f"{path} is not a JSON file: {error}.") from None


def read_audio(
    path: str | os.PathLike[str],
    sample_rate: float | None = None,
    remarks: list[str] | None = None,
) -> tuple[np.ndarray, float]:
    r"""Reads an audio file as mono.

    Args:
        path (str or Path): A file in a format of libsndfile (WAV, FLAC, OGG, MP3…) or, if ffmpeg is
            installed, of ffmpeg (M4A, WMA…).
        sample_rate (float, optional): Sample rate to which to resample, in Hz. Default: the file's.
        remarks (list of str, optional): List to which irregularities of the file are appended.

    Returns:
        tuple: Samples, float32, shape :math:`(time,)`, and their rate, in Hz. The samples are the
        mean of the channels, after those in opposite phase are aligned, see
        :func:`~asteroid_scoresup.utils.downmix.downmix`.

    Raises:
        ValueError: if the file cannot be read, is truncated or empty, or has NaN or infinite
            samples.
    """
    file = AudioFile(path)
    blocks = list(file.blocks())
    if not blocks:
        raise ValueError(f"{path} contains no samples.")
    audio = np.concatenate(blocks)
    rate: float = file.sample_rate
    if not np.isfinite(audio).all():
        raise ValueError(f"{path} contains NaN or infinite samples.")
    if sample_rate is not None:
        audio, rate = resample_audio(_one_of_equals(audio), rate, sample_rate), sample_rate
    mono, opposed = downmix(audio)
    if remarks is not None:
        remarks += file.remarks
        if opposed >= LEAST_OPPOSED:
            remarks.append(
                f"{opposed:.0%} of the energy of the channels is in opposite phase: they were "
                "aligned before mixing"
            )
    return mono, rate


def _one_of_equals(audio: np.ndarray) -> np.ndarray:
    """The first channel if all are equal, to save the time of resampling the others."""
    same = all(np.array_equal(audio[:, 0], other) for other in audio.T[1:])
    return audio[:, :1] if same else audio


def resample_audio(audio: np.ndarray, rate: float, sample_rate: float) -> np.ndarray:
    r"""Resamples a signal without a delay.

    Args:
        audio (array): Shape :math:`(time,)` or :math:`(time, channels)`.
        rate (float): Its sample rate, in Hz.
        sample_rate (float): New sample rate, in Hz.

    Returns:
        :class:`numpy.ndarray`: float32, with `time * sample_rate / rate` samples, rounded up.

    Examples
        >>> resample_audio(np.zeros(441, dtype=np.float32), 44100, 16000).shape
        (160,)
    """
    if rate == sample_rate:
        return audio
    audio = np.ascontiguousarray(audio, dtype=np.float32)
    length = math.ceil(len(audio) * sample_rate / rate)
    import soxr  # here: importing the package loads what asteroid loads, and no more

    resampled = soxr.resample(audio, rate, sample_rate, quality=RESAMPLER)[:length]
    # The resampler rounds the length to the nearest integer.
    missing = [(0, length - len(resampled))] + [(0, 0)] * (audio.ndim - 1)
    return np.pad(resampled, missing)


def write_audio(
    path: str | os.PathLike[str],
    audio: np.ndarray,
    sample_rate: float,
    subtype: str = "FLOAT",
    container: str | None = None,
) -> None:
    r"""Writes an audio file atomically and verifies it.

    Args:
        path (str or Path): File to write.
        audio (array): Shape :math:`(time,)` or :math:`(time, channels)`.
        sample_rate (int): Sample rate, in Hz.
        subtype (str): Sample format, as soundfile calls it. Float by default, so that stems still
            add up to the mixture.
        container (str, optional): File format, as soundfile calls it. Default: that of the suffix.

    Raises:
        OSError: if the file cannot be written completely, for example on a full disk.
    """
    audio = np.asarray(audio)
    n_channels = audio.shape[1] if audio.ndim == 2 else 1
    with audio_writers([path], sample_rate, n_channels, subtype, container) as (write,):
        write(audio)


@contextlib.contextmanager
def audio_writers(
    paths: Sequence[str | os.PathLike[str]],
    sample_rate: float,
    n_channels: int,
    subtype: str = "FLOAT",
    container: str | None = None,
    **options: Any,
) -> Iterator[list[Callable[[np.ndarray], None]]]:
    r"""Opens audio files for writing in blocks; they get their names once all are verified.

    libsndfile encodes the last samples when it closes a file, and ignores errors while doing so: on
    a full disk a FLAC file is truncated silently. Therefore every file is flushed to the disk,
    decoded and its samples counted before it is renamed.

    Args:
        paths (sequence of str or Path): Files to write.
        sample_rate (int): Sample rate, in Hz.
        n_channels (int): Number of channels.
        subtype (str): See :func:`write_audio`.
        container (str, optional): See :func:`write_audio`.
        **options: Others of ``soundfile.SoundFile``, such as ``compression_level``.

    Yields:
        list of callable: One function per file, to call with the next samples, of shape
        :math:`(time,)` or :math:`(time, channels)`.

    Raises:
        OSError: if a file cannot be written completely.
    """
    with contextlib.ExitStack() as renames:
        writers: list[_Writer] = []
        try:
            with contextlib.ExitStack() as streams:
                for path in paths:
                    temporary = renames.enter_context(atomic_path(path))
                    shape, kind = (int(sample_rate), n_channels), {"format": container, **options}
                    writer = _Writer(path, temporary, *shape, subtype=subtype, **kind)
                    writers.append(streams.enter_context(contextlib.closing(writer)))
                yield [*writers]
        except sf.LibsndfileError as error:
            failed = [str(writer.path) for writer in writers if writer.failed]
            where = ", ".join(failed or map(str, paths))
            raise OSError(f"{where} cannot be written: {_reason(error)}") from None
        for writer in writers:
            _verify(writer.temporary, writer.path, writer.n_samples)


class _Writer:
    """Writes blocks to one file and counts them."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        temporary: Path,
        sample_rate: int,
        n_channels: int,
        **kwargs: Any,
    ) -> None:
        self.path, self.temporary, self.n_samples, self.failed = path, temporary, 0, True
        self._stream = sf.SoundFile(sndfile_path(temporary), "w", sample_rate, n_channels, **kwargs)
        self.failed = False

    def __call__(self, block: np.ndarray) -> None:
        self.failed = True
        try:
            self._stream.write(block)
        except AssertionError:  # of soundfile, if not all samples were written
            raise OSError(f"{self.path} cannot be written: is the disk full?") from None
        self.n_samples += len(block)
        self.failed = False

    def close(self) -> None:
        self.failed = True
        self._stream.close()
        self.failed = False


def _verify(temporary: Path, path: str | os.PathLike[str], n_samples: int) -> None:
    """Decodes a file and counts its samples."""
    with open(temporary, "rb") as written:
        os.fsync(written.fileno())  # only now do some file systems report that they are full
    try:
        with sf.SoundFile(sndfile_path(temporary)) as stream:
            announced, found = stream.frames, 0
            while n_read := len(stream.read(BLOCK, dtype="float32")):
                found += n_read
    except (sf.LibsndfileError, RuntimeError) as error:
        raise OSError(f"{path} was not written completely: {_reason(error)}") from None
    if not found == announced == n_samples:
        raise OSError(
            f"{path} was not written completely: {found} of {n_samples} samples can be decoded."
        )


def _reason(error: Exception) -> str:
    # libsndfile reports all errors of the system alike, among them that of a full disk.
    return f"{str(getattr(error, 'error_string', error)).rstrip('.')}; is the disk full?"
