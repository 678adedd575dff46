r"""What the networks make of one chunk of a recording: stems and note probabilities.

A *chunk* is a segment of the recording with context on both sides; its *core* is the middle part,
without the context. The networks receive the whole chunk, and what they make of the context is
discarded. Two kinds of separators are handled:

- A :class:`~asteroid_scoresup.models.TCNSeparator` predicts masks (:func:`separate_by_masks`). The
  context covers its receptive field, so that the cores together are exactly the result for the
  whole recording.
- A :class:`~asteroid_scoresup.models.WaveformSeparator` (ConvTasNet, Open-Unmix) predicts waveforms
  (:func:`separate_waveforms`) and may remember all of its input. Its context is a few seconds, and
  the result is close to that for the whole recording, but not equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch

from ..dsp import STFT
from ..evaluation.decoding import pitch_levels
from ..models import ScoreTranscriptor, TCNSeparator, WaveformSeparator
from ..utils.stream import Chunk, Recording
from .factorization import NoteFactorization

#: Called with the seconds processed so far and the length of the recording in seconds.
Progress: TypeAlias = Callable[[float, float], object]

#: Called with the fraction of a chunk that is processed, 0 to 1.
ChunkProgress: TypeAlias = Callable[[float], object]


def chunk_progress(
    progress: Progress | None, start: float, seconds: float, total: float
) -> ChunkProgress:
    """The progress within a chunk, as progress of the recording.

    Args:
        progress (callable, optional): Progress of the recording.
        start (float): Where the chunk starts, in seconds.
        seconds (float): Length of the chunk.
        total (float): Length of the recording.

    Examples
        >>> chunk_progress(print, 60.0, 30.0, 90.0)(0.5)
        75.0 90.0
    """

    def tell(fraction: float) -> None:
        if progress is not None:
            progress(start + fraction * seconds, total)

    return tell


#: A recording louder than this (RMS) is not audio: float32 overflows on its way through a model.
_LOUDEST_RMS = 1e6


class SeparatedChunk(NamedTuple):
    r"""Predictions for the core of one chunk; None for what was not requested.

    Args:
        stems (array): float32, shape :math:`(time, n\_src, channels)`.
        note_probs (array): Note probabilities, float32, shape :math:`(heads, n\_src, 88, frames)`:
            of the frames and, if the transcriptor predicts them, of the onsets.
        note_levels (array): Level of each pitch in the separated spectrograms, float16, shape
            :math:`(n\_src, 88, frames)`, see
            :func:`~asteroid_scoresup.evaluation.decoding.pitch_levels`.
    """

    stems: np.ndarray | None
    note_probs: np.ndarray | None
    note_levels: np.ndarray | None

    @property
    def is_finite(self) -> bool:
        """Whether no prediction is NaN or infinite."""
        return all(values is None or bool(np.isfinite(values).all()) for values in self)


def not_finite(name: str, seconds: float, level: float) -> str:
    """The message about a chunk that contains NaN or infinite values.

    Args:
        name (str): Name of the recording.
        seconds (float): Where the chunk begins, in seconds.
        level (float): RMS of the recording.
    """
    if level > _LOUDEST_RMS:
        reason = f"its level is {level:.3g} where 1 is full scale: scale it down"
    else:
        reason = "the model file is damaged, or its training failed"
    return f"{name}: the model gives NaN or infinite values from {seconds:.1f} s on; {reason}."


def join_stems(
    chunks: Iterable[SeparatedChunk], names: Sequence[str], recording: Recording, audio: Any
) -> dict[str, np.ndarray]:
    """Joins the stems of successive chunks in memory.

    Args:
        chunks (iterable of SeparatedChunk): Chunks with stems.
        names (sequence of str): Names of the stems.
        recording (Recording): The recording.
        audio (array or path): What the recording was made from; stems have its shape.

    Returns:
        dict of str to array: float32, shape :math:`(time)` or :math:`(channels, time)`.
    """
    stems = np.concatenate([chunk.stems for chunk in chunks if chunk.stems is not None])
    is_mono_array = recording.samples is not None and np.asarray(audio).ndim == 1
    return {
        name: np.ascontiguousarray(stems[:, i, 0] if is_mono_array else stems[:, i].T)
        for i, name in enumerate(names)
    }


def separate_by_masks(
    model: TCNSeparator,
    transcriptor: ScoreTranscriptor | None,
    chunk: Chunk,
    level: float,
    stems: bool = True,
    notes: bool = False,
    factorization: NoteFactorization | None = None,
) -> SeparatedChunk:
    """Separates a chunk with masks: analysis, then synthesis and transcription.

    Args:
        model (TCNSeparator): Predicts the masks from the energy of all channels.
        transcriptor (ScoreTranscriptor, optional): Required for `notes`.
        chunk (Chunk): The chunk, at the model's sample rate.
        level (float): RMS of the whole recording.
        stems (bool): Whether to return stems.
        notes (bool): Whether to return note probabilities and levels.
        factorization (NoteFactorization, optional): Improves the masks.
    """
    stft = model.stft
    wav = _as_tensor(chunk, model)
    # Analysis: the spectrum of each channel, the level-normalized magnitude of all, their masks.
    spectrum = stft(wav)
    _, gain = model.normalize(wav[:1, :1], level)
    mixture = _over_channels(stft, spectrum).mul_(gain)
    core = _core_frames(chunk, stft, mixture.shape[-1])
    # A sample is the sum of all frames whose window covers it.
    margin = math.ceil(stft.n_fft / 2 / stft.hop_length) if stems else 0
    frames = slice(max(core.start - margin, 0), min(core.stop + margin, mixture.shape[-1]))
    if factorization is None:
        masks = list(model.iter_masks(mixture, frames))
    else:
        whole = torch.cat(list(model.iter_masks(mixture)), -1)
        masks = [factorization(mixture, whole)[..., frames]]
    # Synthesis: the masked spectra of the core, back in the time domain.
    waves = None
    if stems:
        start = chunk.start - frames.start * stft.hop_length
        separated = stft.separated(spectrum[..., frames], masks, start + chunk.length)
        waves = _stems_to_numpy(separated[..., start:])
    if not notes:
        return SeparatedChunk(waves, None, None)
    levels = _masked_levels(stft, mixture[..., frames], masks)
    levels = levels[..., core.start - frames.start : core.stop - frames.start]
    return SeparatedChunk(waves, _note_probs(transcriptor, mixture, core), levels.cpu().numpy())


def separate_waveforms(
    model: WaveformSeparator,
    transcriptor: ScoreTranscriptor | None,
    chunk: Chunk,
    level: float,
    stems: bool = True,
    notes: bool = False,
) -> SeparatedChunk:
    """Separates a chunk with a waveform model, which receives one channel at a time.

    Args:
        model (WaveformSeparator): The separator.
        transcriptor, chunk, level, stems, notes: See :func:`separate_by_masks`.
    """
    stft = model.stft
    wav = _as_tensor(chunk, model)
    estimates = model(wav, level)
    core = slice(chunk.start, chunk.start + chunk.length)
    waves = _stems_to_numpy(estimates[..., core].float()) if stems else None
    if not notes:
        return SeparatedChunk(waves, None, None)
    _, gain = model.normalize(wav[:1, :1], level)
    mixture = _over_channels(stft, stft(wav)) * gain
    frames = _core_frames(chunk, stft, mixture.shape[-1])
    spectra = stft(estimates.float().flatten(0, 1)).unflatten(0, estimates.shape[:2])
    separated = _over_channels(stft, spectra)[..., frames] * gain
    levels = pitch_levels(separated[0], stft.n_fft, stft.sample_rate).half()
    return SeparatedChunk(waves, _note_probs(transcriptor, mixture, frames), levels.cpu().numpy())


def _as_tensor(chunk: Chunk, model: torch.nn.Module) -> torch.Tensor:
    """Samples of shape (channels, time) on the model's device."""
    device = next(model.parameters()).device
    return torch.from_numpy(np.ascontiguousarray(chunk.samples)).to(device)


def _core_frames(chunk: Chunk, stft: STFT, n_frames: int) -> slice:
    """The frames whose centers are in the core; the last chunk has one more, at its end."""
    stop = n_frames if chunk.last else (chunk.start + chunk.length) // stft.hop_length
    return slice(chunk.start // stft.hop_length, stop)


def _over_channels(stft: STFT, spectrum: torch.Tensor) -> torch.Tensor:
    """Root mean square of the magnitudes over the channels (the first axis), which is kept.

    Equal channels give the magnitude of one of them, and opposite phases do not cancel.
    """
    if len(spectrum) == 1:
        return stft.magnitude(spectrum)
    squares = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
    return squares.mean(0, keepdim=True).sqrt_().mul_(stft.scale)


def _masked_levels(
    stft: STFT, mixture: torch.Tensor, masks: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Levels of the pitches in each masked spectrogram, (n_src, 88, frames)."""
    levels, start = [], 0
    for part in masks:
        stop = start + part.shape[-1]
        separated = part[0] * mixture[..., start:stop]
        levels.append(pitch_levels(separated, stft.n_fft, stft.sample_rate))
        start = stop
    return torch.cat(levels, -1).half()


def _note_probs(
    transcriptor: ScoreTranscriptor | None, mixture: torch.Tensor, frames: slice
) -> np.ndarray:
    """Note probabilities, (heads, n_src, 88, frames); NaN for logits that overflow."""
    assert transcriptor is not None  # Separator.chunks has checked it
    logits = transcriptor.heads(mixture)[0, ..., frames]
    return logits.sigmoid().masked_fill(~logits.isfinite(), math.nan).cpu().numpy()


def _stems_to_numpy(waves: torch.Tensor) -> np.ndarray:
    """(channels, n_src, time) → (time, n_src, channels)."""
    return waves.permute(2, 1, 0).cpu().numpy()
