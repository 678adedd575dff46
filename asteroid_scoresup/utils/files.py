"""Reading and writing files so that nothing is lost and errors name the file."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

from ..dsp.downmix import LEAST_OPPOSED, downmix
from .audio import BLOCK, AudioFile
from .partial_files import sweep_beside

#: soxr's name of the resampler's quality: passband to 95 % of Nyquist, 28 bits.
RESAMPLER = "VHQ"


@contextlib.contextmanager
def atomic_path(path):
    """A temporary name beside `path` that becomes `path` when the block ends without an error.

    A run that is killed leaves the old file, or none, never half of a new one. The temporary name
    keeps the suffix, from which soundfile and others tell the format.
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


#: Errors of a disk, a quota or a limit that is full.
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class WriteError(OSError):
    """A file could not be written; the message is a whole sentence."""


@contextlib.contextmanager
def explained(path):
    """Turns what the operating system or libsndfile say while `path` is written into a sentence.

    Raises:
        WriteError: for an OSError or an error of libsndfile in the block, except those that say
            what happened already (:class:`WriteError`, or without an ``errno``).
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


def _cannot_write(path, why, full=True):
    what = "Make room" if full else "Change that"
    return (
        f"{path} cannot be written: {why}. {what}, or choose another folder, and run it again: "
        "what is finished is kept."
    )


def short_name(name, most_bytes=180):
    """A name that file systems take: names that are too long end with a digest of the whole.

    Most file systems hold names of 255 bytes.

    Examples
        >>> short_name("song"), short_name("x" * 300, 20)
        ('song', 'xxxxxxxxxxx-0d4e2ca9')
    """
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) <= most_bytes:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    return encoded[: most_bytes - 9].decode("utf-8", "ignore") + f"-{digest}"


def write_json(path, value):
    """Writes `value` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path):
    """Reads a JSON file.

    Raises:
        ValueError: if the file is not JSON.
    """
    try:
        # A byte order mark, which some editors write, is skipped.
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except RecursionError:
        raise ValueError(f"{path} is not a JSON file of ours: it is nested too deeply.") from None
    except ValueError as error:  # of the syntax, the encoding, or a number of too many digits
        raise ValueError(f"{path} is not a JSON file: {error}.") from None


def read_audio(path, sample_rate=None, remarks=None):
    r"""Reads an audio file as mono.

    Args:
        path (str or Path): Anything libsndfile reads (WAV, FLAC, OGG, MP3…) and, where ffmpeg is
            installed, what it reads (M4A, WMA…).
        sample_rate (float, optional): Rate to resample to, in Hz.
        remarks (list of str, optional): Receives what is odd about the file.

    Returns:
        tuple: float32 array of shape :math:`(time,)`, the mean of the channels (aligned where they
        are in opposite phase, see :func:`~asteroid_scoresup.dsp.downmix.downmix`), and its rate
        in Hz.

    Raises:
        ValueError: if the file cannot be read, breaks off, is empty, or holds NaN or infinite
            samples.
    """
    file = AudioFile(path)
    blocks = list(file.blocks())
    if not blocks:
        raise ValueError(f"{path} holds no samples.")
    audio, rate = np.concatenate(blocks), file.sample_rate
    if not np.isfinite(audio).all():
        raise ValueError(f"{path} holds NaN or infinite samples.")
    if sample_rate is not None:
        audio, rate = resample_audio(_one_of_equals(audio), rate, sample_rate), sample_rate
    mono, opposed = downmix(audio)
    if remarks is not None:
        remarks += file.remarks
        if opposed >= LEAST_OPPOSED:
            remarks.append(
                f"{opposed:.0%} of the energy of the channels is in opposite phase: they were "
                "brought into phase to be mixed"
            )
    return mono, rate


def _one_of_equals(audio):
    """One channel where all are the same: resampling two would cost twice."""
    same = all(np.array_equal(audio[:, 0], other) for other in audio.T[1:])
    return audio[:, :1] if same else audio


def resample_audio(audio, rate, sample_rate):
    r"""Resamples a signal from `rate` to `sample_rate`, both in Hz, without a lag.

    Args:
        audio (array): Shape :math:`(time,)` or :math:`(time, channels)`.
        rate, sample_rate (float): Rates in Hz; any two, common divisor or not.

    Returns:
        array: float32, of `time * sample_rate / rate` samples, rounded up.

    Examples
        >>> resample_audio(np.zeros(441, dtype=np.float32), 44100, 16000).shape
        (160,)
    """
    if rate == sample_rate:
        return audio
    audio = np.ascontiguousarray(audio, dtype=np.float32)
    length = math.ceil(len(audio) * sample_rate / rate)
    resampled = soxr.resample(audio, rate, sample_rate, quality=RESAMPLER)[:length]
    # The resampler rounds to the nearest sample.
    missing = [(0, length - len(resampled))] + [(0, 0)] * (audio.ndim - 1)
    return np.pad(resampled, missing)


def write_audio(path, audio, sample_rate, subtype="FLOAT", container=None):
    """Writes an audio file, verified and atomically.

    Args:
        path (str or Path): File to write.
        audio (array): Shape :math:`(time,)` or :math:`(time, channels)`.
        sample_rate (int): Rate, in Hz.
        subtype (str): soundfile's name of the sample format; float by default, so that the sum of
            the sources stays the mixture.
        container (str, optional): soundfile's name of the container; by default, the suffix tells.

    Raises:
        OSError: if the file cannot be written whole, for example on a full disk.
    """
    audio = np.asarray(audio)
    n_channels = audio.shape[1] if audio.ndim == 2 else 1
    with audio_writers([path], sample_rate, n_channels, subtype, container) as (write,):
        write(audio)


@contextlib.contextmanager
def audio_writers(paths, sample_rate, n_channels, subtype="FLOAT", container=None):
    """Opens audio files for writing in blocks; they get their names when all are known to be whole.

    libsndfile encodes the last blocks when it closes a file, and drops the errors it meets there:
    a FLAC file on a full disk ends early without a word. So what was written is flushed to the
    disk, decoded again and counted before the files are renamed.

    Args:
        paths (sequence of str or Path): Files to write.
        sample_rate (int): Rate, in Hz.
        n_channels (int): Number of channels.
        subtype, container (str): See :func:`write_audio`.

    Yields:
        list of callable: one per file; takes the next samples, of shape :math:`(time,)` or
        :math:`(time, channels)`.

    Raises:
        OSError: if a file cannot be written whole.
    """
    with contextlib.ExitStack() as renames:
        writers = []
        try:
            with contextlib.ExitStack() as streams:
                for path in paths:
                    temporary = renames.enter_context(atomic_path(path))
                    shape = (int(sample_rate), n_channels)
                    writer = _Writer(path, temporary, *shape, format=container, subtype=subtype)
                    writers.append(streams.enter_context(contextlib.closing(writer)))
                yield writers
        except sf.LibsndfileError as error:
            failed = [str(writer.path) for writer in writers if writer.failed]
            where = ", ".join(failed or map(str, paths))
            raise OSError(f"{where} cannot be written: {_reason(error)}") from None
        for writer in writers:
            _verify(writer.temporary, writer.path, writer.n_samples)


class _Writer:
    """Writes blocks to one file and counts them."""

    def __init__(self, path, temporary, sample_rate, n_channels, **kwargs):
        self.path, self.temporary, self.n_samples, self.failed = path, temporary, 0, True
        self._stream = sf.SoundFile(temporary, "w", sample_rate, n_channels, **kwargs)
        self.failed = False

    def __call__(self, block):
        self.failed = True
        try:
            self._stream.write(block)
        except AssertionError:  # soundfile's answer to fewer samples written than were given
            raise OSError(f"{self.path} cannot be written: is the disk full?") from None
        self.n_samples += len(block)
        self.failed = False

    def close(self):
        self.failed = True
        self._stream.close()
        self.failed = False


def _verify(temporary, path, n_samples):
    """Decodes a written file and counts its samples."""
    with open(temporary, "rb") as written:
        os.fsync(written.fileno())  # some file systems only now find that they are full
    try:
        with sf.SoundFile(temporary) as stream:
            announced, found = stream.frames, 0
            while n_read := len(stream.read(BLOCK, dtype="float32")):
                found += n_read
    except (sf.LibsndfileError, RuntimeError) as error:
        raise OSError(f"{path} was not written whole: {_reason(error)}") from None
    if not found == announced == n_samples:
        raise OSError(
            f"{path} was not written whole: {found} of {n_samples} samples can be read again."
        )


def _reason(error):
    # libsndfile's words for whatever the system says, for example on a full disk.
    return f"{str(getattr(error, 'error_string', error)).rstrip('.')}; is the disk full?"
