"""Scores a mask refiner: SI-SDRi of score-informed NMF, of its refined masks, of the ratio mask.

python eval_refiner.py --tests test=data/mini_composed/prepared:test --refiner best_model.pth
"""

import argparse

import numpy as np
import torch

from asteroid_scoresup.data import Manifest, PreparedTrack, ScoreInformedMasks
from asteroid_scoresup.dsp import STFT
from asteroid_scoresup.engine.interrupt import exit_with_message
from asteroid_scoresup.evaluation import separation_scores
from asteroid_scoresup.evaluation.evaluate import TestTrack
from asteroid_scoresup.models import MaskRefiner, refine_masks
from asteroid_scoresup.score import soft_masks

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--refiner", required=True, help="a model file of train_refiner.py")
parser.add_argument("--tests", required=True, help="comma-separated NAME=PREPARED_FOLDER:SPLIT")


def score(
    manifest: Manifest, track: PreparedTrack, refiner: MaskRefiner
) -> dict[str, dict[str, float]]:
    """SI-SDRi in dB of every class that sounds, by row."""
    informed, stft = ScoreInformedMasks(manifest), STFT(2048, 512, manifest.sample_rate)
    song = TestTrack(manifest, track)
    if not song.stems:
        raise ValueError(f"{track.id} lacks stems, so its separation cannot be scored.")
    factors, n_src = informed.fit(track), len(manifest.names)
    spectrum = stft(song.mixture.unsqueeze(0))
    magnitude = stft.magnitude(spectrum)[0]
    stems = torch.stack(list(song.stems.values()))
    parts = torch.cat([stems, (song.mixture - stems.sum(0)).unsqueeze(0)])
    parts = stft.magnitude(stft(parts))
    rows = {
        "score-informed NMF": soft_masks(factors, n_src),
        "refined": refine_masks(magnitude, factors, n_src, refiner),
        "ideal ratio mask": parts[:-1] / parts.sum(0).clamp(min=1e-8),
    }
    scores = {}
    for row, masks in rows.items():
        estimates = stft.separated(spectrum, masks.unsqueeze(0), len(song.mixture))[0]
        named = dict(zip(manifest.names, estimates))
        made = separation_scores(song.stems, named, song.mixture)
        scores[row] = {record["instrument"]: record["si_sdr_imp"] for record in made}
    return scores


@torch.no_grad()
def main(args: argparse.Namespace) -> None:
    refiner = MaskRefiner.from_pretrained(args.refiner)
    for test in args.tests.split(","):
        name, _, place = test.partition("=")
        folder, _, split = place.rpartition(":")
        if not (name and folder and split):
            raise ValueError(f"--tests {test!r} is not of the form NAME=PREPARED_FOLDER:SPLIT.")
        manifest = Manifest.load(folder)
        tracks = [score(manifest, track, refiner) for track in manifest.select(split)]
        for row in tracks[0]:
            found = np.array([[track[row][n] for n in manifest.names] for track in tracks])
            sounds = ~np.isnan(found)
            used = sounds.any(0)
            means = np.where(sounds, found, 0).sum(0)[used] / sounds.sum(0)[used]
            names = np.array(manifest.names)[used]
            classes = ", ".join(f"{n} {value:.2f}" for n, value in zip(names, means))
            print(f"{name}, {row}: {means.mean():.2f} ({classes})", flush=True)


if __name__ == "__main__":
    with exit_with_message("eval_refiner.py", lambda: "interrupted."):
        main(parser.parse_args())
