"""Data loading: segments per second from a prepared folder, and time of each part of an item.

    python benchmarks/loading.py                          six synthesized songs
    python benchmarks/loading.py --slakh_dir DIR          songs in Slakh's format; a few are enough

Compares a prepared folder, read by the DataLoader with 0, 1, 2, … workers, with reading the same
kind of segments directly from the Slakh folder: one FLAC file at 44.1 kHz and one MIDI file per
stem, for every segment and without a cache. Then measures the parts of an item, and the effects of
long tracks and of many tracks (silent sparse files, which need no disk space). Prints tables and a
line of JSON.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr
import torch
from cases import report

from asteroid_scoresup.data import Manifest, ScoreDataset, ScoreInformedMasks, make_loader
from asteroid_scoresup.data.classes import DEFAULT_CLASSES, ClassMap
from asteroid_scoresup.data.note_table import write_notes
from asteroid_scoresup.data.prepare import prepare
from asteroid_scoresup.data.segment_reader import read_segment
from asteroid_scoresup.data.slakh import TrackFolder, find_slakh_tracks, read_slakh_track
from asteroid_scoresup.data.track import PreparedTrack
from asteroid_scoresup.dsp import FrameGrid, equalize
from asteroid_scoresup.midi.reader import join_instruments, read_midi
from asteroid_scoresup.score import Notes, piano_roll, sounding_roll
from asteroid_scoresup.synthesis.synthesize import synthesize

RATE, SEGMENT, HOP, BATCH = 16000, 4.096, 512, 8
GRID = FrameGrid(2048, HOP, RATE)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--slakh_dir", default="", help="songs in Slakh's format, FLAC at 44.1 kHz")
parser.add_argument("--workers", default="0,1,2", help="numbers of workers to compare")
parser.add_argument("--segments", type=int, default=160, help="number of segments of a timed run")
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--out", default="", help="file for the results, as JSON")


class DirectDataset(torch.utils.data.Dataset):
    """Segments read directly from a Slakh folder, without preparation."""

    def __init__(self, folders: Iterable[TrackFolder], n_segments: int, seed: int = 0) -> None:
        self.classes, self.songs = ClassMap.parse(DEFAULT_CLASSES), []
        self.n_segments, self.seed = n_segments, seed
        for folder in folders:
            stems = []
            for stem in read_slakh_track(folder.path).stems:
                class_index = self.classes.index_of(stem.program, stem.inst_class)
                if class_index is not None and stem.audio and stem.midi:
                    stems.append((stem.audio, stem.midi, class_index))
            if stems:
                self.songs.append(stems)

    def __len__(self) -> int:
        return self.n_segments

    def __getitem__(self, index: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        rng = np.random.default_rng([self.seed, index])
        stems = self.songs[rng.integers(len(self.songs))]
        info = sf.info(stems[0][0])
        length = round(SEGMENT * info.samplerate)
        start = int(rng.integers(max(info.frames - length, 1)))
        mixture, tables = np.zeros(length, dtype=np.float32), []
        for audio, midi, class_index in stems:
            with sf.SoundFile(audio) as stream:
                stream.seek(min(start, stream.frames))
                mixture += stream.read(length, dtype="float32", fill_value=0.0)
            tables.append(join_instruments(read_midi(midi).instruments, class_index))
        wav = soxr.resample(mixture, info.samplerate, RATE)
        begin = start / info.samplerate
        notes = Notes.concatenate(tables).within(begin, begin + SEGMENT, 1.0)
        size = (len(self.classes.names), len(wav) // HOP + 1, GRID)
        targets = {"roll": piano_roll(notes, *size), "sounding": sounding_roll(notes, *size)}
        return torch.from_numpy(wav), targets


def per_second(loader: torch.utils.data.DataLoader) -> float:
    """Segments per second of a loader, excluding its start."""
    batches = iter(loader)
    next(batches)
    start = time.perf_counter()
    count = sum(len(batch[0]) for batch in batches)
    return count / (time.perf_counter() - start)


def median_of(work: Callable[[], float], repeats: int) -> float:
    """Median of the results of several calls."""
    return statistics.median(work() for _ in range(repeats))


def milliseconds(work: Callable[[], Any], times: int) -> float:
    """Median time of a call, in milliseconds, after one call for warm-up."""
    work()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken)


def options(**more: Any) -> dict[str, Any]:
    """Arguments of the dataset in step 2 of the recipe."""
    usual = dict(segment=SEGMENT, gain_db=6.0, eq_db=3.0, saliency=0.34)
    return {**usual, **more}


def compare(
    args: argparse.Namespace, manifest: Manifest, folders: Sequence[TrackFolder]
) -> dict[str, dict[str, float]]:
    """Compares the prepared folder with the Slakh folder, by number of workers."""
    rows, count = {}, args.segments
    soft_masks = ScoreInformedMasks(manifest)
    soft_masks.fit_all(manifest.select("train"), progress=False)
    datasets = {
        "straight from Slakh": DirectDataset(folders, count // 8),
        "prepared, plain": ScoreDataset(manifest, "train", n_segments=count, segment=SEGMENT),
        "prepared, gain and equalizer": ScoreDataset(
            manifest, "train", n_segments=count, **options()
        ),
        "prepared, also with soft masks": ScoreDataset(
            manifest, "train", n_segments=count, soft_masks=soft_masks, **options()
        ),
    }
    for workers in map(int, args.workers.split(",")):
        for name, data in datasets.items():

            def once(data=data, workers=workers):
                loader = torch.utils.data.DataLoader(data, 2, num_workers=workers)
                if isinstance(data, ScoreDataset):
                    loader = make_loader(data, BATCH, workers)
                return per_second(loader)

            rows[f"{name}, {workers} workers"] = {"segments_per_s": median_of(once, args.repeats)}
    for name, row in rows.items():
        direct = rows[f"straight from Slakh, {name.split(', ')[-1]}"]["segments_per_s"]
        row["audio_s_per_s"] = SEGMENT * row["segments_per_s"]
        row["times_straight"] = row["segments_per_s"] / direct
    return rows


def time_parts(manifest: Manifest, folders: Sequence[TrackFolder]) -> dict[str, dict[str, float]]:
    """Measures the parts of an item, and rolls of a whole batch in one call."""
    track = manifest.select("train")[0]
    data = ScoreDataset(manifest, "train", n_segments=8, **options())
    n_samples, n_frames = data.n_samples, data.n_samples // HOP + 1
    wav = torch.randn(1, n_samples)
    rng = np.random.default_rng(0)
    notes = manifest.notes(track).within(0.0, SEGMENT, 1.0)
    size = (3, n_frames, GRID)
    soft_masks = ScoreInformedMasks(manifest)
    items = [data[i] for i in range(BATCH)]
    direct = DirectDataset(folders, 1)
    path = manifest.mixture_path(track)

    def batch_of_rolls() -> None:
        # The classes of all items as one long list, as a GPU could process them.
        tables = [notes.replace(class_index=notes.class_index + 3 * k) for k in range(BATCH)]
        together = Notes.concatenate(tables)
        piano_roll(together, 3 * BATCH, *size[1:])
        sounding_roll(together, 3 * BATCH, *size[1:])

    parts = {
        "open, seek, decode": lambda: read_segment(path, 5 * RATE, n_samples, track.n_samples),
        "notes of the segment": lambda: manifest.notes(track).within(0.0, SEGMENT, 1.0),
        "roll": lambda: piano_roll(notes, *size),
        "roll with decays": lambda: sounding_roll(notes, *size),
        "rolls of a batch of 8, one by one": lambda: [
            (piano_roll(notes, *size), sounding_roll(notes, *size)) for _ in range(BATCH)
        ],
        "rolls of a batch of 8, in one call": batch_of_rolls,
        "random equalizer": lambda: equalize(wav, RATE, 3.0, rng),
        "score-informed masks": lambda: soft_masks.read(track, 100, n_frames),
        "a whole item, without soft masks": lambda: data[3],
        "collate a batch of 8": lambda: torch.utils.data.default_collate(items),
        "an item straight from Slakh": lambda: direct[0],
    }
    return {name: {"ms": milliseconds(work, 30)} for name, work in parts.items()}


def silent_folder(root: Path, n_tracks: int, seconds: float) -> Manifest:
    """A prepared folder of silent tracks in sparse files, each with one note per second."""
    manifest = Manifest(root, RATE, ClassMap.parse(DEFAULT_CLASSES))
    n_samples = round(seconds * RATE)
    onset = np.arange(0, seconds - 1, 1.0)
    notes = Notes(onset, onset + 0.8, np.full(len(onset), 60), np.arange(len(onset)) % 3,
                  np.full(len(onset), 100))  # fmt: skip
    for number in range(n_tracks):
        track = PreparedTrack(f"T{number:05d}", "train", n_samples, 0.1, {}, [])
        path = manifest.mixture_path(track)
        path.parent.mkdir(parents=True)
        sf.write(path, np.zeros(0, dtype=np.float32), RATE, subtype="FLOAT", format="WAV")
        head = bytearray(path.read_bytes())
        place = head.index(b"data")
        head[place + 4 : place + 8] = (4 * n_samples).to_bytes(4, "little")
        head[4:8] = (place + 4 * n_samples).to_bytes(4, "little")
        with open(path, "wb") as stream:
            stream.write(head[: place + 8])
            stream.truncate(place + 8 + 4 * n_samples)
        write_notes(manifest.folder(track) / "notes.csv", notes, manifest.names)
        manifest.tracks.append(track)
    manifest.save()
    return manifest


def lengths_and_numbers(args: argparse.Namespace, folder: Path) -> dict[str, dict[str, float]]:
    """Segments per second from short and long, few and many tracks."""
    rows = {}
    for n_tracks, seconds in ((10, 10.0), (10, 600.0), (2000, 10.0)):
        manifest = silent_folder(folder / f"{n_tracks}_{seconds:g}", n_tracks, seconds)
        data = ScoreDataset(manifest, "train", n_segments=args.segments, segment=SEGMENT)
        assert data.tracks[0].n_samples == len(manifest.read_mixture(data.tracks[0]))

        def once(data=data):
            return per_second(make_loader(data, BATCH))

        name = f"{n_tracks} tracks of {seconds:g} s"
        rows[name] = {"segments_per_s": median_of(once, args.repeats)}
    return rows


def main(args: argparse.Namespace) -> None:
    """Runs all three benchmarks and prints the results."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        slakh_dir = Path(args.slakh_dir or folder / "slakh")
        if not args.slakh_dir:
            synthesize(slakh_dir, n_train=6, n_validation=0, n_test=0, n_test_unseen=0, seconds=60,
                       renderer="tinysoundfont", quiet=True)  # fmt: skip
        prepare(slakh_dir, folder / "prepared", check=False, progress=False)
        manifest = Manifest.load(folder / "prepared")
        folders = find_slakh_tracks(slakh_dir)
        rows = compare(args, manifest, folders)
        parts = time_parts(manifest, folders)
        tracks = lengths_and_numbers(args, folder)
    columns = ["segments_per_s", "audio_s_per_s", "times_straight"]
    facts = {"segment": SEGMENT, "parts": parts, "tracks": tracks}
    report("part of an item", ["ms"], parts, None)
    report("tracks", ["segments_per_s"], tracks, None)
    report("segments", columns, rows, facts, args.out)


if __name__ == "__main__":
    main(parser.parse_args())
