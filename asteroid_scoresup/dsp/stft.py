"""The one STFT of the package: that of asteroid_filterbanks' ``torch_stft``, by the FFT.

The filterbank's encoder and decoder are the same transforms as convolutions with 2048-sample
kernels: on a CPU they would cost more than the networks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from .grid import FrameGrid

#: RMS of a recording at the level the networks are trained for.
NOMINAL_RMS = 0.1
#: Frames whose spectra, a few times over, fit into a processor's cache.
CACHED_FRAMES = 64
#: Frames whose spectra take little of another device's memory.
DEVICE_FRAMES = 1024


def recorded():
    """Whether torch.compile, export or TorchScript watches: sizes may be others later."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def frame_parts(tensor, dim, *others):
    """Splits frames into as many as are best worked on at a time: those that fit into the cache.

    Into one part where something is learned from one of the tensors, or while the computation is
    recorded.
    """
    learns = torch.is_grad_enabled() and any(x.requires_grad for x in (tensor, *others))
    if learns or recorded():
        return [tensor]
    return tensor.split(CACHED_FRAMES if tensor.device.type == "cpu" else DEVICE_FRAMES, dim)


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
        self.register_buffer("window", _window(n_fft, torch.float32), persistent=False)
        self.scale = 2 / max(n_fft / 2, 1)  # 2 over the sum of the window

    def _apply(self, fn, recurse=True):
        """Moves and casts as every module, but no lower than to single precision.

        A window of eight bits costs a spectrum its dynamic range, and one that was cast from single
        to double precision is no better than before.
        """
        super()._apply(fn, recurse)
        dtype = torch.promote_types(self.window.dtype, torch.float32)
        self.window = _window(self.n_fft, dtype, self.window.device)
        return self

    @property
    def grid(self) -> FrameGrid:
        """Where its frames and bins lie."""
        return FrameGrid(self.n_fft, self.hop_length, self.sample_rate)

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
            - output: :math:`(batch, freq, frames)`, complex64; complex128 after ``double()``
        """
        # Half precision costs an STFT its dynamic range: autocast stays out.
        with torch.autocast(wav.device.type, enabled=False):
            wav = _lengthened(wav.to(self.window.dtype), self.n_fft)
            if wav.device.type == "cpu" and not wav.requires_grad and not recorded():
                return self._by_parts(wav)
            return torch.stft(
                wav, self.n_fft, self.hop_length, window=self.window, return_complex=True
            )

    def _by_parts(self, wav):
        """The same as torch.stft, which passes over all of the memory again and again."""
        half = self.n_fft // 2
        padded = nn.functional.pad(wav.unsqueeze(1), (half, half), mode="reflect").squeeze(1)
        frames = padded.unfold(-1, self.n_fft, self.hop_length)
        spectrum = wav.new_empty(*frames.shape[:2], self.n_freqs, dtype=wav.dtype.to_complex())
        for part, place in zip(frame_parts(frames, 1), frame_parts(spectrum, 1)):
            torch.fft.rfft(part * self.window, out=place)
        return spectrum.transpose(1, 2)

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

        Where nothing is to be learned, it does some frames at a time, which on a processor fit
        into its cache.

        Args:
            spectrum (:class:`torch.Tensor`): Shape :math:`(batch, freq, frames)`.
            masks (:class:`torch.Tensor` or iterable of it): Shape
                :math:`(batch, n\_src, freq, frames)`, or one such tensor after another, which
                follow each other in time. One row serves a whole batch.
            n_samples (int): Length of the waveforms.

        Raises:
            ValueError: if there are masks for more or fewer frames.

        Shape:
            - output: :math:`(batch, n\_src, n\_samples)`
        """
        n_frames = spectrum.shape[-1]
        if isinstance(masks, torch.Tensor):
            if masks.shape[-1] == 1:
                masks = masks.expand(-1, -1, -1, n_frames)
            masks = frame_parts(masks, -1, spectrum)
        return self._inverse(self._masked_parts(spectrum, masks), n_frames, n_samples)

    def _masked_parts(self, spectrum, parts):
        done, n_frames = 0, spectrum.shape[-1]
        for masks in parts:
            start, done = done, done + masks.shape[-1]
            yield self.masked(spectrum[..., start:done], masks)
        if not recorded() and done != n_frames:
            raise ValueError(f"The masks have {done} frames, the spectrum has {n_frames}.")

    def _inverse(self, spectra, n_frames, n_samples):
        """Waveforms of spectra that follow each other and have so many frames in all."""
        # torch.istft would do, but for its test of the window sum, which cannot be exported.
        add = self._fold if self.n_fft % self.hop_length else self._overlap_add
        wav = add(map(self._frames, spectra), n_frames)[..., self.n_fft // 2 :]
        return _lengthened(wav, n_samples)[..., :n_samples]

    def _frames(self, spectrum):
        with torch.autocast(spectrum.device.type, enabled=False):
            return torch.fft.irfft(spectrum, n=self.n_fft, dim=-2)

    def _overlap_add(self, parts, n_frames):
        """Frames cut into hops: hop k of frame t goes to place t + k."""
        window = self.window.view(-1, self.hop_length)
        length, start, wav = len(window) - 1 + n_frames, 0, None
        weight = self.window.new_zeros(length, self.hop_length)
        for k, part in enumerate(window):
            weight[k : k + n_frames] += part**2
        for frames in parts:
            hops = frames.unflatten(-2, (-1, self.hop_length)).transpose(-1, -2)
            if wav is None:
                wav = frames.new_zeros(*hops.shape[:2], length, self.hop_length)
            stop = start + hops.shape[-2]
            for k, part in enumerate(window):
                wav[:, :, start + k : stop + k].addcmul_(hops[:, :, k], part)
            start = stop
        return wav.div_(weight.clamp(min=1e-11)).flatten(-2)

    def _fold(self, parts, n_frames):
        """The same for hops that do not divide the window. (`fold` is not everywhere.)"""
        frames = torch.cat(list(parts), -1)
        window = self.window.unsqueeze(-1)
        length = self.n_fft + (n_frames - 1) * self.hop_length
        size, kernel, stride = (1, length), (1, self.n_fft), (1, self.hop_length)
        both = torch.cat([(frames * window).flatten(0, 1), (window**2).expand_as(frames[0, :1])])
        added = nn.functional.fold(both, size, kernel, stride=stride)[:, 0, 0]
        wav = added[:-1] / added[-1].clamp(min=1e-11)
        return wav.unflatten(0, frames.shape[:2])


def _window(n_fft, dtype, device=None):
    """The Hann window; made on the processor, since not every device computes in float64."""
    if device is None:
        return torch.hann_window(n_fft, dtype=torch.float64).to(dtype)
    return torch.hann_window(n_fft, dtype=torch.float64, device="cpu").to(dtype).to(device)


def at_least_single(x):
    """In single precision, or double where it was double."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _lengthened(wav, n_samples):
    """With zeros at its end, to so many samples at least."""
    if torch.jit.is_tracing():  # which would keep the branch that this length takes
        return nn.functional.pad(wav, (0, max(n_samples - wav.shape[-1], 0)))
    if wav.shape[-1] >= n_samples:
        return wav  # torch would make a copy
    return nn.functional.pad(wav, (0, n_samples - wav.shape[-1]))
