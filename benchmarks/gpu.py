"""Tests and measurements on a GPU, within a given number of minutes, in one command.

    python benchmarks/gpu.py --minutes 4 --out gpu_results
    python benchmarks/gpu.py --minutes 4 --out gpu_results --parts training,loading
    python benchmarks/gpu.py --minutes 2 --out /tmp/try --device cpu --tiny true     to try it

Runs the tests marked `gpu` while songs are synthesized for the data path, then measures: the speed
of large products; updates of steps 1 to 3 in the size of a preset, as a fraction of that speed; the
time of score-informed masks; separation; how much of the time the GPU waits for data, by the number
of workers; memory over many updates; two ways to compute depthwise convolutions; and the updates
with torch.compile.

Every part has its share of the minutes. Results are written to OUT/gpu.json and OUT/gpu.md after
every row, so that a run that is killed keeps what it has; what did not fit is named there. Nothing
is downloaded: on a machine without network, install the dependencies from wheels
(`pip install --no-index --find-links .whl ...`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
#: Fraction of the minutes for the tests, during which songs are synthesized.
TESTS = 0.3
#: The parts in the order in which they run, and how the rest of the time is shared. The last one
#: cannot be stopped between its rows.
SHARES = {
    "peak": 0.03, "training": 0.2, "masks": 0.05, "separation": 0.1, "loading": 0.2, "memory": 0.1,
    "kernels": 0.02, "compiled": 0.3,
}  # fmt: skip
#: Seconds kept for ending processes, and seconds that a part may exceed its time.
RESERVE, GRACE = 6.0, 10.0
#: Tests for --tiny, which tries the command.
TINY_TESTS = "step_one_has"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--minutes", type=float, default=4.0, help="time for everything")
parser.add_argument("--out", required=True, help="folder for gpu.json, gpu.md and tests.log")
parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
parser.add_argument("--preset", default="paper", help="sizes of the networks")
parser.add_argument("--parts", default="", help="only these parts, separated by commas")
parser.add_argument("--tiny", default="false", choices=["true", "false"], help="tiny sizes")
parser.add_argument("--child", default="", help=argparse.SUPPRESS)
parser.add_argument("--songs", default="", help=argparse.SUPPRESS)
parser.add_argument("--last", default="", help=argparse.SUPPRESS)


# ---------------------------------------------------------------- the processes that compute


def synthesize_songs(songs: Path, tiny: bool) -> None:
    """Makes and prepares the songs of the data path."""
    from asteroid_scoresup.data.prepare import prepare
    from asteroid_scoresup.synthesis.synthesize import synthesize

    size = dict(n_train=1, seconds=4, jobs=1) if tiny else dict(n_train=24, seconds=60)
    options: dict[str, Any] = dict(n_validation=1, n_test=0, n_test_unseen=0, sample_rate=16000)
    synthesize(songs / "slakh", quiet=True, **options, **size)
    jobs = 1 if tiny else None
    prepare(songs / "slakh", songs / "prepared", check=False, jobs=jobs, progress=False)


def ends_of(parts: Sequence[str], last: float) -> dict[str, float]:
    """When each part has to be finished, of the time from now to `last`."""
    at, ends = time.time(), {}
    total, left = sum(SHARES[name] for name in parts), last - at
    for name in parts:
        at += SHARES[name] / total * left
        ends[name] = at
    return ends


def measure(args: argparse.Namespace) -> None:
    """Runs parts one after the other; prints a line of JSON for every row."""
    from cases import machine
    from gpu_parts import PARTS, Bench

    # Shared after the imports, whose time nobody knows.
    ends = ends_of(args.child.split(","), float(args.last))
    print(json.dumps({"machine": machine(), "ends": ends}), flush=True)
    bench = Bench(args.device, args.preset, args.tiny == "true", Path(args.songs) / "prepared")
    for name, end in ends.items():
        print(json.dumps({"part": name}), flush=True)
        try:
            for row, numbers in PARTS[name](bench, end):
                print(json.dumps({"part": name, "row": row, "numbers": numbers}), flush=True)
        except Exception as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())[:500]
            print(json.dumps({"part": name, "status": f"failed: {what}"}), flush=True)
        else:
            print(json.dumps({"part": name, "status": "done"}), flush=True)


# ---------------------------------------------------------------- the process that keeps time


class Results:
    """What has been found so far, written after every change."""

    def __init__(self, args: argparse.Namespace, parts: Sequence[str]) -> None:
        self.out = Path(args.out)
        self.found: dict[str, Any] = {
            "device": args.device,
            "preset": args.preset,
            "tiny": args.tiny == "true",
            "minutes": args.minutes,
            "machine": {},
            "parts": {name: {"status": "not reached", "rows": {}} for name in parts},
        }

    def part(self, name: str) -> dict[str, Any]:
        """What was found in a part."""
        return self.found["parts"][name]

    def write(self) -> None:
        """Writes both files."""
        from asteroid_scoresup.utils.files import atomic_path

        text = json.dumps(self.found, indent=1)
        for name, content in (("gpu.json", text), ("gpu.md", self.markdown())):
            with atomic_path(self.out / name) as temporary:
                temporary.write_text(content + "\n", encoding="utf-8")

    def markdown(self) -> str:
        """One table per part."""
        from asteroid_scoresup.utils.markdown import markdown_table

        facts = {**self.found["machine"], **{k: self.found[k] for k in ("preset", "minutes")}}
        lines = [", ".join(f"{key}: {value}" for key, value in facts.items()), ""]
        for name, part in self.found["parts"].items():
            rows = part["rows"]
            columns = list(dict.fromkeys(key for row in rows.values() for key in row or {}))
            lines += [f"{name}: {part['status']}", ""]
            if columns:
                cells = [[row, *(_cell((numbers or {}).get(c)) for c in columns)]
                         for row, numbers in rows.items()]  # fmt: skip
                lines += [markdown_table([name, *columns], cells), ""]
        return "\n".join(lines).rstrip()


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def child(args: argparse.Namespace, songs: str, *more: str) -> list[str]:
    """The command line of a process of this script."""
    words = [sys.executable, str(HERE / "gpu.py"), f"--songs={songs}", *more]
    return [*words, *(f"--{k}={getattr(args, k)}" for k in ("out", "device", "preset", "tiny"))]


def end(process: subprocess.Popen) -> None:
    """Ends a process and those it has started, such as workers of a loader."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def run_tests(args: argparse.Namespace, until: float) -> dict[str, Any]:
    """Runs the tests marked `gpu`; the whole output goes to OUT/tests.log."""
    command = [sys.executable, "-m", "pytest", "tests/gpu", "-q", "--durations=5", "-rf"]
    if args.tiny == "true":
        command += ["-k", TINY_TESTS]
    environment = {**os.environ, "SCORESUP_TEST_DEVICE": args.device}
    log = Path(args.out) / "tests.log"
    with open(log, "w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command, cwd=HERE.parent, stdout=stream, stderr=subprocess.STDOUT, env=environment,
            start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(timeout=max(until - time.time(), 1))
            status = "done" if process.returncode == 0 else f"failed: see {log.name}"
        except subprocess.TimeoutExpired:
            status = "did not fit into its time"
        finally:
            end(process)
    lines = log.read_text(encoding="utf-8").splitlines()
    failed = {line: {} for line in lines if line.startswith("FAILED")}
    return {"status": status, "rows": {(lines or [""])[-1].strip("= "): {}, **failed}}


def messages(process: subprocess.Popen) -> queue.Queue[dict[str, Any] | None]:
    """The lines of JSON that a process prints, and None after the last."""
    found: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                found.put(json.loads(line))
        found.put(None)

    threading.Thread(target=read, daemon=True).start()
    return found


def run_parts(args: argparse.Namespace, results: Results, songs: str, last: float) -> None:
    """Measures the parts in one process; after one that ended it, a new process goes on."""
    waiting = [name for name in results.found["parts"] if name != "tests"]
    while waiting and time.time() < last - RESERVE:
        waiting = run_some(args, results, songs, waiting, last - RESERVE)
    for name in waiting:
        results.part(name)["status"] = "did not fit"
    results.write()


def run_some(
    args: argparse.Namespace, results: Results, songs: str, waiting: list[str], last: float
) -> list[str]:
    """Measures parts in one process until one fails to end; returns those that are left."""
    waiting, ends = list(waiting), dict.fromkeys(waiting, last)
    words = f"--child={','.join(waiting)}", f"--last={last}"
    with open(results.out / "errors.log", "a", encoding="utf-8") as errors:
        process = subprocess.Popen(
            child(args, songs, *words), stdout=subprocess.PIPE, stderr=errors, text=True,
            start_new_session=True,
        )  # fmt: skip
    try:
        lines = messages(process)
        while waiting:
            limit = min(ends[waiting[0]] + GRACE, last + RESERVE - 1)
            try:
                message = lines.get(timeout=max(limit - time.time(), 0.01))
            except queue.Empty:
                results.part(waiting.pop(0))["status"] = "did not fit into its time"
                return waiting
            if message is None:
                results.part(waiting.pop(0))["status"] = "ended its process: see errors.log"
                return waiting
            if "machine" in message:
                results.found["machine"], ends = message["machine"], message["ends"]
                continue
            part = results.part(message["part"])
            part["status"] = message.get("status", "running")
            if "row" in message:
                part["rows"][message["row"]] = message["numbers"]
            if "status" in message:
                waiting.remove(message["part"])
            results.write()
        return []
    finally:
        end(process)


def main(args: argparse.Namespace) -> int:
    """Runs everything; returns 1 if a test or a part failed."""
    start = time.time()
    last = start + 60 * args.minutes
    chosen = args.parts.split(",") if args.parts else ["tests", *SHARES]
    unknown = set(chosen) - {"tests", *SHARES}
    if unknown:
        parser.error(f"--parts are of tests, {', '.join(SHARES)}; found {sorted(unknown)}.")
    Path(args.out).mkdir(parents=True, exist_ok=True)
    results = Results(args, chosen)
    with tempfile.TemporaryDirectory() as songs:
        # Nothing to do for the other parts, which then start at once.
        needed = set(chosen) & {"loading", "memory"}
        synthesis = subprocess.Popen(
            child(args, songs, "--child=songs") if needed else [sys.executable, "-c", ""],
            start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            results.write()
            if "tests" in chosen:
                results.part("tests").update(run_tests(args, start + TESTS * 60 * args.minutes))
                results.write()
            try:
                _, problem = synthesis.communicate(timeout=max(last - time.time() - RESERVE, 1))
            except subprocess.TimeoutExpired:
                problem = "The songs were not ready in time."
            if synthesis.returncode != 0:
                print(f"gpu.py: no songs for the data path: {problem[-500:]}", file=sys.stderr)
            run_parts(args, results, songs, last)
        finally:
            end(synthesis)
            results.found["seconds"] = round(time.time() - start, 1)
            results.write()
    print(results.markdown())
    states = [part["status"] for part in results.found["parts"].values()]
    return int(any(state.startswith(("failed", "ended")) for state in states))


if __name__ == "__main__":
    parsed = parser.parse_args()
    if parsed.child == "songs":
        synthesize_songs(Path(parsed.songs), parsed.tiny == "true")
    elif parsed.child:
        measure(parsed)
    else:
        sys.exit(main(parsed))
