"""The transcriptor :math:`T`: from any magnitude spectrogram to note logits per class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..score import N_PITCHES
from .spectrogram_model import SpectrogramModel


class ScoreTranscriptor(SpectrogramModel):
    r"""Predicts which class plays which pitch in which frame (Hung et al. 2021, step 1).

    In step 2 it is the critic that trains the separator. Both have the same trunk, so the separator
    can be initialized from it.

    Args:
        sources (sequence of str): Names of the classes, in order.
        **kwargs: See :class:`~asteroid_scoresup.models.spectrogram_model.SpectrogramModel`.

    Shape:
        - input: :math:`(time)`, :math:`(batch, time)` or :math:`(batch, 1, time)`
        - output: :math:`(n\_src, 88, frames)` or :math:`(batch, n\_src, 88, frames)`: logits
    """

    #: Outputs of the trunk per class and frame.
    n_outputs = N_PITCHES
    #: What :meth:`heads` predicts for each pitch: 1 for frames, 2 for frames and onsets.
    n_heads = 1

    def __init__(self, sources: Sequence[str], **kwargs: Any):
        super().__init__(sources, out_chan=self.n_outputs, mask_act="linear", **kwargs)
        # Few notes sound at a time: initial probabilities are low instead of one half.
        torch.nn.init.constant_(self.trunk.mask_net[1].bias, -3.0)

    def forward(self, wav: torch.Tensor, level: float | torch.Tensor | None = None) -> torch.Tensor:
        """Transcribes waveforms; `level` as in
        :meth:`~asteroid_scoresup.models.tcn_separator.TCNSeparator.forward`."""
        scaled, _ = self.normalize(self.as_batch(wav), level)
        logits = self.outputs(self.stft.magnitude(self.stft(scaled)))
        return self.like_input(logits, wav)

    def heads(self, magnitude: torch.Tensor) -> torch.Tensor:
        r"""Everything that the network predicts, magnitudes at the nominal level → logits.

        Shape:
            - magnitude: :math:`(batch, freq, frames)`
            - output: :math:`(batch, heads, n\_src, 88, frames)`; the first head are the frames
        """
        return self.outputs(magnitude).unsqueeze(1)

    def note_probs(
        self, wav: torch.Tensor, level: float | torch.Tensor | None = None
    ) -> torch.Tensor:
        r"""Probabilities of all :meth:`heads` for waveforms.

        Args:
            wav (:class:`torch.Tensor`): Waveforms, as for :meth:`forward`.
            level (float or :class:`torch.Tensor`, optional): As for :meth:`forward`.

        Shape:
            - output: :math:`(heads, n\_src, 88, frames)` or
              :math:`(batch, heads, n\_src, 88, frames)`
        """
        scaled, _ = self.normalize(self.as_batch(wav), level)
        logits = self.heads(self.stft.magnitude(self.stft(scaled)))
        return self.like_input(logits.sigmoid(), wav)
