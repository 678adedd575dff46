"""The level of a recording, which training and separation scale to a nominal value."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

#: Length of the gated blocks, in seconds.
BLOCK_SECONDS = 0.4
#: Level relative to the loudest block below which a block is silence, in dB.
GATE_DB = -45.0
#: Samples up to this amplitude are silence: the lowest bits of 16-bit audio.
SILENCE = 1.5 / 32768


class LevelMeter:
    r"""RMS of a recording without its silent parts, in one pass.

    As in ITU-R BS.1770, blocks of 0.4 s below a gate are ignored, so that minutes of silence before
    a song do not change its level. The gate is 45 dB below the loudest block (our choice), far
    below music: the level of a song without long silences is its plain RMS. Energies of channels
    are averaged, since channels in opposite phase would cancel.

    Args:
        sample_rate (float): Sample rate, in Hz.

    Examples
        >>> meter = LevelMeter(8000)
        >>> meter.add(np.zeros(80000))
        >>> meter.add(np.full(8000, 0.5))
        >>> meter.level
        0.5
    """

    def __init__(self, sample_rate: float):
        self._size = max(round(BLOCK_SECONDS * sample_rate), 1)
        self._energies: list[float] = []
        self._energy, self._count = 0.0, 0

    def add(self, samples: np.ndarray) -> None:
        r"""Adds the next samples, shape :math:`(time)` or :math:`(time, channels)`."""
        power = np.square(samples, dtype=np.float64)
        if power.ndim == 2:
            power = power.mean(1)
        while len(power):
            part, power = np.split(power, [self._size - self._count])
            self._energy += float(part.sum())
            self._count += len(part)
            if self._count == self._size:
                self._energies.append(self._energy)
                self._energy, self._count = 0.0, 0

    @property
    def sounding(self) -> np.ndarray:
        """Whether each block of 0.4 s is above the gate, bool, shape (n,); the last is partial."""
        power = np.array([*self._energies, self._energy]) / self._size
        return np.asarray((power > 0) & (power >= power.max() * 10 ** (GATE_DB / 10)))

    @property
    def level(self) -> float:
        """RMS of the samples added so far, 0 for silence."""
        energies = np.array([*self._energies, self._energy])
        counts = np.array([*[self._size] * len(self._energies), self._count])
        energies, counts = energies[counts > 0], counts[counts > 0]
        if not energies.any():
            return 0.0
        power = energies / counts
        # A few remaining samples are not a block: a peak among them must not set the gate.
        whole = power[counts == self._size]
        gate = (whole if whole.any() else power).max() * 10 ** (GATE_DB / 10)
        kept = power >= gate
        return math.sqrt(energies[kept].sum() / counts[kept].sum())


def gated_rms(signal: ArrayLike, sample_rate: float) -> float:
    r"""RMS of a signal without its silent parts; see :class:`LevelMeter`.

    Args:
        signal (array): Shape :math:`(time)` or :math:`(time, channels)`.
        sample_rate (float): Sample rate, in Hz.

    Examples
        >>> gated_rms(np.repeat([0.0, 0.25], 9600), 8000)
        0.25
    """
    meter = LevelMeter(sample_rate)
    meter.add(np.asarray(signal))
    return meter.level
