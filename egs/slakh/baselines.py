"""The table of run_baselines.sh: the scores of experiments.py, and size, speed and memory.

Speed and memory are measured by benchmarks/separation.py: on one core, models in turn.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from local.jobs import EXTERNAL, slug

from asteroid_scoresup.models import load_package
from asteroid_scoresup.utils.files import atomic_path
from asteroid_scoresup.utils.markdown import markdown_table

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "separation.py"
ORACLES = ("input mixture", "score oracle", "score oracle, informed", "ideal ratio mask")
COLUMNS = {  # metric, heading, decimals
    "million_parameters": ("parameters, M", 1),
    "training_minutes": ("minutes to the best", 1),
    "updates": ("updates", 0),
    "times_real_time": ("× real time", 1),
    "peak_mib": ("peak MiB", 0),
}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("exp_dir", help="folder of experiments.py, with results.csv")
parser.add_argument("--results", default="", help="file for the results (exp_dir/baselines.csv)")
parser.add_argument(
    "--repeats", type=int, default=3, help="runs of each model, to measure its speed"
)
parser.add_argument(
    "--seconds", type=int, default=60, help="audio on which speed and memory are measured, in s"
)


def measure(models: Mapping[str, Path], repeats: int, seconds: int) -> dict[str, dict[str, float]]:
    """Size, speed and memory of model files, by row."""
    files = ",".join(f"{slug(row)}={path}" for row, path in models.items())
    command = [sys.executable, BENCHMARK, "--files", files, "--seconds", seconds, "--threads", 1]
    done = subprocess.run(
        [str(part) for part in [*command, "--repeats", repeats]],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{BENCHMARK} failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])["results"]
    return {row: found[f"{slug(row)}, {seconds} s"] for row in models}


def facts(path: Path) -> dict[str, float]:
    """How long a model was trained, from its file and its checkpoint."""
    training = load_package(path)["infos"]["training"]
    best = load_package(path.parent / "checkpoints" / Path(training["best_model_path"]).name)
    return {"training_minutes": training["best_minutes"], "updates": best["global_step"]}


def markdown(results: pd.DataFrame) -> str:
    """The table, with SI-SDR and its improvement per class and in the mean."""
    names = [name for name in dict.fromkeys(results.instrument) if name != "mean"]
    heads = [*(f"{name}, SI-SDRi" for name in names), "mean SI-SDR", "mean SI-SDRi"]
    heads += [title for title, _ in COLUMNS.values()]
    means = results.groupby(["row", "instrument", "metric"], sort=False).value.mean()

    def cell(row: str, instrument: str, metric: str, decimals: int) -> str:
        value = means.get((row, instrument, metric))
        return "" if value is None else f"{value:.{decimals}f}"

    lines = []
    for row in dict.fromkeys(results.row):
        cells = [cell(row, name, "si_sdr_i", 1) for name in names]
        cells += [cell(row, "mean", metric, 1) for metric in ("si_sdr", "si_sdr_i")]
        cells += [cell(row, "mean", key, decimals) for key, (_, decimals) in COLUMNS.items()]
        lines.append([row, *cells])
    return markdown_table(["row", *heads], lines) + "\n"


def main(args: argparse.Namespace) -> None:
    exp_dir = Path(args.exp_dir)
    frame = pd.read_csv(exp_dir / "results.csv")
    frame = frame[frame.metric.isin(["si_sdr", "si_sdr_i"])]
    rows = [row for row in dict.fromkeys(frame.row) if row not in ORACLES]
    others = [row for row in rows if (exp_dir / EXTERNAL / slug(row) / "scores.csv").is_file()]
    rows = [row for row in rows if (exp_dir / "seed0" / slug(row) / "best_model.pth").is_file()]
    models = {row: exp_dir / "seed0" / slug(row) / "best_model.pth" for row in rows}
    more: list[tuple[Any, ...]] = []
    measured = measure(models, args.repeats, args.seconds) if models else {}
    for row, found in measured.items():
        found = {key: found[key] for key in COLUMNS if key in found}
        for metric, value in {**found, **facts(models[row])}.items():
            more.append((row, 0, "test", "mean", metric, round(value, 3)))
    frame = frame[frame.row.isin([*ORACLES, *rows, *others])]
    frame = pd.concat([frame, pd.DataFrame(more, columns=frame.columns)], ignore_index=True)
    results = Path(args.results or exp_dir / "baselines.csv")
    with atomic_path(results) as temporary:
        frame.to_csv(temporary, index=False)
    table = markdown(frame)
    with atomic_path(results.with_suffix(".md")) as temporary:
        temporary.write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main(parser.parse_args())
