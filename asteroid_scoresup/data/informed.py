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
from ..score import Factors, HarmonicTemplates, factorize, onset_roll, shares, sounding_roll
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
from ..utils.leftovers import sweep
from ..utils.parallel import in_processes
from .manifest import Manifest

#: Components for what belongs to no class, where the mixture is the whole song.
N_FREE = 6
#: Tracks whose factors are kept in memory.
CACHED_TRACKS = 256


class InformedShares:
    """The shares of the classes in each bin of a track's mixture, as score and mixture tell them.

    See :mod:`asteroid_scoresup.score.informed`. Factors are fitted to whole tracks, kept as
    ``informed-<settings>.npz`` in the track's folder (half precision), and read from there.

    Args:
        manifest (Manifest): The prepared data.
        n_fft, hop_length (int): The STFT, in samples.
        iterations (int): See :func:`~asteroid_scoresup.score.informed.factorize`.
        n_partials, relative_width, decay, inharmonicity: See
            :class:`~asteroid_scoresup.score.HarmonicTemplates`.
        power (float): See :func:`~asteroid_scoresup.score.informed.shares`.
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
        settings = [2, n_fft, hop_length, iterations, self.partials, self.sounding, self.free]
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
        factors = factorize(
            stft.magnitude(stft(wav.unsqueeze(0)))[0],
            sounding_roll(notes, *size, **self.sounding),
            onset_roll(notes, *size),
            HarmonicTemplates(manifest.sample_rate, self.n_fft, **self.partials),
            self.iterations,
            free=self.free,
        )
        # Half precision has a small range: the scale of a component lies in its levels, and the
        # levels of a track are brought to at most 1.
        levels = factors.levels / factors.levels.amax().clamp(min=1e-9)
        manifest.folder_to_write(track)
        with atomic_path(self.path(track)) as temporary:
            np.savez(
                temporary,
                spectra=factors.spectra.numpy().astype(np.float16),
                levels=levels.numpy().astype(np.float16),
                source=factors.source.numpy().astype(np.int16),
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
        title = "score-informed shares"
        for _ in in_processes(partial(_fit, alone), waiting, jobs, title, progress):
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
                spectra, levels, source = (content[name] for name in Factors._fields)
        except MemoryError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return None
        n_parts, n_src = len(source), len(self.manifest.names)
        whole = (
            spectra.shape == (n_parts, self.n_fft // 2 + 1)
            and levels.shape == (n_parts, n_frames)
            and (spectra.dtype, levels.dtype, source.dtype) == (np.float16, np.float16, np.int16)
            and np.isfinite(spectra).all()
            and np.isfinite(levels).all()
            and (not n_parts or source.min() >= -1 and source.max() < n_src)
        )
        if not whole:
            return None
        return Factors(*(torch.from_numpy(a) for a in (spectra.astype(np.float32), levels, source)))

    def read(self, track, first=0, n_frames=None, speed=1.0):
        r"""The shares in a stretch of a track.

        Args:
            track (PreparedTrack): The track.
            first (int): First frame.
            n_frames (int, optional): Number of frames; default: to the end. Frames beyond the end
                have no shares.
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
        stop = factors.levels.shape[1] if n_frames is None else first + n_frames
        levels = factors.levels[:, first:stop].float()
        active = levels.amax(1) > 0
        part = Factors(factors.spectra[active], levels[active], factors.source[active])
        share = shares(part, len(self.manifest.names), self.power)
        return torch.nn.functional.pad(share, (0, stop - first - share.shape[-1]))


def _at_speed(factors, first, n_frames, speed):
    """The factors of a stretch that is played faster and higher, from its first frame on."""
    n_known, n_freqs = factors.levels.shape[1], factors.spectra.shape[1]
    if n_frames is None:
        n_frames = int((n_known - first) / speed)
    levels = _between(factors.levels, first + speed * torch.arange(n_frames))
    spectra = _between(factors.spectra, torch.arange(n_freqs) / speed)
    return Factors(spectra, levels, factors.source)


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
