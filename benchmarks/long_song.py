"""Peak memory and speed of separating a long stereo song into stems, residual and MIDI.

    python benchmarks/long_song.py --minutes 120 --threads 1

Writes a song of that length (noise bursts and tones, stereo, 44.1 kHz, 16 bit) to a temporary
folder, separates it, and prints a line of JSON: seconds, speed as a multiple of real time, and peak
resident memory in MiB, in total and without that of the imports.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from cases import peak_mib

import asteroid_scoresup.inference as inference

RATE = 44100


def write_song(path: Path, minutes: float) -> None:
    """Writes a song, one second at a time."""
    rng = np.random.default_rng(0)
    clock = np.arange(RATE) / RATE
    with sf.SoundFile(path, "w", RATE, 2, "PCM_16") as stream:
        for _ in range(round(60 * minutes)):
            pitches = 440 * 2 ** ((rng.integers(28, 80, 4) - 69) / 12)
            tones = sum(np.sin(2 * np.pi * f * clock) * np.exp(-3 * clock) for f in pitches)
            noise = 0.1 * rng.standard_normal((RATE, 2)) * np.exp(-20 * clock)[:, None]
            stream.write(0.1 * tones[:, None] * rng.uniform(0.5, 1, 2) + noise)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", help="model file (default: the bundled model)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    after_imports = peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "song.wav"
        write_song(song, args.minutes)
        separator = inference.Separator.from_pretrained(args.model)
        options = inference.OutputOptions(residual=True, midi=separator.transcriptor is not None)
        start = time.perf_counter()
        result = inference.process_song(separator, song, Path(folder) / "out", options)
        seconds = time.perf_counter() - start
    record = {
        "minutes": args.minutes,
        "threads": args.threads,
        "files": [path.name for path in result.written],
        "seconds": round(seconds, 1),
        "times_real_time": round(60 * args.minutes / seconds, 1),
        "peak_mib": round(peak_mib()),
        "peak_mib_above_imports": round(peak_mib() - after_imports),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
