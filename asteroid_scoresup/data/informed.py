"""Score-informed factors of prepared tracks: fitted once, kept beside the notes."""

from __future__ import annotations

import copy
import hashlib
import json
import zipfile
import zlib
from functools import partial

import numpy as np
import torch

from ..dsp import STFT
from ..score import (
    Factors,
    HarmonicTemplates,
    onset_roll,
    score_informed_nmf,
    soft_masks,
    sounding_roll,
)
from ..score.defaults import (
    INFORMED_ITERATIONS,
    INFORMED_POWER,
    INHARMONICITY,
    N_PARTIALS,
    PARTIAL_DECAY,
    RELATIVE_WIDTH,
    SOUNDING,
)
from ..utils.files import atomic_path
from ..utils.parallel import run_parallel
from ..utils.partial_files import sweep
from .manifest import Manifest

#: Components for what belongs to no class, where the mixture is the whole song.
N_FREE = 6
#: Number of tracks whose factors are kept in memory.
CACHED_TRACKS = 256


class ScoreInformedMasks:
    """Score-informed masks of prepared tracks, from a factorization of each mixture.

    See :mod:`asteroid_scoresup.score.informed`. Factors are fitted to whole tracks, kept as
    ``informed-<settings>.npz`` in the track's folder (half precision), and read from there.

    Args:
        manifest (Manifest): The prepared data.
        n_fft, hop_length (int): The STFT, in samples.
        iterations (int): See :func:`~asteroid_scoresup.score.informed.score_informed_nmf`.
        n_partials, relative_width, decay, inharmonicity: See
            :class:`~asteroid_scoresup.score.HarmonicTemplates`.
        power (float): See :func:`~asteroid_scoresup.score.informed.soft_masks`.
        sounding (dict, optional): Options of :func:`~asteroid_scoresup.score.sounding_roll` that
            differ from its defaults.
    """

    def __init__(
        self,
        manifest,
        n_fft=2048,
        hop_length=512,
        iterations=INFORMED_ITERATIONS,
        n_partials=N_PARTIALS,
        relative_width=RELATIVE_WIDTH,
        decay=PARTIAL_DECAY,
        inharmonicity=INHARMONICITY,
        power=INFORMED_POWER,
        sounding=None,
    ):
        self.manifest, self.n_fft, self.hop_length = manifest, n_fft, hop_length
        self.iterations, self.power = iterations, power
        self.partials = dict(
            n_partials=n_partials,
            relative_width=relative_width,
            decay=decay,
            inharmonicity=inharmonicity,
        )
        self.sounding = {**SOUNDING, **(sounding or {})}
        self.free = N_FREE if manifest.mixture == "song" else 0
        settings = [3, n_fft, hop_length, iterations, self.partials, self.sounding, self.free]
        self.settings = json.dumps([*settings, manifest.names], sort_keys=True).encode()
        self._paths, self._factors = {}, {}

    def __getstate__(self):
        # Loader processes and workers start with empty caches.
        return {**self.__dict__, "_paths": {}, "_factors": {}}

    def path(self, track):
        """File of a track's factors; its name follows from settings, score and audio."""
        key = track.split, track.id
        if key not in self._paths:
            folder = self.manifest.folder(track)
            audio = self.manifest.audio_identity(track).encode()
            content = self.settings + (folder / "notes.csv").read_bytes() + audio
            name = f"informed-{hashlib.sha256(content).hexdigest()[:16]}.npz"
            self._paths[key] = folder / name
        return self._paths[key]

    def fit(self, track):
        """Fits a track's factors and writes them, atomically.

        Returns:
            Factors
        """
        manifest = self.manifest
        stft = STFT(self.n_fft, self.hop_length, manifest.sample_rate)
        wav = torch.from_numpy(manifest.read_mixture(track))
        notes = manifest.notes(track)
        size = (len(manifest.names), stft.n_frames(len(wav)), self.hop_length, stft.sample_rate)
        factors = score_informed_nmf(
            stft.magnitude(stft(wav.unsqueeze(0)))[0],
            sounding_roll(notes, *size, **self.sounding),
            onset_roll(notes, *size),
            HarmonicTemplates(manifest.sample_rate, self.n_fft, **self.partials),
            self.iterations,
            free=self.free,
        )
        # Half precision has a small range: the scale of a component lies in its activations, and
        # those of a track are scaled to at most 1.
        activations = factors.activations / factors.activations.amax().clamp(min=1e-9)
        manifest.folder_to_write(track)
        with atomic_path(self.path(track)) as temporary:
            np.savez(
                temporary,
                templates=factors.templates.numpy().astype(np.float16),
                activations=activations.numpy().astype(np.float16),
                class_index=factors.class_index.numpy().astype(np.int16),
            )
        return factors

    def fit_all(self, tracks, jobs=None, progress=True):
        """Fits the tracks that have no factors yet, in several processes.

        Args:
            tracks (list of PreparedTrack): The tracks.
            jobs (int, optional): Processes; all cores by default.
            progress (bool): Whether a progress bar is shown.
        """
        for split in {track.split for track in tracks}:
            sweep(self.manifest.root / split, locked=False)
        waiting = [track for track in tracks if not self.path(track).is_file()]
        # The tracks of the manifest stay here: each worker gets its own one only.
        manifest = self.manifest
        alone = copy.copy(self)
        alone.manifest = Manifest(
            manifest.root, manifest.sample_rate, manifest.classes, manifest.mixture
        )
        title = "score-informed masks"
        for _ in run_parallel(partial(_fit, alone), waiting, jobs, title, progress):
            pass

    def _read_file(self, path, track):
        """The factors in a file; None if it is damaged: they can be fitted again.

        Arrays are stored as they are (no compression) and no bigger than the track asks for, so
        that a small file cannot fill the memory.
        """
        n_frames = STFT(self.n_fft, self.hop_length, self.manifest.sample_rate).n_frames(
            track.n_samples
        )
        try:
            with zipfile.ZipFile(path) as archive:
                if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
                    return None
            with np.load(path, allow_pickle=False) as content:
                templates, activations, class_index = (content[name] for name in Factors._fields)
        except MemoryError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return None
        n_components, n_src = len(class_index), len(self.manifest.names)
        whole = (
            templates.shape == (n_components, self.n_fft // 2 + 1)
            and activations.shape == (n_components, n_frames)
            and (templates.dtype, activations.dtype) == (np.float16, np.float16)
            and class_index.dtype == np.int16
            and np.isfinite(templates).all()
            and np.isfinite(activations).all()
            and (not n_components or class_index.min() >= -1 and class_index.max() < n_src)
        )
        if not whole:
            return None
        arrays = (templates.astype(np.float32), activations, class_index)
        return Factors(*map(torch.from_numpy, arrays))

    def read(self, track, first=0, n_frames=None, speed=1.0):
        r"""The masks of a stretch of a track.

        Args:
            track (PreparedTrack): The track.
            first (int): First frame.
            n_frames (int, optional): Number of frames; default: to the end. Beyond the end the
                masks are 0.
            speed (float): How much faster and higher the stretch is played: its frames and bins
                are looked up where they come from.

        Returns:
            :class:`torch.Tensor`: :math:`(n\_src, freq, n\_frames)`.
        """
        if not self.path(track).is_file():
            self.fit(track)
        path = self.path(track)
        if path not in self._factors:
            if len(self._factors) >= CACHED_TRACKS:
                self._factors.pop(next(iter(self._factors)))
            factors = self._read_file(path, track)
            if factors is None:
                self.fit(track)
                factors = self._read_file(path, track)
            if factors is None:
                raise ValueError(
                    f"{path} does not fit to the track: its mixture has another length than the "
                    "manifest says. Run `prepare` again."
                )
            self._factors[path] = factors
        factors = self._factors[path]
        if speed != 1:
            factors, first = _at_speed(factors, first, n_frames, speed), 0
        stop = factors.activations.shape[1] if n_frames is None else first + n_frames
        activations = factors.activations[:, first:stop].float()
        active = activations.amax(1) > 0
        part = Factors(factors.templates[active], activations[active], factors.class_index[active])
        masks = soft_masks(part, len(self.manifest.names), self.power)
        return torch.nn.functional.pad(masks, (0, stop - first - masks.shape[-1]))


def _at_speed(factors, first, n_frames, speed):
    """The factors of a stretch that is played faster and higher, from its first frame on."""
    n_known, n_freqs = factors.activations.shape[1], factors.templates.shape[1]
    if n_frames is None:
        n_frames = int((n_known - first) / speed)
    activations = _between(factors.activations, first + speed * torch.arange(n_frames))
    templates = _between(factors.templates, torch.arange(n_freqs) / speed)
    return Factors(templates, activations, factors.class_index)


def _between(values, places):
    """Columns of `values` at places between them, by linear interpolation; 0 beyond the last."""
    left = places.floor().long()
    weight = (places - left).to(torch.float32)
    inside = left < values.shape[1] - 1
    left = left.clamp(max=values.shape[1] - 2)
    pair = values[:, left].float(), values[:, left + 1].float()
    return torch.lerp(*pair, weight) * inside


def _fit(informed, track):
    informed.fit(track)
