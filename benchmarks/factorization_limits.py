"""What limits score-informed factorization: the model, or fitting it to a mixture.

    python benchmarks/factorization_limits.py PREPARED --split validation \\
        --known OTHER_PREPARED:train --model band_drums

SI-SDRi of masks from the factorization of a mixture, and from the same factorization with spectra
or activations that are fitted to the true stems. Further rows start the factorization of the
mixture from the mean spectra of songs whose stems are known (``--known``), or from factorizations
of what a network separates (``--model``).
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import torch
from cases import print_means

from asteroid_scoresup.checks.label_check import unpitched_indices
from asteroid_scoresup.data import Manifest
from asteroid_scoresup.evaluation import ratio_masks, separation_scores
from asteroid_scoresup.evaluation.evaluate import TestTrack
from asteroid_scoresup.inference import Separator
from asteroid_scoresup.inference.score_informed import stft_for
from asteroid_scoresup.score import (
    LOWEST_PITCH,
    N_PITCHES,
    Factors,
    HarmonicTemplates,
    Notes,
    factorize_song,
    soft_masks,
    song_templates,
    sounding_roll,
)
from asteroid_scoresup.score.defaults import INFORMED_ITERATIONS, INFORMED_POWER, N_PARTIALS
from asteroid_scoresup.score.harmonic import partial_frequencies
from asteroid_scoresup.score.informed import EPS

#: Standard deviation, in semitones, over which known spectra of a class are averaged.
PITCHES = 3.0
#: Updates of the factorizations of what a network separates.
NETWORK_ITERATIONS = 4


def fit(
    target: torch.Tensor, factors: Factors, iterations: int, fixed: str | None = None
) -> Factors:
    """Updates of Lee and Seung, as those of the factorization; `fixed` is not updated."""
    spectra, activations = factors.templates, factors.activations
    if fixed is None:
        scale = target.sum() / (spectra.T @ activations).sum().clamp(min=EPS)
        activations = activations * scale
    for _ in range(iterations):
        if fixed != "activations":
            ratio = target / (spectra.T @ activations + EPS)
            activations = activations * (spectra @ ratio) / (spectra.sum(1, keepdim=True) + EPS)
        if fixed != "templates":
            ratio = target / (spectra.T @ activations + EPS)
            known = activations.sum(1, keepdim=True) + EPS
            spectra = spectra * (activations @ ratio.T) / known
        if fixed is None:
            norm = spectra.sum(1, keepdim=True).clamp(min=EPS)
            spectra, activations = spectra / norm, activations * norm
    return factors._replace(templates=spectra, activations=activations)


class Song:
    """A song, the STFT of its mixture, and factorizations of it."""

    def __init__(self, manifest: Manifest, track, templates: HarmonicTemplates) -> None:
        self.track, self.templates = TestTrack(manifest, track), templates
        self.names, self.unpitched = self.track.names, unpitched_indices(manifest.classes)
        self.stft = stft_for(int(manifest.sample_rate))
        self.spectrum = self.stft(self.track.mixture.unsqueeze(0))
        self.magnitude = self.stft.magnitude(self.spectrum)[0] + EPS
        self.first = self.factors(self.magnitude, self.track.notes, 0)
        #: Pitch of each component that has one, in the order of the factorization.
        notes = self.track.notes.select(~np.isin(self.track.notes.class_index, self.unpitched))
        roll = sounding_roll(notes, *self.track.roll_size(self.stft))
        rows = (roll.amax(-1) > 0).nonzero()[:, 1]
        self.pitches = rows // (roll.shape[1] // N_PITCHES)  # finer rows where notes bend

    def factors(self, magnitude: torch.Tensor, notes: Notes, iterations: int) -> Factors:
        """Factorizes magnitudes by notes."""
        drums = np.isin(notes.class_index, self.unpitched)
        return factorize_song(
            magnitude,
            *(notes.select(~drums), notes.select(drums), len(self.names)),
            *(self.stft.grid, self.templates),
            iterations=iterations,
        )

    def of_signals(self, signals: Mapping[str, torch.Tensor], iterations: int) -> Factors:
        """Factors of which those of each class are fitted to a signal of its own."""
        spectra, activations = self.first.templates.clone(), self.first.activations.clone()
        for name, signal in signals.items():
            number = self.names.index(name) if name in self.names else -1
            notes = self.track.notes.select(self.track.notes.class_index == number)
            magnitude = self.stft.magnitude(self.stft(signal.float().reshape(1, -1)))[0]
            found = self.factors(magnitude + EPS, notes, iterations)
            mine, its = (f.class_index == number for f in (self.first, found))
            if number == -1:  # the free components; the others have no notes
                mine, its = (_last(index, self.first, found) for index in (mine, its))
            spectra[mine], activations[mine] = found.templates[its], found.activations[its]
        return self.first._replace(templates=spectra, activations=activations)

    def with_spectra(self, known: Mapping[str, torch.Tensor]) -> Factors:
        """The initial factors, with known spectra of (pitch, freq) for some classes."""
        spectra = self.first.templates.clone()
        index = self.first.class_index[: len(self.pitches)]
        for name, table in known.items():
            if name in self.names:
                mine = (index == self.names.index(name)).nonzero()[:, 0]
                spectra[mine] = table[self.pitches[mine]]
        return self.first._replace(templates=spectra)

    def scores(self, masks: torch.Tensor) -> dict[str, float]:
        """SI-SDRi in dB of each class."""
        masks, mixture = masks.reshape(1, *masks.shape[-3:]), self.track.mixture
        estimates = self.stft.separated(self.spectrum, masks, len(mixture))[0].numpy()
        records = separation_scores(self.track.stems, dict(zip(self.names, estimates)), mixture)
        return {record["instrument"]: record["si_sdr_imp"] for record in records}


def _last(mine: torch.Tensor, *factors: Factors) -> torch.Tensor:
    """Those of no class that every factorization of the song has."""
    n = min(int((f.class_index == -1).sum()) for f in factors)  # the free ones at least
    chosen = torch.zeros_like(mine)
    chosen[mine.nonzero()[-n:, 0]] = True
    return chosen


def known_spectra(place: str, n_songs: int) -> dict[str, torch.Tensor]:
    """Mean spectra of the notes of each class with pitch in songs with stems, (88, freq)."""
    folder, _, split = place.rpartition(":")
    manifest = Manifest.load(folder)
    stft = stft_for(int(manifest.sample_rate))
    templates = song_templates(manifest.sample_rate, stft.n_fft)
    pitches = torch.arange(LOWEST_PITCH, LOWEST_PITCH + N_PITCHES)
    centers = partial_frequencies(pitches, N_PARTIALS)[..., None]
    bins = torch.arange(stft.n_freqs).double() * stft.sample_rate / stft.n_fft
    near = ((bins - centers).abs() / torch.clamp(0.01 * centers, min=templates.half_width)).float()
    inside = (near <= 1) & (centers < stft.sample_rate / 2)
    amplitudes: dict[str, torch.Tensor] = {}
    for track in manifest.select(split)[:n_songs]:
        song = Song(manifest, track, templates)
        found = song.of_signals(song.track.stems, INFORMED_ITERATIONS)
        index = found.class_index[: len(song.pitches)]
        for number, name in enumerate(song.names):
            mine = (index == number).nonzero()[:, 0]
            spectra, rows = found.templates[mine], song.pitches[mine]
            sounds = found.activations[mine].sum(1) > 0
            peaks = (spectra[sounds, None] * inside[rows[sounds]]).amax(-1)
            total = amplitudes.setdefault(name, torch.zeros(N_PITCHES, N_PARTIALS))
            total.index_add_(0, rows[sounds], peaks)
    distance = (pitches[:, None] - pitches) / PITCHES
    lobes = 0.3 + 0.7 * torch.cos(near.clamp(max=1) * np.pi / 2)
    known = {}
    for name, total in amplitudes.items():
        if total.any():
            mean = torch.exp(-distance.square() / 2) @ total
            mean = mean / mean.amax(1, keepdim=True).clamp(min=EPS)
            known[name] = (mean[..., None] * inside * lobes).amax(1)
    return known


def rows_of(
    song: Song, known: Mapping[str, torch.Tensor], model: Separator | None
) -> dict[str, dict[str, float]]:
    """SI-SDRi of every row."""
    target, n = song.magnitude, INFORMED_ITERATIONS
    rest = song.track.mixture - sum(song.track.stems.values())
    true = song.of_signals({**song.track.stems, "rest": rest}, n)
    factors = {
        "factorization": fit(target, song.first, n),
        "spectra of the stems": fit(
            target, song.first._replace(templates=true.templates), n, "templates"
        ),
        "activations of the stems": fit(
            target, song.first._replace(activations=true.activations), n, "activations"
        ),
        "both of the stems": true,
    }
    if known:
        first = song.with_spectra(known)
        for updates in (n // 2, n):
            factors[f"from known spectra, {updates} updates"] = fit(target, first, updates)
    if model is not None:
        stems = model.separate(song.track.mixture.numpy(), int(song.stft.sample_rate))
        stems = {k: torch.as_tensor(np.array(v)) for k, v in stems.items() if k in song.names}
        first = song.of_signals(stems, NETWORK_ITERATIONS)
        for updates in (NETWORK_ITERATIONS, n):
            found = fit(target, first, updates)
            factors[f"from what a network separates, {updates} updates"] = found
    masks = {
        row: soft_masks(found, len(song.names), INFORMED_POWER) for row, found in factors.items()
    }
    masks["ideal ratio mask"] = ratio_masks(song.track, song.stft)
    return {row: song.scores(found) for row, found in masks.items()}


@torch.no_grad()
def main() -> None:
    """Measures the songs of a split."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", help="prepared folder with stems")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--songs", type=int, default=16)
    parser.add_argument("--known", default="", help="FOLDER:SPLIT of songs with known stems")
    parser.add_argument("--known_songs", type=int, default=60)
    parser.add_argument("--model", default="", help="a separator")
    args = parser.parse_args()
    manifest = Manifest.load(args.prepared)
    known = known_spectra(args.known, args.known_songs) if args.known else {}
    model = Separator.from_pretrained(args.model) if args.model else None
    stft = stft_for(int(manifest.sample_rate))
    templates = song_templates(manifest.sample_rate, stft.n_fft)
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for track in manifest.select(args.split)[: args.songs]:
        for row, values in rows_of(Song(manifest, track, templates), known, model).items():
            for name, value in values.items():
                found[row][name].append(value)
    print_means(found)


if __name__ == "__main__":
    main()
