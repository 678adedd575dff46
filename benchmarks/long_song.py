"""Peak memory and speed of separating a long stereo song, everything on: stems, residual, MIDI.

    python benchmarks/long_song.py --minutes 120 --threads 1

makes a song of that length (noise bursts and tones, stereo, 44.1 kHz, 16 bit) in a temporary
folder, separates it, and prints one line of JSON: seconds, times real time, and peak resident
memory in MiB, in all and above what importing the package takes.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf
import torch

import asteroid_scoresup.inference as inference

RATE = 44100


def peak_mib():
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_song(path, minutes):
    """Writes a song, a second at a time."""
    rng = np.random.default_rng(0)
    clock = np.arange(RATE) / RATE
    with sf.SoundFile(path, "w", RATE, 2, "PCM_16") as stream:
        for _ in range(round(60 * minutes)):
            pitches = 440 * 2 ** ((rng.integers(28, 80, 4) - 69) / 12)
            tones = sum(np.sin(2 * np.pi * f * clock) * np.exp(-3 * clock) for f in pitches)
            noise = 0.1 * rng.standard_normal((RATE, 2)) * np.exp(-20 * clock)[:, None]
            stream.write(0.1 * tones[:, None] * rng.uniform(0.5, 1, 2) + noise)


def main():
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", help="model file (default: the one in the package)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    imports = peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "song.wav"
        write_song(song, args.minutes)
        separator = inference.Separator.from_pretrained(args.model)
        request = inference.OutputOptions(residual=True, midi=separator.transcriptor is not None)
        start = time.perf_counter()
        made = inference.process_song(separator, song, Path(folder) / "out", request)
        seconds = time.perf_counter() - start
    result = {
        "minutes": args.minutes,
        "threads": args.threads,
        "files": [path.name for path in made.written],
        "seconds": round(seconds, 1),
        "times_real_time": round(60 * args.minutes / seconds, 1),
        "peak_mib": round(peak_mib()),
        "peak_mib_above_imports": round(peak_mib() - imports),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
