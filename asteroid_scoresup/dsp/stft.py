"""The STFT of the package: that of asteroid_filterbanks' ``torch_stft``, by the FFT.

The filterbank's encoder and decoder compute the same transforms as convolutions with 2048-sample
kernels, which on a CPU would cost more than the networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import nn

from ..kernels import stft as kernels
from ..kernels.frames import is_recording, split_frames
from .grid import FrameGrid

#: RMS of a recording at the level the networks are trained for.
NOMINAL_RMS = 0.1


class Spectrograms(NamedTuple):
    r"""Output of a separator for a loss: magnitudes of the mixture and of the estimates.

    Args:
        mixture (:class:`torch.Tensor`): :math:`X`, shape :math:`(batch, freq, frames)`.
        sources (:class:`torch.Tensor`): :math:`\hat S_i`, shape
            :math:`(batch, n\_src, freq, frames)`.
    """

    mixture: torch.Tensor
    sources: torch.Tensor


class SpectrogramsAndNotes(NamedTuple):
    r"""Output of a separator that predicts notes too.

    Args:
        mixture, sources (:class:`torch.Tensor`): See :class:`Spectrograms`.
        notes (:class:`torch.Tensor`): Logits of frames and onsets in the mixture, shape
            :math:`(batch, 2, n\_src, 88, frames)`.
    """

    mixture: torch.Tensor
    sources: torch.Tensor
    notes: torch.Tensor


class STFT(nn.Module):
    r"""Centered Hann STFT with amplitudes as magnitudes: a sinusoid of amplitude A has magnitude A.

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

    window: torch.Tensor

    def __init__(self, n_fft: int, hop_length: int, sample_rate: float):
        super().__init__()
        self.n_fft, self.hop_length, self.sample_rate = n_fft, hop_length, sample_rate
        self.register_buffer("window", _window(n_fft, torch.float32), persistent=False)
        self.scale = 2 / max(n_fft / 2, 1)  # 2 over the sum of the window

    def _apply(self, fn: Callable, recurse: bool = True) -> STFT:
        """Moves and casts as every module does, but no lower than to single precision.

        A window of eight bits costs a spectrum its dynamic range, and one that was cast from single
        to double precision is no better than before.
        """
        super()._apply(fn, recurse)
        dtype = torch.promote_types(self.window.dtype, torch.float32)
        self.window = _window(self.n_fft, dtype, self.window.device)
        return self

    @property
    def grid(self) -> FrameGrid:
        """The positions of its frames and bins."""
        return FrameGrid(self.n_fft, self.hop_length, self.sample_rate)

    @property
    def n_freqs(self) -> int:
        """Number of frequency bins."""
        return self.n_fft // 2 + 1

    def n_frames(self, n_samples: int) -> int:
        """Number of frames of a signal of `n_samples` samples."""
        return max(n_samples, self.n_fft) // self.hop_length + 1

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        r"""Complex spectrum.

        Shape:
            - wav: :math:`(batch, time)`; padded with zeros to one window if shorter
            - output: :math:`(batch, freq, frames)`, complex64; complex128 after ``double()``
        """
        # Half precision would cost the STFT its dynamic range.
        with torch.autocast(wav.device.type, enabled=False):
            wav = _padded(wav.to(self.window.dtype), self.n_fft)
            return kernels.stft(wav, self.window, self.hop_length)

    def magnitude(self, spectrum: torch.Tensor) -> torch.Tensor:
        r"""Amplitudes, shape :math:`(..., freq, frames)`."""
        if torch.is_grad_enabled() and spectrum.requires_grad:
            return spectrum.abs() * self.scale
        # Three times as fast; but its gradient at 0 would not be finite.
        squares = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
        return squares.sqrt_().mul_(self.scale)

    def masked(self, spectrum: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        r"""Applies real masks to a complex spectrum.

        Shape:
            - spectrum: :math:`(batch, freq, frames)`
            - masks: :math:`(batch, n\_src, freq, frames)`
            - output: :math:`(batch, n\_src, freq, frames)`
        """
        # Products of a complex and a real tensor are slow.
        return spectrum.unsqueeze(1) * masks.to(spectrum.dtype)

    def waveform(self, spectrum: torch.Tensor, n_samples: int) -> torch.Tensor:
        r"""Inverse STFT.

        Shape:
            - spectrum: :math:`(batch, n\_src, freq, frames)`
            - output: :math:`(batch, n\_src, n\_samples)`
        """
        return self._inverse([spectrum], spectrum.shape[-1], n_samples)

    def separated(
        self,
        spectrum: torch.Tensor,
        masks: torch.Tensor | Iterable[torch.Tensor],
        n_samples: int,
    ) -> torch.Tensor:
        r"""``waveform(masked(spectrum, masks), n_samples)``, faster and with less memory.

        Where no gradient is needed, it works on a few frames at a time.

        Args:
            spectrum (:class:`torch.Tensor`): Spectrum of the mixture.
            masks (:class:`torch.Tensor` or iterable of it): Masks of all frames, or of a few frames
                after the other. One row serves a whole batch.
            n_samples (int): Length of the waveforms.

        Shape:
            - spectrum: :math:`(batch, freq, frames)`
            - masks: :math:`(batch, n\_src, freq, frames)`
            - output: :math:`(batch, n\_src, n\_samples)`

        Raises:
            ValueError: if there are masks for more or fewer frames.
        """
        n_frames = spectrum.shape[-1]
        if isinstance(masks, torch.Tensor):
            if masks.shape[-1] == 1:
                masks = masks.expand(-1, -1, -1, n_frames)
            masks = split_frames(masks, -1, [spectrum])
        return self._inverse(self._iter_masked(spectrum, masks), n_frames, n_samples)

    def _iter_masked(
        self, spectrum: torch.Tensor, masks: Iterable[torch.Tensor]
    ) -> Iterator[torch.Tensor]:
        done, n_frames = 0, spectrum.shape[-1]
        for group in masks:
            start, done = done, done + group.shape[-1]
            yield self.masked(spectrum[..., start:done], group)
        if not is_recording() and done != n_frames:
            raise ValueError(f"The masks have {done} frames, the spectrum has {n_frames}.")

    def _inverse(
        self, spectra: Iterable[torch.Tensor], n_frames: int, n_samples: int
    ) -> torch.Tensor:
        wav = kernels.istft(spectra, self.window, self.hop_length, n_frames)
        return _padded(wav, n_samples)[..., :n_samples]


def _window(
    n_fft: int, dtype: torch.dtype, device: torch.device | str | None = None
) -> torch.Tensor:
    """The Hann window, made on the CPU, since not every device computes in float64.

    On the device ``meta``, where models are built to learn their sizes, torch would import its
    compiler for it, which takes seconds.
    """
    window = torch.hann_window(n_fft, dtype=torch.float64, device="cpu").to(dtype)
    return window.to(default_device() if device is None else device)


def default_device() -> torch.device:
    """The device of new tensors, also within ``with torch.device(...)``.

    Before torch 2.5, :func:`torch.get_default_device` ignored the context.
    """
    return torch.empty(0).device


def at_least_single(x: torch.Tensor) -> torch.Tensor:
    """Casts to single precision, unless the tensor is in double precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _padded(wav: torch.Tensor, n_samples: int) -> torch.Tensor:
    """Appends zeros up to this many samples; longer signals stay as they are."""
    if torch.jit.is_tracing():  # which would record the branch that this length takes
        return nn.functional.pad(wav, (0, max(n_samples - wav.shape[-1], 0)))
    if wav.shape[-1] >= n_samples:
        return wav  # torch would make a copy
    return nn.functional.pad(wav, (0, n_samples - wav.shape[-1]))
