"""Time, memory and accuracy of the alignment of a long recording.

    python benchmarks/long_alignment.py /tmp/alignment_songs --minutes 120

The recording is the songs of the set one after the other, and again a semitone higher or lower, and
so on, until it is long enough; the tempo of the score wanders. The key is taken as known: in
another one, such a recording fits its score in another order.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr
from alignment import onset_errors, row
from alignment_songs import RATE, songs
from cases import peak_mib

from asteroid_scoresup.alignment import align
from asteroid_scoresup.score import Notes

#: Semitones by which the songs are transposed, in turn.
SHIFTS = (0, 1, -1, 2, -2, 3, -3)
PAUSE = 1.0


def write(path: Path, args: argparse.Namespace) -> Notes:
    """Writes the recording, and returns its notes."""
    tables: list[Notes] = []
    first = 0.0
    played = list(songs(args.folder, args.set, args.songs, args.seconds))
    if not played:
        raise SystemExit("There are no songs: --songs is 1 or more.")
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16") as out:
        for shift, song in itertools.cycle(itertools.product(SHIFTS, played)):
            ratio = 2 ** (-shift / 12)  # of lengths
            audio = soxr.resample(song.mixture(True), RATE, RATE * ratio)
            out.write(np.concatenate([audio, np.zeros(round(PAUSE * RATE))]))
            onset, offset = (first + ratio * t for t in (song.notes.onset, song.notes.offset))
            pitch = song.notes.pitch + shift
            tables.append(song.notes.replace(onset=onset, offset=offset, pitch=pitch))
            first = out.tell() / RATE
            if first >= 60 * args.minutes:
                break
    return Notes.concatenate(tables)


def tempo_curve(rng: np.random.Generator, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """A tempo that wanders around its mean, by 30 % or so: times of the recording and the score."""
    knots = np.arange(0, seconds + 20, 4.0)
    speed = np.zeros(len(knots))
    for i in range(1, len(knots)):
        speed[i] = 0.97 * speed[i - 1] + rng.normal(0, 0.075)
    time = np.arange(0, seconds + 15, 0.05)
    passed = np.cumsum(0.05 * np.interp(time, knots, np.exp(speed) * rng.uniform(0.75, 1.35)))
    return time, np.concatenate([[0], passed[:-1]]) + rng.uniform(0, 3)


def main() -> None:
    """Aligns the recording and prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="folder for the songs, kept for the next run")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--set", default="test", choices=["dev", "test"])
    parser.add_argument("--songs", type=int, default=6, help="songs of each of the three sources")
    parser.add_argument("--seconds", type=float, default=75.0, help="largest length of a song")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.wav"
        notes = write(path, args)
        seconds = soundfile.info(path).duration
        clock = tempo_curve(np.random.default_rng(0), seconds)
        columns = {name: np.interp(getattr(notes, name), *clock) for name in ("onset", "offset")}
        score = notes.replace(**columns, release=columns["offset"])
        before, wall, cpu = peak_mib(), time.perf_counter(), time.process_time()
        found = align(path, score, max_transposition=0)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    median, within_50, within_100 = row(
        [onset_errors(found, np.column_stack([score.onset, notes.onset]))]
    )
    print(
        f"{seconds / 60:.1f} min, {len(notes)} notes: {wall:.0f} s ({cpu:.0f} CPU s), peak memory "
        f"{peak_mib():.0f} MiB ({before:.0f} before); median error {median} ms, {within_50} % "
        f"within 50 ms, {within_100} % within 100 ms; {len(found.warp.spans)} sections, confidence "
        f"{found.confidence:.2f}"
    )


if __name__ == "__main__":
    main()
