"""Trainings with their scoring as jobs that depend on each other, several in parallel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from asteroid_scoresup.utils.files import read_json, write_json

from .settings import FREE

RECIPE = Path(__file__).parents[1]
#: Folder of the rows of separators that are commands, in that of the experiments.
EXTERNAL = "external"


@dataclass(eq=False)
class Job:
    """One row with one seed, or a model that rows need: its folder, commands and dependencies.

    Args:
        name (str): Name to print.
        folder (Path): Its folder; ``done.json`` there lists the finished commands.
        seconds (float): Expected time on one core, in s.
        training (list): Command line of the training, if there is one.
        scoring (list): Command line of the scoring, if there is one.
        needs (list of Job): Jobs that must be finished before.
        result (tuple): Row and seed in the results, if it is scored.
    """

    name: str
    folder: Path
    seconds: float
    training: list[Any] = field(default_factory=list)
    scoring: list[Any] = field(default_factory=list)
    needs: list[Job] = field(default_factory=list)
    result: tuple = ()

    def missing(self) -> dict[str, list[Any]]:
        """The commands that have not finished yet.

        Raises:
            SystemExit: if the folder contains a training with other settings.
        """
        path = self.folder / "done.json"
        done = read_json(path) if path.is_file() else {}
        done = {key: _without_free(value) for key, value in done.items()}
        if done.get("training", self._plain(self.training)) != self._plain(self.training):
            raise SystemExit(
                f"{self.folder} was trained with other settings: delete it, or choose another "
                "--exp_dir."
            )
        commands = {"training": self.training, "scoring": self.scoring}
        return {k: v for k, v in commands.items() if v and done.get(k) != self._plain(v)}

    @staticmethod
    def _plain(command: list[Any]) -> str:
        """A command without the folders of files, which may move, and settings that may change."""
        return _without_free(" ".join(re.sub(r"[^\s,=]*/", "", str(part)) for part in command))

    def run(self, threads: int) -> int:
        """Runs the missing commands; returns an exit status."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        for kind, command in self.missing().items():
            started = time.monotonic()
            line = [sys.executable, *map(str, command), "--quiet"]
            with open(self.folder / "log.txt", "a") as log:
                status = subprocess.run(
                    line, cwd=RECIPE, env=environment, stdout=log, stderr=subprocess.STDOUT
                ).returncode
            if status:
                return status
            path = self.folder / "done.json"
            done = read_json(path) if path.is_file() else {}
            done[f"{kind}_seconds"] = round(time.monotonic() - started, 1)
            write_json(path, {**done, kind: self._plain(command)})
        return 0


def _without_free(command: Any) -> Any:
    """A command without the settings that may change, however they are written."""
    if not isinstance(command, str):
        return command
    return re.sub(rf" --(({'|'.join(FREE)})( |=)\S+|quiet)(?= |$)", "", command)


def slug(name: str) -> str:
    """The name of a row as the name of a folder."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def run(jobs: list[Job], n_parallel: int, threads: int, report: Callable[[], object]) -> list[Job]:
    """Runs jobs in parallel, each after those it needs.

    Args:
        jobs (list of Job): The jobs.
        n_parallel (int): How many run at the same time.
        threads (int): Threads per job.
        report (callable): Called after each finished job.

    Returns:
        list of Job: Those that failed, or that need one that failed.
    """
    waiting, failed = list(jobs), []
    running: dict[Future, tuple[Job, float]] = {}
    # Expected times are corrected by the times of finished jobs.
    expected = spent = 0.0
    with ThreadPoolExecutor(n_parallel) as pool, tqdm(total=len(jobs), unit="job") as bar:
        while waiting or running:
            for job in [job for job in waiting if any(need in failed for need in job.needs)]:
                waiting.remove(job)
                failed.append(job)
            missing = {id(job) for job in [*waiting, *(job for job, _ in running.values())]}
            ready = [job for job in waiting if not any(id(need) in missing for need in job.needs)]
            for job in ready[: n_parallel - len(running)]:
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
                left = rest * spent / expected / n_parallel
                bar.write(f"{job.name}: {seconds / 60:.1f} min; about {left / 60:.0f} min to go")
                report()
    return failed
