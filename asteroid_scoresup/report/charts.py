"""Charts of numbers: box plots of scores, training curves."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..evaluation.summary import select_test_set
from .plots import PALETTE, class_colors, new_figure

#: Columns of Lightning's log that are not quantities.
_CLOCKS = ("epoch", "step")


def plot_box(
    frame: pd.DataFrame,
    metric: str = "si_sdr",
    order: Sequence[str] = (),
    instruments: Sequence[str] | None = None,
    test_set: str | None = None,
) -> Figure:
    """Box plot of a score over tracks, one box per row and class.

    The box spans the quartiles, with a line at the median and a white diamond at the mean. Whiskers
    reach the last track within 1.5 times the interquartile range; dots are outliers. Silent classes
    are left out; the legend gives the number of tracks that remain. All seeds of a row share a box.

    Args:
        frame (:class:`pandas.DataFrame`): Tidy table of
            :func:`~asteroid_scoresup.evaluation.tidy`.
        metric (str): Which score.
        order (sequence of str): Rows in the desired order; others follow in order of appearance.
        instruments (sequence of str, optional): Classes in the desired order. Default: in order
            of appearance.
        test_set (str, optional): Which test set; optional if there is only one.

    Returns:
        :class:`matplotlib.figure.Figure`

    Raises:
        ValueError: if the metric or the test set is not in `frame`.
    """
    part, test_set = select_test_set(frame, test_set)
    part = part[(part.metric == metric) & part.value.notna()]
    if not len(part):
        raise ValueError(
            f"There is no {metric!r} for {test_set!r}, only {sorted(set(frame.metric))}."
        )
    names = list(dict.fromkeys(frame.instrument)) if instruments is None else list(instruments)
    present = dict.fromkeys(part.row)
    rows = list(dict.fromkeys([*(row for row in order if row in present), *present]))

    width = 0.8 / len(names)
    figure = new_figure(max(1.6 + len(rows) * len(names) * 0.34, 2.0 * len(names), 5), 4.2)
    axis = figure.subplots()
    colors = class_colors(names)
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
            flierprops={"marker": ".", "ms": 4, "mfc": colors[name], "mec": "none"},
        )
        for box in drawn["boxes"]:
            box.set(facecolor=colors[name], alpha=0.75, linewidth=0.8)
        n_tracks = lines.groupby("row").track.nunique().max() if len(lines) else 0
        drawn["boxes"][0].set_label(f"{name} ({n_tracks} tracks)")
    axis.set_xlim(-0.6, len(rows) - 0.4)
    # Slanted names, where they would not fit side by side.
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
    _style_axis(axis)
    figure.legend(loc="outside lower center", ncols=len(names), frameon=False)
    return figure


def read_training_log(run_dir: str | Path) -> pd.DataFrame | None:
    """The log of one run: all ``logs/version_*/metrics.csv`` of its folder, oldest first.

    Each start of a run writes a log of its own, and a resumed run repeats no step. The last line of
    a log that was being written when its run was killed is left out; so is a log without lines.

    Args:
        run_dir (str or Path): Folder of the run.

    Returns:
        :class:`pandas.DataFrame`: The lines of Lightning's ``CSVLogger``; None if there are none.

    Raises:
        ValueError: if a log is not a CSV file.
    """
    found = Path(run_dir).glob("logs/version_*/metrics.csv")
    paths = sorted(found, key=lambda path: path.stat().st_mtime)
    parts = [
        _read_log(path.parents[2].name, path)
        for path in paths
        if len(_complete_lines(path).splitlines()) > 1
    ]
    return pd.concat(parts, ignore_index=True) if parts else None


def plot_training_curves(
    logs: Mapping[str, str | Path | pd.DataFrame],
    metrics: Sequence[str] | None = None,
    columns: int = 3,
) -> Figure:
    """Losses and scores over training steps, one panel per quantity, one color per run.

    Training values are dashed; validation values are solid, with a dot per epoch. ``loss``,
    ``train_loss`` and ``val_loss`` share one panel.

    Args:
        logs (dict): Name of each run to its log: the path of the ``metrics.csv`` of Lightning's
            ``CSVLogger``, or its content as a :class:`pandas.DataFrame`.
        metrics (sequence of str, optional): Quantities to show, such as ``loss``. Default: all
            except learning rates and Lightning's ``hp_metric``, a copy of the validation loss.
        columns (int): Panels per row.

    Returns:
        :class:`matplotlib.figure.Figure`

    Raises:
        FileNotFoundError: if a log does not exist.
        ValueError: if there are no logs, a log is empty, or the logs contain none of `metrics`.
    """
    if not logs:
        raise ValueError("There are no training logs to plot.")
    frames = {name: _read_log(name, log) for name, log in logs.items()}
    curves = pd.concat([_curves(frame).assign(run=name) for name, frame in frames.items()])
    quantities = list(dict.fromkeys(curves.quantity))
    if metrics is None:
        quantities = [q for q in quantities if not q.startswith(("lr", "learning_rate", "hp_"))]
    else:
        quantities = [metric for metric in metrics if metric in quantities]
    curves = curves[curves.quantity.isin(quantities)]
    if not quantities:
        found = sorted({column for frame in frames.values() for column in frame.columns})
        wanted = "any quantity" if metrics is None else f"any of {list(metrics)}"
        raise ValueError(f"The logs do not contain {wanted}; their columns are {found}.")

    columns = min(columns, len(quantities))
    rows = -(-len(quantities) // columns)
    legend_width = 0.8 + 0.09 * max(len("validation"), *map(len, frames))
    height = max(0.3 + 2.8 * rows, 0.8 + 0.23 * len(frames))
    figure = new_figure(4.4 * columns + legend_width, height)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    colors = _run_colors(list(frames))
    for axis, quantity in zip(axes, quantities):
        panel = curves[curves.quantity == quantity]
        for (run, _, validation), part in panel.groupby(
            ["run", "column", "validation"], sort=False
        ):
            style = {"marker": "o", "ms": 3} if validation else {"ls": "--", "alpha": 0.8}
            # A curve with a value at every step is too noisy to read; show a running mean.
            smooth = part.value.rolling(_window(len(part)), min_periods=1, center=True).mean()
            axis.plot(part.x, smooth, color=colors[run], lw=1.4, **style)
        axis.set(title=quantity, xlabel=panel.clock.iloc[-1], ylabel=_metric_label(quantity))
        _style_axis(axis)
    for axis in axes[len(quantities) :]:
        axis.set_visible(False)
    handles = [Line2D([], [], color=colors[name], lw=3, label=name) for name in frames]
    if curves.validation.nunique() == 2:
        handles.append(Line2D([], [], color="0.3", ls="--", label="training"))
        handles.append(Line2D([], [], color="0.3", marker="o", ms=3, label="validation"))
    figure.legend(handles=handles, loc="outside right upper", frameon=False)
    return figure


def _read_log(name: str, log: str | Path | pd.DataFrame) -> pd.DataFrame:
    if not isinstance(log, pd.DataFrame):
        if not Path(log).is_file():
            raise FileNotFoundError(f"{log}, the training log of {name!r}, does not exist.")
        try:
            log = pd.read_csv(io.StringIO(_complete_lines(log)))
        except ValueError as error:  # empty, not text, or lines of unequal length
            raise ValueError(f"{log} is not a log of Lightning's CSVLogger: {error}.") from None
    if not {"step", "epoch"} & set(log.columns) or not len(log):
        raise ValueError(
            f"The training log of {name!r} has {len(log)} lines and the columns "
            f"{list(log.columns)}; expected at least one line, and `step` or `epoch`."
        )
    return log.select_dtypes("number")


def _complete_lines(path: str | Path) -> str:
    """A file's text up to its last line break: a killed run may have written half a line."""
    text = Path(path).read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1]


def _curves(log: pd.DataFrame) -> pd.DataFrame:
    """One line per logged value: its column, ``quantity``, ``validation``, ``clock`` and ``x``."""
    clock = "step" if "step" in log else "epoch"
    columns = [column for column in log.columns if column not in _CLOCKS]
    long = log.melt(clock, columns, var_name="column").dropna().rename(columns={clock: "x"})
    parts = [_quantity(column) for column in long.column]
    return long.assign(
        quantity=[name for name, _ in parts],
        validation=[validation for _, validation in parts],
        clock=clock,
    )


def _quantity(column: str) -> tuple[str, bool]:
    """``val_loss`` → (``loss``, True); ``train_loss_step`` → (``loss``, False)."""
    name = column.removesuffix("_step").removesuffix("_epoch")
    validation = name.startswith(("val_", "valid_", "validation_"))
    for prefix in ("validation_", "valid_", "val_", "train_"):
        name = name.removeprefix(prefix)
    return name, validation


def _run_colors(names: Sequence[str]) -> dict:
    """Colors of runs: the palette if it has enough, else even steps of viridis."""
    if len(names) <= len(PALETTE):
        return class_colors(names)
    steps = np.linspace(0, 0.95, len(names))
    return {name: colormaps["viridis"](step) for name, step in zip(names, steps)}


def _window(n_values: int) -> int:
    """Length of the running mean: 1 for up to 100 values, then 2 % of the curve."""
    return 1 if n_values <= 100 else max(1, n_values // 50)


def _style_axis(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="0.9", lw=0.7)
    axis.set_axisbelow(True)


def _metric_label(metric: str) -> str:
    labels = {
        "si_sdr": "SI-SDR (dB)",
        "si_sdr_imp": "SI-SDR improvement (dB)",
        "input_si_sdr": "SI-SDR of the mixture (dB)",
        "leakage_db": "Leakage into silent classes (dB)",
    }
    if metric.startswith("si_sdr_") and metric not in labels:
        return f"SI-SDR of {metric.removeprefix('si_sdr_')} (dB)"
    return labels.get(metric, metric.replace("_", " "))
