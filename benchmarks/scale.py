"""Start-up of a training with many songs: time and memory of manifests of different sizes.

    python benchmarks/scale.py --songs 2000 200000

The manifests are fabricated: their audio files do not exist, and nothing is read from them. For
each size, a new process loads the manifest, makes the training set and draws segments; the time of
each step and the largest memory of the process are printed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from asteroid_scoresup.data import DEFAULT_CLASSES, ClassMap, Manifest, PreparedTrack, ScoreDataset

RATE = 16000  # Hz


def write_manifest(folder: Path, n_songs: int) -> None:
    """Writes a manifest of songs of three to five minutes; one of a hundred is for validation."""
    rng = np.random.default_rng(0)
    classes = ClassMap.parse(DEFAULT_CLASSES)
    manifest = Manifest(folder, RATE, classes)
    for number, seconds in enumerate(rng.integers(180, 300, n_songs)):
        counts = dict(zip(classes.names, map(int, rng.integers(100, 2000, len(classes.names)))))
        manifest.tracks.append(
            PreparedTrack(
                id=f"Track{number:06d}",
                split="validation" if number % 100 == 0 else "train",
                n_samples=int(seconds) * RATE,
                rms=0.1,
                n_notes=counts,
                stems=list(classes.names),
            )
        )
    manifest.save()


def measure(folder: str) -> None:
    """Loads the manifest and draws segments; prints the times as JSON."""
    times, start = {}, time.perf_counter()

    def lap(name: str) -> None:
        nonlocal start
        now = time.perf_counter()
        times[name], start = round(now - start, 3), now

    manifest = Manifest.load(folder)
    lap("load_s")
    manifest.fingerprint()
    lap("fingerprint_s")
    dataset = ScoreDataset(manifest, "train", n_segments=1000, segment=4.096)
    lap("dataset_s")
    for index in range(1000):
        dataset.place(index)
    lap("draw_1000_s")
    times["peak_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    print(json.dumps(times))


def main() -> None:
    """Fabricates and measures manifests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, nargs="+", default=[2000, 200_000])
    args = parser.parse_args()
    for n_songs in args.songs:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            write_manifest(Path(folder), n_songs)
            written = time.perf_counter() - start
            size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
            print(
                f"{n_songs} songs: {size / 1e6:.1f} MB, written in {written:.1f} s: ",
                end="",
                flush=True,
            )
            process = multiprocessing.get_context("spawn").Process(target=measure, args=(folder,))
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(process.exitcode)


if __name__ == "__main__":
    main()
