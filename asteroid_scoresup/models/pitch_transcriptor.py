"""A transcriptor whose weights are shared over pitch, so that it reads instruments it never met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..dsp.stft import at_least_single
from ..score import N_PITCHES
from .pitch_model import HIDDEN_CHAN, PitchModel
from .score_transcriptor import ScoreTranscriptor

#: Frames and onsets.
N_HEADS = 2


class PitchTranscriptor(PitchModel, ScoreTranscriptor):
    r"""Predicts frames and onsets of the 88 pitches with weights that are shared over pitch (ours).

    Args:
        sources (sequence of str): Names of the classes, in order.
        pitch_chan (int): Channels per pitch.
        **kwargs: See :class:`~asteroid_scoresup.models.spectrogram_model.SpectrogramModel`; they
            are the sizes of the TCN.

    Shape:
        - input: :math:`(time)`, :math:`(batch, time)` or :math:`(batch, 1, time)`
        - output: :math:`(n\_src, 88, frames)` or :math:`(batch, n\_src, 88, frames)`: logits of
          the frames; :meth:`heads` gives those of the onsets too
    """

    n_heads = N_HEADS
    loads_as_parent = True

    def __init__(self, sources: Sequence[str], pitch_chan: int = 24, **kwargs: Any):
        super().__init__(sources, **kwargs)
        self._add_pitch_layers(N_PITCHES, pitch_chan)
        self.head = note_head(pitch_chan, self.n_src)

    def outputs(self, magnitude: torch.Tensor) -> torch.Tensor:
        """The frames of :meth:`heads`, what a critic compares with the score."""
        return self.heads(magnitude)[:, 0]

    def heads(self, magnitude: torch.Tensor) -> torch.Tensor:
        r"""The network: magnitudes at the nominal level → logits of frames and onsets.

        Shape:
            - magnitude: :math:`(batch, freq, frames)`
            - output: :math:`(batch, 2, n\_src, 88, frames)`, float32 at least
        """
        spectrum = self.log_spectrum(magnitude)
        context = self.trunk(spectrum).to(spectrum.dtype)
        return note_logits(self.head, self.pitch_features(spectrum, context))

    def get_model_args(self) -> dict[str, Any]:
        """The arguments of the constructor; plain Python types only."""
        return {**super().get_model_args(), "pitch_chan": self.pitch_chan}


def note_head(pitch_chan: int, n_src: int) -> nn.Sequential:
    """The layers that predict frames and onsets of `n_src` classes from the vector of a pitch."""
    last = nn.Linear(HIDDEN_CHAN, N_HEADS * n_src)
    nn.init.constant_(last.bias, -4.0)  # few notes sound at a time, as in the parent
    return nn.Sequential(nn.Linear(pitch_chan, HIDDEN_CHAN), nn.ReLU(), last)


def note_logits(head: nn.Sequential, features: torch.Tensor) -> torch.Tensor:
    r"""Logits of frames and onsets.

    Args:
        head (Sequential): See :func:`note_head`.
        features (:class:`torch.Tensor`): See ``PitchModel.pitch_features``.

    Shape:
        - features: :math:`(frames, batch, 88, channels)`
        - output: :math:`(batch, 2, n\_src, 88, frames)`, float32 at least
    """
    logits = at_least_single(head(features)).permute(1, 3, 2, 0)
    return logits.unflatten(1, (N_HEADS, -1))
