"""The same instrument never sounds the same twice: amplifiers, pedals, microphones, mixing desks.

A SoundFont has one recording of each instrument; a network that learns from it alone learns the
recording. Training stems are therefore coloured, each song's in its own way, test stems never.
"""

from __future__ import annotations

import numpy as np
import torch

from .dataset import equalize


def colour(stem, sample_rate, spread_db, rng):
    r"""Sends a stem through a random channel: drive, tremolo, equaliser (our choice).

    Args:
        stem (array): Shape :math:`(time,)`.
        sample_rate (int): Its rate, in Hz.
        spread_db (float): Standard deviation of the equaliser's bands, in dB; 0 changes nothing.
        rng (numpy.random.Generator): Source of the channel.

    Returns:
        array: float32, shape :math:`(time,)`, aligned with `stem` to the sample.

    Examples
        >>> stem = np.sin(np.arange(8000) / 20).astype(np.float32)
        >>> np.array_equal(colour(stem, 8000, 0.0, np.random.default_rng(0)), stem)
        True
    """
    peak = float(np.abs(stem).max(initial=0))
    if not spread_db or not peak:
        return np.asarray(stem, dtype=np.float32)
    wave = stem / peak
    if rng.random() < 0.35:  # an amplifier that saturates softly
        drive = rng.uniform(1, 5)
        wave = np.tanh(drive * wave) / np.tanh(drive)
    if rng.random() < 0.15:
        time = np.arange(len(wave)) / sample_rate
        depth, rate, phase = rng.uniform(0.1, 0.5), rng.uniform(3, 8), rng.uniform(0, 2 * np.pi)
        wave = wave * (1 - depth * (0.5 + 0.5 * np.sin(2 * np.pi * rate * time + phase)))
    signal = torch.from_numpy(np.asarray(wave, dtype=np.float32))
    return equalize(signal, sample_rate, spread_db, rng, n_bands=10).numpy() * np.float32(peak)
