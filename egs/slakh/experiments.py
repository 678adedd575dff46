"""Trains and scores the rows of the tables, several in parallel, and resumes interrupted ones.

A row is finished when ``done.json`` in its folder lists its commands. See run_tables.sh.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from local import settings
from local.jobs import EXTERNAL, Job, run, slug
from local.options import given_settings
from local.rows import with_present_names

from asteroid_scoresup.evaluation import (
    ExternalSeparator,
    parse_external,
    read_results,
    tables,
)
from asteroid_scoresup.utils.files import atomic_path, read_json, write_json

HERE = Path(__file__).parent
#: Expected times of scoring and of starting a script, in s.
SCORING = {"separator": 60, "finetune": 180, "oracles": 240, "pre-train": 150, "external": 600}
STARTING = 15
#: With --total_minutes: the fraction for scoring, and how the rest is divided among trainings.
SCORING_FRACTION, TRAINING_WEIGHTS = 0.25, {"t": 1.0, "s": 2.0, "f": 2.0}
#: Scripts by the prefix of their settings.
SCRIPTS = {"train_transcriptor.py": "t", "train_separator.py": "s", "finetune.py": "f"}
PRE_TRAINED = {"transcriptor": "pre-train", "simulating": "pre-train, simulated separation"}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--preset", default="small")
parser.add_argument("--train_data", required=True, help="prepared folder to train on")
parser.add_argument("--tests", required=True, help="as score.py --tests")
parser.add_argument("--exp_dir", required=True, help="folder of the experiments")
parser.add_argument("--results", default="", help="file for the results (exp_dir/results.csv)")
parser.add_argument(
    "--keep", default="", help="results whose rows and seeds are printed without training"
)
parser.add_argument("--groups", default="paper,ours,curve", help="groups of local/experiments.yml")
parser.add_argument("--rows", default="", help="only rows that match this regular expression")
parser.add_argument("--seeds", type=int, default=3, help="seeds of the separator: 0, 1, ...")
parser.add_argument("--n_parallel", type=int, default=0, help="rows in parallel (GPUs or cores)")
parser.add_argument(
    "--minutes", type=float, default=0, help="training time of each separator; 0: equal updates"
)
parser.add_argument(
    "--total_minutes",
    type=float,
    default=0,
    help="time for all rows together, which their trainings and scorings share; 0: no limit",
)
parser.add_argument("--external", default="", help="more rows: separators as in score.py")
parser.add_argument("--external_stems", default="", help="as in score.py")
parser.add_argument("--external_timeout", type=float, default=3600, help="as in score.py")
parser.add_argument("--train_opts", default="", help="more settings for all training scripts")
parser.add_argument("--dry_run", action="store_true", help="only list what is missing, with times")
parser.add_argument("--tables_only", action="store_true", help="only write the tables")


def flags(options: Mapping[str, Any]) -> list[str]:
    """Options as a command line."""
    return [text for key, value in options.items() for text in (f"--{key}", str(value))]


def chosen_rows(args: argparse.Namespace, groups: Mapping[str, Any]) -> dict[str, Any]:
    """The requested rows, and those they start from, in the order of the tables."""
    known = {
        row: how
        for name, group in groups.items()
        if name != "critics"
        for row, how in group.items()
    }
    rows = [row for group in args.groups.split(",") for row in groups[group]]
    wanted = {row for row in rows if re.search(args.rows, row)}
    if not wanted:
        raise SystemExit(f"--rows {args.rows} matches none of: {'; '.join(rows)}.")
    # A row may start from one of another group.
    for key in ("critic_of", "start"):
        wanted |= {known[row][key] for row in wanted if key in known[row]}
    return {row: how for row, how in known.items() if row in wanted}


def externals(args: argparse.Namespace, rows: Collection[str]) -> list[ExternalSeparator]:
    """The separators that are commands."""
    found = parse_external(args.external.splitlines(), args.external_stems.splitlines())
    for other in found:
        if other.name in rows or slug(other.name) in ("", "oracles"):
            raise ValueError(f"--external {other.name!r} is the name of another row.")
    return found


def stems_option(separator: ExternalSeparator) -> str:
    """The names of a separator's files, as an option."""
    pairs = (f"{name}={','.join(files)}" for name, files in separator.files.items())
    return f"{separator.name}:{';'.join(pairs)}"


def plan(args: argparse.Namespace, conf: Mapping[str, Any], groups: Mapping[str, Any]) -> list[Job]:
    """All jobs, in the order in which they should run."""
    exp_dir, train_data = Path(args.exp_dir).absolute(), Path(args.train_data).absolute()
    common = ["--preset", args.preset, "--data_dir", train_data]
    extra = shlex.split(args.train_opts)
    given = given_settings(extra)
    updates = conf["s_epochs"] * conf["s_steps"]
    fine = conf["f_epochs"] * conf["f_steps"]
    if fine % conf["s_steps"]:
        raise SystemExit(
            f"Fine-tuning has {fine} updates, which is not a whole number of epochs of the "
            f"separator (s_steps {conf['s_steps']}): rows would not have equal budgets."
        )

    def scoring(folder: Path, row: str, seed: int, *models: Any) -> list[Any]:
        command = ["score.py", "--exp_dir", folder, "--row", row, "--tests", args.tests]
        return [*command, *models, *common, "--seed", seed, *extra]

    rows = chosen_rows(args, groups)
    critics: dict[str, Job] = {}
    for name in dict.fromkeys(how["critic"] for how in rows.values()):
        critic, folder = groups["critics"][name], exp_dir / name
        command = ["train_transcriptor.py", "--exp_dir", folder, *flags(critic["options"])]
        seconds = critic["cost"] * conf["t_epochs"] * conf["t_steps"] + STARTING
        critics[name] = Job(name, folder, seconds, [*command, *common, "--seed", 0, *extra])
    shared = []
    for name, row in PRE_TRAINED.items():
        if name in critics:
            folder, model = exp_dir / slug(row), ["--transcriptor", best(critics[name])]
            read = scoring(folder, row, 0, *model)
            needs, seconds = [critics[name]], SCORING["pre-train"]
            shared.append(Job(row, folder, seconds, [], read, needs, (row, 0)))
    folder = exp_dir / "oracles"
    oracles = scoring(folder, "oracles", 0, "--oracles")
    known = ("input mixture", 0)  # one of the rows that it scores
    shared.append(Job("oracles", folder, SCORING["oracles"], [], oracles, [], known))
    for other in externals(args, rows):
        folder = exp_dir / EXTERNAL / slug(other.name)
        options = ["--external", f"{other.name}={other.command}"]
        options += ["--external_stems", stems_option(other)] if other.files else []
        options += ["--external_timeout", args.external_timeout]
        read = scoring(folder, other.name, 0, *options)
        result = (other.name, 0)
        shared.append(Job(other.name, folder, SCORING["external"], [], read, [], result))

    jobs = [*critics.values(), *shared]
    for seed in range(args.seeds):
        made: dict[str, Job] = {}
        for row, how in rows.items():
            if seed >= how.get("seeds", args.seeds):
                continue
            folder = exp_dir / f"seed{seed}" / slug(row)
            critic = critics[how["critic"]]
            transcriptor = best(critic)
            if "critic_of" in how:
                critic = made[how["critic_of"]]
                transcriptor = critic.folder / "best_transcriptor.pth"
            own = [*flags(how["options"]), *extra, *common, "--seed", seed]
            if args.minutes:
                own += ["--s_minutes", args.minutes]
            steps, needs, own_transcriptor = updates, [critic], []
            if how["train"] == "finetune":
                command = ["finetune.py", "--exp_dir", folder]
                if "start" in how:
                    start, steps = made[how["start"]], fine
                    command += ["--separator", best(start)]
                    needs.append(start)
                command += ["--transcriptor", transcriptor, *own]
                if "start" not in how:
                    command += ["--f_epochs", steps // conf["f_steps"]]
                own_transcriptor = ["--transcriptor", folder / "best_transcriptor.pth"]
            else:
                steps -= fine if how.get("shorter") else 0
                command = ["train_separator.py", "--exp_dir", folder, "--critic", transcriptor]
                # Equally many segments for every row, whatever its batches and its epochs.
                row_conf = {**conf, **how["options"], **given}
                steps = steps * conf["s_batch_size"] // row_conf["s_batch_size"]
                command += [*own, "--s_epochs", max(steps // row_conf["s_steps"], 1)]
            models = ["--separator", folder / "best_model.pth", *own_transcriptor]
            scored = scoring(folder, row, seed, *models)
            training = 60 * args.minutes or how["cost"] * steps
            seconds = training + STARTING + SCORING[how["train"]]
            name, result = f"{row}, seed {seed}", (row, seed)
            made[row] = Job(name, folder, seconds, command, scored, needs, result)
        jobs += made.values()
    return jobs


def shared_minutes(jobs: Iterable[Job], total: float, n_parallel: int) -> dict[str, float]:
    """Divides minutes among jobs: settings of all scripts, by name.

    Args:
        jobs (iterable of Job): All jobs.
        total (float): Minutes for all of them.
        n_parallel (int): Jobs in parallel.

    Raises:
        ValueError: if starting the scripts takes longer.
    """
    jobs = list(jobs)
    scripts = [SCRIPTS[str(job.training[0])] for job in jobs if job.training]
    scored = sum(bool(job.scoring) for job in jobs)
    left = total * n_parallel - STARTING / 60 * (len(scripts) + scored)
    if left <= 0:
        raise ValueError(
            f"--total_minutes {total:g} is too short for {len(scripts)} trainings and {scored} "
            "scorings, which take longer to start: choose fewer --rows."
        )
    unit = (1 - SCORING_FRACTION) * left / sum(TRAINING_WEIGHTS[step] for step in scripts)
    minutes = {
        f"{step}_minutes": round(unit * weight, 4) for step, weight in TRAINING_WEIGHTS.items()
    }
    return {**minutes, "eval_minutes": round(SCORING_FRACTION * left / max(scored, 1), 4)}


def best(job: Job) -> Path:
    """The model that a job trains."""
    return job.folder / "best_model.pth"


def wanted(jobs: Iterable[Job], kept: Collection[tuple]) -> list[Job]:
    """The jobs whose results are not `kept`, and those they need, which are trained only."""
    chosen = [job for job in jobs if job.result and job.result not in kept]
    for job in chosen:
        chosen += [need for need in job.needs if need not in chosen]
    for job in chosen:
        if job.result in kept:
            job.scoring = []
    return [job for job in jobs if job in chosen]


def read_kept(args: argparse.Namespace) -> pd.DataFrame:
    """The results to keep."""
    if not args.keep:
        return pd.DataFrame(columns=["row", "seed"])
    if not Path(args.keep).is_file():
        raise SystemExit(f"--keep {args.keep}: there is no such file.")
    results = Path(args.results or Path(args.exp_dir) / "results.csv")
    if results.resolve() == Path(args.keep).resolve():
        raise SystemExit(
            f"--keep {args.keep} is where the results are written: they would replace "
            "it. Keep a copy of it."
        )
    return with_present_names(pd.read_csv(args.keep))


def write_report(args: argparse.Namespace, groups: Mapping[str, Any]) -> str:
    """Writes the results so far and the tables made of them."""
    exp_dir = Path(args.exp_dir)
    found = [pd.read_csv(path) for path in sorted(exp_dir.glob("**/scores.csv"))]
    kept = read_kept(args)
    made = {key for frame in found for key in zip(frame.row, frame.seed)}
    found.append(kept[[key not in made for key in zip(kept.row, kept.seed)]])
    if not sum(map(len, found)):
        return ""
    results = Path(args.results or exp_dir / "results.csv")
    rows = [row for group in args.groups.split(",") for row in groups[group]]
    order = ["input mixture", "score oracle", "score oracle, soft", "score oracle, informed"]
    paths = sorted((exp_dir / EXTERNAL).glob("*/scores.csv"))
    others = [row for path in paths for row in pd.read_csv(path).row.unique()]
    order += [*PRE_TRAINED.values(), *rows, *others, "ideal ratio mask"]
    frame = pd.concat([part for part in found if len(part)], ignore_index=True)
    frame = frame[frame.row.isin(order)]
    frame["place"] = frame.row.map(order.index)
    frame = frame.sort_values(["place", "seed"], kind="stable").drop(columns="place")
    with atomic_path(results) as temporary:
        frame.to_csv(temporary, index=False)
    summary = read_results(results)
    names = [name for name in dict.fromkeys(summary.instrument) if name != "mean"]
    markdown = "\n".join(table.to_markdown() for table in tables(summary, order, names))
    with atomic_path(results.with_suffix(".md")) as temporary:
        temporary.write_text(markdown, encoding="utf-8")
    return markdown


def main(args: argparse.Namespace) -> None:
    groups = yaml.safe_load((HERE / "local/experiments.yml").read_text())
    for group in set(groups) - {"critics"}:
        for how in groups[group].values():
            how.setdefault("critic", "transcriptor")
    unknown = set(args.groups.split(",")) - (set(groups) - {"critics"})
    if unknown:
        raise SystemExit(f"--groups {args.groups}: local/experiments.yml has no {sorted(unknown)}.")
    conf = settings.flat(settings.read_conf(args.preset))
    conf.update(given_settings(shlex.split(args.train_opts)))
    if not args.tables_only:
        kept = read_kept(args)
        cores = (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
        n_parallel = args.n_parallel or torch.cuda.device_count() or cores
        jobs = wanted(plan(args, conf, groups), set(zip(kept.row, kept.seed)))
        if args.total_minutes:
            path = Path(args.exp_dir) / "minutes.json"
            if not path.is_file():  # resumed rows keep their minutes
                write_json(path, shared_minutes(jobs, args.total_minutes, n_parallel))
            args.train_opts += " " + " ".join(flags(read_json(path)))
            jobs = wanted(plan(args, conf, groups), set(zip(kept.row, kept.seed)))
        missing = [job for job in jobs if job.missing()]
        hours = sum(job.seconds for job in missing) / n_parallel / 3600
        print(
            f"{len(jobs) - len(missing)} of {len(jobs)} jobs are done. The other {len(missing)} "
            f"take about {int(hours)} h {round(hours % 1 * 60)} min, {n_parallel} in parallel (by "
            "the times in local/experiments.yml)."
        )
        if args.dry_run:
            for job in missing:
                print(f"  {job.name}: {job.seconds / 60:.0f} min of one core")
            return
        failed = run(
            missing, n_parallel, max(cores // n_parallel, 1), lambda: write_report(args, groups)
        )
        print(write_report(args, groups))
        if failed:
            names = ", ".join(job.name for job in failed)
            raise SystemExit(f"{len(failed)} jobs failed or could not start: {names}.")
        return
    print(write_report(args, groups))


if __name__ == "__main__":
    try:
        main(parser.parse_args())
    except ValueError as error:  # invalid settings, unreadable data
        raise SystemExit(f"experiments.py: {error}") from None
