"""Material to train the correction of masks: segments of random ensembles, factorized.

Each track of a prepared folder gives several *variants*, see
:mod:`~asteroid_scoresup.engine.ensembles`. The factorization of a variant is that of a separation
(:mod:`asteroid_scoresup.score.song_factors`). It is fitted once to the whole track and stored next
to its notes, with the signals; items are segments of it.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from ..checks.label_check import unpitched_indices
from ..data import Manifest, PreparedTrack, SegmentSampler
from ..dsp import STFT
from ..losses.refinement import RefinementItem
from ..models import SourceModel
from ..models.mask_refiner import class_estimates
from ..score import Factors, factorize_song, song_templates
from ..utils.files import atomic_path
from ..utils.parallel import run_parallel
from .ensembles import Ensemble, parts_of, played, sum_of

#: What a refiner is trained on: stems, or sums of two mixtures with their scores.
SUPERVISION = ("stems", "mixtures")
#: Version of the variants, so that old files are not used.
_VERSION = 6
#: Arrays of a file; ensembles have one channel, and their factors no gains.
_ARRAYS = ("templates", "activations", "class_index")


class Variant(NamedTuple):
    r"""What is stored of an ensemble.

    Args:
        signals (:class:`numpy.ndarray`): See
            :class:`~asteroid_scoresup.engine.ensembles.Ensemble`; half precision, at most 1.
        group (:class:`torch.Tensor`): Group of each class.
        factors (Factors): The factorization.
        gain (float): Brings the signals to the nominal level.
        is_complete (bool): See :class:`~asteroid_scoresup.losses.refinement.RefinementItem`.
    """

    signals: np.ndarray
    group: torch.Tensor
    factors: Factors
    gain: float
    is_complete: bool


class RefinementDataset(Dataset):
    """Segments of random ensembles, see the module.

    Args:
        manifest (Manifest or sequence of Manifest): The prepared data, of one folder or several
            with the same classes and sample rate.
        split (str): Name of the split.
        supervision (str): ``"stems"``: the classes of a song at random levels, each compared with
            its stem. ``"mixtures"``: the sum of two songs, each compared with its mixture; no stem
            is opened.
        n_segments (int, optional): Items per epoch, drawn at random. None: one from the middle of
            each track.
        segment (float): Seconds of an item.
        n_variants (int): Ensembles per track.
        n_bins (int, optional): Lowest bins of the STFT that items have, which most of the energy
            is in. Default: all.
        n_fft, hop_length (int): STFT, in samples.
        seed (int): Item `i` depends on the seed and on `i` only.
        classes (sequence of str, optional): Classes that each item has, in order, for a network
            that knows classes; with ``supervision="stems"``. Default: those that an ensemble keeps.

    Raises:
        ValueError: if the kind of supervision is unknown or does not fit the data.
    """

    def __init__(
        self,
        manifest: Manifest | Sequence[Manifest],
        split: str,
        supervision: str = "stems",
        n_segments: int | None = None,
        segment: float = 2.048,
        n_variants: int = 3,
        n_bins: int | None = None,
        n_fft: int = 2048,
        hop_length: int = 512,
        seed: int = 0,
        classes: Sequence[str] | None = None,
    ) -> None:
        if supervision not in SUPERVISION:
            raise ValueError(
                f"supervision is one of {', '.join(SUPERVISION)}, found {supervision!r}."
            )
        manifests = [manifest] if isinstance(manifest, Manifest) else list(manifest)
        self.supervision, self.seed = supervision, seed
        self.classes = list(classes) if classes else None
        self.tracks: list[PreparedTrack] = []
        #: Data of each track.
        self.data: list[Manifest] = []
        for one in manifests:
            self._require(one, manifests[0])
            used = set(self.classes or one.names)
            chosen = [t for t in one.select(split) if len(used & set(played(t))) > 1]
            names = [(t, n) for t in chosen for n in played(t)]
            lacking = [t.id for t, n in names if not one.has_stem(t, n)]
            if supervision == "stems" and lacking:
                raise ValueError(
                    f"{one.root}: {lacking[0]} lacks stems; train with mixtures instead."
                )
            if not chosen:
                raise ValueError(
                    f"{one.root}: no track of {split} has two classes; a refiner needs at least "
                    "two."
                )
            self.tracks += chosen
            self.data += [one] * len(chosen)
        self.n_segments, self.n_variants, self.n_bins = n_segments, n_variants, n_bins
        first = manifests[0]
        self.stft = STFT(n_fft, hop_length, first.sample_rate)
        self.templates = song_templates(first.sample_rate, n_fft)
        self.unpitched = set(unpitched_indices(first.classes))
        self.n_frames = round(segment * first.sample_rate / hop_length)

    def _require(self, manifest: Manifest, first: Manifest) -> None:
        """Checks that a folder fits the supervision, and the first folder."""
        if self.supervision == "mixtures" and manifest.mixture != "submix":
            raise ValueError(
                f"{manifest.root} has whole songs as mixtures, with sounds of no class, which the "
                "sum of two songs would teach to the classes: run `prepare --mixture submix`."
            )
        if self.classes and self.supervision != "stems":
            raise ValueError("A network that knows classes is trained with supervision 'stems'.")
        missing = set(self.classes or ()) - set(manifest.names)
        if missing:
            raise ValueError(
                f"{manifest.root} has no class {min(missing)!r}: prepare it with the classes of "
                "the network, besides any others."
            )
        kinds = [(str(m.classes), m.sample_rate) for m in (first, manifest)]
        if kinds[0] != kinds[1]:
            raise ValueError(
                f"{first.root} has other classes or another sample rate than {manifest.root}: "
                "prepare both alike."
            )

    def __len__(self) -> int:
        return self.n_segments or len(self.tracks)

    def __getitem__(self, index: int) -> RefinementItem:
        if self.n_segments is None:
            number, k, place = index, 0, 0.5
        else:
            rng = np.random.default_rng([self.seed, index])
            number, k = (int(rng.integers(n)) for n in (len(self.tracks), self.n_variants))
            place = rng.random()
        return self.item(self.variant(number, k), place)

    def variant(self, number: int, k: int) -> Variant:
        """An ensemble of a track, and its factorization, which is read if it was fitted before.

        Args:
            number (int): Number of the track.
            k (int): Number of the variant.

        Raises:
            ValueError: if its file is damaged.
        """
        path = self._path(number, k)
        if not path.is_file():
            self._fit(self.ensemble(number, k), path)
        try:
            with np.load(path, allow_pickle=False) as content:
                arrays = [torch.from_numpy(content[name]).float() for name in _ARRAYS]
                signals, group = content["signals"], torch.from_numpy(content["group"])
                gain = float(content["gain"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{path} is damaged ({error}): delete it, and it is made again."
            ) from None
        factors = Factors(arrays[0], arrays[1], arrays[2].long())
        sounding = len(set(self.classes or ()) & set(played(self.tracks[number])))
        is_complete = self.classes is None or np.count_nonzero(signals[:-1].any(1)) == sounding
        return Variant(signals, group, factors, gain, bool(is_complete))

    def ensemble(self, number: int, k: int) -> Ensemble:
        """Draws an ensemble.

        Args:
            number (int): Number of the track.
            k (int): Number of the variant.
        """
        rng = np.random.default_rng([self.seed, number, k])
        track = self.tracks[number]
        if self.supervision == "stems":
            return parts_of(self.data[number], track, rng, self.classes)
        both = (number, self._other(number, rng))
        return sum_of([(self.data[n], self.tracks[n]) for n in both], rng)

    def fit(self, jobs: int | None = None, progress: bool = False) -> None:
        """Makes all ensembles and their factorizations that are not there yet, side by side.

        Otherwise they are made when they are first used.

        Args:
            jobs (int, optional): Number of processes. Default: all cores.
            progress (bool): Whether to show a progress bar.
        """
        chosen = self.n_variants if self.n_segments else 1
        pairs = [(n, k) for n in range(len(self.tracks)) for k in range(chosen)]
        missing = [pair for pair in pairs if not self._path(*pair).is_file()]
        for _ in run_parallel(self._make, missing, jobs, "Factorize", progress):
            pass

    def _make(self, pair: tuple[int, int]) -> None:
        self._fit(self.ensemble(*pair), self._path(*pair))

    def _path(self, number: int, k: int) -> Path:
        manifest, track = self.data[number], self.tracks[number]
        # The draw of the other song depends on the list of tracks.
        is_sum = self.supervision == "mixtures"
        ids = [t.id for t in self.tracks] if is_sum else []
        settings = [_VERSION, self.supervision, self.seed, number, k, self.stft.n_fft, ids]
        settings += [self.stft.hop_length, manifest.names, manifest.audio_identity(track)]
        settings += [sorted(self.unpitched), self.classes]
        notes = (manifest.folder(track) / "notes.csv").read_bytes()
        if is_sum:
            n = self._other(number, np.random.default_rng([self.seed, number, k]))
            settings.append(self.data[n].audio_identity(self.tracks[n]))
            notes += (self.data[n].folder(self.tracks[n]) / "notes.csv").read_bytes()
        name = hashlib.sha256(repr(settings).encode() + notes).hexdigest()[:16]
        return manifest.folder(track) / f"refine-{name}.npz"

    def _other(self, number: int, rng: np.random.Generator) -> int:
        """Draws the song that is added to a song."""
        return (number + int(rng.integers(1, max(len(self.tracks), 2)))) % len(self.tracks)

    @torch.no_grad()
    def _fit(self, made: Ensemble, path: Path) -> None:
        """Factorizes an ensemble as it would be for its separation, and writes both."""
        n_src = len(made.group)
        # Half precision has a small range.
        signals = made.signals / max(float(np.abs(made.signals).max()), 1e-9)
        mixture = torch.from_numpy(signals.sum(0)).float()
        _, gain = SourceModel.normalize(mixture.unsqueeze(0))
        is_unpitched = np.isin(made.notes.class_index, made.unpitched)
        notes = made.notes.replace(class_index=made.notes.class_index.clip(max=n_src))
        factors = factorize_song(
            self.stft.magnitude(self.stft(mixture.unsqueeze(0)))[0],
            notes.select(~is_unpitched),
            notes.select(is_unpitched),
            n_src,
            self.stft.grid,
            self.templates,
        )
        activations = factors.activations / factors.activations.amax().clamp(min=1e-9)
        with atomic_path(path) as temporary:
            np.savez(
                temporary,
                templates=factors.templates.numpy().astype(np.float16),
                activations=activations.numpy().astype(np.float16),
                class_index=factors.class_index.numpy().astype(np.int16),
                signals=signals.astype(np.float16),
                group=np.array(made.group),
                gain=gain.item(),
            )

    @torch.no_grad()
    def item(self, variant: Variant, place: float) -> RefinementItem:
        """A segment of an ensemble.

        Args:
            variant (Variant): The ensemble.
            place (float): Position of the segment: from 0 (beginning) to 1 (end).
        """
        factors, group = variant.factors, variant.group
        n_known = factors.activations.shape[1]
        first = int(place * max(n_known - self.n_frames, 0))
        last = min(first + self.n_frames, n_known)
        hop, half = self.stft.hop_length, self.stft.n_fft // 2
        # One window more on each side, so that all frames are those of the whole signal.
        margin = -(-half // hop)
        start = max(first - margin, 0)
        part = variant.signals[:, start * hop : (last + margin) * hop].astype(np.float32)
        spectra = self.stft(torch.from_numpy(part))
        spectra = spectra[..., first - start : last - start] * (self.stft.scale * variant.gain)
        mixture = spectra.sum(0)
        truth, present = spectra[:-1, : self.n_bins], mixture[: self.n_bins]
        projection = truth.real * present.real + truth.imag * present.imag
        energy = (truth.real.square() + truth.imag.square()).sum((1, 2))
        magnitude = mixture.abs()
        activations = factors.activations[:, first:last]
        sounds = activations.amax(1) > 0
        cut = Factors(factors.templates[sounds], activations[sounds], factors.class_index[sounds])
        estimates = class_estimates(magnitude, cut, len(group))
        low = magnitude[: self.n_bins]
        estimates = estimates[:, : self.n_bins]
        return RefinementItem(low, estimates, group, projection, energy, variant.is_complete)


def ensemble_loader(
    dataset: RefinementDataset | ConcatDataset, batch_size: int, num_workers: int = 0
) -> DataLoader:
    """A loader whose batches are lists: items have different numbers of classes.

    Args:
        dataset (RefinementDataset or ConcatDataset): The items; random ones, which only the first
            of the two has, are numbered on from epoch to epoch.
        batch_size (int): Items per batch.
        num_workers (int): Number of loader processes; the batches do not depend on it.
    """
    n_segments = getattr(dataset, "n_segments", None)
    sampler = None if n_segments is None else SegmentSampler(n_segments)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=list,
        drop_last=sampler is not None,
        persistent_workers=num_workers > 0,
    )
