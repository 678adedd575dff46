"""The dataset: prepared tracks in, ``(mixture, targets)`` out, as Asteroid's ``System`` wants."""

from __future__ import annotations

import numpy as np
import soundfile as sf
import soxr
import torch
from torch.utils.data import Dataset

from ..dsp import NOMINAL_RMS, equalize
from ..score import Notes, piano_roll, sounding_roll, steps_of
from ..score.defaults import FADE, SOUND_AFTER, SOUND_BEFORE, USE_VELOCITY
from .manifest import Manifest

#: What to do about a file that is not what preparation wrote.
PREPARE_AGAIN = "Delete the folder of the track and prepare the data again."


class ScoreDataset(Dataset):
    r"""Segments or whole tracks of a prepared folder with their scores.

    Stems are opened only if `targets` asks for them: a folder whose stems were deleted
    trains all the same.

    Args:
        root (str, Path or Manifest): The prepared folder.
        split (str): Name of the split.
        targets (str): ``"score"``: a dict of tensors (below). ``"stems"``: the stems as one
            tensor :math:`(n\_src, time)`, as any Asteroid recipe wants. ``"both"``: the dict with
            the stems under ``"sources"``.
        segment (float, optional): Seconds per item; None gives whole tracks.
        n_segments (int, optional): Items per epoch, drawn at random places (with
            :class:`~asteroid_scoresup.data.loader.SegmentSampler`: new places in each epoch). None
            gives fixed segments, end to end.
        n_fft (int): STFT length; decides the number of frames of the shortest clips only.
        hop_length (int): STFT hop in samples, for the rolls.
        gain_db (float): Random gain per item, uniform in ± this many dB (random segments only).
        eq_db (float): Random equalizer per item (random segments only), see
            :func:`~asteroid_scoresup.dsp.equalize`.
        varispeed (int): Random segments are played faster and higher, or slower and lower, by up to
            so many whole semitones; their scores and masks follow.
        saliency (float): Random segments are drawn again, up to 20 times, until the classes that
            have a note in them make up at least this fraction of the classes (0: take any).
        stem_fraction (float, optional): Fraction of the songs that have stems, as far as the
            dataset is concerned; those of the others are never opened. With ``"both"`` the targets
            then say ``has_stems``, and ``sources`` of the others are zeros. The songs of a smaller
            fraction are among those of a larger one.
        stem_draw (float, optional): Random segments come from songs with stems at least so often
            (with `stem_fraction`); by default as often as such songs are.
        remix (float): Probability that an item is the sum of two segments; its score is the union.
        before, after, fade, use_velocity: How the sounding roll is drawn, see
            :func:`~asteroid_scoresup.score.rolls.sounding_roll`.
        seed (int): Item `i` depends on the seed and on `i`, not on workers or order.
        tracks (sequence of str, optional): Only these tracks of the split.
        soft_masks (ScoreInformedMasks, optional): Adds ``soft_masks`` to the targets.

    The targets of ``"score"``:
        - ``mixture``: :math:`(time,)`, the same signal as the input
        - ``roll``: :math:`(n\_src, 88, frames)`, the score :math:`Y`
        - ``sounding``: :math:`(n\_src, 88, frames)`, amplitudes for harmonic masks; where a note of
          the split bends, :math:`(n\_src, 88 \cdot steps, frames)`
        - ``has_stems``, with `stem_fraction`: a bool
        - ``fraction``, if asked for: :math:`(n\_src, freq, frames)`, see
          :class:`~asteroid_scoresup.data.informed.ScoreInformedMasks`

    Raises:
        FileNotFoundError, ValueError: see :class:`~asteroid_scoresup.data.manifest.Manifest`;
            also if stems are asked for and a track has none, or if an audio file cannot be read or
            has not the length that the manifest says.
    """

    dataset_name = "slakh-score"

    def __init__(
        self,
        root,
        split,
        targets="score",
        segment=4.096,
        n_segments=None,
        n_fft=2048,
        hop_length=512,
        gain_db=0.0,
        eq_db=0.0,
        varispeed=0,
        saliency=0.0,
        stem_fraction=None,
        stem_draw=None,
        remix=0.0,
        before=SOUND_BEFORE,
        after=SOUND_AFTER,
        fade=FADE,
        use_velocity=USE_VELOCITY,
        seed=0,
        tracks=None,
        soft_masks=None,
    ):
        if targets not in ("score", "stems", "both"):
            raise ValueError(f"targets is 'score', 'stems' or 'both', found {targets!r}.")
        if n_segments is not None and segment is None:
            raise ValueError("n_segments draws random segments: give segment, in seconds.")
        if remix and (targets != "score" or soft_masks is not None):
            raise ValueError(
                "remix sums songs and has neither stems nor masks to give: use it with 'score'."
            )
        if soft_masks is not None and (soft_masks.n_fft, soft_masks.hop_length) != (
            n_fft,
            hop_length,
        ):
            raise ValueError(
                f"The masks are for an STFT of {soft_masks.n_fft}/{soft_masks.hop_length} samples, "
                f"the dataset for one of {n_fft}/{hop_length}."
            )
        self.manifest = root if isinstance(root, Manifest) else Manifest.load(root)
        self.split, self.targets, self.seed = split, targets, seed
        self.tracks = self.manifest.select(split)
        if tracks is not None:
            wanted = set(tracks)
            unknown = wanted - {track.id for track in self.tracks}
            if unknown or not wanted:
                raise ValueError(
                    f"{self.manifest.root} has no tracks {sorted(unknown)} in the split {split!r}."
                )
            self.tracks = [track for track in self.tracks if track.id in wanted]
        self.sample_rate = self.manifest.sample_rate
        self.n_fft, self.hop_length = n_fft, hop_length
        self.n_samples = None if segment is None else self._whole_frames(segment)
        self.n_segments = n_segments
        self.gain_db, self.eq_db, self.saliency, self.remix = gain_db, eq_db, saliency, remix
        self.varispeed, self.soft_masks = varispeed, soft_masks
        self.sounding = dict(before=before, after=after, fade=fade, use_velocity=use_velocity)
        self.with_stems = None
        if stem_fraction is not None:
            self._choose_stems(stem_fraction)
        if targets != "score":
            self._require_stems()
        for track in self.tracks:
            self._require_length(self.manifest.mixture_path(track), track.n_samples)
        self._notes = [self.manifest.notes(track) for track in self.tracks]
        # One for the whole split: items must fit into one batch.
        self.sounding["steps"] = max((steps_of(notes) for notes in self._notes), default=1)
        lengths = np.array([track.n_samples for track in self.tracks], dtype=np.int64)
        weights = lengths / lengths.sum()
        if stem_draw is not None and self.with_stems is not None:
            has = np.array([track.id in self.with_stems for track in self.tracks])
            if weights[has].sum() < stem_draw and not has.all():
                weights[has] *= stem_draw / weights[has].sum()
                weights[~has] *= (1 - stem_draw) / weights[~has].sum()
        self._cumulative = np.cumsum(weights) / weights.sum()
        if n_segments is None and segment is not None:
            counts = np.maximum(lengths // self.n_samples, 1)
            self._fixed = [(i, k * self.n_samples) for i, n in enumerate(counts) for k in range(n)]

    def _whole_frames(self, seconds):
        """Samples of a segment: a whole number of hops, so that frames have equal context."""
        return max(round(seconds * self.sample_rate / self.hop_length), 1) * self.hop_length

    def _choose_stems(self, fraction):
        """Chooses the songs whose stems may be opened, in an order that is always the same."""
        if self.targets != "both":
            raise ValueError(
                "stem_fraction says which songs have stems: use it with targets='both'."
            )
        if not 0 < fraction <= 1:
            raise ValueError(f"stem_fraction is {fraction}, expected a number above 0 and up to 1.")
        order = np.random.default_rng([len(self.tracks), 7]).permutation(len(self.tracks))
        count = max(round(fraction * len(self.tracks)), 1)
        self.with_stems = {self.tracks[place].id for place in order[:count]}

    def _require_stems(self):
        for track in self.tracks:
            if self.with_stems is not None and track.id not in self.with_stems:
                continue
            for name in self.manifest.names:
                path = self.manifest.stem_path(track, name)
                if not path.is_file():
                    raise ValueError(
                        f"{path} does not exist, but targets={self.targets!r} asks for stems. "
                        "Own songs have none: train them with targets='score'."
                    )
                self._require_length(path, track.n_samples)

    @property
    def names(self):
        """tuple of str: names of the classes, in order."""
        return self.manifest.names

    def get_infos(self):
        """Facts that travel with a published model."""
        return {
            "dataset": f"{self.dataset_name} ({self.split}, {len(self.tracks)} tracks)",
            "licenses": [],
        }

    def __len__(self):
        if self.n_segments is not None:
            return self.n_segments
        return len(self.tracks) if self.n_samples is None else len(self._fixed)

    def __iter__(self):
        # Random items have numbers beyond the length (SegmentSampler): an end must be set.
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index):
        if self.n_segments is not None:
            return self._random(index)
        if self.n_samples is None:
            return self._item(index, 0, self.tracks[index].n_samples)
        return self._item(*self._fixed[index], self.n_samples)

    def _random(self, index):
        rng = np.random.default_rng([self.seed, index])
        item = self._item(*self._draw(rng), rng)
        if rng.random() >= self.remix:
            return item
        mixture, targets = item
        other, others = self._item(*self._draw(rng), rng)
        # The sum of two songs is twice as loud; bring it back so that levels tell nothing.
        mixture = (mixture + other) / 2**0.5
        rolls = {k: torch.maximum(targets[k], others[k]) for k in ("roll", "sounding")}
        return mixture, {**targets, **rolls, "mixture": mixture}

    def place(self, index):
        """Where an item is from, in words: for messages.

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

    def _draw(self, rng):
        """A random place, on a whole frame, and a speed in semitones: every second of the split is
        as likely as another."""
        semitones = 0
        if self.varispeed:
            semitones = int(rng.integers(-self.varispeed, self.varispeed + 1))
        length = self._n_played(self.n_samples, semitones)
        wanted = self.saliency * len(self.names)
        for _ in range(20):
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
    def _n_played(n_samples, semitones):
        """Samples of a recording that are heard in `n_samples` at another speed."""
        return round(n_samples * 2 ** (semitones / 12)) + 1 if semitones else n_samples

    def _notes_between(self, track, start, stop, margin) -> Notes:
        rate = self.sample_rate
        return self._notes[track].within(start / rate, stop / rate, margin)

    @staticmethod
    def _require_length(path, expected, stream=None):
        """Refuses a file with another length than that of its track, by its header."""
        try:
            frames = sf.info(path).frames if stream is None else stream.frames
        except (sf.LibsndfileError, OSError) as error:
            raise ValueError(f"{path} cannot be read as audio: {error} {PREPARE_AGAIN}") from None
        if frames != expected:
            raise ValueError(
                f"{path} has {frames} samples, manifest.json says {expected}: the file was cut "
                f"short or replaced. {PREPARE_AGAIN}"
            )

    def _read(self, path, start, n_samples, expected):
        """A piece of a WAV file, zeros where the track is over: costs the same wherever it lies."""
        try:
            with sf.SoundFile(path) as stream:
                self._require_length(path, expected, stream)
                stream.seek(min(start, expected))
                audio = stream.read(n_samples, dtype="float32", fill_value=0.0)
        except (sf.LibsndfileError, OSError) as error:
            raise ValueError(f"{path} cannot be read as audio: {error} {PREPARE_AGAIN}") from None
        if not np.isfinite(audio).all():
            raise ValueError(f"{path} holds NaN or infinite samples. {PREPARE_AGAIN}")
        return torch.from_numpy(audio)

    def _item(self, index, start, n_samples, semitones=0, rng=None):
        track = self.tracks[index]
        speed = 2 ** (semitones / 12)
        n_played = self._n_played(n_samples, semitones)
        signals = self._read(self.manifest.mixture_path(track), start, n_played, track.n_samples)
        signals = signals.unsqueeze(0)
        has_stems = self.with_stems is None or track.id in self.with_stems
        if self.targets != "score":
            if has_stems:
                stems = self._stems(track, start, n_played)
            else:
                stems = signals.new_zeros(len(self.names), signals.shape[-1])
            signals = torch.cat([signals, stems])
        if semitones:
            # Once as fast is a tape of a lower rate, heard at this one.
            played = soxr.resample(signals.T.numpy(), self.sample_rate * speed, self.sample_rate)
            signals = torch.from_numpy(np.ascontiguousarray(played[:n_samples].T))
        signals = signals * (NOMINAL_RMS / max(track.rms, 1e-6))
        if rng is not None:
            signals = signals * 10 ** (rng.uniform(-self.gain_db, self.gain_db) / 20)
            if self.eq_db:
                signals = equalize(signals, self.sample_rate, self.eq_db, rng)
        mixture, sources = signals[0], signals[1:]
        if self.targets == "stems":
            return mixture, sources
        n_frames = max(n_samples, self.n_fft) // self.hop_length + 1
        size = (len(self.names), n_frames, self.hop_length, self.sample_rate)
        notes = self._notes_between(index, start, start + n_played, margin=1.0)
        if semitones:
            notes = notes.at_speed(semitones)
        targets = {
            "mixture": mixture,
            "roll": piano_roll(notes, *size),
            "sounding": sounding_roll(notes, *size, **self.sounding),
        }
        if self.targets == "both":
            targets["sources"] = sources
            if self.with_stems is not None:
                targets["has_stems"] = torch.tensor(has_stems)
        if self.soft_masks is not None:
            targets["soft_masks"] = self.soft_masks.read(
                track, start // self.hop_length, n_frames, speed
            )
        return mixture, targets

    def _stems(self, track, start, n_samples):
        paths = (self.manifest.stem_path(track, name) for name in self.names)
        return torch.stack([self._read(path, start, n_samples, track.n_samples) for path in paths])
