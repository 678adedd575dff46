"""The one STFT of the package: that of asteroid_filterbanks' ``torch_stft``, by the FFT.

The filterbank's encoder and decoder are the same transforms as convolutions with 2048-sample
kernels: on a CPU they would cost more than the networks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

#: RMS of a recording at the level the networks are trained for.
NOMINAL_RMS = 0.1


class Spectrograms(NamedTuple):
    r"""What a separator hands to a loss: magnitudes of the mixture and of the estimates.

    Args:
        mixture (:class:`torch.Tensor`): :math:`X`, shape :math:`(batch, freq, frames)`.
        sources (:class:`torch.Tensor`): :math:`\hat S_i`, shape
            :math:`(batch, n\_src, freq, frames)`.
    """

    mixture: torch.Tensor
    sources: torch.Tensor


class STFT(nn.Module):
    r"""Centred Hann STFT whose magnitudes read as amplitudes: a sinusoid of amplitude A reads A.

    Args:
        n_fft (int): Length of window and transform, in samples.
        hop_length (int): Hop, in samples.
        sample_rate (float): Sample rate, in Hz.

    Examples
        >>> stft = STFT(512, 128, 8000)
        >>> tone = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(4000) / 8000)
        >>> round(float(stft.magnitude(stft(tone[None]))[0, 64, 10]), 4)
        0.5
    """

    def __init__(self, n_fft, hop_length, sample_rate):
        super().__init__()
        self.n_fft, self.hop_length, self.sample_rate = n_fft, hop_length, sample_rate
        window = torch.hann_window(n_fft, dtype=torch.float64)
        self.register_buffer("window", window.float(), persistent=False)
        self.scale = 2 / float(window.sum())

    @property
    def n_freqs(self):
        """Number of frequency bins."""
        return self.n_fft // 2 + 1

    def n_frames(self, n_samples):
        """Frames of a signal of `n_samples` samples."""
        return max(n_samples, self.n_fft) // self.hop_length + 1

    def forward(self, wav):
        r"""Complex spectrum.

        Shape:
            - wav: :math:`(batch, time)`; padded with zeros to one window if shorter
            - output: :math:`(batch, freq, frames)`
        """
        missing = max(self.n_fft - wav.shape[-1], 0)
        # Half precision costs an STFT its dynamic range: autocast stays out.
        with torch.autocast(wav.device.type, enabled=False):
            return torch.stft(
                nn.functional.pad(wav.float(), (0, missing)),
                self.n_fft,
                self.hop_length,
                window=self.window,
                return_complex=True,
            )

    def magnitude(self, spectrum):
        r"""Amplitudes, shape :math:`(..., freq, frames)`."""
        return spectrum.abs() * self.scale

    def masked(self, spectrum, masks):
        r"""Applies real masks to a complex spectrum.

        Shape:
            - spectrum: :math:`(batch, freq, frames)`
            - masks: :math:`(batch, n\_src, freq, frames)`
            - output: :math:`(batch, n\_src, freq, frames)`
        """
        # Products of a complex and a real tensor are slow.
        return spectrum.unsqueeze(1) * masks.to(spectrum.dtype)

    def waveform(self, spectrum, n_samples):
        r"""Back to the time domain.

        Shape:
            - spectrum: :math:`(batch, n\_src, freq, frames)`
            - output: :math:`(batch, n\_src, n\_samples)`
        """
        # torch.istft would do, but for its test of the window sum, which cannot be exported.
        with torch.autocast(spectrum.device.type, enabled=False):
            frames = torch.fft.irfft(spectrum.flatten(0, 1), n=self.n_fft, dim=-2)
            window = self.window.unsqueeze(-1)
            wav = self._overlap_add(frames * window)
            weight = self._overlap_add((window**2).expand_as(frames[:1]))
        wav = (wav / weight.clamp(min=1e-11)).unflatten(0, spectrum.shape[:2])
        wav = wav[..., self.n_fft // 2 :]
        return nn.functional.pad(wav, (0, max(n_samples - wav.shape[-1], 0)))[..., :n_samples]

    def _overlap_add(self, frames):
        """Frames (batch, n_fft, frames) → (batch, time)."""
        batch, n_fft, n_frames = frames.shape
        length = n_fft + (n_frames - 1) * self.hop_length
        if n_fft % self.hop_length:
            size, kernel, stride = (1, length), (1, n_fft), (1, self.hop_length)
            return nn.functional.fold(frames, size, kernel, stride=stride)[:, 0, 0]
        # Frames cut into hops: hop k of frame t goes to place t + k. (`fold` is not everywhere.)
        hops = frames.unflatten(1, (-1, self.hop_length)).transpose(2, 3)
        n_hops = hops.shape[1]
        wav = frames.new_zeros(batch, n_hops - 1 + n_frames, self.hop_length)
        for k in range(n_hops):
            wav[:, k : k + n_frames] += hops[:, k]
        return wav.flatten(1)
