"""Preparation: time and disk space per minute of audio, extrapolated to Slakh2100.

    python benchmarks/preparation.py                      twelve synthesized songs of a minute
    python benchmarks/preparation.py --slakh_dir DIR      songs in Slakh's format

Prints medians of alternating runs. The time on more cores is extrapolated from that of one process,
assuming for every doubling of their number the efficiency measured here from one to two processes.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path

import torch
from cases import peak_mib, report, run_in_turn

SLAKH_HOURS = {"Slakh2100 (2100 songs)": 145.0, "Slakh2100 redux (1710 songs)": 118.0}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--slakh_dir", default="", help="songs in Slakh's format")
parser.add_argument("--songs", type=int, default=12, help="number of one-minute songs")
parser.add_argument("--jobs", default="1,2", help="numbers of processes to compare")
parser.add_argument("--cores", type=int, default=16, help="number of cores of the extrapolation")
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--out", default="", help="file for the results, as JSON")
parser.add_argument("--one", default="", help=argparse.SUPPRESS)  # for the process of one case


def run_one(args: argparse.Namespace) -> None:
    """Times one preparation and prints JSON."""
    from asteroid_scoresup.data import Manifest
    from asteroid_scoresup.data.prepare import prepare
    from asteroid_scoresup.utils.parallel import run_parallel

    jobs, check = int(args.one.split()[0]), "unchecked" not in args.one
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "prepared"
        list(run_parallel(abs, [1] * jobs, jobs))  # starts the processes and their imports
        start = time.perf_counter()
        prepare(args.slakh_dir, out, jobs=jobs, check=check, progress=False)
        seconds = time.perf_counter() - start
        manifest = Manifest.load(out)
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        mixtures = sum(manifest.mixture_path(track).stat().st_size for track in manifest.tracks)
    minutes = sum(track.n_samples for track in manifest.tracks) / manifest.sample_rate / 60
    found = {"s_per_minute": seconds / minutes, "mib_per_minute": size / minutes / 2**20}
    found["mib_without_stems"] = mixtures / minutes / 2**20
    if jobs == 1:
        found["peak_mib"] = peak_mib()
    print(json.dumps(found))


def main(args: argparse.Namespace) -> None:
    """Runs all cases and prints the results."""
    from asteroid_scoresup.synthesis.synthesize import synthesize

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        if not args.slakh_dir:
            args.slakh_dir = str(Path(place) / "slakh")
            synthesize(
                args.slakh_dir, n_train=args.songs, n_validation=0, n_test=0, n_test_unseen=0,
                seconds=60, renderer="tinysoundfont", quiet=True,
            )  # fmt: skip
        cases = [f"{jobs} processes" for jobs in args.jobs.split(",")]
        cases.append(f"{args.jobs.split(',')[0]} processes, unchecked")
        options = [f"--slakh_dir={args.slakh_dir}"]
        rows = run_in_turn(Path(__file__), cases, options, args.repeats)
    columns = ["s_per_minute", "mib_per_minute", "mib_without_stems", "peak_mib"]
    numbers = [int(jobs) for jobs in args.jobs.split(",")]
    first, last = rows[cases[0]], rows[cases[len(numbers) - 1]]
    gain = first["s_per_minute"] / last["s_per_minute"]
    doublings = math.log2(numbers[-1] / numbers[0])
    efficiency = (gain / 2**doublings) ** (1 / doublings) if doublings else 1.0
    speed = args.cores * efficiency ** math.log2(args.cores)
    whole = {}
    for name, hours in SLAKH_HOURS.items():
        whole[name] = {
            "hours": hours * 60 * numbers[0] * first["s_per_minute"] / speed / 3600,
            "gib": hours * 60 * first["mib_per_minute"] / 1024,
            "gib_without_stems": hours * 60 * first["mib_without_stems"] / 1024,
        }
    report(f"on {args.cores} cores, extrapolated", list(next(iter(whole.values()))), whole, None)
    facts = {"efficiency_of_a_doubling": efficiency, "cores": args.cores, "whole": whole}
    report("preparation", columns, rows, facts, args.out)


if __name__ == "__main__":
    parsed = parser.parse_args()
    run_one(parsed) if parsed.one else main(parsed)
