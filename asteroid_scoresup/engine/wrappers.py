"""What stands between a network and Asteroid's ``System`` in training."""

from __future__ import annotations

from torch import nn


class SeparatorTrainingWrapper(nn.Module):
    r"""Clips at the nominal level → magnitudes of mixture and estimates.

    The masked magnitudes go to the critic directly, with no inverse STFT and STFT on the way.

    Args:
        separator (TCNSeparator): The network.

    Shape:
        - input: :math:`(batch, time)`
        - output: :class:`~asteroid_scoresup.dsp.Spectrograms`
    """

    def __init__(self, separator):
        super().__init__()
        self.separator = separator

    def forward(self, wav):
        """See the class."""
        return self.separator.spectrograms(wav)


class TranscriptorTrainingWrapper(nn.Module):
    r"""Clips at the nominal level → logits.

    Args:
        transcriptor (ScoreTranscriptor): The network (or an activity classifier).

    Shape:
        - input: :math:`(batch, time)`
        - output: :math:`(batch, n\_src, pitches, frames)`
    """

    def __init__(self, transcriptor):
        super().__init__()
        self.transcriptor = transcriptor

    def magnitude(self, wav):
        """What the network hears."""
        stft = self.transcriptor.stft
        return stft.magnitude(stft(wav))

    def forward(self, wav):
        """See the class."""
        return self.transcriptor.outputs(self.magnitude(wav))
