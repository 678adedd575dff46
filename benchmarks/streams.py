"""What a short look-ahead and a running level cost in a stream, with the time of a second of audio.

    python benchmarks/streams.py egs/slakh/data/mini_composed/prepared --split test

Songs with stems are separated as streams with several look-aheads, at the level of the whole song
and with a running estimate. The first row is the whole song at once.
"""

import argparse
import time

import numpy as np

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.dsp.level import gated_rms
from asteroid_scoresup.evaluation import separation_scores
from asteroid_scoresup.evaluation.evaluate import TestTrack
from asteroid_scoresup.inference import Separator


def streamed(separator: Separator, mixture: np.ndarray, rate: int, **options: float | None) -> dict:
    """Stems of a song that is pushed in blocks of 0.1 s, and the latency in seconds."""
    stream, parts = separator.stream(rate, 1, **options), []
    for start in range(0, len(mixture), rate // 10):
        parts.append(stream.push(mixture[start : start + rate // 10]))
    parts.append(stream.finish())
    stems = {name: np.concatenate([part[name][0] for part in parts]) for name in separator.names}
    return {"stems": stems, "latency": stream.latency_seconds}


def main() -> None:
    """Prints one row per look-ahead."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", help="prepared folder with stems, at the model's sample rate")
    parser.add_argument("--split", default="test")
    parser.add_argument("--songs", type=int, default=0, help="number of songs (0: all)")
    parser.add_argument("--model", help="model (default: the bundled one)")
    parser.add_argument(
        "--streams",
        nargs="*",
        default=["1:full", "1:2", "1:1", "1:0.5", "1:0.256", "0.5:0.256", "0.128:0.256"],
        help="lengths of a block and of the look-ahead, in s (default: %(default)s)",
    )
    args = parser.parse_args()
    manifest, separator = Manifest.load(args.prepared), Separator.from_pretrained(args.model)
    rate = int(manifest.sample_rate)
    rows: list[tuple[str, dict[str, float | None], bool]] = [("whole song", {}, True)]
    for text in args.streams:
        block, ahead = text.split(":")
        seconds = None if ahead == "full" else float(ahead)
        options = {"block_seconds": float(block), "lookahead_seconds": seconds}
        rows.append((f"block {block} s, look-ahead {ahead}", options, True))
    running = {"block_seconds": 1.0, "lookahead_seconds": None}
    rows.append(("block 1 s, look-ahead full, running level", running, False))
    tracks = manifest.select(args.split)[: args.songs or None]
    songs = [TestTrack(manifest, track) for track in tracks]
    seconds = sum(len(song.mixture) for song in songs) / rate
    print(f"{len(songs)} songs, {seconds:.0f} s; SI-SDRi in dB; CPU seconds per second of audio")
    print(f"| | latency (s) | {' | '.join(manifest.names)} | mean | CPU s |")
    print(f"|---|---:|{'---:|' * (len(manifest.names) + 2)}")
    for row, options, known in rows:
        gains, latency, started = [], "", time.process_time()
        for song in songs:
            mixture = song.mixture.numpy()
            if row == "whole song":
                stems = separator.separate(mixture, rate)
            else:
                level = gated_rms(mixture, rate) if known else None
                result = streamed(separator, mixture, rate, level=level, **options)
                stems, latency = result["stems"], f"{result['latency']:.2f}"
            scores = separation_scores(song.stems, stems, song.mixture)
            gains.append([record["si_sdr_imp"] for record in scores])
        cost = (time.process_time() - started) / seconds
        by_class = np.nanmean(gains, axis=0)
        cells = [f"{value:.2f}" for value in (*by_class, by_class.mean(), cost)]
        print(f"| {row} | {latency} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
