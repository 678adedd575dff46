"""Plots of one song: mixture, score, masks, estimates and stems.

Figures, here and in :mod:`asteroid_scoresup.report.charts`, are not registered with ``pyplot``:
they work without a display, in threads and in notebooks, and need no closing. Save one with
``figure.savefig(path)``. A class has the same color everywhere, from the color-blind safe palette
of Okabe and Ito. Arrays may be NumPy arrays or tensors on any device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator
from pretty_midi import note_number_to_hz

from ..score import LOWEST_PITCH, N_PITCHES

ArrayLike: TypeAlias = np.ndarray | torch.Tensor

#: Okabe and Ito's palette; yellow, which is hard to see on white, comes last.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442")
#: Range of the spectrograms below the loudest bin of the mixture, in dB.
RANGE_DB = 70.0
#: Frequencies shown, in Hz: from below the lowest note of a bass to where most partials end.
FREQUENCIES = (35.0, 6000.0)

# Loud is dark, so that colored notes stand out and a printed page stays white.
_LEVEL = {"vmin": -RANGE_DB, "vmax": 0, "cmap": "Greys"}
_MASK = {"vmin": 0, "vmax": 1, "cmap": "viridis"}


def class_colors(names: Sequence[str]) -> dict[str, str]:
    """The color of each class, by its position in the list of classes.

    Args:
        names (sequence of str): All classes, in order.

    Returns:
        dict of str to str

    Examples
        >>> class_colors(["bass", "guitar"])
        {'bass': '#0072B2', 'guitar': '#D55E00'}
    """
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def plot_separation(
    mixture: ArrayLike,
    sample_rate: float,
    hop_length: int,
    masks: ArrayLike | None = None,
    estimates: ArrayLike | None = None,
    stems: ArrayLike | None = None,
    roll: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    start: float = 0.0,
    frequencies: tuple[float, float] = FREQUENCIES,
    title: str | None = None,
) -> Figure:
    r"""An excerpt of one song: mixture, score, masks, estimates and stems.

    One column per class. Levels are in dB relative to the loudest bin of the mixture, on one scale.
    The notes of the score are lines at their fundamental frequency. Every bin is drawn, so use
    excerpts of about ten seconds.

    Args:
        mixture (array or :class:`torch.Tensor`): Magnitude spectrogram of the mixture.
        sample_rate (float): Sample rate, in Hz.
        hop_length (int): Hop of the STFT, in samples.
        masks (array, optional): Masks of the classes in [0, 1].
        estimates (array, optional): Magnitudes of the estimates. Default: masks times mixture.
        stems (array, optional): Magnitudes of the true stems.
        roll (array, optional): The score, or note probabilities (drawn where >= 0.5).
        names (sequence of str, optional): Names of the classes.
        start (float): Time of the first frame, in seconds.
        frequencies (tuple of float): Lowest and highest frequency shown, in Hz.
        title (str, optional): Title of the figure.

    Shape:
        - mixture: :math:`(freq, frames)`
        - masks, estimates, stems: :math:`(n\_src, freq, frames)`
        - roll: :math:`(n\_src, 88, frames)`

    Returns:
        :class:`matplotlib.figure.Figure`

    Raises:
        ValueError: if there is neither `masks` nor `estimates`, or shapes do not fit.
    """
    mixture = _array(mixture)
    if mixture.ndim != 2:
        raise ValueError(f"mixture has shape {mixture.shape}, expected (freq, frames).")
    if masks is None and estimates is None:
        raise ValueError("Give masks or estimates: there is no separation to plot.")
    masks = None if masks is None else _array(masks)
    estimates = masks * mixture if estimates is None else _array(estimates)
    stems = None if stems is None else _array(stems)
    n_src = len(estimates)
    for label, value in (("masks", masks), ("estimates", estimates), ("stems", stems)):
        if value is not None and value.shape != (n_src, *mixture.shape):
            raise ValueError(
                f"{label} has shape {value.shape}, expected {(n_src, *mixture.shape)}."
            )
    names = _names(names, n_src, "estimates")
    if roll is not None:
        roll = _roll(roll, names)
        if roll.shape[-1] != mixture.shape[-1]:
            raise ValueError(
                f"roll has {roll.shape[-1]} frames, the mixture has {mixture.shape[-1]}."
            )
    colors = class_colors(names)
    optional = {"Mask": masks, "Estimate": estimates, "Stem": stems}
    kinds = {kind: value for kind, value in optional.items() if value is not None}
    loudest = max(float(mixture.max()), 1e-12)
    n_bins, n_frames = mixture.shape
    scale = _Scale(n_bins, n_frames, sample_rate, hop_length, start, frequencies)

    figure = new_figure(1.6 + 3.9 * max(n_src, 2), 0.9 + 2.3 * (1 + len(kinds)))
    if title:
        figure.suptitle(title)
    # Two grid columns per class, so that the two panels on top share the width evenly.
    grid = figure.add_gridspec(1 + len(kinds), 2 * n_src)
    whole = figure.add_subplot(grid[0, :] if roll is None else grid[0, :n_src])
    level_mesh = scale.draw(whole, _decibels(mixture, loudest), **_LEVEL)
    whole.set_title("Mixture", loc="left")
    if roll is not None:
        for name, notes in zip(names, roll):
            scale.draw_notes(whole, notes, colors[name])
        score = figure.add_subplot(grid[0, n_src:], sharex=whole)
        _draw_roll(score, roll, names, hop_length / sample_rate, start)
        score.set_title("Score", loc="left")
        score.legend(
            handles=_patches(names),
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=n_src,
            frameon=False,
            borderaxespad=0.2,
        )
    beside_level_bar = []
    for line, (kind, values) in enumerate(kinds.items(), start=1):
        for i, name in enumerate(names):
            place = grid[line, 2 * i : 2 * i + 2]
            axis = figure.add_subplot(place, sharex=whole, sharey=whole)
            if kind == "Mask":
                mask_mesh = scale.draw(axis, values[i], **_MASK)
            else:
                scale.draw(axis, _decibels(values[i], loudest), **_LEVEL)
                if roll is not None:
                    scale.draw_notes(axis, roll[i], colors[name])
            axis.set_title(f"{kind}, {name}", color=colors[name], loc="left")
            axis.label_outer()
        if kind == "Mask":
            figure.colorbar(mask_mesh, ax=axis, label="mask", pad=0.02)
        else:
            beside_level_bar.append(axis)
    figure.colorbar(level_mesh, ax=beside_level_bar, label="level (dB)", pad=0.02)
    return figure


class _Scale:
    """Time and frequency axes of spectrograms, shared by all panels of a figure."""

    def __init__(
        self,
        n_bins: int,
        n_frames: int,
        sample_rate: float,
        hop_length: int,
        start: float,
        frequencies: tuple[float, float],
    ) -> None:
        low, high = frequencies
        width = sample_rate / 2 / (n_bins - 1)
        if not 0 < low < high:
            raise ValueError(f"frequencies must be 0 < low < high, found {frequencies}.")
        # Only visible bins are drawn; 0 Hz is not on a logarithmic axis.
        first = max(1, int(np.floor(low / width)))
        last = min(n_bins - 1, int(np.ceil(high / width)))
        self.bins = slice(first, last + 1)
        self.edges = (np.arange(first, last + 2) - 0.5) * width
        self.limits = (max(low, self.edges[0]), min(high, self.edges[-1]))
        self.hop = hop_length / sample_rate
        self.times = start + (np.arange(n_frames + 1) - 0.5) * self.hop

    def draw(self, axis: Axes, values: np.ndarray, **style: Any) -> QuadMesh:
        """Draws one (freq, frames) array."""
        mesh = axis.pcolormesh(self.times, self.edges, values[self.bins], rasterized=True, **style)
        axis.set_yscale("log")
        axis.set_ylim(self.limits)
        axis.set_xlim(self.times[0], self.times[-1])
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(EngFormatter(sep=""))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.set(xlabel="time (s)", ylabel="frequency (Hz)")
        return mesh

    def draw_notes(self, axis: Axes, roll: np.ndarray, color: str) -> None:
        """Draws the notes of one class as lines at their fundamental frequency."""
        on = np.diff((roll >= 0.5).astype(np.int8), axis=-1, prepend=0, append=0)
        pitch, first = np.nonzero(on == 1)
        _, end = np.nonzero(on == -1)
        frequency = note_number_to_hz(pitch + LOWEST_PITCH)
        # A frame reaches half a hop to both sides of its center.
        left, right = self.times[first], self.times[end]
        lines = np.stack([left, frequency, right, frequency], axis=1).reshape(-1, 2, 2)
        notes = LineCollection(list(lines), colors=color, linewidths=1.6, capstyle="butt")
        # A white outline keeps every color visible on a spectrogram.
        notes.set_path_effects([Stroke(linewidth=2.8, foreground="white"), Normal()])
        axis.add_collection(notes, autolim=False)


def _draw_roll(
    axis: Axes, roll: np.ndarray, names: Sequence[str], hop: float, start: float
) -> None:
    """One image per class, with the values as opacity, cropped to the pitches that occur."""
    n_frames = roll.shape[-1]
    extent = (
        start - hop / 2,
        start + (n_frames - 0.5) * hop,
        LOWEST_PITCH - 0.5,
        LOWEST_PITCH + N_PITCHES - 0.5,
    )
    colors = class_colors(names)
    for name, values in zip(names, roll):
        image = np.empty((*values.shape, 4))
        image[..., :3], image[..., 3] = to_rgb(colors[name]), np.clip(values, 0, 1)
        axis.imshow(image, origin="lower", aspect="auto", extent=extent, interpolation="nearest")
    used = np.nonzero((roll >= 0.05).any(axis=(0, 2)))[0]
    low, high = (used[0], used[-1]) if len(used) else (0, N_PITCHES - 1)
    # MIDI note 60 is C4.
    axis.set_yticks(range(24, 109, 12), [f"C{octave}" for octave in range(1, 9)])
    axis.set_ylim(low + LOWEST_PITCH - 2.5, high + LOWEST_PITCH + 2.5)
    axis.grid(axis="y", color="0.85", lw=0.6)
    axis.set_axisbelow(True)
    axis.set(xlabel="time (s)", ylabel="pitch")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, independent of pyplot, that makes room for labels."""
    return Figure(figsize=(width, height), layout="constrained", dpi=130)


def _array(value: ArrayLike) -> np.ndarray:
    return value.detach().cpu().float().numpy() if torch.is_tensor(value) else np.asarray(value)


def _names(names: Sequence[str] | None, n_src: int, label: str) -> list[str]:
    names = [f"class {i}" for i in range(n_src)] if names is None else list(names)
    if len(names) != n_src:
        raise ValueError(f"There are {len(names)} names ({names}) for {n_src} {label}.")
    return names


def _roll(roll: ArrayLike, names: Sequence[str]) -> np.ndarray:
    roll = _array(roll)
    if roll.ndim != 3 or roll.shape[:2] != (len(names), N_PITCHES):
        raise ValueError(
            f"roll has shape {roll.shape}, expected (n_src, {N_PITCHES}, frames) with n_src = "
            f"{len(names)}."
        )
    return roll


def _decibels(magnitude: np.ndarray, loudest: float) -> np.ndarray:
    return 20 * np.log10(np.maximum(magnitude / loudest, 10 ** (-RANGE_DB / 20)))


def _patches(names: Sequence[str]) -> list[Patch]:
    return [Patch(color=color, label=name) for name, color in class_colors(names).items()]
