"""Score-informed masks of prepared tracks: fitted once, stored next to the notes."""

from __future__ import annotations

import collections
import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..checks.label_check import unpitched_indices
from ..dsp import STFT, FrameGrid
from ..score import (
    Factors,
    HarmonicTemplates,
    SoundingOptions,
    hit_roll,
    onset_roll,
    score_informed_nmf,
    soft_masks,
    sounding_roll,
)
from ..score.defaults import (
    HIT_BEFORE,
    HIT_DECAY,
    HIT_SECONDS,
    INFORMED_ITERATIONS,
    INFORMED_POWER,
    INHARMONICITY,
    N_FREE,
    N_PARTIALS,
    PARTIAL_DECAY,
    RELATIVE_WIDTH,
)
from ..utils.parallel import run_parallel
from ..utils.partial_files import sweep
from .factors_file import read_factors, write_factors
from .manifest import Manifest
from .shard_files import COPY_AGAIN
from .shards import ShardedManifest
from .stretches import certain_frames
from .track import PreparedTrack

#: Threads that read and write files while a GPU computes.
_FILE_THREADS = 4
#: Number of tracks whose factors are cached in memory.
CACHED_TRACKS = 256


class ScoreInformedMasks:
    """Score-informed masks of prepared tracks, from a factorization of each mixture.

    See :mod:`asteroid_scoresup.score.informed`. Factors are fitted to whole tracks, written to
    ``informed-<hash>.npz`` in the track's folder (half precision), and read from there. Classes
    without pitch (drums) have components of their own, see :mod:`asteroid_scoresup.score.hits`.

    Args:
        manifest (Manifest): The prepared data.
        n_fft (int): STFT length, in samples.
        hop_length (int): STFT hop, in samples.
        iterations (int): See :func:`~asteroid_scoresup.score.informed.score_informed_nmf`.
        n_partials, relative_width, decay, inharmonicity: See
            :class:`~asteroid_scoresup.score.HarmonicTemplates`.
        power (float): See :func:`~asteroid_scoresup.score.informed.soft_masks`.
        sounding (SoundingOptions or dict, optional): How the sounding roll is drawn.
    """

    def __init__(
        self,
        manifest: Manifest,
        n_fft: int = 2048,
        hop_length: int = 512,
        iterations: int = INFORMED_ITERATIONS,
        n_partials: int = N_PARTIALS,
        relative_width: float = RELATIVE_WIDTH,
        decay: float = PARTIAL_DECAY,
        inharmonicity: float = INHARMONICITY,
        power: float = INFORMED_POWER,
        sounding: SoundingOptions | Mapping[str, Any] | None = None,
    ) -> None:
        self.manifest, self.n_fft, self.hop_length = manifest, n_fft, hop_length
        self.grid = FrameGrid(n_fft, hop_length, manifest.sample_rate)
        self.iterations, self.power = iterations, power
        self.partials: dict[str, Any] = dict(
            n_partials=n_partials,
            relative_width=relative_width,
            decay=decay,
            inharmonicity=inharmonicity,
        )
        self.sounding = SoundingOptions.of(sounding)
        self.free = N_FREE if manifest.mixture == "song" else 0
        drawn = asdict(self.sounding)
        settings = [3, n_fft, hop_length, iterations, self.partials, drawn, self.free]
        #: Indices of the classes without pitch.
        self.unpitched = list(unpitched_indices(manifest.classes))
        if self.unpitched:
            settings.append({"unpitched": [*self.unpitched, HIT_BEFORE, HIT_DECAY, HIT_SECONDS]})
        self.settings = json.dumps([*settings, manifest.names], sort_keys=True).encode()
        self._paths: dict[tuple[str, str], Path] = {}
        self._factors: dict[tuple[str, str], Factors] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Loader processes and workers start with empty caches.
        return {**self.__dict__, "_paths": {}, "_factors": {}}

    def path(self, track: PreparedTrack) -> Path:
        """File of a track's factors; its name depends on settings, score and audio."""
        key = track.split, track.id
        if key not in self._paths:
            folder = self.manifest.folder(track)
            audio = self.manifest.audio_identity(track).encode()
            content = self.settings + (folder / "notes.csv").read_bytes() + audio
            if track.uncertain:
                content += json.dumps(track.uncertain).encode()
            name = f"informed-{hashlib.sha256(content).hexdigest()[:16]}.npz"
            self._paths[key] = folder / name
        return self._paths[key]

    def fit(self, track: PreparedTrack, device: torch.device | str = "cpu") -> Factors:
        """Fits a track's factors and writes them, atomically.

        Args:
            track (PreparedTrack): The track.
            device (torch.device or str): Where to compute. The factors are returned on the CPU.
        """
        manifest = self.manifest
        stft = STFT(self.n_fft, self.hop_length, manifest.sample_rate).to(device)
        wav = torch.from_numpy(manifest.read_mixture(track)).to(device)
        notes = manifest.notes(track)
        is_unpitched = np.isin(notes.class_index, self.unpitched)
        pitched, struck = notes.select(~is_unpitched), notes.select(is_unpitched)
        size = (len(manifest.names), stft.n_frames(len(wav)), stft.grid)
        # Where the score is uncertain, there is nothing to fit, and the activations stay 0.
        certain = certain_frames(track, size[1], stft.grid)
        if certain.any():
            templates = HarmonicTemplates(manifest.sample_rate, self.n_fft, **self.partials)
            hits = hit_roll(struck, *size)[..., certain].to(device) if len(struck) else None
            factors = score_informed_nmf(
                stft.magnitude(stft(wav.unsqueeze(0)))[0][:, certain],
                sounding_roll(pitched, *size, self.sounding)[..., certain].to(device),
                onset_roll(pitched, *size)[:, certain].to(device),
                templates.to(device),
                self.iterations,
                free=self.free,
                hits=hits,
            ).cpu()
        else:
            empty = torch.zeros(0, stft.n_freqs), torch.zeros(0, 0)
            factors = Factors(*empty, torch.zeros(0, dtype=torch.long))
        if track.uncertain:
            whole = factors.activations.new_zeros(len(factors.class_index), size[1])
            whole[:, certain] = factors.activations
            factors = factors._replace(activations=whole)
        manifest.folder_to_write(track)
        write_factors(self.path(track), factors)
        return factors

    def fit_all(
        self,
        tracks: Iterable[PreparedTrack],
        jobs: int | None = None,
        progress: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        """Fits the tracks that have no factors yet: in several processes, or on a GPU.

        Args:
            tracks (iterable of PreparedTrack): The tracks. Those in shards have their factors in
                the shards, or there are none.
            jobs (int, optional): Processes; all cores by default.
            progress (bool): Whether a progress bar is shown.
            device (torch.device or str): On another device than a CPU, threads of this process
                read and write files, and processes are not used.

        Raises:
            ValueError: if the tracks are in shards without factors of these settings.
        """
        if isinstance(self.manifest, ShardedManifest):
            self.manifest.require_masks(self.settings.decode())
            return
        tracks = list(tracks)
        for split in {track.split for track in tracks}:
            sweep(self.manifest.root / split, locked=False)
        waiting = [track for track in tracks if not self.path(track).is_file()]
        title = "score-informed masks"
        if torch.device(device).type != "cpu":
            with ThreadPoolExecutor(_FILE_THREADS) as pool:
                fitted = pool.map(partial(self.fit, device=device), waiting)
                bar = tqdm(fitted, title, len(waiting), disable=not progress or not waiting)
                collections.deque(bar, maxlen=0)
            return
        # Without the list of tracks, which would be sent to the workers with every track.
        manifest = self.manifest
        worker = copy.copy(self)
        worker.manifest = Manifest(
            manifest.root, manifest.sample_rate, manifest.classes, manifest.mixture
        )
        for _ in run_parallel(partial(_fit, worker), waiting, jobs, title, progress):
            pass

    def _load(self, track: PreparedTrack) -> Factors:
        """A track's factors from the cache or its file; they are fitted if there is none."""
        key = track.split, track.id
        if key not in self._factors:
            if len(self._factors) >= CACHED_TRACKS:
                self._factors.pop(next(iter(self._factors)))
            sharded = isinstance(self.manifest, ShardedManifest)
            self._factors[key] = self._from_shard(track) if sharded else self._from_folder(track)
        return self._factors[key]

    def _from_folder(self, track: PreparedTrack) -> Factors:
        path, size = self.path(track), (len(self.manifest.names), self.grid, track.n_samples)
        factors = read_factors(path, *size) if path.is_file() else None
        if factors is None:
            self.fit(track)
            factors = read_factors(path, *size)
        if factors is None:
            raise ValueError(
                f"{path} does not fit the track: its mixture has another length than the "
                "manifest says. Run `prepare` again."
            )
        return factors

    def _from_shard(self, track: PreparedTrack) -> Factors:
        assert isinstance(self.manifest, ShardedManifest)
        self.manifest.require_masks(self.settings.decode())
        file = self.manifest.factors_file(track)
        factors = read_factors(file, len(self.manifest.names), self.grid, track.n_samples)
        if factors is None:
            raise ValueError(f"{file} is damaged. {COPY_AGAIN}")
        return factors

    def read(
        self,
        track: PreparedTrack,
        first: int = 0,
        n_frames: int | None = None,
        speed: float = 1.0,
    ) -> torch.Tensor:
        r"""The masks of a segment of a track.

        Args:
            track, first, n_frames, speed: See :meth:`factors`.

        Returns:
            :class:`torch.Tensor`: Masks, shape :math:`(n\_src, freq, n\_frames)`; 0 beyond the end
            of the track.

        Raises:
            ValueError: if the length of the mixture is not that of the manifest.
        """
        factors = self.factors(track, first, n_frames, speed)
        return soft_masks(factors, len(self.manifest.names), self.power)

    def factors(
        self,
        track: PreparedTrack,
        first: int = 0,
        n_frames: int | None = None,
        speed: float = 1.0,
    ) -> Factors:
        """The factors of a segment of a track, of the components that sound in it.

        Args:
            track (PreparedTrack): The track.
            first (int): First frame.
            n_frames (int, optional): Number of frames; default: to the end. Beyond the end
                activations are 0.
            speed (float): Factor by which the segment is played faster and higher; its frames and
                bins are interpolated between those of the recording.

        Raises:
            ValueError: if the length of the mixture is not that of the manifest.
        """
        known = self._load(track)
        n_left = known.activations.shape[1] - first
        if speed == 1:
            n_frames = n_left if n_frames is None else n_frames
            activations = known.activations[:, first : first + n_frames].float()
        else:
            n_frames = int(n_left / speed) if n_frames is None else n_frames
            activations = _between(known.activations, first + speed * torch.arange(n_frames))
        sounds = activations.amax(1) > 0
        templates = known.templates[sounds]
        if speed != 1:
            templates = _between(templates, torch.arange(templates.shape[1]) / speed)
        missing = n_frames - activations.shape[1]
        activations = torch.nn.functional.pad(activations[sounds], (0, missing))
        return Factors(templates, activations, known.class_index[sounds])


def _between(values: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Columns of `values` at fractional places, interpolated linearly; 0 beyond the last."""
    left = places.floor().long()
    weight = (places - left).to(torch.float32)
    inside = left < values.shape[1] - 1
    left = left.clamp(max=values.shape[1] - 2)
    pair = values[:, left].float(), values[:, left + 1].float()
    return torch.lerp(*pair, weight) * inside


def _fit(masks: ScoreInformedMasks, track: PreparedTrack) -> None:
    masks.fit(track)
