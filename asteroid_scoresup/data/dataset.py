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
from ..dsp import NOMINAL_RMS, FrameGrid
from ..dsp.equalizer import N_BANDS
from ..score import (
    Factors,
    Notes,
    SoundingOptions,
    onset_targets,
    piano_roll,
    sounding_roll,
)
from .batches import DeferredItem, Layer, Shared, finished
from .informed import ScoreInformedMasks
from .manifest import Manifest
from .segment_reader import read_segment
from .stretches import Segment, cumulative_weights

#: Attempts at a segment that is salient enough.
_MOST_DRAWS = 20


class ScoreDataset(Dataset):
    r"""Segments or whole tracks of a prepared folder with their scores.

    Stems are opened only if `targets` asks for them: a folder whose stems were deleted can still be
    used for training. Segments come from certain :mod:`~asteroid_scoresup.data.stretches` only, and
    are silent beyond their end; tracks without any are left out, and counted as `n_left_out`.

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
        onsets (bool): Whether to add ``onsets`` to the targets.
        deferred (bool): Whether equalizer, sums and masks are left to the device of the batch, see
            :mod:`~asteroid_scoresup.data.batches`; for
            :func:`~asteroid_scoresup.data.loader.make_loader`.

    The targets of ``"score"``:
        - ``mixture``: :math:`(time,)`, the same signal as the input
        - ``roll``: :math:`(n\_src, 88, frames)`, the score :math:`Y`
        - ``sounding``: :math:`(n\_src, 88, frames)`, amplitudes for harmonic masks; where a note of
          the split bends, :math:`(n\_src, 88 \cdot steps, frames)`
        - ``has_stems``, with `stem_fraction`: a bool
        - ``onsets``, with `onsets`: :math:`(n\_src, 88, frames)`, see
          :func:`~asteroid_scoresup.score.onset_targets`
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
        onsets: bool = False,
        deferred: bool = False,
    ) -> None:
        if targets not in ("score", "stems", "both"):
            raise ValueError(f"targets must be 'score', 'stems' or 'both', found {targets!r}.")
        if n_segments is not None and segment is None:
            raise ValueError("n_segments draws random segments: give segment, in seconds.")
        if deferred and targets == "stems":
            raise ValueError("deferred items have a dict of targets: use 'score' or 'both'.")
        if remix and (targets != "score" or soft_masks is not None):
            raise ValueError(
                "remix sums segments, and the sum has neither stems nor masks: use it with "
                "targets='score' and without soft_masks."
            )
        self.manifest = root if isinstance(root, Manifest) else Manifest.load(root)
        self.split, self.targets, self.seed = split, targets, seed
        self.sample_rate = self.manifest.sample_rate
        self.tracks = self.manifest.select(split, tracks)
        n_selected = len(self.tracks)
        stretches = self.manifest.stretches(self.tracks)
        if segment is not None:
            certain, stretches[:, 0] = np.unique(stretches[:, 0], return_inverse=True)
            if len(certain) < n_selected:
                self.tracks = self.manifest.take(self.tracks, certain)
        self.n_left_out = n_selected - len(self.tracks)
        if not self.tracks:
            raise ValueError(
                f"The scores of all {self.n_left_out} tracks in the split {split!r} of "
                f"{self.manifest.root} are uncertain throughout: prepare it with scores that fit."
            )
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
        self.varispeed, self.soft_masks, self.deferred = varispeed, soft_masks, deferred
        self.onsets = onsets
        self.sounding = SoundingOptions.of(sounding)
        self._known: np.ndarray | None = None  # which stems may be opened; None: all
        if stem_fraction is not None:
            self._choose_stems(stem_fraction)
        wanted = None if targets == "score" else self._has_stems(np.arange(len(self.tracks)))
        self.manifest.require_audio(self.tracks, wanted, targets)
        # The rows per semitone of the whole split: items must fit into one batch.
        self._notes, self._steps = self.manifest.scores(self.tracks)
        self._lengths, self._rms = self.manifest.sizes(self.tracks)
        stretches[:, 1] = -(-stretches[:, 1] // hop_length) * hop_length  # on frames of the STFT
        self._stretches = stretches
        has, least = self._has_stems(stretches[:, 0]), None if self._known is None else stem_draw
        self._cumulative = cumulative_weights(stretches[:, 2] - stretches[:, 1], has, least)
        if n_segments is None and self.n_samples is not None:
            size = self.n_samples
            self._fixed = [
                Segment(track, start + k * size, stop, size)
                for track, start, stop in self._stretches.tolist()
                for k in range(max((stop - start) // size, 1))
            ]

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
        self._known = np.zeros(len(self.tracks), dtype=bool)
        self._known[order[: max(round(fraction * len(self.tracks)), 1)]] = True

    def _has_stems(self, track: Any) -> Any:
        """Whether the stems of a track may be opened, by its index; or of several, as an array."""
        return np.ones_like(track, dtype=bool) if self._known is None else self._known[track]

    @property
    def with_stems(self) -> set[str] | None:
        """Names of the songs whose stems may be opened; None: of all."""
        known = self._known
        return None if known is None else {self.tracks[int(i)].id for i in np.flatnonzero(known)}

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

    def __iter__(self) -> Iterator[Any]:
        # Random items have numbers beyond the length (SegmentSampler): iteration needs an end.
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Any:
        if self.n_segments is None:
            return self._item([self._layer(self._segment(index))])
        rng = np.random.default_rng([self.seed, index])
        layers = [self._layer(self._draw(rng), rng)]
        if rng.random() < self.remix:
            layers.append(self._layer(self._draw(rng), rng))
        return self._item(layers)

    def _segment(self, index: int) -> Segment:
        """Where an item comes from."""
        if self.n_segments is not None:
            return self._draw(np.random.default_rng([self.seed, index]))
        if self.n_samples is not None:
            return self._fixed[index]
        n_samples = int(self._lengths[index])
        return Segment(index, 0, n_samples, n_samples)

    def place(self, index: int) -> str:
        """Track and time of an item, for messages.

        Args:
            index (int): As for ``dataset[index]``.

        Returns:
            str: For example ``"train/Track00001 at 12.3 s"``.
        """
        segment = self._segment(index)
        seconds = segment.start / self.sample_rate
        return f"{self.split}/{self.tracks[segment.track].id} at {seconds:.1f} s"

    def _draw(self, rng: np.random.Generator) -> Segment:
        """Draws a segment that begins on a frame.

        Every certain second of the split has the same probability.
        """
        semitones = 0
        if self.varispeed:
            semitones = int(rng.integers(-self.varispeed, self.varispeed + 1))
        assert self.n_samples is not None  # random segments have a length
        wanted = self.saliency * len(self.names)
        for _ in range(_MOST_DRAWS):
            place = int(np.searchsorted(self._cumulative, rng.random(), side="right"))
            track, first, stop = map(int, self._stretches[place])
            segment = Segment(track, first, stop, self.n_samples, semitones)
            room = max(stop - first - segment.n_played, 0)
            start = first + int(rng.integers(room // self.hop_length + 1)) * self.hop_length
            segment = segment._replace(start=start)
            if self.saliency <= 0 or len(np.unique(self._notes_in(segment).class_index)) >= wanted:
                break
        return segment

    def _notes_in(self, segment: Segment, margin: float = 0.0) -> Notes:
        """The notes of a segment, on its clock, before a change of speed."""
        track, start, rate = segment.track, segment.start, self.sample_rate
        stop = start + segment.n_played
        notes = self._notes[track].within(start / rate, stop / rate, margin)
        if segment.stop < min(stop, self._lengths[track]):
            end = (segment.stop - start) / rate
            notes = notes.select(notes.onset < end).clipped(-np.inf, end)
        return notes

    def _item(self, layers: Sequence[Layer]) -> Any:
        """What the batch is made of: mixture and targets, or a DeferredItem."""
        power = 0.0 if self.soft_masks is None else self.soft_masks.power
        shared = Shared(self.sample_rate, len(self.names), self.targets, power)
        if self.deferred:
            return DeferredItem(tuple(layers), 2 if self.remix else 1, shared)
        return finished(layers, shared)

    def _layer(self, segment: Segment, rng: np.random.Generator | None = None) -> Layer:
        """A segment with what its item needs, at its level but not yet equalized."""
        bands_db = None
        signals = self._signals(segment)
        signals = signals * (NOMINAL_RMS / max(float(self._rms[segment.track]), 1e-6))
        if rng is not None:
            signals = signals * 10 ** (rng.uniform(-self.gain_db, self.gain_db) / 20)
            if self.eq_db:
                bands_db = rng.normal(0, self.eq_db, N_BANDS)
        if self.targets == "stems":
            return Layer(signals, bands_db, {}, None)
        targets, factors = self._score(segment)
        if self._known is not None:
            targets["has_stems"] = torch.tensor(bool(self._has_stems(segment.track)))
        return Layer(signals, bands_db, targets, factors)

    def _signals(self, segment: Segment) -> torch.Tensor:
        """Mixture, and stems if requested, as recorded or at another speed: (1 + n_src, time)."""
        has_stems = bool(self._has_stems(segment.track))
        names = [None, *(self.names if self.targets != "score" and has_stems else [])]
        files = [self.manifest.audio_at(self.tracks, segment.track, name) for name in names]
        n_samples = int(self._lengths[segment.track])
        where = (segment.start, segment.n_played, n_samples, segment.stop)
        signals = torch.stack([read_segment(file, *where) for file in files])
        if self.targets != "score" and not has_stems:
            signals = torch.cat([signals, signals.new_zeros(len(self.names), segment.n_played)])
        if segment.semitones:
            # A recording played faster is one of a lower sample rate.
            rate = self.sample_rate * 2 ** (segment.semitones / 12)
            played = soxr.resample(signals.T.numpy(), rate, self.sample_rate)
            signals = torch.from_numpy(np.ascontiguousarray(played[: segment.n_samples].T))
        return signals

    def _score(self, segment: Segment) -> tuple[dict[str, torch.Tensor], Factors | None]:
        """Rolls, and factors of the masks if requested."""
        n_frames = self.grid.n_frames(segment.n_samples)
        notes = self._notes_in(segment, margin=1.0)
        if segment.semitones:
            notes = notes.at_speed(segment.semitones, unpitched_indices(self.manifest.classes))
        size = (len(self.names), n_frames, self.grid)
        targets = {
            "roll": piano_roll(notes, *size),
            "sounding": sounding_roll(notes, *size, self.sounding, steps=self._steps),
        }
        if self.onsets:
            targets["onsets"] = onset_targets(notes, *size)
        if self.soft_masks is None:
            return targets, None
        first, speed = segment.start // self.hop_length, 2 ** (segment.semitones / 12)
        track = self.tracks[segment.track]
        return targets, self.soft_masks.factors(track, first, n_frames, speed)
