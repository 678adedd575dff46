"""The transcriptor :math:`T`: any magnitude spectrogram in, note logits per class out."""

from __future__ import annotations

import torch

from ..score import N_PITCHES
from .spectrogram_model import SpectrogramModel


class ScoreTranscriptor(SpectrogramModel):
    r"""Says which class plays which pitch in which frame (Hung et al. 2021, step 1).

    In step 2 it is the critic that teaches the separator: it has the same trunk, so the separator
    can start from it.

    Args:
        sources (sequence of str): Names of the classes, in order.
        onsets (bool): Whether it also says where notes begin: 88 more outputs, after the others,
            for training only.
        **kwargs: See :class:`~asteroid_scoresup.models.spectrogram_model.SpectrogramModel`.

    Shape:
        - input: :math:`(time)`, :math:`(batch, time)` or :math:`(batch, 1, time)`
        - output: :math:`(n\_src, 88, frames)` or :math:`(batch, n\_src, 88, frames)`: logits
    """

    #: Outputs per class and frame.
    n_outputs = N_PITCHES

    def __init__(self, sources, onsets=False, **kwargs):
        out_chan = self.n_outputs * (2 if onsets else 1)
        super().__init__(sources, out_chan=out_chan, mask_act="linear", **kwargs)
        self.onsets = onsets
        # Few notes sound at a time: start from "probably not" instead of from one half.
        torch.nn.init.constant_(self.trunk.mask_net[1].bias, -3.0)

    def forward(self, wav, level=None):
        """Transcribes waveforms; `level` as in
        :meth:`~asteroid_scoresup.models.tcn_separator.TCNSeparator.forward`."""
        scaled, _ = self.normalize(self.as_batch(wav), level)
        logits = self.outputs(self.stft.magnitude(self.stft(scaled)))[:, :, : self.n_outputs]
        return logits[0] if wav.ndim == 1 else logits

    def get_model_args(self):
        """Arguments to build the model again; plain Python types only."""
        return {**super().get_model_args(), **({"onsets": True} if self.onsets else {})}
