"""Training material of a mask refiner: random ensembles with damaged scores, and their NMF.

A network that refines masks for any ensemble must be trained on many: with two classes
or six, with drums that no note describes, with a score whose timing drifts and which lacks notes.
Each track of a prepared folder gives several *variants*: a random subset of its classes at random
levels, or the sum of its mixture and another, with a score that was damaged at random. The
factorization of a variant is fitted once to the whole track and stored next to its notes; items are
segments of it. All of it is our choice.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ..checks.label_check import unpitched_indices
from ..data import Manifest, PreparedTrack, SegmentSampler
from ..dsp import STFT
from ..losses.refinement import RefinementItem
from ..models.mask_refiner import class_estimates
from ..score import (
    Factors,
    HarmonicTemplates,
    Notes,
    hit_roll,
    onset_roll,
    score_informed_nmf,
    sounding_roll,
)
from ..score.defaults import N_FREE
from ..utils.files import atomic_path, read_audio

#: What a refiner is trained on: stems, or sums of two mixtures with their scores.
SUPERVISION = ("stems", "mixtures")
#: Version of the variants, so that old files are not used.
_VERSION = 2
#: The same for data with classes without pitch.
_UNPITCHED_VERSION = "unpitched 1"
#: Arrays of a file of factors; ensembles have one channel, and their factors no gains.
_ARRAYS = ("templates", "activations", "class_index")


class Variant(NamedTuple):
    r"""An ensemble: signals, and a score with a class for each of its parts.

    Args:
        signals (:class:`numpy.ndarray`): The targets of the loss, and the rest of the mixture,
            which belongs to no class; :math:`(n\_groups + 1, time)`.
        group (tuple of int): Group of each class.
        notes (Notes): The score, damaged.
        free (int): Components of no class in the factorization.
        unpitched (tuple of int): Classes without pitch, such as drums.
    """

    signals: np.ndarray
    group: tuple[int, ...]
    notes: Notes
    free: int
    unpitched: tuple[int, ...] = ()


def damage(notes: Notes, rng: np.random.Generator, unpitched: Collection[int] = ()) -> Notes:
    """Damages a score as alignment and manual transcription do.

    Half of the scores drift smoothly by up to 80 ms. A third lack up to a tenth of their notes, and
    a third have up to one in twenty at a wrong pitch.

    Args:
        notes (Notes): The score.
        rng (numpy.random.Generator): Random generator.
        unpitched (collection of int): Classes whose notes keep their keys.
    """
    if rng.random() < 0.5 and len(notes):
        periods, phases = rng.uniform(4, 20, (2, 1)), rng.uniform(0, 2 * np.pi, (2, 1))
        largest = rng.uniform(0, 0.08)

        def late(times: np.ndarray) -> np.ndarray:
            waves = np.sin(2 * np.pi * times / periods + phases)
            return np.maximum(times + largest * waves.mean(0), 0)

        notes = notes.replace(
            onset=late(notes.onset), offset=late(notes.offset), release=late(notes.release)
        )
    if rng.random() < 0.33:
        notes = notes.select(rng.random(len(notes)) >= rng.uniform(0, 0.1))
    if rng.random() < 0.33:
        wrong = rng.random(len(notes)) < rng.uniform(0, 0.05)
        wrong &= ~np.isin(notes.class_index, list(unpitched))
        notes = notes.replace(pitch=notes.pitch + wrong * rng.choice([-2, -1, 1, 2], len(notes)))
    return notes


class RefinementDataset(Dataset):
    """Segments of random ensembles, see the module.

    Args:
        manifest (Manifest): The prepared data.
        split (str): Name of the split.
        supervision (str): ``"stems"``: the classes of a song at random levels, each compared with
            its stem. ``"mixtures"``: the sum of two songs, each compared with its mixture; no stem
            is opened.
        n_segments (int, optional): Items per epoch, drawn at random. None: one from the middle of
            each track.
        segment (float): Seconds of an item.
        n_variants (int): Ensembles per track.
        n_fft, hop_length (int): STFT, in samples.
        seed (int): Item `i` depends on the seed and on `i` only.

    Raises:
        ValueError: if the kind of supervision is unknown or does not fit the data.
    """

    def __init__(
        self,
        manifest: Manifest,
        split: str,
        supervision: str = "stems",
        n_segments: int | None = None,
        segment: float = 2.048,
        n_variants: int = 3,
        n_fft: int = 2048,
        hop_length: int = 512,
        seed: int = 0,
    ) -> None:
        if supervision not in SUPERVISION:
            raise ValueError(
                f"supervision is one of {', '.join(SUPERVISION)}, found {supervision!r}."
            )
        if supervision == "mixtures" and manifest.mixture != "submix":
            raise ValueError(
                f"{manifest.root} has whole songs as mixtures, with sounds of no class, which the "
                "sum of two songs would teach to the classes: run `prepare --mixture submix`."
            )
        self.manifest, self.supervision, self.seed = manifest, supervision, seed
        self.tracks = [t for t in manifest.select(split) if len(self._present(t)) > 1]
        if supervision == "stems":
            names = [(t, n) for t in self.tracks for n in self._present(t)]
            lacking = [t.id for t, n in names if not manifest.stem_path(t, n).is_file()]
            if lacking:
                raise ValueError(
                    f"{manifest.root}: {lacking[0]} lacks stems; train with mixtures instead."
                )
        if not self.tracks:
            raise ValueError(
                f"{manifest.root}: no track of {split} has two classes; a refiner needs at least "
                "two."
            )
        self.n_segments, self.n_variants = n_segments, n_variants
        self.stft = STFT(n_fft, hop_length, manifest.sample_rate)
        self.templates = HarmonicTemplates(manifest.sample_rate, n_fft)
        self.unpitched = set(unpitched_indices(manifest.classes))
        self.n_frames = round(segment * manifest.sample_rate / hop_length)

    def __len__(self) -> int:
        return self.n_segments or len(self.tracks)

    def __getitem__(self, index: int) -> RefinementItem:
        if self.n_segments is None:
            variant, place = self.variant(index, 0), 0.5
        else:
            rng = np.random.default_rng([self.seed, index])
            number, k = rng.integers(len(self.tracks)), rng.integers(self.n_variants)
            variant, place = self.variant(int(number), int(k)), rng.random()
        return self.item(*variant, place)

    def _present(self, track: PreparedTrack) -> list[str]:
        return [name for name, count in track.n_notes.items() if count]

    def variant(self, number: int, k: int) -> tuple[Variant, Factors]:
        """An ensemble of a track, and its factorization, which is read if it was fitted before.

        Args:
            number (int): Number of the track.
            k (int): Number of the variant.
        """
        rng = np.random.default_rng([self.seed, number, k])
        made = (
            self._ensemble(number, rng) if self.supervision == "stems" else self._sum(number, rng)
        )
        path = self._path(number, k)
        if not path.is_file():
            self._fit(made, path)
        try:
            with np.load(path, allow_pickle=False) as content:
                arrays = [torch.from_numpy(content[name]).float() for name in _ARRAYS]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{path} is damaged ({error}): delete it, and it is made again."
            ) from None
        return made, Factors(arrays[0], arrays[1], arrays[2].long())

    def _path(self, number: int, k: int) -> Path:
        manifest, track = self.manifest, self.tracks[number]
        # The draw of the other song depends on the list of tracks.
        is_sum = self.supervision == "mixtures"
        ids = [t.id for t in self.tracks] if is_sum else []
        settings = [_VERSION, self.supervision, self.seed, number, k, self.stft.n_fft, ids]
        settings += [self.stft.hop_length, manifest.names, manifest.audio_identity(track)]
        settings += [_UNPITCHED_VERSION] if self.unpitched else []
        notes = (manifest.folder(track) / "notes.csv").read_bytes()
        if is_sum:
            other = self.tracks[self._other(number, np.random.default_rng([self.seed, number, k]))]
            settings.append(manifest.audio_identity(other))
            notes += (manifest.folder(other) / "notes.csv").read_bytes()
        name = hashlib.sha256(repr(settings).encode() + notes).hexdigest()[:16]
        return manifest.folder(track) / f"refine-{name}.npz"

    def _ensemble(self, number: int, rng: np.random.Generator) -> Variant:
        """Some of the classes of a song; the others and drums stay as noise, or are left out."""
        manifest, track = self.manifest, self.tracks[number]
        present = self._present(track)
        n_kept = int(rng.integers(2, len(present) + 1))
        kept = sorted(rng.choice(len(present), n_kept, replace=False))
        stems = {n: read_audio(manifest.stem_path(track, n))[0] for n in present}
        rest = manifest.read_mixture(track) - sum(stems.values()) if rng.random() < 0.3 else 0.0
        rest = rest * (manifest.mixture == "song")
        for i in set(range(len(present))) - set(kept):
            rest = rest + stems[present[i]] * float(rng.random() < 0.1)
        gains = 10 ** (rng.normal(0, 4, len(kept) + 1) / 20)
        signals = [gain * stems[present[i]] for gain, i in zip(gains, kept)]
        signals.append(gains[-1] * rest + np.zeros_like(signals[0]))
        numbers = [manifest.names.index(present[i]) for i in kept]
        free = N_FREE if np.any(rest) else 0
        unpitched = tuple(i for i, number in enumerate(numbers) if number in self.unpitched)
        notes = damage(_of_classes(manifest.notes(track), numbers), rng, unpitched)
        return Variant(np.stack(signals), tuple(range(len(kept))), notes, free, unpitched)

    def _other(self, number: int, rng: np.random.Generator) -> int:
        """Draws the song that is added to a song."""
        return (number + int(rng.integers(1, max(len(self.tracks), 2)))) % len(self.tracks)

    def _sum(self, number: int, rng: np.random.Generator) -> Variant:
        """A song and another, of which each class counts as a class of its own."""
        manifest = self.manifest
        other = self._other(number, rng)
        signals: list[np.ndarray] = []
        tables: list[Notes] = []
        group: list[int] = []
        unpitched: list[int] = []
        for g, track in enumerate((self.tracks[number], self.tracks[other])):
            numbers = [manifest.names.index(name) for name in self._present(track)]
            notes = _of_classes(manifest.notes(track), numbers)
            tables.append(notes.replace(class_index=notes.class_index + len(group)))
            unpitched += [len(group) + i for i, n in enumerate(numbers) if n in self.unpitched]
            group += [g] * len(numbers)
            signals.append(manifest.read_mixture(track) / track.rms * 10 ** (rng.normal(0, 2) / 20))
        n_samples = min(map(len, signals))
        cut = np.stack([signal[:n_samples] for signal in signals])
        notes = Notes.concatenate(tables)
        notes = notes.select(notes.onset < n_samples / manifest.sample_rate)
        silence = np.zeros((1, n_samples), cut.dtype)
        notes = damage(notes, rng, unpitched)
        return Variant(np.concatenate([cut, silence]), tuple(group), notes, 0, tuple(unpitched))

    @torch.no_grad()
    def _fit(self, made: Variant, path: Path) -> None:
        """Fits an ensemble as :class:`~asteroid_scoresup.data.ScoreInformedMasks` does a track."""
        mixture = torch.from_numpy(made.signals.sum(0)).float()
        size = (len(made.group), self.stft.n_frames(len(mixture)), self.stft.grid)
        is_unpitched = np.isin(made.notes.class_index, made.unpitched)
        pitched, struck = made.notes.select(~is_unpitched), made.notes.select(is_unpitched)
        factors = score_informed_nmf(
            self.stft.magnitude(self.stft(mixture.unsqueeze(0)))[0],
            sounding_roll(pitched, *size),
            onset_roll(pitched, *size),
            self.templates,
            free=made.free,
            hits=hit_roll(struck, *size) if len(struck) else None,
        )
        activations = factors.activations / factors.activations.amax().clamp(min=1e-9)
        with atomic_path(path) as temporary:
            np.savez(
                temporary,
                templates=factors.templates.numpy().astype(np.float16),
                activations=activations.numpy().astype(np.float16),
                class_index=factors.class_index.numpy().astype(np.int16),
            )

    @torch.no_grad()
    def item(self, variant: Variant, factors: Factors, place: float) -> RefinementItem:
        """A segment of an ensemble.

        Args:
            variant (Variant): The ensemble.
            factors (Factors): Its factorization.
            place (float): Position of the segment: from 0 (beginning) to 1 (end).
        """
        n_known = factors.activations.shape[1]
        first = int(place * max(n_known - self.n_frames, 0))
        last = min(first + self.n_frames, n_known)
        hop, half = self.stft.hop_length, self.stft.n_fft // 2
        # One window more on each side, so that all frames are those of the whole signal.
        margin = -(-half // hop)
        start = max(first - margin, 0)
        part = variant.signals[:, start * hop : (last + margin) * hop]
        spectra = self.stft(torch.from_numpy(np.ascontiguousarray(part)).float())
        spectra = spectra[..., first - start : last - start] * self.stft.scale
        mixture = spectra.sum(0)
        truth = spectra[: len(set(variant.group))]
        projection = truth.real * mixture.real + truth.imag * mixture.imag
        energy = (truth.real.square() + truth.imag.square()).sum((1, 2))
        magnitude = mixture.abs()
        cut = factors._replace(activations=factors.activations[:, first:last])
        estimates = class_estimates(magnitude, cut, len(variant.group))
        return RefinementItem(magnitude, estimates, torch.tensor(variant.group), projection, energy)


def _of_classes(notes: Notes, numbers: list[int]) -> Notes:
    """The notes of some classes, renumbered."""
    new = np.full(max(int(notes.class_index.max(initial=0)), *numbers) + 1, -1)
    new[numbers] = range(len(numbers))
    notes = notes.replace(class_index=new[notes.class_index])
    return notes.select(notes.class_index >= 0)


def ensemble_loader(
    dataset: RefinementDataset, batch_size: int, num_workers: int = 0
) -> DataLoader:
    """A loader whose batches are lists: items have different numbers of classes.

    Args:
        dataset (RefinementDataset): The items; random ones are numbered on from epoch to epoch.
        batch_size (int): Items per batch.
        num_workers (int): Number of loader processes; the batches do not depend on it.
    """
    sampler = None if dataset.n_segments is None else SegmentSampler(dataset.n_segments)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=list,
        drop_last=sampler is not None,
        persistent_workers=num_workers > 0,
    )
