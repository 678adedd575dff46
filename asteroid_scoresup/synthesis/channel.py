"""Random recording channels for training stems: amplifiers, pedals, microphones, mixing consoles.

A SoundFont has one recording of each instrument; a network that is trained on it alone learns that
recording. Every training stem therefore passes a random channel; test stems do not.
"""

from __future__ import annotations

import numpy as np
import torch

from ..dsp import equalize


def random_channel(
    stem: np.ndarray, sample_rate: int, spread_db: float, rng: np.random.Generator
) -> np.ndarray:
    r"""Sends a stem through a random channel: drive, tremolo, equalizer (our choice).

    Args:
        stem (array): Signal, shape :math:`(time,)`.
        sample_rate (int): Sample rate, in Hz.
        spread_db (float): Standard deviation of the equalizer's bands, in dB; with 0 the stem is
            returned unchanged.
        rng (numpy.random.Generator): Random generator.

    Returns:
        :class:`numpy.ndarray`: float32, shape :math:`(time,)`, aligned with `stem` to the sample.

    Examples
        >>> stem = np.sin(np.arange(8000) / 20).astype(np.float32)
        >>> np.array_equal(random_channel(stem, 8000, 0.0, np.random.default_rng(0)), stem)
        True
    """
    peak = float(np.abs(stem).max(initial=0))
    if not spread_db or not peak:
        return np.asarray(stem, dtype=np.float32)
    wave = stem / peak
    if rng.random() < 0.35:  # an amplifier with soft saturation
        drive = rng.uniform(1, 5)
        wave = np.tanh(drive * wave) / np.tanh(drive)
    if rng.random() < 0.15:
        time = np.arange(len(wave)) / sample_rate
        depth, rate, phase = rng.uniform(0.1, 0.5), rng.uniform(3, 8), rng.uniform(0, 2 * np.pi)
        wave = wave * (1 - depth * (0.5 + 0.5 * np.sin(2 * np.pi * rate * time + phase)))
    signal = torch.from_numpy(np.asarray(wave, dtype=np.float32))
    return equalize(signal, sample_rate, spread_db, rng, n_bands=10).numpy() * np.float32(peak)
