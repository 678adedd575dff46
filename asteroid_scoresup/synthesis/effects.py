"""Effects of a studio: chorus, compression, reverberation, saturation, a limiter, MP3.

Pure functions of signals; :mod:`.production` draws their settings. None of them moves an onset:
direct sound stays where it is, so that the score still fits. The designs are those of textbooks
(U. Zölzer, *DAFX: Digital Audio Effects*, 2nd edition, chapters 2, 4 and 5); time constants and
ranges are our choice.
"""

from __future__ import annotations

import io
import math

import numpy as np
import soundfile
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from scipy.signal import fftconvolve, lfilter

#: Sample rates of MP3 files, in Hz.
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

_BLOCK = 0.005  # seconds in which the level of a compressor is measured
_LOOKAHEAD = 0.005  # seconds in which a limiter lowers its gain before a peak
_EPSILON = 1e-12


def impulse_response(
    seconds: float, damping_hz: float, pre_delay: float, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    r"""A synthetic room: exponentially decaying noise, darker as it decays.

    Args:
        seconds (float): Reverberation time (decay by 60 dB) of low frequencies, in seconds.
        damping_hz (float): Cut-off frequency of the low-pass filter, in Hz, into which the noise
            turns; high frequencies decay twice as fast.
        pre_delay (float): Time between direct sound and reverberation, in seconds.
        sample_rate (int): Sample rate, in Hz.
        rng (numpy.random.Generator): Random generator of the noise.

    Returns:
        :class:`numpy.ndarray`: float64, shape :math:`(time,)`, of unit energy, without direct
        sound.

    Examples
        >>> room = impulse_response(0.4, 3000, 0.01, 8000, np.random.default_rng(0))
        >>> len(room), float(np.sum(room**2).round(6)), float(np.abs(room[:80]).max())
        (3280, 1.0, 0.0)
    """
    length, start = round(seconds * sample_rate), round(pre_delay * sample_rate)
    time = np.arange(length) / sample_rate
    noise = rng.standard_normal(length)
    pole = math.exp(-2 * math.pi * min(damping_hz, 0.45 * sample_rate) / sample_rate)
    dark = lfilter([1 - pole], [1, -pole], noise)
    decay = 10 ** (-3 * time / seconds)
    tail = dark * decay + (noise - dark) * decay**2
    response = np.concatenate([np.zeros(start), tail])
    return response / np.sqrt(np.sum(response**2))


def reverberate(signal: np.ndarray, response: np.ndarray, level: float) -> np.ndarray:
    r"""Adds the reverberation of a room to a signal.

    Args:
        signal (array): Shape :math:`(time,)`.
        response (array): See :func:`impulse_response`.
        level (float): Gain of the reverberation; since the response has unit energy, noise and its
            reverberation have that ratio of amplitudes.

    Returns:
        :class:`numpy.ndarray`: As `signal`; the reverberation is cut at the end.
    """
    wet = fftconvolve(signal, response)[: len(signal)]
    return np.asarray(signal + level * wet, dtype=signal.dtype)


def chorus(
    signal: np.ndarray, depth: float, rate: float, phase: float, level: float, sample_rate: int
) -> np.ndarray:
    r"""Adds a copy whose delay, and so whose pitch, oscillates.

    Args:
        signal (array): Shape :math:`(time,)`.
        depth (float): Amplitude of the delay, in seconds; its mean is 12 ms.
        rate (float): Frequency of the oscillation, in Hz.
        phase (float): Its phase, in radians.
        level (float): Gain of the copy.
        sample_rate (int): Sample rate, in Hz.

    Returns:
        :class:`numpy.ndarray`: As `signal`.
    """
    index = np.arange(len(signal))
    delay = 0.012 + depth * np.sin(2 * np.pi * rate * index / sample_rate + phase)
    copy = np.interp(index - delay * sample_rate, index, signal, left=0.0)
    return np.asarray(signal + level * copy, dtype=signal.dtype)


def compressor_gain(
    signal: np.ndarray,
    threshold_db: float,
    ratio: float,
    attack: float,
    release: float,
    sample_rate: int,
) -> np.ndarray:
    r"""Gain of a compressor: above a threshold, levels rise more slowly.

    The level is the RMS of blocks of 5 ms, relative to that of the whole signal.

    Args:
        signal (array): Shape :math:`(time,)`.
        threshold_db (float): Threshold, in dB relative to the level of the signal.
        ratio (float): By how much excess levels are divided.
        attack (float): Time constant with which the gain falls, in seconds.
        release (float): Time constant with which it returns, in seconds.
        sample_rate (int): Sample rate, in Hz.

    Returns:
        :class:`numpy.ndarray`: float64, shape :math:`(time,)`, at most 1.

    Examples
        >>> steady = np.ones(8000)
        >>> gain = compressor_gain(steady, -6.0, 2.0, 0.001, 0.1, 8000)
        >>> round(float(20 * np.log10(gain[-1])), 2)
        -3.0
    """
    block = max(round(_BLOCK * sample_rate), 1)
    count = -(-len(signal) // block)
    padded = np.zeros(count * block)
    padded[: len(signal)] = signal
    levels = np.mean(padded.reshape(count, block) ** 2, axis=1)
    reference = np.mean(np.square(signal, dtype=np.float64)) + _EPSILON
    excess = 10 * np.log10(levels / reference + _EPSILON) - threshold_db
    wanted = -np.maximum(excess, 0) * (1 - 1 / ratio)
    falls, returns = (math.exp(-_BLOCK / max(time, 1e-6)) for time in (attack, release))
    gains, now = np.empty(count), 0.0
    for index, target in enumerate(wanted.tolist()):
        keep = falls if target < now else returns
        now = keep * now + (1 - keep) * target
        gains[index] = now
    places = (np.arange(count) + 0.5) * block
    return np.asarray(10 ** (np.interp(np.arange(len(signal)), places, gains) / 20))


def saturation_gain(signal: np.ndarray, drive: float) -> np.ndarray:
    r"""Gain that a soft saturation, :math:`\tanh(d x) / d`, has at each sample.

    As a gain, it can be given to each part of a sum, whose sum is then the saturated sum.

    Args:
        signal (array): Shape :math:`(time,)`.
        drive (float): :math:`d > 0`, for a signal with a peak of 1.

    Returns:
        :class:`numpy.ndarray`: float64, shape :math:`(time,)`, in (0, 1].

    Examples
        >>> wave = np.array([0.0, 0.5, -1.0])
        >>> np.allclose(wave * saturation_gain(wave, 2.0), np.tanh(2 * wave) / 2)
        True
    """
    driven = np.abs(np.asarray(signal, dtype=np.float64)) * drive
    small = driven < 1e-4
    return np.where(small, 1.0, np.tanh(driven) / np.where(small, 1.0, driven))


def limiter_gain(signal: np.ndarray, ceiling: float, sample_rate: int) -> np.ndarray:
    r"""Gain of a limiter that looks ahead: no sample exceeds the ceiling, and none is clipped.

    Args:
        signal (array): Shape :math:`(time,)`.
        ceiling (float): Largest magnitude of the result.
        sample_rate (int): Sample rate, in Hz.

    Returns:
        :class:`numpy.ndarray`: float64, shape :math:`(time,)`, at most 1, without jumps.

    Examples
        >>> wave = np.sin(np.arange(8000)) * np.linspace(0, 2, 8000)
        >>> bool(np.abs(wave * limiter_gain(wave, 0.5, 8000)).max() <= 0.5 + 1e-9)
        True
    """
    magnitude = np.abs(np.asarray(signal, dtype=np.float64))
    needed = np.minimum(1.0, ceiling / np.maximum(magnitude, _EPSILON))
    width = 2 * round(_LOOKAHEAD * sample_rate) + 1
    # The mean of the smallest gains around is at most the gain that a sample needs.
    return np.asarray(uniform_filter1d(minimum_filter1d(needed, width), width))


def mp3_round_trip(signal: np.ndarray, sample_rate: int, compression: float) -> np.ndarray:
    r"""Encodes and decodes a signal as MP3; the delay of the codec is removed.

    Args:
        signal (array): Shape :math:`(time,)`, at most 1 in magnitude.
        sample_rate (int): Sample rate, one of :data:`MP3_RATES`, in Hz.
        compression (float): From 0 for the highest constant bit rate to 1 for the lowest. Above
            about 0.6 files have no room for the length of the delay.

    Returns:
        :class:`numpy.ndarray`: float32, shape :math:`(time,)`, aligned with `signal` to the sample.

    Raises:
        ValueError: if there are no MP3 files of that sample rate, or the delay is unknown.
    """
    if sample_rate not in MP3_RATES:
        rates = ", ".join(map(str, MP3_RATES))
        raise ValueError(f"MP3 files have no sample rate of {sample_rate} Hz: use one of {rates}.")
    file = io.BytesIO()
    audio = np.asarray(signal, dtype=np.float32)
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
    soundfile.write(file, audio, sample_rate, compression_level=compression, **options)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    if len(decoded) != len(audio):
        raise ValueError(
            f"an MP3 file with compression {compression:g} at {sample_rate} Hz does not record the "
            "delay of its encoder: use less compression, at most 0.6."
        )
    return np.asarray(decoded, dtype=np.float32)
