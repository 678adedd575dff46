"""Modules that wrap a network for Asteroid's ``System`` in training."""

from __future__ import annotations

import torch
from torch import nn

from ..dsp import Spectrograms, SpectrogramsAndNotes
from ..models import ScoreTranscriptor, TCNSeparator


class SeparatorTrainingWrapper(nn.Module):
    r"""Segments at the nominal level → magnitudes of mixture and estimates.

    The critic receives the masked magnitudes directly, without an inverse STFT and STFT between.

    Args:
        separator (TCNSeparator): The network.

    Shape:
        - input: :math:`(batch, time)`
        - output: :class:`~asteroid_scoresup.dsp.Spectrograms`
    """

    def __init__(self, separator: TCNSeparator):
        super().__init__()
        self.separator = separator

    def forward(self, wav: torch.Tensor) -> Spectrograms | SpectrogramsAndNotes:
        """See the class."""
        return self.separator.spectrograms(wav)


class TranscriptorTrainingWrapper(nn.Module):
    r"""Segments at the nominal level → logits.

    Args:
        transcriptor (ScoreTranscriptor): The network (or an activity classifier).

    Shape:
        - input: :math:`(batch, time)`
        - output: :math:`(batch, n\_src, pitches, frames)`, or
          :math:`(batch, heads, n\_src, pitches, frames)` if there is more than one head
    """

    def __init__(self, transcriptor: ScoreTranscriptor):
        super().__init__()
        self.transcriptor = transcriptor

    def magnitude(self, wav: torch.Tensor) -> torch.Tensor:
        r"""Magnitudes :math:`(batch, freq, frames)`, the input of the network."""
        stft = self.transcriptor.stft
        return stft.magnitude(stft(wav))

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return self.logits(self.magnitude(wav))

    def logits(self, magnitude: torch.Tensor) -> torch.Tensor:
        r"""Predictions for magnitudes :math:`(batch, freq, frames)`, of the shape above."""
        heads = self.transcriptor.heads(magnitude)
        return heads if self.transcriptor.n_heads > 1 else heads[:, 0]
