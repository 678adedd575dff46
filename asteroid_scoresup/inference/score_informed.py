"""Separation of a recording with its score.

A score-informed factorization (:mod:`asteroid_scoresup.score.song_factors`) finds the spectrum of
every note and drum in the recording itself, at its own sample rate and with all of its channels,
and splits each time-frequency bin. A network corrects these masks: one that knows the classes
(:class:`~asteroid_scoresup.models.ScoreGuidedSeparator`) where there is one, otherwise a small one
for any classes (:class:`~asteroid_scoresup.models.MaskRefiner`). What the score assigns to
no class, and what is not in the score, is in no stem.

A recording is processed in windows that overlap, each with its own factorization, in constant
memory. The windows are cross-faded.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..alignment import ALIGN_MODES
from ..alignment.midi_writer import write_aligned_midi
from ..data.classes import DEFAULT_CLASSES, ClassMap
from ..dsp import STFT
from ..dsp.stft import NOMINAL_RMS
from ..models.fingerprint import loaded_model_hash
from ..models.mask_refiner import class_estimates, corrected_masks
from ..notation.reader import MIDI_SUFFIXES
from ..score import Factors, Notes, factorize_song, soft_masks, song_templates
from ..score.defaults import HIT_SECONDS, INFORMED_POWER
from ..utils import stream
from ..utils.stream import Recording
from .chunk import ChunkProgress, Progress, SeparatedChunk, chunk_progress, join_stems
from .mask_correction import AUTO, MaskCorrection, Refiner, load_refiner
from .score_alignment import UsedScore, align_score
from .song_score import SongScore, score_identity
from .stem_writer import require_stem_names

#: Length of the STFT's window, and of its hop, in seconds; see :func:`stft_for`.
WINDOW_SECONDS, HOPS = 0.128, 4
#: Core of a window of the recording, context on each side, and cross-fade, in seconds.
CORE_SECONDS, CONTEXT_SECONDS, FADE_SECONDS = 60.0, 20.0, 0.5
#: Changes when the same score and recording give other stems.
_VERSION = 2
#: Frames whose masks exist at the same time, at least: this, or this many times what a network
#: needs to see on each side.
_FRAMES, _PER_MARGIN = 256, 6
#: Fraction of the time of a window that its factorization takes, about.
_FIT = 0.8


def stft_for(sample_rate: int) -> STFT:
    """The STFT for a sample rate: a window of about 0.128 s, at any rate.

    The length is a product of 2, 3 and 5, which is fast to transform, and a multiple of the hop.

    Args:
        sample_rate (int): Sample rate, in Hz.

    Examples
        >>> [(rate, stft_for(rate).n_fft) for rate in (16000, 44100, 48000)]
        [(16000, 2048), (44100, 5400), (48000, 6144)]
    """
    hop = max(round(sample_rate * WINDOW_SECONDS / HOPS), 4)
    while not _is_fast(hop):
        hop -= 1
    return STFT(HOPS * hop, hop, sample_rate)


def _is_fast(number: int) -> bool:
    for prime in (2, 3, 5):
        while number % prime == 0:
            number //= prime
    return number == 1


class ScoreInformedSeparator:
    """Separates one recording with its score.

    Args:
        score (str, Path or Notes): The score of the recording: a MIDI or MusicXML file; or notes
            whose `class_index` refers to `classes`, or is larger for notes of no class.
        classes (ClassMap or str): The classes, which become stems, in order.
        align (str): ``"auto"`` aligns the score with the recording, unless it is on its clock
            already; ``"always"`` aligns it, even if it seems to be the score of another song;
            ``"never"`` uses it as it is.
        refiner (MaskRefiner, ScoreGuidedSeparator, str or Path, optional): The network that
            corrects the masks, or its name, see
            :func:`~asteroid_scoresup.inference.mask_correction.load_refiner`; None for the masks
            of the factorization, which takes less time. Default: the bundled one that knows the
            classes, or the one for any classes.

    Raises:
        FileNotFoundError: if there is no such network.
        ValueError: if the score cannot be read or has no notes of the classes, `align` is unknown,
            or the network is another kind of model, or does not know one of the classes.

    Examples
        >>> score = Notes([0.2, 0.6], [1.0, 1.4], [40, 76], [0, 2], [90, 90])
        >>> song = np.random.default_rng(0).standard_normal((2, 22050)).astype("float32")
        >>> stems = ScoreInformedSeparator(score).separate(song, 11025)
        >>> {name: stem.shape for name, stem in stems.items()}
        {'bass': (2, 22050), 'guitar': (2, 22050), 'piano': (2, 22050)}
    """

    def __init__(
        self,
        score: str | Path | Notes,
        classes: ClassMap | str = DEFAULT_CLASSES,
        align: str = "auto",
        refiner: Refiner | str | Path | None = AUTO,
    ) -> None:
        if align not in ALIGN_MODES:
            raise ValueError(f"align is {align!r}, expected {', '.join(ALIGN_MODES)}.")
        self.align_mode = align
        self.classes = ClassMap.parse(classes) if isinstance(classes, str) else classes
        self.refiner = None if refiner is None else load_refiner(refiner, self.classes.names)
        try:
            require_stem_names(self.classes.names)
        except ValueError as error:
            raise ValueError(f"The list of classes has {error}") from None
        self.source = score
        #: The score as it was read.
        self.score = SongScore.read(score, self.classes)
        self._used: tuple[Recording, UsedScore] | None = None

    @property
    def names(self) -> list[str]:
        """list of str: names of the stems, in order."""
        return list(self.classes.names)

    @property
    def name(self) -> str:
        """str: Name of the score, for messages."""
        return "The score" if isinstance(self.source, Notes) else str(self.source)

    def use(self, recording: Recording) -> UsedScore:
        """Aligns the score with a recording.

        Args:
            recording (Recording): The recording.

        Returns:
            UsedScore: The score as it is used for the recording.

        Raises:
            ValueError: if the score seems to be that of another song.
        """
        if self._used is None or self._used[0] is not recording:
            found = align_score(self.score, recording, self.align_mode, self.name)
            silent = self.score.silent_classes(self.classes)
            if silent and not isinstance(self.source, Notes):
                warning = (
                    f"{self.name} has no notes of {', '.join(silent)}, whose stems are silent: "
                    "--classes names other programs, or tracks as in 'bass=@*bass*'"
                )
                found = replace(found, warnings=(*found.warnings, warning))
            self._used = recording, found
        return self._used[1]

    def identity(self) -> dict[str, Any]:
        """Everything that determines the results for a recording, as plain values."""
        return {
            "model": f"score-informed factorization, version {_VERSION}",
            "score": score_identity(self.source),
            "list of classes": str(self.classes),
            "alignment": self.align_mode,
            "refiner": None if self.refiner is None else loaded_model_hash(self.refiner),
        }

    def describe(self, recording: Recording) -> str:
        """How a recording was separated, in a few sentences.

        Args:
            recording (Recording): The recording.
        """
        text = self.use(recording).describe(Path(self.name).name)
        if self.refiner is None:
            return text
        known = ", ".join(self.refiner.sources) or "any classes"
        return f"{text} A network for {known} has corrected the masks."

    def write_midi(self, path: str | Path, recording: Recording) -> None:
        """Writes the score as it is used for a recording.

        Args:
            path (str or Path): File to write.
            recording (Recording): The recording.

        Raises:
            OSError: if it cannot be written.
        """
        used = self.use(recording)
        if isinstance(self.source, Notes) or Path(self.source).suffix.lower() not in MIDI_SUFFIXES:
            used.score.to_midi(self.classes).write(str(path))
        elif used.alignment is None:
            shutil.copyfile(self.source, path)
        else:
            write_aligned_midi(self.source, used.alignment, path)

    def separate(
        self,
        audio: np.ndarray | str | Path,
        sample_rate: int | None = None,
        progress: Progress | None = None,
    ) -> dict[str, np.ndarray]:
        r"""Separates the recording, in memory.

        Args:
            audio, sample_rate, progress: See :meth:`Separator.separate
                <asteroid_scoresup.inference.separator.Separator.separate>`.

        Returns:
            dict of str to array: stems by name, float32, with the shape of `audio`.

        Raises:
            ValueError: if `audio` is empty, unreadable, or contains NaN or infinite samples, or the
                score seems to be that of another song.
        """
        recording = Recording(audio, sample_rate)
        chunks = self.chunks(recording, progress)
        return join_stems(chunks, self.names, recording, audio)

    @torch.no_grad()
    def chunks(
        self, recording: Recording, progress: Progress | None = None
    ) -> Iterator[SeparatedChunk]:
        """Separates the recording, window by window.

        Args:
            recording (Recording): The recording.
            progress (callable, optional): Called several times in each window with the seconds
                processed and the seconds in all.

        Yields:
            SeparatedChunk: the stems of successive parts, which together have as many samples as
            the recording.
        """
        rate, used = recording.sample_rate, self.use(recording)
        model = _WindowModel(rate, self.names, used.tuning_cents, self.refiner)
        hop = model.stft.hop_length
        core, context, fade = (
            max(round(seconds * rate / hop), 1) * hop
            for seconds in (CORE_SECONDS, CONTEXT_SECONDS, FADE_SECONDS)
        )
        done, tail = 0, None
        for chunk in stream.chunks(recording.blocks(), core, context):
            start = (done - chunk.start) / rate
            stop = start + chunk.samples.shape[1] / rate
            score = used.score.within(start, stop, HIT_SECONDS)
            after = 0 if chunk.last else min(fade, chunk.samples.shape[1] - context)
            after = min(after, chunk.samples.shape[1] - chunk.start - chunk.length)
            tell = chunk_progress(progress, done / rate, chunk.length / rate, recording.seconds)
            tell(0.0)
            stems = model.separate(chunk, score, after, tell)
            if tail is not None:
                _fade_in(stems, tail)
            tail = stems[chunk.length :]
            yield SeparatedChunk(stems[: chunk.length], None, None)
            done += chunk.length
            tell(1.0)


def _fade_in(stems: np.ndarray, previous: np.ndarray) -> None:
    """Cross-fades the beginning of a window with the end of the one before it, in place."""
    n = min(len(stems), len(previous))
    rise = ((np.arange(n, dtype=np.float32) + 0.5) / n)[:, None, None]
    stems[:n] = rise * stems[:n] + (1 - rise) * previous[:n]


class _WindowModel:
    """Factorizes windows of a recording."""

    def __init__(
        self,
        sample_rate: int,
        names: Sequence[str],
        tuning_cents: float = 0.0,
        refiner: Refiner | None = None,
    ) -> None:
        self.n_src, self.stft = len(names), stft_for(sample_rate)
        grid = self.stft.grid
        self.correction = None if refiner is None else MaskCorrection(refiner, names, grid)
        self.margin = 0 if self.correction is None else self.correction.receptive_field
        self.templates = song_templates(sample_rate, self.stft.n_fft, tuning_cents)

    def separate(
        self, chunk: stream.Chunk, score: SongScore, after: int, tell: ChunkProgress
    ) -> np.ndarray:
        """The stems of the core and `after` samples beyond, (time, n_src, channels)."""
        length, power = chunk.length + after, np.square(chunk.samples, dtype=np.float64).mean()
        if not power:
            return np.zeros((length, self.n_src, len(chunk.samples)), dtype=np.float32)
        # At the level that networks are trained for; neither squares nor EPS matter there.
        scale = float(power**0.5 / NOMINAL_RMS)
        wav = torch.from_numpy(np.ascontiguousarray(chunk.samples / np.float32(scale)))
        spectrum = self.stft(wav)
        magnitude = self.stft.magnitude(spectrum)
        factors = self.fit(magnitude, score, tell)
        hop = self.stft.hop_length
        first = max(chunk.start // hop - HOPS, 0)
        last = min(math.ceil((chunk.start + length) / hop) + HOPS, spectrum.shape[-1])
        start = chunk.start - first * hop
        # What a network needs to see on both sides is computed again for each group.
        n_frames = max(_FRAMES, _PER_MARGIN * self.margin)
        groups = ((at, min(at + n_frames, last)) for at in range(first, last, n_frames))
        masks = (self._masks(magnitude, factors, *group) for group in groups)
        waves = self.stft.separated(spectrum[..., first:last], masks, start + length)
        return waves[..., start:].mul_(scale).permute(2, 1, 0).numpy()

    def fit(self, magnitude: torch.Tensor, score: SongScore, tell: ChunkProgress) -> Factors:
        """The factors of a window; those of no class have the class index -1."""
        is_mono = all(torch.equal(channel, magnitude[0]) for channel in magnitude[1:])
        return factorize_song(
            magnitude[0] if is_mono else magnitude,
            score.pitched,
            score.unpitched,
            self.n_src,
            self.stft.grid,
            self.templates,
            progress=lambda done: tell(_FIT * done),
        )

    def _masks(
        self, magnitude: torch.Tensor, factors: Factors, first: int, last: int
    ) -> torch.Tensor:
        """Masks of a few frames, (1 or channels, n_src, freq, frames)."""
        start, stop = max(first - self.margin, 0), min(last + self.margin, magnitude.shape[-1])
        part = factors._replace(activations=factors.activations[:, start:stop])
        if self.correction is None:
            masks = soft_masks(part, self.n_src, INFORMED_POWER)
            return masks if factors.gains is not None else masks.unsqueeze(0)
        # One pass of the network, on the mean of the channels: each keeps the panning of its own.
        mean = magnitude[..., start:stop].mean(0)
        estimates = class_estimates(mean, part._replace(gains=None), self.n_src)
        corrections = self.correction(mean, estimates)
        gains = [1.0] if factors.gains is None else factors.gains.T.unsqueeze(-1)
        refined = []
        for channel, gain in zip(magnitude[..., start:stop], gains):
            panned = part._replace(activations=part.activations * gain, gains=None)
            estimates = class_estimates(channel, panned, self.n_src)
            refined.append(corrected_masks(channel, estimates, corrections, self.correction.power))
        return torch.stack(refined)[..., first - start : last - start]
