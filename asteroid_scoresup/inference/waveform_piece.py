"""What a waveform model makes of a stretch of a recording.

Such a model (:class:`~asteroid_scoresup.models.WaveformSeparator`: ConvTasNet, Open-Unmix) has no
masks, and its memory may be as long as its input. It gets each piece with some seconds on both
sides, and what it makes of those is thrown away; other than with our separator, the pieces are not
exactly what it would make of the whole.
"""

from __future__ import annotations

import numpy as np
import torch

from ..evaluation.decoding import pitch_levels


def waveform_piece(model, transcriptor, wav, level, core, frames, stems=True, notes=False):
    r"""Stems, note probabilities and levels of one piece.

    Args:
        model (WaveformSeparator): The model; each channel goes through it by itself.
        transcriptor (ScoreTranscriptor or None): For `notes`.
        wav (:class:`torch.Tensor`): The piece with its context, shape :math:`(channels, time)`.
        level (float): RMS of the recording.
        core (slice): The samples that are wanted.
        frames (slice): The frames that are wanted, of the model's ``stft``.
        stems (bool): Whether to give stems.
        notes (bool): Whether to give note probabilities and levels.

    Returns:
        tuple: stems, float32 array :math:`(time, n\_src, channels)`; note probabilities in steps of
        1 / 255, uint8 :math:`(n\_src, 88, frames)`; levels of the pitches. None for what is not
        wanted.
    """
    estimates = model(wav, level)
    sounds = None
    if stems:
        sounds = estimates[..., core].permute(2, 1, 0).float().cpu().numpy()
    if not notes:
        return sounds, None, None
    stft = model.stft
    _, gain = model.normalize(wav[:1, :1], level)
    mixture = _over_channels(stft.magnitude(stft(wav))) * gain
    logits = transcriptor.outputs(mixture[None])[0, ..., frames]
    probabilities = (255 * logits.sigmoid()).round().byte().cpu().numpy()
    flat = estimates.float().flatten(0, 1)
    sources = stft.magnitude(stft(flat)).unflatten(0, estimates.shape[:2])
    sources = _over_channels(sources) * gain
    levels = pitch_levels(sources[None, ..., frames], stft.n_fft, stft.sample_rate).half()
    if not bool(logits.isfinite().all()):
        levels = torch.full_like(levels, np.nan)
    return sounds, probabilities, levels[0].cpu().numpy()


def _over_channels(magnitude):
    """Root mean square over the channels: opposite phases do not cancel."""
    return magnitude[0] if len(magnitude) == 1 else magnitude.square().mean(0).sqrt()
