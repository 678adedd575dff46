"""Open-Unmix as one network from mixture to stems."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import torch
from torch import nn
from torch.backends import mkldnn

from ..dsp.stft import STFT

#: False on processors without AVX-512, where an LSTM in bfloat16 fails; True without oneDNN.
_ONEDNN_HAS_BFLOAT16 = not mkldnn.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()


class OpenUnmixNet(nn.Module):
    r"""The networks of the ``openunmix`` package, one per class, around one STFT.

    Each class has a bidirectional LSTM that multiplies the magnitudes of the mixture by a
    non-negative mask (Stöter et al. 2019). The estimates keep the phase of the mixture. The
    optional Wiener filter of the package is not used, as with every other model here. (Asteroid's
    own `XUMX` fails with torch 2.)

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
        self,
        n_src: int,
        sample_rate: float = 16000,
        n_fft: int = 2048,
        hop_length: int = 512,
        hidden_size: int = 512,
        nb_layers: int = 3,
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
    def fit_input(self, mixtures: Iterable[torch.Tensor]) -> None:
        """Sets mean and scale of the input from training mixtures, as Open-Unmix's training does.

        Args:
            mixtures (iterable of :class:`torch.Tensor`): Batches :math:`(batch, time)`.
        """
        spectra = [self.stft.magnitude(self.stft(batch)).transpose(1, 2) for batch in mixtures]
        frames = torch.cat([batch.flatten(0, 1) for batch in spectra])
        scale = frames.std(0)
        # Bins with hardly any energy would be amplified without limit.
        scale = scale.clamp(min=1e-4 * float(scale.max()))
        for target in self.targets:
            target.get_parameter("input_mean").copy_(-frames.mean(0))
            target.get_parameter("input_scale").copy_(1 / scale)

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """See the class."""
        spectrum = self.stft(wav)
        mixture = self.stft.magnitude(spectrum)
        inputs = mixture.unsqueeze(1).to(self.targets[0].get_parameter("input_mean").dtype)
        # Autocast would give oneDNN an LSTM in bfloat16 also where it has none.
        full = wav.device.type == "cpu" and not _ONEDNN_HAS_BFLOAT16
        with torch.autocast("cpu", enabled=False) if full else contextlib.nullcontext():
            estimates = torch.cat([target(inputs) for target in self.targets], 1)
        estimates = estimates.to(mixture.dtype)
        masks = estimates / mixture.clamp(min=1e-8).unsqueeze(1)
        return self.stft.separated(spectrum, masks, wav.shape[-1])
