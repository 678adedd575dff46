"""A separator whose weights are shared over pitch: masks that follow notes of any instrument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from asteroid.masknn import activations
from torch import nn

from ..dsp.stft import at_least_single
from ..score import LOWEST_PITCH
from .pitch_model import (
    BINS_PER_SEMITONE,
    HIDDEN_CHAN,
    PitchBlock,
    PitchModel,
    log_frequency_matrix,
)
from .spectrogram_model import SpectrogramModel
from .tcn_separator import TCNSeparator

#: Intervals in semitones from a fundamental to its partials 2 to 8, up and down: a partial belongs
#: to whoever plays its fundamental.
PARTIALS = (-36, -34, -31, -28, -24, -19, -12, 12, 19, 24, 28, 31, 34, 36)
#: Dilations of the blocks that pass on what plays the fundamental.
PARTIAL_BLOCKS = (1, 2)


class PitchSeparator(PitchModel, TCNSeparator):
    r"""Estimates masks on a logarithmic frequency axis with a :class:`PitchModel` (our choice).

    For each semitone up to the Nyquist frequency the vectors of the :class:`PitchModel` are
    exchanged with those at the intervals of partials; each predicts the masks of its
    :data:`~asteroid_scoresup.models.pitch_model.BINS_PER_SEMITONE` bins. Interpolation gives the
    masks of the bins of the STFT. It can start from all layers of a trained
    :class:`~asteroid_scoresup.models.PitchTranscriptor`.

    Args:
        sources (sequence of str): Names of the classes, in order.
        mask_act (str): ``"sigmoid"`` (independent masks) or ``"softmax"`` (masks that sum to 1).
        pitch_chan (int): Channels per pitch.
        **kwargs: See :class:`~asteroid_scoresup.models.spectrogram_model.SpectrogramModel`; they
            are the sizes of the TCN.

    Shape:
        - input: :math:`(time)`, :math:`(batch, time)` or :math:`(batch, 1, time)`
        - output: :math:`(n\_src, time)` or :math:`(batch, n\_src, time)`

    Examples
        >>> model = PitchSeparator(["bass", "guitar"], n_fft=512, hop_length=128, n_blocks=2)
        >>> model(torch.randn(4, 8000)).shape
        torch.Size([4, 2, 8000])
    """

    loads_as_parent = True

    def __init__(
        self,
        sources: Sequence[str],
        mask_act: str = "sigmoid",
        pitch_chan: int = 24,
        **kwargs: Any,
    ):
        # Not TCNSeparator.__init__: there the output of the TCN are the masks, here the context.
        SpectrogramModel.__init__(self, sources, self.n_outputs, "linear", **kwargs)
        self.mask_act = mask_act
        self._add_pitch_layers(self.trunk_channels() // BINS_PER_SEMITONE, pitch_chan)
        self.partial_blocks = nn.ModuleList(
            PitchBlock(pitch_chan, dilation, True, PARTIALS) for dilation in PARTIAL_BLOCKS
        )
        last = nn.Linear(HIDDEN_CHAN, BINS_PER_SEMITONE * self.n_src)
        self.mask_head = nn.Sequential(nn.Linear(pitch_chan, HIDDEN_CHAN), nn.ReLU(), last)
        n_bins = self.n_pitches * BINS_PER_SEMITONE
        self.register_buffer(
            "bins_to_freqs", bins_to_freqs(self.stft.n_fft, self.sample_rate, n_bins), False
        )
        self.output_act = activations.get(mask_act)(**({"dim": 1} if mask_act == "softmax" else {}))

    @property
    def receptive_field(self) -> int:
        """Number of frames on each side that can change the output of a frame."""
        return super().receptive_field + sum(PARTIAL_BLOCKS)

    def outputs(self, magnitude: torch.Tensor) -> torch.Tensor:
        r"""The network: magnitudes at the nominal level → masks.

        Shape:
            - magnitude: :math:`(batch, freq, frames)`
            - output: :math:`(batch, n\_src, freq, frames)`, float32 at least
        """
        x = self.pitch_features(self.log_spectrum(magnitude))
        for block in self.partial_blocks:
            x = block(x)
        bins = self.mask_head(x).unflatten(-1, (self.n_src, BINS_PER_SEMITONE))
        # (frames, batch, pitches, n_src, 3) -> (batch, n_src, bins, frames)
        bins = bins.permute(1, 3, 2, 4, 0).flatten(2, 3)
        return self.output_act(at_least_single(self.bins_to_freqs.to(bins.dtype) @ bins))

    def load_trunk(self, other: SpectrogramModel) -> None:
        """Copies all layers that a trained :class:`PitchTranscriptor` has in common with this one.

        Raises:
            ValueError: if `other` has no such layers, or their shapes differ.
        """
        if not isinstance(other, PitchModel):
            raise ValueError(
                f"The weights of a {type(other).__name__} do not fit a PitchSeparator: it can be "
                "initialized from a PitchTranscriptor (train one with --t_model pitch)."
            )
        mine = self.state_dict()
        shared = {k: v for k, v in other.state_dict().items() if k in mine}
        different = [k for k, v in shared.items() if mine[k].shape[1:] != v.shape[1:]]
        if different:
            raise ValueError(
                f"The layers differ in {different[:3]}: a network can only be initialized from one "
                "with the same classes, STFT, blocks and channels."
            )
        register, known = mine["register"].clone(), shared["register"]
        register[: len(known)] = known[: len(register)]
        super().load_state_dict({**mine, **shared, "register": register})

    def get_model_args(self) -> dict[str, Any]:
        """The arguments of the constructor; plain Python types only."""
        args = SpectrogramModel.get_model_args(self)
        return {**args, "mask_act": self.mask_act, "pitch_chan": self.pitch_chan}


def bins_to_freqs(n_fft: int, sample_rate: float, n_bins: int) -> torch.Tensor:
    r"""Interpolates from a logarithmic frequency axis to the bins of the STFT (our choice).

    Args:
        n_fft (int): Length of the STFT, in samples.
        sample_rate (float): Sample rate, in Hz.
        n_bins (int): How many bins of
            :func:`~asteroid_scoresup.models.pitch_model.log_frequency_matrix` are used.

    Returns:
        :class:`torch.Tensor`: shape :math:`(freq, bins)`, rows sum to 1; bins of the STFT that no
        filter covers take the value of the nearest one.
    """
    device = torch.get_default_device()
    with torch.device("cpu"):  # as in log_frequency_matrix
        filters = log_frequency_matrix(n_fft, sample_rate)[:n_bins]
        weights = (filters / filters.sum(1, keepdim=True).clamp(min=1e-6)).t()
        frequencies = torch.arange(n_fft // 2 + 1) * sample_rate / n_fft
        steps = (69 + 12 * torch.log2(frequencies / 440) - LOWEST_PITCH) * BINS_PER_SEMITONE
        nearest = (steps + (BINS_PER_SEMITONE - 1) / 2).round().clamp(0, n_bins - 1)
        # Too little to change the bins that filters cover.
        weights = weights + 1e-6 * (nearest[:, None] == torch.arange(n_bins))
        weights = weights / weights.sum(1, keepdim=True)
    return weights.to(device)
