"""Reading and writing files so that nothing is lost and errors name the file."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from torchaudio.functional import resample

from .leftovers import sweep_beside


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


def read_audio(path, sample_rate=None):
    r"""Reads an audio file as mono.

    Args:
        path (str or Path): Anything soundfile reads (WAV, FLAC, OGG, MP3…).
        sample_rate (float, optional): Rate to resample to, in Hz.

    Returns:
        tuple: float32 array of shape :math:`(time,)` (channels are averaged), and its rate in Hz.

    Raises:
        ValueError: if the file cannot be read, is empty, or holds NaN or infinite samples.
    """
    try:
        audio, rate = sf.read(path, dtype="float32", always_2d=True)
    except (sf.LibsndfileError, OSError) as error:
        raise ValueError(f"{path} cannot be read as audio: {error}") from None
    if not len(audio):
        raise ValueError(f"{path} holds no samples.")
    if not np.isfinite(audio).all():
        raise ValueError(f"{path} holds NaN or infinite samples.")
    mono = audio.mean(axis=1)
    if sample_rate is not None:
        mono, rate = resample_audio(mono, rate, sample_rate), sample_rate
    return mono, rate


def resample_audio(audio, rate, sample_rate):
    r"""Resamples a signal of shape :math:`(time,)` from `rate` to `sample_rate`, both in Hz.

    Examples
        >>> resample_audio(np.zeros(441, dtype=np.float32), 44100, 16000).shape
        (160,)
    """
    if rate == sample_rate:
        return audio
    signal = torch.from_numpy(np.ascontiguousarray(audio))
    return resample(signal, int(rate), int(sample_rate), lowpass_filter_width=32).numpy()


def write_audio(path, audio, sample_rate, subtype="FLOAT"):
    """Writes a WAV file, atomically.

    Args:
        path (str or Path): File to write.
        audio (array): Shape :math:`(time,)` or :math:`(time, channels)`.
        sample_rate (int): Rate, in Hz.
        subtype (str): soundfile's name of the sample format; float by default, so that the sum of
            the sources stays the mixture.
    """
    with atomic_path(path) as temporary:
        sf.write(temporary, audio, int(sample_rate), subtype=subtype)
