"""Plots the results of run_tables.sh: bars per row, the curve over stems, training curves."""

import argparse
import re
from pathlib import Path

import numpy as np
import pandas as pd
from local.rows import with_present_names
from matplotlib.figure import Figure

from asteroid_scoresup.evaluation import read_results
from asteroid_scoresup.report import plot_training_curves, read_training_log
from asteroid_scoresup.report.plots import PALETTE

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("results", help="results.csv of run_tables.sh")
parser.add_argument("out_dir", help="output folder for the plots")
parser.add_argument("--exp_dir", default="", help="folder of the experiments, for training curves")
parser.add_argument("--prefix", default="small", help="prefix of the file names")
NOT_DRAWN = ("input mixture", "start of fine-tuning")


def means(results: pd.DataFrame) -> pd.DataFrame:
    """Mean SI-SDRi over classes: one column per test set and seed."""
    part = results[(results.metric == "si_sdr_imp") & (results.instrument == "mean")]
    part = part[~part.row.isin(NOT_DRAWN) & ~part.row.str.contains("% of the stems")]
    return part.pivot_table(index="row", columns=["test_set", "seed"], values="value", sort=False)


def plot_rows(results: pd.DataFrame) -> Figure:
    """SI-SDRi of each row: a dot per seed and a bar for their mean, one panel per test set."""
    frame = means(results)
    sets = list(dict.fromkeys(frame.columns.get_level_values(0)))
    figure = Figure(figsize=(3 + 2.6 * len(sets), 0.6 + 0.27 * len(frame)), layout="constrained")
    axes = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
    for axis, name, color in zip(axes, sets, PALETTE):
        values = frame[name][::-1]
        axis.barh(values.index, values.mean(axis=1), color=color, alpha=0.35)
        for seed in values.columns:
            axis.plot(values[seed], values.index, ".", color=color, ms=5)
        axis.set(title=name, xlabel="SI-SDRi (dB)")
        axis.axvline(0, color="0.3", lw=0.8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="x", alpha=0.3)
    return figure


def plot_stems(results: pd.DataFrame) -> Figure | None:
    """SI-SDRi over the percentage of songs with stems, with and without other songs' scores."""
    part = results[(results.metric == "si_sdr_imp") & (results.instrument == "mean")]
    part = part[part.seed == 0]
    sets = list(dict.fromkeys(part[part.row.str.contains("% of the stems")].test_set))
    if not sets:
        return None
    ends = {"semi-supervised": [(0, "informed")], "supervised": []}
    figure = Figure(figsize=(1 + 2.7 * len(sets), 2.9), layout="constrained")
    for axis, name in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets):
        own = part[part.test_set == name].set_index("row").value
        for (kind, first), color in zip(ends.items(), PALETTE):
            points = [(percent, own[row]) for percent, row in first if row in own]
            for row, value in own.items():
                match = re.fullmatch(rf"{kind}, (\d+) % of the stems", row)
                if match:
                    points.append((int(match[1]), value))
            if "supervised, mask approximation" in own:
                points.append((100, own["supervised, mask approximation"]))
            points.sort()
            axis.plot(*np.array(points).reshape(-1, 2).T, "o-", color=color, label=kind)
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
        axis.set(title=name, xlabel="songs with stems (%)", ylabel="SI-SDRi (dB)")
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False)
    return figure


def plot_curves(exp_dir: str) -> Figure | None:
    """SI-SDR on validation songs over the updates, of the rows of seed 0."""
    logs = {}
    for folder in sorted(Path(exp_dir).glob("seed0/*")):
        if "stems" in folder.name or "fine_tune" in folder.name:
            continue
        log = read_training_log(folder)
        if log is not None:
            logs[folder.name.replace("_", " ")] = log
    return plot_training_curves(logs, ["si_sdr"], columns=1) if logs else None


def main(args: argparse.Namespace) -> None:
    out_dir = Path(args.out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    results = with_present_names(read_results(args.results))
    figures = {"rows": plot_rows(results), "stems": plot_stems(results)}
    if args.exp_dir:
        figures["curves"] = plot_curves(args.exp_dir)
    for name, figure in figures.items():
        if figure is not None:
            figure.savefig(out_dir / f"{args.prefix}_{name}.png", dpi=110)


if __name__ == "__main__":
    main(parser.parse_args())
