r"""Refinement: each onset of the score is moved to where the levels of its own pitches rise.

Notes that begin together form a group. For each group, the rise of the levels at the partials of
its notes is read around the time that the coarse path gives, and the offsets of all groups from
that path are estimated together: they follow a random walk (tempo is smooth), and the rises are
their evidence. The forward-backward algorithm on a grid of offsets gives the posterior mean of each
offset. A first pass searches a wide range for slow rises, a second one a narrow range for
fast ones. All choices are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..score import LOWEST_PITCH, N_PITCHES, Notes
from .features import FLOOR_DB, HOP, WINDOWS

#: Notes of the score whose onsets differ by no more than this begin together, in seconds.
TOGETHER = 0.03
_PARTIALS = ((0, 1.0), (12, 0.8), (19, 0.7), (24, 0.6), (28, 0.4), (31, 0.4))
_SHARP = WINDOWS[-1][1]  # from this note on, bands have the shortest window
_BLUNT = (0.2, 0.5)  # weights of bands with the longer windows


@dataclass(frozen=True)
class Pass:
    """One pass of the refinement; times in seconds.

    Args:
        reach (float): Largest offset.
        step (float): Grid of the offsets.
        before (float): Length of the stretch before a rise.
        after (float): Length of the stretch after it.
        jitter (float): Standard deviation of the offset between successive groups.
        drift (float): Additional standard deviation after one second.
        trust (float): Weight of the evidence.
    """

    reach: float
    step: float
    before: float
    after: float
    jitter: float
    drift: float
    trust: float


PASSES = (
    Pass(0.48, 0.016, 0.06, 0.06, 0.012, 0.06, 3.0),
    Pass(0.096, 0.004, 0.01, 0.02, 0.004, 0.015, 3.0),
)


@dataclass(frozen=True)
class Groups:
    r"""The onsets of a score: notes that begin together.

    Args:
        times (array): Onset of each group in seconds, shape :math:`(n,)`.
        group (array): Group of each note, shape :math:`(n\_notes,)`.
        pitch (array): Pitch of each note.
        weight (array): Weight of each note, from its velocity.
    """

    times: np.ndarray
    group: np.ndarray
    pitch: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, notes: Notes) -> Groups:
        """The groups of a score; notes outside the 88 pitches are left out."""
        inside = (notes.pitch >= LOWEST_PITCH) & (notes.pitch < LOWEST_PITCH + N_PITCHES)
        kept = notes.select(np.flatnonzero(inside))
        kept = kept.select(np.argsort(kept.onset, kind="stable"))
        starts: list[float] = []
        group = np.zeros(len(kept), dtype=np.int64)
        for row, onset in enumerate(kept.onset):
            if not starts or onset - starts[-1] > TOGETHER:
                starts.append(float(onset))
            group[row] = len(starts) - 1
        weight = np.sqrt(np.clip(kept.velocity, 1, 127) / 100)
        count = np.bincount(group, minlength=len(starts))
        times = np.bincount(group, kept.onset, len(starts)) / np.maximum(count, 1)
        return cls(times, group, kept.pitch, weight)

    def part(self, first: int, stop: int) -> Groups:
        """The groups from `first` to before `stop`."""
        rows = (self.group >= first) & (self.group < stop)
        return Groups(
            self.times[first:stop], self.group[rows] - first, self.pitch[rows], self.weight[rows]
        )


def rises(levels: np.ndarray, loud: float, before: float, after: float) -> np.ndarray:
    r"""How much each band rises around each frame, float16.

    The mean of the stretch after a frame, less the mean of the stretch before it, at least 0. The
    levels are square roots of amplitudes: in dB, a window would show an onset as soon as it touches
    it (10 ms too early in the mean), with plain amplitudes, loud notes would hide the others.
    """
    a, b = max(1, round(before / HOP)), max(1, round(after / HOP))
    found = np.zeros(levels.shape, dtype=np.float16)
    step = 20000
    for start in range(0, len(levels), step):
        first, last = max(start - a, 0), min(start + step + b, len(levels))
        level = np.maximum(levels[first:last].astype(np.float32) - loud, FLOOR_DB)
        total = np.cumsum(10 ** (level / 40), axis=0, dtype=np.float64)
        total = np.concatenate([np.zeros((1, total.shape[1])), total])
        at = np.arange(start, min(start + step, len(levels))) - first
        low, high = np.maximum(at - a, 0), np.minimum(at + b, last - first)
        later = (total[high] - total[at]) / np.maximum(high - at, 1)[:, None]
        sooner = (total[at] - total[low]) / np.maximum(at - low, 1)[:, None]
        found[start : start + len(at)] = np.maximum(later - sooner, 0)
    return found


def evidence(rise: np.ndarray, groups: Groups, at: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    r"""Evidence that each group begins at its time plus each offset.

    Args:
        rise (array): From :func:`rises`.
        groups (Groups): The onsets.
        at (array): Time of each group in the recording, in seconds, shape :math:`(n,)`.
        offsets (array): Offsets in seconds, shape :math:`(k,)`.

    Returns:
        :class:`numpy.ndarray`: Shape :math:`(n, k)`: about 0 without a rise, 1 for the typical
        note; chords have more.
    """
    wanted = (at[:, None] + offsets) / HOP
    place = np.clip(wanted, 0, len(rise) - 1.001)
    low = place.astype(np.int64)
    part = (place - low).astype(np.float32)
    curves = np.zeros((len(groups.pitch), len(offsets)), dtype=np.float32)
    norm = np.zeros(len(groups.pitch))
    where, fraction = low[groups.group], part[groups.group]
    for semitones, weight in _PARTIALS:
        band = groups.pitch + semitones - LOWEST_PITCH
        known = band < N_PITCHES
        band = np.minimum(band, N_PITCHES - 1)
        sharp = np.digitize(band + LOWEST_PITCH, [WINDOWS[1][1], _SHARP])
        factor = weight * np.array([*_BLUNT, 1.0])[sharp] * known
        rise_low, rise_high = rise[where, band[:, None]], rise[where + 1, band[:, None]]
        curves += factor[:, None] * (rise_low * (1 - fraction) + rise_high * fraction)
        norm += factor
    curves /= np.maximum(norm, 0.1)[:, None]
    tops = curves.max(axis=1) if len(curves) else np.ones(1)
    curves *= (groups.weight / max(float(np.quantile(tops, 0.75)), 1e-3))[:, None]
    n = len(groups.times)
    # Nothing is known of what is before and after the recording.
    curves *= ((wanted >= 0) & (wanted < len(rise)))[groups.group]
    total = np.zeros((n, len(offsets)))
    np.add.at(total, groups.group, np.minimum(curves, 1.5))
    count = np.bincount(groups.group, minlength=n)
    return total / np.sqrt(np.maximum(count, 1))[:, None]


def posterior(
    found: np.ndarray, at: np.ndarray, offsets: np.ndarray, one: Pass
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and standard deviation of the offset of each group, in seconds."""
    n = len(found)
    likelihood = np.exp(one.trust * (found - found.max(axis=1, keepdims=True)))
    gaps = np.clip(np.diff(at), 0.01, 5.0)
    spread = np.sqrt(one.jitter**2 + one.drift**2 * gaps)
    # A few kernels serve all gaps.
    grid = np.geomspace(spread.min(), spread.max() + 1e-9, 24) if n > 1 else np.ones(1)
    which = np.searchsorted(grid, spread).clip(0, len(grid) - 1)
    apart = offsets[:, None] - offsets
    kernels = np.exp(-0.5 * (apart / grid[:, None, None]) ** 2) + 1e-6
    kernels /= kernels.sum(axis=2, keepdims=True)
    prior = np.exp(-0.5 * (offsets / one.reach) ** 2)
    forward = np.empty_like(likelihood)
    forward[0] = likelihood[0] * prior
    for i in range(1, n):
        step = (forward[i - 1] / forward[i - 1].sum()) @ kernels[which[i - 1]]
        forward[i] = step * likelihood[i]
    backward = np.ones_like(likelihood)
    for i in range(n - 2, -1, -1):
        back = kernels[which[i]] @ (backward[i + 1] * likelihood[i + 1])
        backward[i] = back / back.sum()
    joint = forward * backward
    joint /= joint.sum(axis=1, keepdims=True)
    mean = joint @ offsets
    deviation = np.sqrt(np.maximum(joint @ offsets**2 - mean**2, 0))
    return mean, deviation


def refine(
    rise: np.ndarray, groups: Groups, at: np.ndarray, one: Pass
) -> tuple[np.ndarray, np.ndarray]:
    """Times of the groups in the recording after one pass, and their standard deviations."""
    offsets = np.arange(-one.reach, one.reach + one.step / 2, one.step)
    found = evidence(rise, groups, at, offsets)
    mean, deviation = posterior(found, at, offsets, one)
    return at + mean, deviation
