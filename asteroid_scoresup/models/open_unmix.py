"""Open-Unmix as one network from mixture to stems."""

from __future__ import annotations

import torch
from torch import nn

from ..dsp.stft import STFT


class OpenUnmixNet(nn.Module):
    r"""The networks of the ``openunmix`` package, one per class, around one STFT.

    Stöter et al. 2019: each class has its bidirectional LSTM that multiplies the mixture's
    magnitudes by a non-negative mask. The estimates keep the mixture's phase; the Wiener filter
    that the package can add after them is left out, as from every other model here. (Asteroid's
    own `XUMX` raises on torch 2.)

    Args:
        n_src (int): Number of classes.
        sample_rate (float): Sample rate, in Hz.
        n_fft, hop_length (int): STFT, in samples.
        hidden_size (int), nb_layers (int): As published: 512 and 3.

    Shape:
        - input: :math:`(batch, time)`
        - output: :math:`(batch, n\_src, time)`

    Raises:
        ImportError: if the package is not installed.
    """

    def __init__(
        self, n_src, sample_rate=16000, n_fft=2048, hop_length=512, hidden_size=512, nb_layers=3
    ):
        super().__init__()
        try:
            from openunmix.model import OpenUnmix
        except ImportError:
            raise ImportError(
                "Open-Unmix needs the package openunmix: pip install openunmix"
            ) from None
        self.stft = STFT(n_fft, hop_length, sample_rate)
        sizes = dict(nb_channels=1, hidden_size=hidden_size, nb_layers=nb_layers)
        self.targets = nn.ModuleList(
            OpenUnmix(nb_bins=self.stft.n_freqs, **sizes) for _ in range(n_src)
        )

    @torch.no_grad()
    def fit_input(self, mixtures):
        """Sets mean and scale of the input from training mixtures, as Open-Unmix's training does.

        Args:
            mixtures (iterable of :class:`torch.Tensor`): Batches :math:`(batch, time)`.
        """
        frames = [self.stft.magnitude(self.stft(batch)).transpose(1, 2) for batch in mixtures]
        frames = torch.cat([batch.flatten(0, 1) for batch in frames])
        scale = frames.std(0)
        # Bins in which hardly anything is heard would be blown up.
        scale = scale.clamp(min=1e-4 * float(scale.max()))
        for target in self.targets:
            target.input_mean.copy_(-frames.mean(0))
            target.input_scale.copy_(1 / scale)

    def forward(self, wav):
        """See the class."""
        spectrum = self.stft(wav)
        mixture = self.stft.magnitude(spectrum)
        heard = mixture.unsqueeze(1).to(self.targets[0].input_mean.dtype)
        estimates = torch.cat([target(heard) for target in self.targets], 1).to(mixture.dtype)
        masks = estimates / mixture.clamp(min=1e-8).unsqueeze(1)
        return self.stft.separated(spectrum, masks, wav.shape[-1])
