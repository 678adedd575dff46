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
#: Frames whose spectra, a few times over, fit into a processor's cache.
CACHED_FRAMES = 64


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
        if torch.is_grad_enabled() and spectrum.requires_grad:
            return spectrum.abs() * self.scale
        # Thrice as fast; but its gradient at 0 would not be finite.
        squares = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
        return squares.sqrt_().mul_(self.scale)

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
        return self._inverse([spectrum], spectrum.shape[-1], n_samples)

    def separated(self, spectrum, masks, n_samples):
        r"""``waveform(masked(spectrum, masks), n_samples)``, faster and with less memory.

        Where nothing is to be learned, a processor does it some frames at a time, which fit into
        its cache.

        Shape:
            - spectrum: :math:`(batch, freq, frames)`
            - masks: :math:`(batch, n\_src, freq, frames)`
            - output: :math:`(batch, n\_src, n\_samples)`
        """
        n_frames, parts = spectrum.shape[-1], [(spectrum, masks)]
        recorded = torch.jit.is_tracing() or torch.compiler.is_compiling()
        learns = torch.is_grad_enabled() and (masks.requires_grad or spectrum.requires_grad)
        if spectrum.device.type == "cpu" and not recorded and not learns:
            masks = masks.expand(-1, -1, -1, n_frames)  # or refuses those of another length
            parts = zip(*(part.split(CACHED_FRAMES, -1) for part in (spectrum, masks)))
        return self._inverse((self.masked(*part) for part in parts), n_frames, n_samples)

    def _inverse(self, spectra, n_frames, n_samples):
        """Waveforms of spectra that follow each other and have so many frames in all."""
        # torch.istft would do, but for its test of the window sum, which cannot be exported.
        with torch.autocast(self.window.device.type, enabled=False):
            add = self._fold if self.n_fft % self.hop_length else self._overlap_add
            wav = add(spectra, n_frames)
        wav = wav[..., self.n_fft // 2 :]
        return nn.functional.pad(wav, (0, max(n_samples - wav.shape[-1], 0)))[..., :n_samples]

    def _overlap_add(self, spectra, n_frames):
        """Frames cut into hops: hop k of frame t goes to place t + k."""
        window = self.window.view(-1, self.hop_length)
        length, start, wav = len(window) - 1 + n_frames, 0, None
        weight = self.window.new_zeros(length, self.hop_length)
        for k, part in enumerate(window):
            weight[k : k + n_frames] += part**2
        for spectrum in spectra:
            frames = torch.fft.irfft(spectrum, n=self.n_fft, dim=-2)
            hops = frames.unflatten(-2, (-1, self.hop_length)).transpose(-1, -2)
            if wav is None:
                wav = frames.new_zeros(*hops.shape[:2], length, self.hop_length)
            stop = start + hops.shape[-2]
            for k, part in enumerate(window):
                wav[:, :, start + k : stop + k].addcmul_(hops[:, :, k], part)
            start = stop
        return (wav / weight.clamp(min=1e-11)).flatten(-2)

    def _fold(self, spectra, n_frames):
        """The same for hops that do not divide the window. (`fold` is not everywhere.)"""
        frames = torch.fft.irfft(torch.cat(list(spectra), -1), n=self.n_fft, dim=-2)
        window = self.window.unsqueeze(-1)
        length = self.n_fft + (n_frames - 1) * self.hop_length
        size, kernel, stride = (1, length), (1, self.n_fft), (1, self.hop_length)
        both = torch.cat([(frames * window).flatten(0, 1), (window**2).expand_as(frames[0, :1])])
        added = nn.functional.fold(both, size, kernel, stride=stride)[:, 0, 0]
        wav = added[:-1] / added[-1].clamp(min=1e-11)
        return wav.unflatten(0, frames.shape[:2])
