"""Shared by the benchmarks: runs cases in separate processes, and describes the machine."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch


def peak_mib() -> float:
    """Peak resident memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage includes the memory of the parent before the fork
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def run_in_turn(
    script: Path, cases: Iterable[str], options: Sequence[str], repeats: int
) -> dict[str, dict[str, float]]:
    """Runs ``script … --one CASE`` for all cases in turn, several times.

    The cases alternate, so that a slow phase of the machine affects all of them. The last line that
    a process prints is JSON with its numbers.

    Args:
        script (Path): The benchmark.
        cases (iterable of str): The cases.
        options (sequence of str): Further arguments of the script.
        repeats (int): Number of runs of each case.

    Returns:
        dict: The medians of the numbers, by case.
    """
    runs: dict[str, list[dict[str, float]]] = {case: [] for case in cases}
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


def product_speed(
    size: int = 1536,
    repeats: int = 10,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> float:
    """Floating-point operations per second in a large matrix product, by default in fp32."""
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    torch.mm(one, other)
    seconds = []
    for _ in range(repeats):
        wait_for(device)
        start = time.perf_counter()
        torch.mm(one, other)
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def wait_for(device: torch.device | str) -> None:
    """Waits until a device has done what was asked of it; a CPU always has."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def machine() -> dict[str, Any]:
    """Processor, number of cores, and versions."""
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


def report(
    title: str,
    columns: Sequence[str],
    rows: Mapping[str, Mapping[str, float]],
    facts: Mapping[str, Any] | None,
    path: str = "",
) -> None:
    """Prints a Markdown table and, given facts, a line of JSON.

    Args:
        title (str): Title of the first column.
        columns (sequence of str): Other columns.
        rows (dict): Numbers by row and column.
        facts (dict, optional): Further values of the JSON line, which also contains the rows and a
            description of the machine.
        path (str): File for the JSON line, if any.
    """
    # Imported here to keep it out of the memory use of the measured processes.
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


def print_means(found: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Prints a line per row: the mean over classes, and those of the classes over songs.

    Args:
        found (mapping): Values of all songs by row and class; NaN where a class is silent.
    """
    for row, values in found.items():
        means = {name: float(np.nanmean(value)) for name, value in values.items()}
        classes = ", ".join(f"{name} {value:.2f}" for name, value in means.items())
        print(f"{row}: {np.mean(list(means.values())):.2f} ({classes})")
