"""Scores networks that correct the masks of a factorization, beside it and the ideal ratio mask.

python eval_refiner.py --tests test=data/mini_composed/prepared:test --refiner best_model.pth
"""

import argparse
import time

import numpy as np
import torch

from asteroid_scoresup.data import Manifest, PreparedTrack
from asteroid_scoresup.engine.interrupt import exit_with_message
from asteroid_scoresup.evaluation import ratio_masks, separation_scores
from asteroid_scoresup.evaluation.evaluate import TestTrack
from asteroid_scoresup.inference import ScoreInformedSeparator
from asteroid_scoresup.inference.mask_correction import AUTO, Refiner, load_refiner
from asteroid_scoresup.inference.score_informed import stft_for

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument(
    "--refiner",
    action="append",
    default=[],
    help="a model file of train_refiner.py, or a bundled network; repeatable (default: auto)",
)
parser.add_argument("--tests", required=True, help="comma-separated NAME=PREPARED_FOLDER:SPLIT")


def score(
    manifest: Manifest,
    track: PreparedTrack,
    networks: dict[str, Refiner | None],
    seconds: dict[str, float],
) -> dict[str, dict[str, float]]:
    """SI-SDRi in dB of every class that sounds, by row; adds the CPU seconds of each row."""
    song, rate = TestTrack(manifest, track), int(manifest.sample_rate)
    if not song.stems:
        raise ValueError(f"{track.id} lacks stems, so its separation cannot be scored.")
    rows = {}
    for row, network in networks.items():
        separator = ScoreInformedSeparator(song.notes, manifest.classes, "never", network)
        started = time.process_time()
        rows[row] = separator.separate(song.mixture.numpy(), rate)
        seconds[row] = seconds.get(row, 0.0) + time.process_time() - started
    stft = stft_for(rate)
    spectrum = stft(song.mixture.unsqueeze(0))
    estimates = stft.separated(spectrum, ratio_masks(song, stft), len(song.mixture))[0]
    rows["ideal ratio mask"] = dict(zip(song.names, estimates.numpy()))
    return {
        row: {
            record["instrument"]: record["si_sdr_imp"]
            for record in separation_scores(song.stems, stems, song.mixture)
        }
        for row, stems in rows.items()
    }


@torch.no_grad()
def main(args: argparse.Namespace) -> None:
    for test in args.tests.split(","):
        name, _, place = test.partition("=")
        folder, _, split = place.rpartition(":")
        if not (name and folder and split):
            raise ValueError(f"--tests {test!r} is not of the form NAME=PREPARED_FOLDER:SPLIT.")
        manifest, seconds = Manifest.load(folder), {}
        networks: dict[str, Refiner | None] = {"factorization": None}
        for network in args.refiner or [AUTO]:
            networks[f"corrected by {network}"] = load_refiner(network, manifest.names)
        chosen = manifest.select(split)
        tracks = [score(manifest, track, networks, seconds) for track in chosen]
        for row in tracks[0]:
            found = np.array([[track[row][n] for n in manifest.names] for track in tracks])
            sounds = ~np.isnan(found)
            used = sounds.any(0)
            means = np.where(sounds, found, 0).sum(0)[used] / sounds.sum(0)[used]
            names = np.array(manifest.names)[used]
            classes = ", ".join(f"{n} {value:.2f}" for n, value in zip(names, means))
            print(f"{name}, {row}: {means.mean():.2f} ({classes})", flush=True)
        length = sum(track.n_samples for track in chosen) / manifest.sample_rate
        spent = ", ".join(f"{row} {value / length:.3f}" for row, value in seconds.items())
        print(f"{name}: CPU seconds per second of audio: {spent}", flush=True)


if __name__ == "__main__":
    with exit_with_message("eval_refiner.py", lambda: "interrupted."):
        main(parser.parse_args())
