"""The dataset: prepared tracks in, ``(mixture, targets)`` out, as Asteroid's ``System`` expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from torch.utils.data import Dataset

from ..checks.label_check import unpitched_indices
from ..dsp import NOMINAL_RMS, FrameGrid, equalize
from ..score import Notes, SoundingOptions, piano_roll, sounding_roll, steps_of
from .informed import ScoreInformedMasks
from .manifest import Manifest, PreparedTrack
from .segment_reader import read_segment, require_length

#: What an item holds beside the mixture: stems, or a dict of targets.
Targets = torch.Tensor | dict[str, torch.Tensor]

#: Attempts at a segment that is salient enough.
_MOST_DRAWS = 20


class ScoreDataset(Dataset):
    r"""Segments or whole tracks of a prepared folder with their scores.

    Stems are opened only if `targets` asks for them: a folder whose stems were deleted can still be
    used for training.

    Args:
        root (str, Path or Manifest): The prepared folder.
        split (str): Name of the split.
        targets (str): ``"score"``: a dict of tensors (below). ``"stems"``: the stems as one
            tensor :math:`(n\_src, time)`, as Asteroid's recipes expect. ``"both"``: the dict with
            the stems under ``"sources"``.
        segment (float, optional): Seconds per item; None gives whole tracks.
        n_segments (int, optional): Items per epoch, drawn at random positions (with
            :class:`~asteroid_scoresup.data.loader.SegmentSampler`: new positions in each epoch).
            None gives fixed segments, one after another.
        n_fft (int): STFT length, in samples; affects only the number of frames of clips shorter
            than one window.
        hop_length (int): STFT hop in samples, for the rolls.
        gain_db (float): Random gain per item, uniform in ± this many dB (random segments only).
        eq_db (float): Random equalizer per item (random segments only), see
            :func:`~asteroid_scoresup.dsp.equalize`.
        varispeed (int): Random segments are played faster and higher, or slower and lower, by up to
            this many whole semitones; their scores and masks follow.
        saliency (float): Random segments are drawn again, up to 20 times, until the classes with a
            note in them are at least this fraction of the classes (0: take any).
        stem_fraction (float, optional): Fraction of the songs whose stems are used; those of the
            others are never opened. With ``"both"`` the targets then contain ``has_stems``, and
            ``sources`` of songs without stems are zeros. The songs of a smaller fraction are a
            subset of those of a larger one.
        stem_draw (float, optional): Minimum probability that a random segment comes from a song
            with stems (with `stem_fraction`). Default: the fraction of the audio in such songs.
        remix (float): Probability that an item is the sum of two segments; its score is the union.
        sounding (SoundingOptions or dict, optional): How the sounding roll is drawn.
        seed (int): Item `i` depends on the seed and on `i`, not on workers or order.
        tracks (sequence of str, optional): Only these tracks of the split.
        soft_masks (ScoreInformedMasks, optional): Adds ``soft_masks`` to the targets.

    The targets of ``"score"``:
        - ``mixture``: :math:`(time,)`, the same signal as the input
        - ``roll``: :math:`(n\_src, 88, frames)`, the score :math:`Y`
        - ``sounding``: :math:`(n\_src, 88, frames)`, amplitudes for harmonic masks; where a note of
          the split bends, :math:`(n\_src, 88 \cdot steps, frames)`
        - ``has_stems``, with `stem_fraction`: a bool
        - ``soft_masks``, with `soft_masks`: :math:`(n\_src, freq, frames)`, see
          :class:`~asteroid_scoresup.data.informed.ScoreInformedMasks`

    Raises:
        FileNotFoundError, ValueError: see :class:`~asteroid_scoresup.data.manifest.Manifest`;
            also if stems are requested and a track has none, or if an audio file cannot be read or
            has another length than the manifest says.
    """

    dataset_name = "slakh-score"

    def __init__(
        self,
        root: str | Path | Manifest,
        split: str,
        targets: str = "score",
        segment: float | None = 4.096,
        n_segments: int | None = None,
        n_fft: int = 2048,
        hop_length: int = 512,
        gain_db: float = 0.0,
        eq_db: float = 0.0,
        varispeed: int = 0,
        saliency: float = 0.0,
        stem_fraction: float | None = None,
        stem_draw: float | None = None,
        remix: float = 0.0,
        sounding: SoundingOptions | Mapping[str, Any] | None = None,
        seed: int = 0,
        tracks: Sequence[str] | None = None,
        soft_masks: ScoreInformedMasks | None = None,
    ) -> None:
        if targets not in ("score", "stems", "both"):
            raise ValueError(f"targets must be 'score', 'stems' or 'both', found {targets!r}.")
        if n_segments is not None and segment is None:
            raise ValueError("n_segments draws random segments: give segment, in seconds.")
        if remix and (targets != "score" or soft_masks is not None):
            raise ValueError(
                "remix sums segments, and the sum has neither stems nor masks: use it with "
                "targets='score' and without soft_masks."
            )
        self.manifest = root if isinstance(root, Manifest) else Manifest.load(root)
        self.split, self.targets, self.seed = split, targets, seed
        self.tracks = self._select(tracks)
        self.sample_rate = self.manifest.sample_rate
        self.grid = FrameGrid(n_fft, hop_length, self.sample_rate)
        if soft_masks is not None and (soft_masks.n_fft, soft_masks.hop_length) != (
            n_fft,
            hop_length,
        ):
            raise ValueError(
                f"The masks are for an STFT of {soft_masks.n_fft}/{soft_masks.hop_length} samples, "
                f"the dataset for one of {n_fft}/{hop_length}."
            )
        self.n_fft, self.hop_length = n_fft, hop_length
        self.n_samples = None if segment is None else self._whole_frames(segment)
        self.n_segments = n_segments
        self.gain_db, self.eq_db, self.saliency, self.remix = gain_db, eq_db, saliency, remix
        self.varispeed, self.soft_masks = varispeed, soft_masks
        self.sounding = SoundingOptions.of(sounding)
        self.with_stems: set[str] | None = None
        if stem_fraction is not None:
            self._choose_stems(stem_fraction)
        if targets != "score":
            self._require_stems()
        for track in self.tracks:
            require_length(self.manifest.mixture_path(track), track.n_samples)
        self._notes = [self.manifest.notes(track) for track in self.tracks]
        # The same for the whole split: items must fit into one batch.
        self._steps = max((steps_of(notes) for notes in self._notes), default=1)
        lengths = np.array([track.n_samples for track in self.tracks], dtype=np.int64)
        self._cumulative = self._track_distribution(lengths, stem_draw)
        if n_segments is None and self.n_samples is not None:
            counts = np.maximum(lengths // self.n_samples, 1)
            self._fixed = [(i, k * self.n_samples) for i, n in enumerate(counts) for k in range(n)]

    def _select(self, names: Sequence[str] | None) -> list[PreparedTrack]:
        """The tracks of the split, or those of them that are named."""
        tracks = self.manifest.select(self.split)
        if names is None:
            return tracks
        wanted = set(names)
        unknown = wanted - {track.id for track in tracks}
        if unknown or not wanted:
            raise ValueError(
                f"{self.manifest.root} has no tracks {sorted(unknown)} in the split {self.split!r}."
            )
        return [track for track in tracks if track.id in wanted]

    def _whole_frames(self, seconds: float) -> int:
        """Samples of a segment: a whole number of hops, so that frames have equal context."""
        return max(round(seconds * self.sample_rate / self.hop_length), 1) * self.hop_length

    def _choose_stems(self, fraction: float) -> None:
        """Chooses the songs whose stems may be opened, in an order that is always the same."""
        if self.targets != "both":
            raise ValueError(
                "stem_fraction limits which songs have stems: use it with targets='both'."
            )
        if not 0 < fraction <= 1:
            raise ValueError(f"stem_fraction is {fraction}, expected a number above 0 and up to 1.")
        order = np.random.default_rng([len(self.tracks), 7]).permutation(len(self.tracks))
        count = max(round(fraction * len(self.tracks)), 1)
        self.with_stems = {self.tracks[place].id for place in order[:count]}

    def _require_stems(self) -> None:
        for track in filter(self._has_stems, self.tracks):
            for name in self.manifest.names:
                path = self.manifest.stem_path(track, name)
                if not path.is_file():
                    raise ValueError(
                        f"{path} does not exist, but targets={self.targets!r} asks for stems. "
                        "Own songs have none: train on them with targets='score'."
                    )
                require_length(path, track.n_samples)

    def _has_stems(self, track: PreparedTrack) -> bool:
        return self.with_stems is None or track.id in self.with_stems

    def _track_distribution(self, lengths: np.ndarray, stem_draw: float | None) -> np.ndarray:
        """Cumulative probabilities of the tracks: by length, or more often those with stems."""
        weights = lengths / lengths.sum()
        if stem_draw is not None and self.with_stems is not None:
            has = np.array([self._has_stems(track) for track in self.tracks])
            if weights[has].sum() < stem_draw and not has.all():
                weights[has] *= stem_draw / weights[has].sum()
                weights[~has] *= (1 - stem_draw) / weights[~has].sum()
        return np.cumsum(weights) / weights.sum()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return self.manifest.names

    def get_infos(self) -> dict[str, Any]:
        """Facts that are stored in a published model."""
        return {
            "dataset": f"{self.dataset_name} ({self.split}, {len(self.tracks)} tracks)",
            "licenses": [],
        }

    def __len__(self) -> int:
        if self.n_segments is not None:
            return self.n_segments
        return len(self.tracks) if self.n_samples is None else len(self._fixed)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, Targets]]:
        # Random items have numbers beyond the length (SegmentSampler): iteration needs an end.
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> tuple[torch.Tensor, Targets]:
        if self.n_segments is not None:
            return self._random(index)
        if self.n_samples is None:
            return self._item(index, 0, self.tracks[index].n_samples)
        return self._item(*self._fixed[index], self.n_samples)

    def _random(self, index: int) -> tuple[torch.Tensor, Targets]:
        rng = np.random.default_rng([self.seed, index])
        mixture, targets = self._item(*self._draw(rng), rng)
        if rng.random() >= self.remix or not isinstance(targets, dict):
            return mixture, targets
        other, others = self._item(*self._draw(rng), rng)
        assert isinstance(others, dict)  # as the first
        # Sums of two songs must not be recognizable by their level.
        mixture = (mixture + other) / 2**0.5
        rolls = {k: torch.maximum(targets[k], others[k]) for k in ("roll", "sounding")}
        return mixture, {**targets, **rolls, "mixture": mixture}

    def place(self, index: int) -> str:
        """Track and time of an item, for messages.

        Args:
            index (int): As for ``dataset[index]``.

        Returns:
            str: For example ``"train/Track00001 at 12.3 s"``.
        """
        if self.n_segments is not None:
            rng = np.random.default_rng([self.seed, index])
            track, start = self._draw(rng)[:2]
        elif self.n_samples is None:
            track, start = index, 0
        else:
            track, start = self._fixed[index]
        return f"{self.split}/{self.tracks[track].id} at {start / self.sample_rate:.1f} s"

    def _draw(self, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Draws a segment: track, first sample (on a frame), samples, and speed in semitones.

        Every second of the split has the same probability.
        """
        semitones = 0
        if self.varispeed:
            semitones = int(rng.integers(-self.varispeed, self.varispeed + 1))
        assert self.n_samples is not None  # random segments have a length
        length = self._n_played(self.n_samples, semitones)
        wanted = self.saliency * len(self.names)
        for _ in range(_MOST_DRAWS):
            track = int(np.searchsorted(self._cumulative, rng.random(), side="right"))
            room = max(self.tracks[track].n_samples - length, 0)
            start = int(rng.integers(room // self.hop_length + 1)) * self.hop_length
            if self.saliency <= 0:
                break
            notes = self._notes_between(track, start, start + length, margin=0)
            if len(np.unique(notes.class_index)) >= wanted:
                break
        return track, start, self.n_samples, semitones

    @staticmethod
    def _n_played(n_samples: int, semitones: int) -> int:
        """Samples of a recording that become `n_samples` at another speed."""
        return round(n_samples * 2 ** (semitones / 12)) + 1 if semitones else n_samples

    def _notes_between(self, track: int, start: int, stop: int, margin: float) -> Notes:
        rate = self.sample_rate
        return self._notes[track].within(start / rate, stop / rate, margin)

    def _item(
        self,
        index: int,
        start: int,
        n_samples: int,
        semitones: int = 0,
        rng: np.random.Generator | None = None,
    ) -> tuple[torch.Tensor, Targets]:
        track = self.tracks[index]
        signals = self._signals(track, start, n_samples, semitones)
        signals = signals * (NOMINAL_RMS / max(track.rms, 1e-6))
        if rng is not None:
            signals = signals * 10 ** (rng.uniform(-self.gain_db, self.gain_db) / 20)
            if self.eq_db:
                signals = equalize(signals, self.sample_rate, self.eq_db, rng)
        mixture, sources = signals[0], signals[1:]
        if self.targets == "stems":
            return mixture, sources
        targets = {"mixture": mixture, **self._score(index, start, n_samples, semitones)}
        if self.targets == "both":
            targets["sources"] = sources
            if self.with_stems is not None:
                targets["has_stems"] = torch.tensor(self._has_stems(track))
        return mixture, targets

    def _signals(
        self, track: PreparedTrack, start: int, n_samples: int, semitones: int
    ) -> torch.Tensor:
        """Mixture, and stems if requested, as recorded or at another speed: (1 + n_src, time)."""
        n_played = self._n_played(n_samples, semitones)
        paths = [self.manifest.mixture_path(track)]
        if self.targets != "score" and self._has_stems(track):
            paths += [self.manifest.stem_path(track, name) for name in self.names]
        signals = torch.stack([read_segment(p, start, n_played, track.n_samples) for p in paths])
        if self.targets != "score" and not self._has_stems(track):
            signals = torch.cat([signals, signals.new_zeros(len(self.names), n_played)])
        if semitones:
            # A recording played faster is one of a lower sample rate.
            rate = self.sample_rate * 2 ** (semitones / 12)
            played = soxr.resample(signals.T.numpy(), rate, self.sample_rate)
            signals = torch.from_numpy(np.ascontiguousarray(played[:n_samples].T))
        return signals

    def _score(
        self, index: int, start: int, n_samples: int, semitones: int
    ) -> dict[str, torch.Tensor]:
        """Rolls, and masks if requested."""
        n_frames = self.grid.n_frames(n_samples)
        stop = start + self._n_played(n_samples, semitones)
        notes = self._notes_between(index, start, stop, margin=1.0)
        if semitones:
            notes = notes.at_speed(semitones, unpitched_indices(self.manifest.classes))
        size = (len(self.names), n_frames, self.grid)
        targets = {
            "roll": piano_roll(notes, *size),
            "sounding": sounding_roll(notes, *size, self.sounding, steps=self._steps),
        }
        if self.soft_masks is not None:
            first, speed = start // self.hop_length, 2 ** (semitones / 12)
            targets["soft_masks"] = self.soft_masks.read(self.tracks[index], first, n_frames, speed)
        return targets
