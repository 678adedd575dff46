"""The separator: a mixture in, one waveform per class out."""

from __future__ import annotations

from ..dsp.stft import Spectrograms
from .spectrogram_model import SpectrogramModel


class TCNSeparator(SpectrogramModel):
    r"""Estimates a mask :math:`M_i` per class; :math:`\hat S_i = M_i \cdot X` (Hung et al. 2021).

    Two ways in, one network: :meth:`forward` goes from waveform to waveforms, at any level;
    :meth:`masks` from magnitudes at the nominal level to masks, for training. Sizes are our
    choice, the paper's are not public.

    Args:
        sources (sequence of str): Names of the classes, in order.
        mask_act (str): ``"sigmoid"`` (independent masks) or ``"softmax"`` (masks that sum to 1).
        **kwargs: See :class:`~asteroid_scoresup.models.spectrogram_model.SpectrogramModel`.

    Shape:
        - input: :math:`(time)`, :math:`(batch, time)` or :math:`(batch, 1, time)`
        - output: :math:`(n\_src, time)` or :math:`(batch, n\_src, time)`

    Examples
        >>> import torch
        >>> model = TCNSeparator(["bass", "guitar"], n_fft=512, hop_length=128, n_blocks=2)
        >>> model(torch.randn(4, 8000)).shape
        torch.Size([4, 2, 8000])
    """

    def __init__(self, sources, mask_act="sigmoid", **kwargs):
        n_freqs = kwargs.get("n_fft", 2048) // 2 + 1
        super().__init__(sources, out_chan=n_freqs, mask_act=mask_act, **kwargs)

    def masks(self, magnitude):
        r"""Masks in [0, 1], shape :math:`(batch, n\_src, freq, frames)`, for magnitudes
        :math:`(batch, freq, frames)` at the nominal level."""
        return self.outputs(magnitude)

    def iter_masks(self, magnitude, frames=slice(None)):
        r"""What :meth:`masks` gives, some frames at a time: on a CPU faster, and with less memory.

        Args:
            magnitude (:class:`torch.Tensor`): See :meth:`masks`.
            frames (slice): The frames that are wanted; the others are only heard.

        Yields:
            :class:`torch.Tensor`: shape :math:`(batch, n\_src, freq, frames')`
        """
        cls = type(self)
        if (cls.masks, cls.outputs) == (TCNSeparator.masks, TCNSeparator.outputs):
            yield from self.trunk.iter_outputs(self.compressed(magnitude), frames)
        else:  # a subclass has masks of its own
            yield self.masks(magnitude)[..., frames]

    def spectrograms(self, wav):
        r"""Magnitudes of mixture and estimates, for clips already at the nominal level.

        Shape:
            - wav: :math:`(batch, time)`
        """
        mixture = self.stft.magnitude(self.stft(wav))
        return Spectrograms(mixture, self.masks(mixture) * mixture.unsqueeze(1))

    def forward(self, wav, level=None):
        r"""Separates waveforms; the estimates are at the level of the mixture.

        Args:
            wav (:class:`torch.Tensor`): Mixtures.
            level (float or :class:`torch.Tensor`, optional): RMS of the whole recording that the
                clip is a part of. Default: the RMS of the clip.
        """
        scaled, gain = self.normalize(self.as_batch(wav), level)
        spectrum = self.stft(scaled)
        masks = self.iter_masks(self.stft.magnitude(spectrum))
        estimates = self.stft.separated(spectrum, masks, scaled.shape[-1]) / gain.unsqueeze(-1)
        return self.like_input(estimates, wav)

    def get_model_args(self):
        """Arguments to build the model again."""
        return {**super().get_model_args(), "mask_act": self.trunk.mask_act}
