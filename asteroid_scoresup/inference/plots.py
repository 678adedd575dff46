"""Pictures: training curves, box plots of the scores, piano-rolls, masks, one song in full.

Every function returns a :class:`matplotlib.figure.Figure` that belongs to no window and to no
``pyplot`` state: it works without a display, in threads and in notebooks, and needs no closing.
Save it with ``figure.savefig(path)``. A class has the same colour everywhere, from the palette of
Okabe and Ito that colour-blind readers can tell apart. Arrays may be NumPy arrays or tensors on
any device.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..score import LOWEST_PITCH, N_PITCHES

#: Okabe and Ito's palette; yellow, which is hard to see on white, comes last.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442")
#: Range of the spectrograms below the loudest bin of the mixture, in dB.
RANGE_DB = 70.0
#: Frequencies shown, in Hz: from below the lowest note of a bass to where most partials end.
FREQUENCIES = (35.0, 6000.0)

# Loud is dark, so that coloured notes stand out and a printed page stays white.
_LEVEL = {"vmin": -RANGE_DB, "vmax": 0, "cmap": "Greys"}
_MASK = {"vmin": 0, "vmax": 1, "cmap": "viridis"}
#: Columns of Lightning's log that are no quantities.
_CLOCKS = ("epoch", "step")


def class_colours(names):
    """The colour of each class: by its place in the list of classes.

    Args:
        names (sequence of str): All classes, in order.

    Returns:
        dict of str to str

    Examples
        >>> class_colours(["bass", "guitar"])
        {'bass': '#0072B2', 'guitar': '#D55E00'}
    """
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def plot_training_curves(logs, metrics=None, columns=3):
    """Losses and scores over training steps, one panel per quantity, one colour per run.

    Training values are dashed, validation values are drawn through with a dot per epoch:
    ``loss`` and ``train_loss`` share the panel of ``val_loss``.

    Args:
        logs (dict): Name of a run to what Lightning's ``CSVLogger`` wrote: the path of its
            ``metrics.csv`` or that file as a :class:`pandas.DataFrame`.
        metrics (sequence of str, optional): Quantities to show, such as ``loss``. Default: all
            but learning rates.
        columns (int): Panels per line.

    Returns:
        :class:`matplotlib.figure.Figure`

    Raises:
        FileNotFoundError: if a log does not exist.
        ValueError: if there is no log, a log is empty, or nothing of `metrics` is in them.
    """
    if not logs:
        raise ValueError("There are no training logs to plot.")
    frames = {name: _read_log(name, log) for name, log in logs.items()}
    panels = {}
    for frame in frames.values():
        for column in frame.columns:
            quantity, _ = _quantity(column)
            if column in _CLOCKS or not frame[column].notna().any():
                continue
            if metrics is None and (quantity.startswith("lr") or quantity == "learning_rate"):
                continue
            if metrics is None or quantity in metrics:
                panels.setdefault(quantity, [])
    if not panels:
        found = sorted({column for frame in frames.values() for column in frame.columns})
        wanted = "any quantity" if metrics is None else f"any of {list(metrics)}"
        raise ValueError(f"The logs do not hold {wanted}; their columns are {found}.")
    quantities = list(panels) if metrics is None else [m for m in metrics if m in panels]

    columns = min(columns, len(quantities))
    lines = -(-len(quantities) // columns)
    legend_width = 0.8 + 0.09 * max(len("validation"), *map(len, frames))
    figure = _figure(4.4 * columns + legend_width, max(0.3 + 2.8 * lines, 0.8 + 0.23 * len(frames)))
    axes = np.atleast_1d(figure.subplots(lines, columns)).ravel()
    colours = _run_colours(frames)
    styles = set()
    for axis, quantity in zip(axes, quantities):
        for name, frame in frames.items():
            x = "step" if "step" in frame else "epoch"
            for column in frame.columns:
                part, validation = _quantity(column)
                values = frame[[x, column]].dropna() if part == quantity else []
                if not len(values) or column in _CLOCKS:
                    continue
                styles.add(validation)
                style = {"marker": "o", "ms": 3} if validation else {"ls": "--", "alpha": 0.8}
                # With a value at every step the curve is a smear: a running mean is readable.
                smooth = values[column].rolling(_window(len(values)), min_periods=1, center=True)
                axis.plot(values[x], smooth.mean(), color=colours[name], lw=1.4, **style)
        axis.set(title=quantity, xlabel=x, ylabel=_metric_label(quantity))
        _tidy_axis(axis)
    for axis in axes[len(quantities) :]:
        axis.set_visible(False)

    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colours[name], lw=3, label=name) for name in frames]
    if True in styles and False in styles:
        handles.append(Line2D([], [], color="0.3", ls="--", label="training"))
        handles.append(Line2D([], [], color="0.3", marker="o", ms=3, label="validation"))
    figure.legend(handles=handles, loc="outside right upper", frameon=False)
    return figure


def plot_box(frame, metric="si_sdr", order=(), instruments=None, test_set=None):
    """How a score is spread over the tracks: one box per row and class.

    The box spans the quartiles, the line in it is the median, the white diamond the mean, whiskers
    reach to the last track within 1.5 times the box, dots are the tracks beyond. Silent classes are
    left out; the legend says how many tracks remain. Several seeds of a row share its box.

    Args:
        frame (:class:`pandas.DataFrame`): Tidy table of
            :func:`~asteroid_scoresup.metrics.tidy`.
        metric (str): Which score.
        order (sequence of str): Rows in the order wanted; others follow as they come.
        instruments (sequence of str, optional): Classes in order. Default: as they come.
        test_set (str, optional): Which test set; may be left out if there is only one.

    Returns:
        :class:`matplotlib.figure.Figure`

    Raises:
        ValueError: if the metric or the test set is not in `frame`.
    """
    known = list(dict.fromkeys(frame.test_set))
    if test_set is None and len(known) == 1:
        test_set = known[0]
    if test_set not in known:
        raise ValueError(f"test_set must be one of {known}, found {test_set!r}.")
    part = frame[(frame.test_set == test_set) & (frame.metric == metric) & frame.value.notna()]
    if not len(part):
        raise ValueError(
            f"There is no {metric!r} for {test_set!r}, only {sorted(set(frame.metric))}."
        )
    names = list(dict.fromkeys(frame.instrument)) if instruments is None else list(instruments)
    present = list(dict.fromkeys(part.row))
    rows = [row for row in order if row in present]
    rows += [row for row in present if row not in rows]

    width = 0.8 / len(names)
    figure = _figure(max(1.6 + len(rows) * len(names) * 0.34, 2.0 * len(names), 5), 4.2)
    axis = figure.subplots()
    colours = class_colours(names)
    for i, name in enumerate(names):
        lines = part[part.instrument == name]
        values = [lines[lines.row == row].value.to_numpy() for row in rows]
        positions = np.arange(len(rows)) + (i - (len(names) - 1) / 2) * width
        drawn = axis.boxplot(
            values,
            positions=positions,
            widths=width * 0.8,
            patch_artist=True,
            showmeans=True,
            manage_ticks=False,
            meanprops={"marker": "D", "ms": 3.5, "mfc": "white", "mec": "black", "mew": 0.6},
            medianprops={"color": "black", "lw": 1.2},
            flierprops={"marker": ".", "ms": 4, "mfc": colours[name], "mec": "none"},
        )
        for box in drawn["boxes"]:
            box.set(facecolor=colours[name], alpha=0.75, linewidth=0.8)
        n_tracks = lines.groupby("row").track.nunique().max() if len(lines) else 0
        drawn["boxes"][0].set_label(f"{name} ({n_tracks} tracks)")
    axis.set_xlim(-0.6, len(rows) - 0.4)
    # Rotated names need less room than wide figures.
    slanted = len(rows) > 1 and sum(map(len, rows)) * 0.1 > figure.get_figwidth() - 1.6
    axis.set_xticks(
        range(len(rows)),
        rows,
        rotation=30 if slanted else 0,
        ha="right" if slanted else "center",
        rotation_mode="anchor",
    )
    axis.axhline(0, color="0.5", lw=0.7, zorder=0)
    axis.set(ylabel=_metric_label(metric), title=f"{_metric_label(metric)}, {test_set}")
    _tidy_axis(axis)
    figure.legend(loc="outside lower center", ncols=len(names), frameon=False)
    return figure


def plot_piano_roll(roll, hop_length, sample_rate, names=None, start=0.0, title="Piano-roll"):
    r"""A piano-roll, or note probabilities, with a colour per class.

    Args:
        roll (array or :class:`torch.Tensor`): Values in [0, 1]; they become opacity.
        hop_length (int): Hop of the frames, in samples.
        sample_rate (float): Sample rate, in Hz.
        names (sequence of str, optional): Names of the classes.
        start (float): Time of the first frame, in seconds.
        title (str): Title.

    Shape:
        - roll: :math:`(n\_src, 88, frames)` or :math:`(88, frames)`

    Returns:
        :class:`matplotlib.figure.Figure`

    Raises:
        ValueError: if the roll does not have 88 pitches, or the names do not fit.
    """
    roll, names = _roll(roll, names)
    figure = _figure(9, 3.6)
    axis = figure.subplots()
    _draw_roll(axis, roll, names, hop_length / sample_rate, start)
    axis.set_title(title)
    if len(names) > 1:
        figure.legend(
            handles=_patches(names), loc="outside lower center", ncols=len(names), frameon=False
        )
    return figure


def plot_masks(masks, sample_rate, hop_length, names=None, start=0.0, frequencies=FREQUENCIES):
    r"""The masks of all classes, one above the other, on one scale from 0 to 1.

    Args:
        masks (array or :class:`torch.Tensor`): Masks in [0, 1].
        sample_rate (float): Sample rate, in Hz.
        hop_length (int): Hop of the STFT, in samples.
        names (sequence of str, optional): Names of the classes.
        start (float): Time of the first frame, in seconds.
        frequencies (tuple of float): Lowest and highest frequency shown, in Hz.

    Shape:
        - masks: :math:`(n\_src, freq, frames)`, frequencies from 0 to half the sample rate

    Returns:
        :class:`matplotlib.figure.Figure`

    Raises:
        ValueError: if `masks` has not three dimensions, or the names do not fit.
    """
    masks = _array(masks)
    if masks.ndim != 3:
        raise ValueError(f"masks has shape {masks.shape}, expected (n_src, freq, frames).")
    names = _names(names, len(masks), "masks")
    figure = _figure(8, 0.6 + 2.2 * len(names))
    axes = figure.subplots(len(names), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    colours = class_colours(names)
    scale = _Scale(masks.shape[1], masks.shape[2], sample_rate, hop_length, start, frequencies)
    for axis, mask, name in zip(axes, masks, names):
        mesh = scale.draw(axis, mask, **_MASK)
        axis.set_title(f"Mask of {name}", color=colours[name], loc="left")
        axis.label_outer()
    figure.colorbar(mesh, ax=list(axes), label="mask", shrink=0.9 / len(axes) ** 0.5)
    return figure


def plot_separation(
    mixture,
    sample_rate,
    hop_length,
    masks=None,
    estimates=None,
    references=None,
    roll=None,
    names=None,
    start=0.0,
    frequencies=FREQUENCIES,
    title=None,
):
    r"""An excerpt of one song in full: mixture, score, masks, estimates, references.

    One column per class; levels in dB relative to the loudest bin of the mixture, on one scale.
    The notes of the score are drawn as lines at their fundamental frequency. Every bin is drawn:
    give an excerpt of some ten seconds, more cannot be seen and takes long.

    Args:
        mixture (array or :class:`torch.Tensor`): Magnitude spectrogram of the mixture.
        sample_rate (float): Sample rate, in Hz.
        hop_length (int): Hop of the STFT, in samples.
        masks (array, optional): Masks of the classes in [0, 1].
        estimates (array, optional): Magnitudes of the estimates. Default: masks times mixture.
        references (array, optional): Magnitudes of the true sources.
        roll (array, optional): The score, or note probabilities (drawn where >= 0.5).
        names (sequence of str, optional): Names of the classes.
        start (float): Time of the first frame, in seconds.
        frequencies (tuple of float): Lowest and highest frequency shown, in Hz.
        title (str, optional): Title of the figure.

    Shape:
        - mixture: :math:`(freq, frames)`
        - masks, estimates, references: :math:`(n\_src, freq, frames)`
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
    references = None if references is None else _array(references)
    n_src = len(estimates)
    for label, value in (("masks", masks), ("estimates", estimates), ("references", references)):
        if value is not None and value.shape != (n_src, *mixture.shape):
            raise ValueError(
                f"{label} has shape {value.shape}, expected {(n_src, *mixture.shape)}."
            )
    names = _names(names, n_src, "estimates")
    if roll is not None:
        roll, _ = _roll(roll, names)
        if roll.shape[-1] != mixture.shape[-1]:
            raise ValueError(
                f"roll has {roll.shape[-1]} frames, the mixture has {mixture.shape[-1]}."
            )
    colours = class_colours(names)
    kinds = {"Mask": masks, "Estimate": estimates, "Reference": references}
    kinds = {kind: value for kind, value in kinds.items() if value is not None}
    loudest = max(float(mixture.max()), 1e-12)
    scale = _Scale(*mixture.shape, sample_rate, hop_length, start, frequencies)

    figure = _figure(1.6 + 3.9 * max(n_src, 2), 0.9 + 2.3 * (1 + len(kinds)))
    if title:
        figure.suptitle(title)
    # Twice as many columns as classes: two panels on top, one per class below, all of equal sum.
    grid = figure.add_gridspec(1 + len(kinds), 2 * n_src)
    whole = figure.add_subplot(grid[0, :] if roll is None else grid[0, :n_src])
    level_mesh = scale.draw(whole, _decibels(mixture, loudest), **_LEVEL)
    whole.set_title("Mixture", loc="left")
    if roll is not None:
        for name, notes in zip(names, roll):
            scale.draw_notes(whole, notes, colours[name])
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
                    scale.draw_notes(axis, roll[i], colours[name])
            axis.set_title(f"{kind}, {name}", color=colours[name], loc="left")
            axis.label_outer()
        if kind == "Mask":
            figure.colorbar(mask_mesh, ax=axis, label="mask", pad=0.02)
        else:
            beside_level_bar.append(axis)
    figure.colorbar(level_mesh, ax=beside_level_bar, label="level (dB)", pad=0.02)
    return figure


class _Scale:
    """Time and frequency axes of spectrograms, the same for every panel of a figure."""

    def __init__(self, n_bins, n_frames, sample_rate, hop_length, start, frequencies):
        low, high = frequencies
        width = sample_rate / 2 / (n_bins - 1)
        if not 0 < low < high:
            raise ValueError(f"frequencies must be 0 < low < high, found {frequencies}.")
        # Only the bins shown are drawn; bin 0 has no place on a logarithmic axis.
        first = max(1, int(np.floor(low / width)))
        last = min(n_bins - 1, int(np.ceil(high / width)))
        self.bins = slice(first, last + 1)
        self.edges = (np.arange(first, last + 2) - 0.5) * width
        self.limits = (max(low, self.edges[0]), min(high, self.edges[-1]))
        self.hop = hop_length / sample_rate
        self.times = start + (np.arange(n_frames + 1) - 0.5) * self.hop

    def draw(self, axis, values, **style):
        """Draws one (freq, frames) array."""
        mesh = axis.pcolormesh(self.times, self.edges, values[self.bins], rasterized=True, **style)
        axis.set_yscale("log")
        axis.set_ylim(self.limits)
        axis.set_xlim(self.times[0], self.times[-1])
        ticks = [t for t in (50, 100, 200, 500, 1000, 2000, 5000, 10000) if t < self.limits[1]]
        axis.set_yticks(ticks, [f"{t // 1000}k" if t >= 1000 else str(t) for t in ticks])
        axis.minorticks_off()
        axis.set(xlabel="time (s)", ylabel="frequency (Hz)")
        return mesh

    def draw_notes(self, axis, roll, colour):
        """Draws the notes of one class as lines at their fundamental frequency."""
        from matplotlib.collections import LineCollection
        from matplotlib.patheffects import Normal, Stroke

        on = np.diff((roll >= 0.5).astype(np.int8), axis=-1, prepend=0, append=0)
        pitch, first = np.nonzero(on == 1)
        _, end = np.nonzero(on == -1)
        frequency = 440 * 2 ** ((pitch + LOWEST_PITCH - 69) / 12)
        # A frame's cell reaches half a hop to both sides of its centre.
        left, right = self.times[first], self.times[end]
        lines = np.stack([left, frequency, right, frequency], axis=1).reshape(-1, 2, 2)
        notes = LineCollection(lines, colors=colour, linewidths=1.6, capstyle="butt")
        # A white rim keeps every colour legible on a spectrogram.
        notes.set_path_effects([Stroke(linewidth=2.8, foreground="white"), Normal()])
        axis.add_collection(notes, autolim=False)


def _draw_roll(axis, roll, names, hop, start):
    """One image per class, opacity from the values, on the pitches that occur."""
    from matplotlib.colors import to_rgb

    n_frames = roll.shape[-1]
    extent = (
        start - hop / 2,
        start + (n_frames - 0.5) * hop,
        LOWEST_PITCH - 0.5,
        LOWEST_PITCH + N_PITCHES - 0.5,
    )
    colours = class_colours(names)
    for name, values in zip(names, roll):
        image = np.empty((*values.shape, 4))
        image[..., :3], image[..., 3] = to_rgb(colours[name]), np.clip(values, 0, 1)
        axis.imshow(image, origin="lower", aspect="auto", extent=extent, interpolation="nearest")
    used = np.nonzero((roll >= 0.05).any(axis=(0, 2)))[0]
    low, high = (used[0], used[-1]) if len(used) else (0, N_PITCHES - 1)
    # MIDI note 60 is C4.
    axis.set_yticks(range(24, 109, 12), [f"C{octave}" for octave in range(1, 9)])
    axis.set_ylim(low + LOWEST_PITCH - 2.5, high + LOWEST_PITCH + 2.5)
    axis.grid(axis="y", color="0.85", lw=0.6)
    axis.set_axisbelow(True)
    axis.set(xlabel="time (s)", ylabel="pitch")


def _figure(width, height):
    """A figure outside pyplot, whose layout makes room for labels."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "Plots need matplotlib, which the recipe's extra brings: "
            "pip install 'asteroid-scoresup[recipe]' or pip install matplotlib."
        ) from None
    return Figure(figsize=(width, height), layout="constrained", dpi=130)


def _array(value):
    return value.detach().cpu().float().numpy() if torch.is_tensor(value) else np.asarray(value)


def _names(names, n_src, label):
    names = [f"class {i}" for i in range(n_src)] if names is None else list(names)
    if len(names) != n_src:
        raise ValueError(f"There are {len(names)} names ({names}) for {n_src} {label}.")
    return names


def _roll(roll, names):
    roll = _array(roll)
    roll = roll[None] if roll.ndim == 2 else roll
    if roll.ndim != 3 or roll.shape[1] != N_PITCHES:
        raise ValueError(
            f"roll has shape {roll.shape}, expected (n_src, {N_PITCHES}, frames) or "
            f"({N_PITCHES}, frames)."
        )
    return roll, _names(names, len(roll), "rolls")


def _decibels(magnitude, loudest):
    return 20 * np.log10(np.maximum(magnitude / loudest, 10 ** (-RANGE_DB / 20)))


def _patches(names):
    from matplotlib.patches import Patch

    return [Patch(color=colour, label=name) for name, colour in class_colours(names).items()]


def _run_colours(names):
    """Colours of runs: the palette while it lasts, then even steps of viridis."""
    if len(names) <= len(PALETTE):
        return class_colours(names)
    from matplotlib import colormaps

    steps = np.linspace(0, 0.95, len(names))
    return {name: colormaps["viridis"](step) for name, step in zip(names, steps)}


def _tidy_axis(axis):
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="0.9", lw=0.7)
    axis.set_axisbelow(True)


def _metric_label(metric):
    labels = {
        "si_sdr": "SI-SDR (dB)",
        "si_sdr_imp": "SI-SDR improvement (dB)",
        "input_si_sdr": "SI-SDR of the mixture (dB)",
        "leakage_db": "Leakage into silent classes (dB)",
    }
    return labels.get(metric, metric.replace("_", " "))


def _read_log(name, log):
    if not isinstance(log, pd.DataFrame):
        if not Path(log).is_file():
            raise FileNotFoundError(f"{log}, the training log of {name!r}, does not exist.")
        try:
            log = pd.read_csv(log)
        except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
            raise ValueError(f"{log} is not a log of Lightning's CSVLogger: {error}.") from None
    if not {"step", "epoch"} & set(log.columns) or not len(log):
        raise ValueError(
            f"The training log of {name!r} has {len(log)} lines and the columns "
            f"{list(log.columns)}; expected some lines, and `step` or `epoch`."
        )
    return log.select_dtypes("number")


def _quantity(column):
    """``val_loss`` → (``loss``, True); ``train_loss_step`` → (``loss``, False)."""
    name = column.removesuffix("_step").removesuffix("_epoch")
    validation = name.startswith(("val_", "valid_", "validation_"))
    for prefix in ("validation_", "valid_", "val_", "train_"):
        name = name.removeprefix(prefix)
    return name, validation


def _window(n_values):
    """Length of the running mean: none for up to 100 values, then 2 % of the curve."""
    return 1 if n_values <= 100 else max(1, n_values // 50)
