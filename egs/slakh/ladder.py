"""Trains and scores the rows of the tables, several side by side; goes on where it was stopped.

A row is done when its folder holds ``done.json``; whatever is missing is made. See run_tables.sh.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
import yaml
from local import settings
from local.options import given_settings
from tqdm import tqdm

from asteroid_scoresup.evaluation import read_results, tables
from asteroid_scoresup.utils.files import atomic_path, read_json, write_json

HERE = Path(__file__).parent
SCORING = {"separator": 60, "finetune": 180, "oracles": 240, "pre-train": 150}  # s, as `cost`
PRE_TRAINED = {"transcriptor": "pre-train", "imitating": "pre-train, imitating separation"}
STARTING = 15  # s until a script trains

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--preset", default="small")
parser.add_argument("--train_data", required=True, help="prepared folder to train on")
parser.add_argument("--tests", required=True, help="as score.py --tests")
parser.add_argument("--exp_dir", required=True, help="folder of the ladder")
parser.add_argument("--results", default="", help="where the numbers go (exp_dir/results.csv)")
parser.add_argument(
    "--keep", default="", help="results whose rows and seeds are not trained again, but printed"
)
parser.add_argument("--groups", default="paper,ours,curve", help="groups of local/ladder.yml")
parser.add_argument("--rows", default="", help="only rows that this regular expression finds")
parser.add_argument("--seeds", type=int, default=3, help="seeds of the separator: 0, 1, ...")
parser.add_argument("--lanes", type=int, default=0, help="rows side by side (GPUs or cores)")
parser.add_argument("--minutes", type=float, default=0, help="of each separator; 0: equal updates")
parser.add_argument("--train_opts", default="", help="further settings for all training scripts")
parser.add_argument("--dry_run", action="store_true", help="only say what is missing, and the time")
parser.add_argument("--tables_only", action="store_true", help="make the tables and nothing else")


@dataclass(eq=False)
class Job:
    """One row with one seed, or what rows share: a folder, commands, and what must come first."""

    name: str
    folder: Path
    seconds: float  # forecast
    training: list = field(default_factory=list)  # command line, if it trains
    scoring: list = field(default_factory=list)  # command line, if it is scored
    needs: list = field(default_factory=list)
    result: tuple = ()  # row and seed, as in the results, if it is scored

    def missing(self):
        """The commands that are still to be run.

        Raises:
            SystemExit: if the folder holds a training with other settings.
        """
        path = self.folder / "done.json"
        done = read_json(path) if path.is_file() else {}
        if done.get("training", self._plain(self.training)) != self._plain(self.training):
            raise SystemExit(
                f"{self.folder} was trained with other settings: delete it, or choose another "
                "--exp_dir."
            )
        commands = {"training": self.training, "scoring": self.scoring}
        return {k: v for k, v in commands.items() if v and done.get(k) != self._plain(v)}

    @staticmethod
    def _plain(command):
        """A command without the places of files, which may be moved, and what is free to change."""
        text = " ".join(re.sub(r"[^\s,=]*/", "", str(part)) for part in command)
        return re.sub(rf" --({'|'.join(settings.FREE)}) \S+", "", text)

    def run(self, threads):
        """Runs what is missing; returns an exit status."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        for kind, command in self.missing().items():
            started = time.monotonic()
            line = [sys.executable, *map(str, command), "--quiet"]
            with open(self.folder / "log.txt", "a") as log:
                status = subprocess.run(
                    line, cwd=HERE, env=environment, stdout=log, stderr=subprocess.STDOUT
                ).returncode
            if status:
                return status
            path = self.folder / "done.json"
            done = read_json(path) if path.is_file() else {}
            done[f"{kind}_seconds"] = round(time.monotonic() - started, 1)
            write_json(path, {**done, kind: self._plain(command)})
        return 0


def slug(name):
    """A row's name as the name of a folder."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def flags(options):
    """Options as a command line."""
    return [text for key, value in options.items() for text in (f"--{key}", str(value))]


def chosen_rows(args, ladder):
    """The rows that are asked for, and those they start from, in the order of the tables."""
    rows = {}
    for group in args.groups.split(","):
        rows.update(ladder[group])
    wanted = {row for row in rows if re.search(args.rows, row)}
    if not wanted:
        raise SystemExit(f"--rows {args.rows} finds none of: {'; '.join(rows)}.")
    for key in ("critic_of", "start"):
        wanted |= {rows[row][key] for row in wanted if key in rows[row]}
    return {row: how for row, how in rows.items() if row in wanted}


def plan(args, conf, ladder):
    """All jobs, in the order in which they should be done."""
    exp_dir, train_data = Path(args.exp_dir).absolute(), Path(args.train_data).absolute()
    common = ["--preset", args.preset, "--data_dir", train_data]
    extra = shlex.split(args.train_opts)
    given = given_settings(extra)
    updates = conf["s_epochs"] * conf["s_steps"]
    fine = conf["f_epochs"] * conf["f_steps"]
    if fine % conf["s_steps"]:
        raise SystemExit(
            f"Fine-tuning has {fine} updates, which is no whole number of epochs of the separator "
            f"(s_steps {conf['s_steps']}): rows would not have equal budgets."
        )

    def scoring(folder, row, seed, *models):
        command = ["score.py", "--exp_dir", folder, "--row", row, "--tests", args.tests]
        return [*command, *models, *common, "--seed", seed, *extra]

    rows = chosen_rows(args, ladder)
    critics = {}
    for name in dict.fromkeys(how["critic"] for how in rows.values()):
        critic, folder = ladder["critics"][name], exp_dir / name
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
    known = ("input mixture", 0)  # one of the rows that it makes
    shared.append(Job("oracles", folder, SCORING["oracles"], [], oracles, [], known))

    jobs = [*critics.values(), *shared]
    for seed in range(args.seeds):
        made = {}
        for row, how in rows.items():
            if seed >= how.get("seeds", args.seeds):
                continue
            folder = exp_dir / f"seed{seed}" / slug(row)
            critic, heard = critics[how["critic"]], best(critics[how["critic"]])
            if "critic_of" in how:
                critic = made[how["critic_of"]]
                heard = critic.folder / "best_transcriptor.pth"
            own = [*flags(how["options"]), *extra, *common, "--seed", seed]
            if args.minutes:
                own += ["--s_minutes", args.minutes]
            steps, needs, reader = updates, [critic], []
            if how["train"] == "finetune":
                command = ["finetune.py", "--exp_dir", folder]
                if "start" in how:
                    start, steps = made[how["start"]], fine
                    command += ["--separator", best(start)]
                    needs.append(start)
                command += ["--transcriptor", heard, *own]
                if "start" not in how:
                    command += ["--f_epochs", steps // conf["f_steps"]]
                reader = ["--transcriptor", folder / "best_transcriptor.pth"]
            else:
                steps -= fine if how.get("shorter") else 0
                command = ["train_separator.py", "--exp_dir", folder, "--critic", heard]
                # As many segments for every row, whatever its batches and its epochs.
                row_conf = {**conf, **how["options"], **given}
                steps = steps * conf["s_batch_size"] // row_conf["s_batch_size"]
                command += [*own, "--s_epochs", max(steps // row_conf["s_steps"], 1)]
            models = ["--separator", folder / "best_model.pth", *reader]
            scored = scoring(folder, row, seed, *models)
            training = 60 * args.minutes or how["cost"] * steps
            seconds = training + STARTING + SCORING[how["train"]]
            name, result = f"{row}, seed {seed}", (row, seed)
            made[row] = Job(name, folder, seconds, command, scored, needs, result)
        jobs += made.values()
    return jobs


def best(job):
    """The model that a job leaves behind."""
    return job.folder / "best_model.pth"


def wanted(jobs, kept):
    """The jobs whose numbers are not `kept`, and all that these need, which are only trained."""
    chosen = [job for job in jobs if job.result and job.result not in kept]
    for job in chosen:
        chosen += [need for need in job.needs if need not in chosen]
    for job in chosen:
        if job.result in kept:
            job.scoring = []
    return [job for job in jobs if job in chosen]


def read_kept(args):
    """The results to keep, as a table."""
    if not args.keep:
        return pd.DataFrame(columns=["row", "seed"])
    if not Path(args.keep).is_file():
        raise SystemExit(f"--keep {args.keep}: there is no such file.")
    results = Path(args.results or Path(args.exp_dir) / "results.csv")
    if results.resolve() == Path(args.keep).resolve():
        raise SystemExit(
            f"--keep {args.keep} is where the results are written: they would take its "
            "place. Keep a copy of it."
        )
    return pd.read_csv(args.keep)


def run(jobs, lanes, threads, report):
    """Runs jobs side by side, each after those it needs; returns those that failed."""
    waiting, running, failed = list(jobs), {}, []
    # Forecasts are corrected by what finished jobs took.
    expected = spent = 0.0
    with ThreadPoolExecutor(lanes) as pool, tqdm(total=len(jobs), unit="job") as bar:
        while waiting or running:
            for job in [job for job in waiting if any(need in failed for need in job.needs)]:
                waiting.remove(job)
                failed.append(job)
            missing = {id(job) for job in [*waiting, *(job for job, _ in running.values())]}
            ready = [job for job in waiting if not any(id(need) in missing for need in job.needs)]
            for job in ready[: lanes - len(running)]:
                waiting.remove(job)
                running[pool.submit(job.run, threads)] = (job, time.monotonic())
            if not running:
                continue
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, started = running.pop(future)
                bar.update()
                error = future.exception()
                if error or future.result():
                    failed.append(job)
                    bar.write(f"FAILED: {job.name}: {error or job.folder / 'log.txt'}")
                    continue
                seconds = time.monotonic() - started
                expected, spent = expected + job.seconds, spent + seconds
                rest = sum(j.seconds for j in waiting) + sum(j.seconds for j, _ in running.values())
                left = rest * spent / expected / lanes
                bar.write(f"{job.name}: {seconds / 60:.1f} min; about {left / 60:.0f} min to go")
                report()
    return failed


def write_report(args, ladder):
    """Numbers of the rows that are there, and the tables made of them."""
    exp_dir = Path(args.exp_dir)
    found = [pd.read_csv(path) for path in sorted(exp_dir.glob("**/scores.csv"))]
    kept = read_kept(args)
    made = {key for frame in found for key in zip(frame.row, frame.seed)}
    found.append(kept[[key not in made for key in zip(kept.row, kept.seed)]])
    if not sum(map(len, found)):
        return ""
    results = Path(args.results or exp_dir / "results.csv")
    rows = [row for group in args.groups.split(",") for row in ladder[group]]
    order = ["input mixture", "score oracle", "score oracle, soft", "score oracle, informed"]
    order += [*PRE_TRAINED.values(), *rows, "ideal ratio mask"]
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


def main(args):
    ladder = yaml.safe_load((HERE / "local/ladder.yml").read_text())
    for group in set(ladder) - {"critics"}:
        for how in ladder[group].values():
            how.setdefault("critic", "transcriptor")
    unknown = set(args.groups.split(",")) - (set(ladder) - {"critics"})
    if unknown:
        raise SystemExit(f"--groups {args.groups}: local/ladder.yml has no {sorted(unknown)}.")
    conf = settings.flat(settings.read_conf(args.preset))
    conf.update(given_settings(shlex.split(args.train_opts)))
    if not args.tables_only:
        kept = read_kept(args)
        jobs = wanted(plan(args, conf, ladder), set(zip(kept.row, kept.seed)))
        missing = [job for job in jobs if job.missing()]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        lanes = args.lanes or torch.cuda.device_count() or cores
        hours = sum(job.seconds for job in missing) / lanes / 3600
        print(
            f"{len(jobs) - len(missing)} of {len(jobs)} jobs are done. The other {len(missing)} "
            f"take about {int(hours)} h {round(hours % 1 * 60)} min, {lanes} side by side (by the "
            "speeds in local/ladder.yml)."
        )
        if args.dry_run:
            for job in missing:
                print(f"  {job.name}: {job.seconds / 60:.0f} min of one core")
            return
        failed = run(missing, lanes, max(cores // lanes, 1), lambda: write_report(args, ladder))
        print(write_report(args, ladder))
        if failed:
            names = ", ".join(job.name for job in failed)
            raise SystemExit(f"{len(failed)} jobs failed or could not begin: {names}.")
        return
    print(write_report(args, ladder))


if __name__ == "__main__":
    try:
        main(parser.parse_args())
    except ValueError as error:  # settings that cannot be, data that cannot be read
        raise SystemExit(f"ladder.py: {error}") from None
