"""What a network gains by learning the score-informed masks of the song that it separates.

    python benchmarks/adaptation.py egs/slakh/data/mini_composed/prepared --split test

For each song, a copy of the network is trained on the song's own refined score-informed masks for
some updates, all layers or the last. Its estimates, and their mean with the score-informed ones,
are compared with those of the score alone.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections import defaultdict

import numpy as np
import torch
from cases import print_means
from torch.nn.functional import binary_cross_entropy

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.dsp import NOMINAL_RMS
from asteroid_scoresup.evaluation.evaluate import TestTrack
from asteroid_scoresup.evaluation.separation import separation_scores
from asteroid_scoresup.inference.score_informed import ScoreInformedSeparator
from asteroid_scoresup.models import TCNSeparator

#: Frames and number of the segments of a batch.
FRAMES, BATCH = 128, 4


def adapt(
    model: TCNSeparator,
    magnitude: torch.Tensor,
    masks: torch.Tensor,
    updates: int,
    rng: np.random.Generator,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Trains a network on the masks of a song, every bin weighted by its magnitude."""
    for _ in range(updates):
        starts = rng.integers(0, magnitude.shape[-1] - FRAMES, BATCH)
        received = torch.stack([magnitude[:, a : a + FRAMES] for a in starts])
        wanted = torch.stack([masks[..., a : a + FRAMES] for a in starts])
        found = model.masks(received).clamp(1e-4, 1 - 1e-4)
        cost = binary_cross_entropy(found, wanted, reduction="none")
        loss = (cost * (received / received.mean()).unsqueeze(1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def score(
    song: TestTrack, base: TCNSeparator, manifest: Manifest, args: argparse.Namespace
) -> dict:
    """SI-SDRi by row and class, and CPU seconds of the longest adaptation."""
    model, stft, rng = copy.deepcopy(base), base.stft, np.random.default_rng(0)
    informed = ScoreInformedSeparator(song.notes, manifest.classes, "never").separate(
        song.mixture.numpy(), int(manifest.sample_rate)
    )
    spectra = torch.stack([torch.from_numpy(informed[name]) for name in song.names])
    magnitude = stft.magnitude(stft(song.mixture.unsqueeze(0)))[0]
    masks = (stft.magnitude(stft(spectra)) / magnitude.clamp(min=1e-6)).clamp(0, 1)
    layers = model.trunk.mask_net if args.layers == "last" else model
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in layers.parameters():
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(layers.parameters(), lr=args.lr)
    estimates, done, seconds = {"score": informed}, 0, 0.0
    for updates in sorted({0, *args.updates}):
        started = time.process_time()
        adapt(model, magnitude * NOMINAL_RMS / song.level, masks, updates - done, rng, optimizer)
        done, seconds = updates, seconds + time.process_time() - started
        with torch.no_grad():
            found = model(song.mixture, level=song.level).numpy()
        row = f"network, {updates} updates"
        estimates[row] = dict(zip(song.names, found))
        estimates[f"{row}, with the score"] = {
            name: (informed[name] + value) / 2 for name, value in estimates[row].items()
        }
    records = {
        row: {
            record["instrument"]: record["si_sdr_imp"]
            for record in separation_scores(song.stems, stems, song.mixture)
        }
        for row, stems in estimates.items()
    }
    return {"records": records, "seconds": seconds}


def main() -> None:
    """Measures the songs of a split."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", help="prepared folder with stems, of the classes of the model")
    parser.add_argument("--split", default="test")
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--model", default="band", help="a TCN separator")
    parser.add_argument("--layers", choices=("all", "last"), default="all")
    parser.add_argument("--updates", type=int, nargs="+", default=[20, 60])
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    manifest = Manifest.load(args.prepared)
    model = TCNSeparator.from_pretrained(args.model).eval()
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    seconds = 0.0
    tracks = manifest.select(args.split)[: args.songs]
    for track in tracks:
        result = score(TestTrack(manifest, track), model, manifest, args)
        seconds += result["seconds"]
        for row, values in result["records"].items():
            for name, value in values.items():
                found[row][name].append(value)
    print_means(found)
    print(f"{seconds / len(tracks):.1f} CPU seconds of adaptation per song, {len(tracks)} songs")


if __name__ == "__main__":
    main()
