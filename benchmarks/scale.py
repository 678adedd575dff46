"""Start-up of a training with many songs: time and memory, from folders and from shards.

    python benchmarks/scale.py --songs 2000 20000 200000 --most_folders 20000

The prepared folders are fabricated: all songs are hard links to some equal files of one second, and
are packed into shards. For each size and form, a new process loads the manifest, computes its
fingerprint, makes the training set and reads items at random; the time of each step and the largest
memory of the process are printed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import tempfile
import time
from pathlib import Path

import numpy as np

from asteroid_scoresup.data import (
    DEFAULT_CLASSES,
    ClassMap,
    Manifest,
    PreparedTrack,
    ScoreDataset,
    write_shards,
)
from asteroid_scoresup.data.note_table import write_notes
from asteroid_scoresup.score import Notes
from asteroid_scoresup.utils.files import write_audio

RATE, SEGMENT = 4000, 0.512  # Hz, seconds
#: File systems limit the number of links to a file.
LINKS = 10_000
ITEMS = 500


def write_folder(folder: Path, n_songs: int) -> Manifest:
    """Writes a prepared folder; one song of a hundred is for validation."""
    rng = np.random.default_rng(0)
    wav = rng.standard_normal(RATE).astype(np.float32)
    classes = ClassMap.parse(DEFAULT_CLASSES)
    onset = np.sort(rng.uniform(0, 0.9, 12))
    table = Notes(onset, onset + 0.1, np.arange(40, 52), np.arange(12) % 3, np.full(12, 90))
    manifest = Manifest(folder, RATE, classes)
    for number in range(n_songs):
        if number % LINKS == 0:
            mixture, notes = folder / f"mixture{number}.wav", folder / f"notes{number}.csv"
            write_audio(mixture, wav, RATE)
            write_notes(notes, table, classes.names)
        track = PreparedTrack(
            id=f"Track{number:06d}",
            split="validation" if number % 100 == 0 else "train",
            n_samples=RATE,
            rms=0.1,
            n_notes=dict.fromkeys(classes.names, 4),
            audio="0" * 32,
        )
        manifest.tracks.append(track)
        target = manifest.folder(track)
        target.mkdir(parents=True)
        (target / "mixture.wav").hardlink_to(mixture)
        (target / "notes.csv").hardlink_to(notes)
    manifest.save()
    return manifest


def peak_mib() -> float:
    """Largest memory of this process; ``ru_maxrss`` would include what started it (Linux)."""
    status = Path("/proc/self/status").read_text()
    return round(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024, 1)


def measure(folder: str) -> None:
    """Loads the manifest and reads items; prints the times as JSON."""
    times, start = {}, time.perf_counter()

    def lap(name: str, scale: float = 1.0) -> None:
        nonlocal start
        now = time.perf_counter()
        times[name], start = round((now - start) * scale, 3), now

    manifest = Manifest.load(folder)
    lap("load_s")
    manifest.fingerprint()
    lap("fingerprint_s")
    dataset = ScoreDataset(manifest, "train", n_segments=10**9, segment=SEGMENT)
    lap("dataset_s")
    times["startup_mib"] = peak_mib()
    for index in range(ITEMS):
        dataset[index]
    lap("item_ms", 1000 / ITEMS)
    times["peak_mib"] = peak_mib()
    print(json.dumps(times), flush=True)


def in_new_process(folder: Path) -> None:
    """Measures in a process of its own, whose memory is then its own too."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=measure, args=(str(folder),))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)


def main() -> None:
    """Fabricates and measures folders and shards."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, nargs="+", default=[2000, 20_000, 200_000])
    parser.add_argument(
        "--most_folders", type=int, default=20_000, help="most songs of a measured prepared folder"
    )
    parser.add_argument("--folder", help="where temporary files are written: 30 kB per song")
    args = parser.parse_args()
    for n_songs in args.songs:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            start = time.perf_counter()
            manifest = write_folder(Path(folder) / "prepared", n_songs)
            print(f"{n_songs} songs: prepared folder in {time.perf_counter() - start:.1f} s")
            if n_songs <= args.most_folders:
                in_new_process(manifest.root)
            start, shards = time.perf_counter(), Path(folder) / "shards"
            done = write_shards(manifest, shards, progress=False)
            seconds = time.perf_counter() - start
            size = sum(p.stat().st_size for p in shards.glob("*/*.npy")) / 1e6
            print(
                f"{n_songs} songs: {done['shards']} shards in {seconds:.1f} s, "
                f"{done['bytes'] / 1e9:.2f} GB, index of {size:.1f} MB"
            )
            in_new_process(shards)


if __name__ == "__main__":
    main()
