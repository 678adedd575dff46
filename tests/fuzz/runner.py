"""Runs the commands on files with seeded random damage, and counts the outcomes.

::

    python tests/fuzz --cases 500 --seed 1
    python tests/fuzz --kinds midi --seed 1 --only 17     # one case, with its output

Everything is imported once; each case runs the command line in a fork, with limits on time and
memory. Two outcomes are fine: a *result* (exit status 0), and a *sentence* (exit status 1 or 2 with
a message). The others are failures: a TRACEBACK (or an unexpected error in a report), a HANG, a
CRASH (ended by a signal), MEMORY above the limit, SILENCE (an error without a message), and a file
written OUTSIDE the folder of the case.
"""

import argparse
import contextlib
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from fuzz.kinds import KINDS
from fuzz.material import make_material

FINE = ("result", "sentence")
WRONG = ("TRACEBACK", "HANG", "CRASH", "MEMORY", "SILENCE", "OUTSIDE")
_FAULT = 70  # exit status of a case that ended in a traceback


def run_case(command, output, timeout, memory):
    """Runs a command in a fork.

    Args:
        command (list): Arguments of the command line.
        output (Path): File for its output.
        timeout (float): Time limit, in seconds.
        memory (int): Limit of memory use in MB, without the imports.

    Returns:
        str: The outcome, of :data:`FINE` or :data:`WRONG`.
    """
    before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    pid = os.fork()
    if pid == 0:
        _be_the_case([str(word) for word in command], output, memory)
    deadline, status = time.monotonic() + timeout, None
    while status is None and time.monotonic() < deadline:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if not ended:
            status = None
            time.sleep(0.01)
    hung = status is None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # and processes that it started
    if hung:
        os.wait4(pid, 0)
        return "HANG"
    text = output.read_text(encoding="utf-8", errors="replace")
    if usage.ru_maxrss * 1024 - before > memory * 2**20 or "MemoryError" in text:
        return "MEMORY"
    if os.WIFSIGNALED(status):
        return "CRASH"
    code = os.WEXITSTATUS(status)
    if code == _FAULT or "Traceback (most recent" in text or "unexpected error" in text:
        return "TRACEBACK"
    if code == 0:
        return "result"
    return "sentence" if text.strip() else "SILENCE"


def _be_the_case(command, output, memory):
    """Runs the command in the fork, which then exits."""
    code = _FAULT
    try:
        import faulthandler
        import resource

        faulthandler.disable()  # enabled by pytest, and would write to its terminal
        os.setsid()
        # A second limit far above the first, to protect the machine.
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + (memory + 4096) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(target, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        from asteroid_scoresup.scripts.cli import main as command_line

        code = command_line(command)
    except SystemExit as stop:  # argparse
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def fuzz(kinds, cases, seed, timeout=30.0, memory=1500, only=None, log=print):
    """Runs cases.

    Args:
        kinds (sequence of str): Keys of :data:`~fuzz.kinds.KINDS`, which alternate.
        cases (int): Number of cases, of all kinds together.
        seed (int): Random seed.
        timeout (float): See :func:`run_case`.
        memory (int): See :func:`run_case`.
        only (int, optional): Runs only this case of each kind.
        log (callable): Function that prints failures as they occur.

    Returns:
        tuple: Numbers of outcomes by kind (:class:`collections.Counter`), and the failures as
        dicts.
    """
    for verb in ("synthesize", "prepare", "check", "separate", "transcribe"):
        importlib.import_module(f"asteroid_scoresup.scripts.{verb}")
    importlib.import_module("asteroid_scoresup.synthesis.synthesize")
    outcomes, wrong = {kind: Counter() for kind in kinds}, []
    with tempfile.TemporaryDirectory(prefix="fuzz_") as place:
        root = Path(place, "material")
        root.mkdir()
        make_material(root)
        material = _listing(root)
        for turn in range(cases):
            kind, number = kinds[turn % len(kinds)], turn // len(kinds)
            if only is not None and number != only:
                continue
            rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), number])
            case, output = Path(place, "case"), Path(place, "output.txt")
            folder = case / "files"
            folder.mkdir(parents=True)
            command = KINDS[kind](rng, root, folder)
            outcome = run_case(command, output, timeout, memory)
            if set(os.listdir(place)) != {"material", "case", "output.txt"}:
                outcome = "OUTSIDE"
            if _listing(root) != material:
                outcome = "OUTSIDE"
            outcomes[kind][outcome] += 1
            text = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
            if only is not None:
                log(f"{' '.join(map(str, command))}\n{text}")
            if outcome in WRONG:
                last = (text.strip().splitlines() or [""])[-1]
                wrong.append(
                    {
                        "kind": kind,
                        "seed": seed,
                        "case": number,
                        "outcome": outcome,
                        "verb": command[0],
                        "last_line": last[:300],
                        "again": f"python tests/fuzz --kinds {kind} --seed {seed} --only {number}",
                    }
                )
                log(f"{outcome}: {wrong[-1]['again']}  ({command[0]}) {last[:160]}")
            shutil.rmtree(case, ignore_errors=True)
            output.unlink(missing_ok=True)
    return outcomes, wrong


def _listing(root):
    """Names and sizes of the files that no case may change, without locks."""
    files = (p for p in root.rglob("*") if p.is_file() and not p.name.startswith(".lock"))
    return {(str(p), p.stat().st_size) for p in files}


def table(outcomes):
    """Formats the counts as a table with one line per kind."""
    columns = [*FINE, *WRONG]
    rows = [["kind", "cases", *columns]]
    total = Counter()
    for kind, counts in outcomes.items():
        total += counts
        rows.append([kind, sum(counts.values()), *(counts[name] for name in columns)])
    rows.append(["all", sum(total.values()), *(total[name] for name in columns)])
    return "\n".join("".join(f"{str(cell):>11}" for cell in row) for row in rows)


def main(argv=None):
    """Runs the command line of this module.

    Returns:
        int: 0 if every outcome was fine, else 1.
    """
    parser = argparse.ArgumentParser(prog="python tests/fuzz", description=__doc__.split("::")[0])
    parser.add_argument("--cases", type=int, default=300, help="number of cases (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument(
        "--kinds", default=",".join(KINDS), help="comma-separated kinds (%(default)s)"
    )
    parser.add_argument("--only", type=int, help="run only this case of each kind, with its output")
    parser.add_argument(
        "--timeout", type=float, default=30.0, help="time limit, in seconds (%(default)s)"
    )
    parser.add_argument(
        "--memory",
        type=int,
        default=1500,
        help="limit in MB, without imports (default: %(default)s)",
    )
    parser.add_argument("--out", metavar="JSON", help="file for the failures")
    args = parser.parse_args(argv)
    kinds = args.kinds.split(",")
    unknown = set(kinds) - set(KINDS)
    if unknown:
        parser.error(f"unknown kinds {sorted(unknown)}: choose from {', '.join(KINDS)}")
    cases = args.cases if args.only is None else (args.only + 1) * len(kinds)
    found = fuzz(kinds, cases, args.seed, args.timeout, args.memory, args.only, log=_print)
    outcomes, wrong = found
    print(table(outcomes))
    if args.out:
        Path(args.out).write_text(json.dumps(wrong, indent=2) + "\n", encoding="utf-8")
    return 1 if wrong else 0


def _print(text):
    print(text, flush=True)
