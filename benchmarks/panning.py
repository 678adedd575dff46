"""What the panning of a stereo recording is worth in separation with the score.

    python benchmarks/panning.py PREPARED --split validation

The stems of songs are panned (constant power): the classes are spread evenly, in random order, over
a part of the stereo image, and the rest of the mixture is in the middle. SI-SDRi of both channels
together. *One mask* is a factorization of the mean of the channels' powers, whose masks both
channels share; *panned* is what separation does: components have a gain for each channel.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
import torch
from cases import print_means

from asteroid_scoresup.checks.label_check import unpitched_indices
from asteroid_scoresup.data import Manifest
from asteroid_scoresup.evaluation import separation_scores
from asteroid_scoresup.evaluation.evaluate import TestTrack
from asteroid_scoresup.inference import ScoreInformedSeparator
from asteroid_scoresup.inference.score_informed import stft_for
from asteroid_scoresup.score import Notes, factorize_song, soft_masks, song_templates
from asteroid_scoresup.score.defaults import INFORMED_POWER

#: Half-widths of the part of the stereo image, 0 for mono, 1 for all of it.
WIDTHS = (0.0, 0.25, 0.5, 1.0)


def gains(width: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Gains of evenly spread positions in random order, shape (count, 2)."""
    places = rng.permutation(np.linspace(-width, width, count))
    angle = np.pi / 4 * (1 + places)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def one_mask(mixture: np.ndarray, notes: Notes, manifest: Manifest) -> dict[str, np.ndarray]:
    """Stems from masks that both channels share."""
    stft = stft_for(manifest.sample_rate)
    spectrum = stft(torch.from_numpy(mixture))
    magnitude = stft.magnitude(spectrum).square().mean(0).sqrt()
    is_drum = np.isin(notes.class_index, unpitched_indices(manifest.classes))
    names = manifest.names
    factors = factorize_song(
        magnitude,
        notes.select(~is_drum),
        notes.select(is_drum),
        len(names),
        stft.grid,
        song_templates(manifest.sample_rate, stft.n_fft),
    )
    masks = soft_masks(factors, len(names), INFORMED_POWER)
    waves = stft.separated(spectrum, [masks.unsqueeze(0)], mixture.shape[-1])
    return {name: waves[:, i].numpy() for i, name in enumerate(names)}


@torch.no_grad()
def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", help="prepared folder with stems")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--refiner", default="auto", help="as for `separate` (auto)")
    args = parser.parse_args()
    manifest = Manifest.load(args.prepared)
    means: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number, track in enumerate(manifest.select(args.split)[: args.songs]):
        song, notes = TestTrack(manifest, track), manifest.notes(track)
        stems = {name: np.asarray(stem) for name, stem in song.stems.items()}
        rest = np.asarray(song.mixture) - sum(stems.values())
        for width in WIDTHS:
            pans = gains(width, len(stems), np.random.default_rng(number))
            panned = {n: pan[:, None] * stems[n] for n, pan in zip(stems, pans)}
            mixture = sum(panned.values()) + np.float32(0.5**0.5) * rest
            estimates = {"one mask": one_mask(mixture, notes, manifest)}
            for row, refiner in (("panned", None), ("panned, corrected", args.refiner)):
                separator = ScoreInformedSeparator(notes, manifest.classes, "never", refiner)
                estimates[row] = separator.separate(mixture, manifest.sample_rate)
            for row, found in estimates.items():
                scores = separation_scores(
                    {name: stem.ravel() for name, stem in panned.items()},
                    {name: stem.ravel() for name, stem in found.items()},
                    mixture.ravel(),
                )
                for one in scores:
                    means[f"width {width:g}, {row}"][one["instrument"]].append(one["si_sdr_imp"])
    print_means(means)


if __name__ == "__main__":
    main()
