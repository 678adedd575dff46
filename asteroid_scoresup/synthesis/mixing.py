"""Mixes stems at the levels of Slakh.

Every stem is normalized to -13 LUFS (ITU-R BS.1770), then the whole song gets one gain that puts
its peak at -1 dBFS. In between, each stem gets a random gain, so that the balance varies from song
to song; Slakh has no such gain, but its loudnesses vary as much.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torchaudio.functional import loudness

#: Loudness of a stem before its random gain, in LUFS.
STEM_LOUDNESS = -13.0
#: Peak of a song, in dBFS.
PEAK = -1.0


def measure_loudness(audio: np.ndarray, sample_rate: int) -> float:
    r"""Integrated loudness of a mono signal.

    Args:
        audio (array): Shape :math:`(time,)`.
        sample_rate (int): Sample rate, in Hz.

    Returns:
        float: Loudness, in LUFS (ITU-R BS.1770). If the signal is shorter than a block of that
        measure (400 ms) or below its gate (-70 LUFS), the level in dB instead; ``-inf`` for
        silence.

    Examples
        >>> time = np.arange(44100) / 44100
        >>> round(measure_loudness(np.sin(2 * np.pi * 997 * time), 44100))
        -3
    """
    energy = float(np.mean(np.square(audio, dtype=np.float64))) if len(audio) else 0.0
    if energy == 0.0:
        return -math.inf
    if len(audio) >= 0.4 * sample_rate + 1:
        waveform = torch.from_numpy(np.asarray(audio, dtype=np.float32))[None]
        value = float(loudness(waveform, sample_rate))
        if math.isfinite(value):
            return value
    return 10 * math.log10(energy)


def mix_stems(
    stems: list[np.ndarray], sample_rate: int, level_spread: float, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    r"""Brings stems to the levels of a song, as Slakh does, and sums them.

    Args:
        stems (list of array): Signals of shape :math:`(time,)`, changed in place.
        sample_rate (int): Sample rate, in Hz.
        level_spread (float): Standard deviation of the random gain of a stem, in dB. Gains are
            clipped at 2.5 standard deviations.
        rng (numpy.random.Generator): Random generator.

    Returns:
        tuple: Mixture, float32, shape :math:`(time,)`, and the last gain, common to all stems.
    """
    level_stems(stems, sample_rate, level_spread, rng)
    mixture = np.asarray(np.sum(stems, axis=0, dtype=np.float64))
    return normalize_peak(mixture, stems)


def level_stems(
    stems: list[np.ndarray], sample_rate: int, level_spread: float, rng: np.random.Generator
) -> None:
    r"""Brings stems to the loudness of Slakh's, with a random gain each.

    Args:
        stems (list of array): Signals of shape :math:`(time,)`, changed in place.
        sample_rate (int): Sample rate, in Hz.
        level_spread (float): Standard deviation of the random gains, see :func:`mix_stems`.
        rng (numpy.random.Generator): Random generator.
    """
    for stem in stems:
        gain = float(np.clip(rng.normal(), -2.5, 2.5)) * level_spread
        level = measure_loudness(stem, sample_rate)
        if math.isfinite(level):
            stem *= 10 ** ((STEM_LOUDNESS - level + gain) / 20)


def normalize_peak(mixture: np.ndarray, stems: list[np.ndarray]) -> tuple[np.ndarray, float]:
    r"""Scales a mixture and its stems so that the highest peak of all is at :data:`PEAK`.

    Args:
        mixture (array): Shape :math:`(time,)`.
        stems (list of array): The same shape, changed in place.

    Returns:
        tuple: Mixture, float32, and the gain.
    """
    # Where instruments cancel each other, a stem can have a higher peak than the mixture.
    peak = max(float(np.abs(signal).max()) for signal in (mixture, *stems))
    overall_gain = 10 ** (PEAK / 20) / peak if peak > 0 else 1.0
    for stem in stems:
        stem *= overall_gain
    return (mixture * overall_gain).astype(np.float32), overall_gain
