"""The separator: from a mixture to one waveform per class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ..dsp.stft import Spectrograms, SpectrogramsAndNotes
from .spectrogram_model import SpectrogramModel


class TCNSeparator(SpectrogramModel):
    r"""Estimates a mask :math:`M_i` per class; :math:`\hat S_i = M_i \cdot X` (Hung et al. 2021).

    :meth:`forward` separates waveforms of any level; :meth:`masks` computes masks from magnitudes
    at the nominal level, for training. The sizes are our choice, those of the paper are not public.

    Args:
        sources (sequence of str): Names of the classes, in order.
        mask_act (str): ``"sigmoid"`` (independent masks) or ``"softmax"`` (masks that sum to 1).
        **kwargs: See :class:`~asteroid_scoresup.models.spectrogram_model.SpectrogramModel`.

    Shape:
        - input: :math:`(time)`, :math:`(batch, time)` or :math:`(batch, 1, time)`
        - output: :math:`(n\_src, time)` or :math:`(batch, n\_src, time)`

    Examples
        >>> model = TCNSeparator(["bass", "guitar"], n_fft=512, hop_length=128, n_blocks=2)
        >>> model(torch.randn(4, 8000)).shape
        torch.Size([4, 2, 8000])
    """

    def __init__(self, sources: Sequence[str], mask_act: str = "sigmoid", **kwargs: Any):
        n_freqs = kwargs.get("n_fft", 2048) // 2 + 1
        super().__init__(sources, out_chan=n_freqs, mask_act=mask_act, **kwargs)

    def masks(self, magnitude: torch.Tensor) -> torch.Tensor:
        r"""Masks in [0, 1], shape :math:`(batch, n\_src, freq, frames)`, for magnitudes
        :math:`(batch, freq, frames)` at the nominal level."""
        return self.outputs(magnitude)

    def iter_masks(
        self, magnitude: torch.Tensor, frames: slice = slice(None)
    ) -> Iterator[torch.Tensor]:
        r"""Yields the masks a few frames at a time: faster on a CPU, and with less memory.

        Args:
            magnitude (:class:`torch.Tensor`): See :meth:`masks`.
            frames (slice): The frames to output; the others are context.

        Yields:
            :class:`torch.Tensor`: shape :math:`(batch, n\_src, freq, frames')`
        """
        cls = type(self)
        if (cls.masks, cls.outputs) == (TCNSeparator.masks, TCNSeparator.outputs):
            yield from self.trunk.iter_outputs(self.compressed(magnitude), frames)
        else:  # a subclass has masks of its own
            yield self.masks(magnitude)[..., frames]

    def spectrograms(self, wav: torch.Tensor) -> Spectrograms | SpectrogramsAndNotes:
        r"""Magnitudes of mixture and estimates, for segments at the nominal level.

        Shape:
            - wav: :math:`(batch, time)`
        """
        mixture = self.stft.magnitude(self.stft(wav))
        return Spectrograms(mixture, self.masks(mixture) * mixture.unsqueeze(1))

    def forward(self, wav: torch.Tensor, level: float | torch.Tensor | None = None) -> torch.Tensor:
        r"""Separates waveforms; the estimates are at the level of the mixture.

        Args:
            wav (:class:`torch.Tensor`): Mixtures.
            level (float or :class:`torch.Tensor`, optional): RMS of the whole recording, for a
                segment of it. Default: the RMS of `wav`.
        """
        scaled, gain = self.normalize(self.as_batch(wav), level)
        spectrum = self.stft(scaled)
        masks = self.iter_masks(self.stft.magnitude(spectrum))
        estimates = self.stft.separated(spectrum, masks, scaled.shape[-1]) / gain.unsqueeze(-1)
        return self.like_input(estimates, wav)

    def get_model_args(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_model_args(), "mask_act": self.trunk.mask_act}
