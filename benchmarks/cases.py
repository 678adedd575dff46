"""What the benchmarks share: cases in processes of their own, in turn, and what machine it was."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch


def peak_mib():
    """Largest resident memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage would count the process that started this one
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def run_in_turn(script, cases, options, repeats):
    """Runs ``script … --one CASE`` for every case in turn, `repeats` times.

    A machine that slows down slows all of them. Each process prints one line of JSON at its end.

    Returns:
        dict: case → the median of every number that its runs printed.
    """
    runs = {case: [] for case in cases}
    for _ in range(repeats):
        for case, found in runs.items():
            command = [sys.executable, str(script), *options, f"--one={case}"]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{case} failed:\n{done.stderr[-2000:]}")
            found.append(json.loads(done.stdout.splitlines()[-1]))
    return {
        case: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for case, found in runs.items()
        if found
    }


def product_speed(size=1536, repeats=10):
    """Multiplications and additions per second of a large fp32 matrix product."""
    one, other = torch.randn(size, size), torch.randn(size, size)
    torch.mm(one, other)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(one, other)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def machine():
    """Processor, cores and versions, for the record."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), name)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def report(title, columns, rows, facts, path=""):
    """Prints a Markdown table and, with facts, one line of JSON; writes that where asked to."""
    # Imported here, so that it is no part of the memory that the measured processes report.
    from asteroid_scoresup.utils.markdown import markdown_table

    cells = [
        [name, *(f"{values[c]:.4g}" if c in values else "" for c in columns)]
        for name, values in rows.items()
    ]
    print(markdown_table([title, *columns], cells))
    if facts is None:
        return
    record = json.dumps({"machine": machine(), **facts, "results": rows})
    print(record)
    if path:
        Path(path).write_text(record + "\n")
