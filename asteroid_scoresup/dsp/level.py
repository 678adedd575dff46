"""How loud a recording is: the level that training and separation bring to one nominal value."""

from __future__ import annotations

import math

import numpy as np

#: Length of the blocks that are held against the gate, in seconds.
BLOCK_SECONDS = 0.4
#: Blocks so far below the loudest are silence between the music, in dB.
GATE_DB = -45.0


class LevelMeter:
    r"""RMS of a recording without its silences, in one pass.

    As in ITU-R BS.1770, blocks of 0.4 s below a gate do not count, so that minutes of silence
    before a song leave its level as it is. The gate is relative to the loudest block and lies far
    below music (45 dB; our choice): a song without long silences has its plain RMS. Channels
    count by their energy: in opposite phase they would cancel each other in a mean.

    Args:
        sample_rate (float): Rate, in Hz.

    Examples
        >>> meter = LevelMeter(8000)
        >>> meter.add(np.zeros(80000))
        >>> meter.add(np.full(8000, 0.5))
        >>> meter.level
        0.5
    """

    def __init__(self, sample_rate):
        self._size = max(round(BLOCK_SECONDS * sample_rate), 1)
        self._energies, self._energy, self._count = [], 0.0, 0

    def add(self, samples):
        r"""Takes the next samples, shape :math:`(time)` or :math:`(time, channels)`."""
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
    def level(self):
        """float: RMS of what was added, 0 for silence."""
        energies = np.array([*self._energies, self._energy])
        counts = np.array([*[self._size] * len(self._energies), self._count])
        energies, counts = energies[counts > 0], counts[counts > 0]
        if not energies.any():
            return 0.0
        power = energies / counts
        # A rest of a few samples is no block: its chance peak must not set the gate.
        whole = power[counts == self._size]
        gate = (whole if whole.any() else power).max() * 10 ** (GATE_DB / 10)
        heard = power >= gate
        return math.sqrt(energies[heard].sum() / counts[heard].sum())


def gated_rms(signal, sample_rate):
    r"""RMS of a signal without its silences; see :class:`LevelMeter`.

    Args:
        signal (array): Shape :math:`(time)` or :math:`(time, channels)`.
        sample_rate (float): Rate, in Hz.

    Examples
        >>> gated_rms(np.repeat([0.0, 0.25], 9600), 8000)
        0.25
    """
    meter = LevelMeter(sample_rate)
    meter.add(np.asarray(signal))
    return meter.level
