"""Reading and writing files so that nothing is lost and errors name the file."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from torchaudio.functional import resample


@contextlib.contextmanager
def atomic_path(path):
    """A temporary name beside `path` that becomes `path` when the block ends without an error.

    A run that is killed leaves the old file, or none, never half of a new one. The temporary name
    keeps the suffix, from which soundfile and others tell the format.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
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
