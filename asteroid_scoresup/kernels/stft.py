r"""The STFT and its inverse, a few frames at a time on a CPU.

:func:`torch.stft` and :func:`torch.istft` pass over all of the memory for each of their steps.
Where no gradient is needed, the forward transform takes a few frames through all steps while they
are in the cache. The inverse accepts spectra one after the other, so that those of a long recording
never exist at once, and, unlike :func:`torch.istft`, can be exported.

Both are centered: frame :math:`t` is around sample :math:`t \cdot hop\_length`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch.nn import functional as F

from .frames import is_recording, split_frames


def plain_stft(wav: torch.Tensor, window: torch.Tensor, hop_length: int) -> torch.Tensor:
    """:func:`stft` by :func:`torch.stft`: for devices other than a CPU, and for gradients."""
    return torch.stft(wav, len(window), hop_length, window=window, return_complex=True)


def stft(wav: torch.Tensor, window: torch.Tensor, hop_length: int) -> torch.Tensor:
    r"""Complex spectrum, centered, with reflected edges.

    Args:
        wav (:class:`torch.Tensor`): Waveforms, longer than half a window.
        window (:class:`torch.Tensor`): The window, as long as the transform.
        hop_length (int): Hop, in samples.

    Shape:
        - wav: :math:`(batch, time)`
        - window: :math:`(n\_fft)`
        - output: :math:`(batch, freq, frames)`, complex
    """
    if wav.device.type != "cpu" or wav.requires_grad or is_recording():
        return plain_stft(wav, window, hop_length)
    n_fft = len(window)
    padded = F.pad(wav.unsqueeze(1), (n_fft // 2, n_fft // 2), mode="reflect").squeeze(1)
    frames = padded.unfold(-1, n_fft, hop_length)
    shape = (*frames.shape[:2], n_fft // 2 + 1)
    spectrum = wav.new_empty(shape, dtype=wav.dtype.to_complex())
    for group, output in zip(split_frames(frames, 1), split_frames(spectrum, 1)):
        torch.fft.rfft(group * window, out=output)
    return spectrum.transpose(1, 2)


def plain_istft(
    spectrum: torch.Tensor, window: torch.Tensor, hop_length: int, n_samples: int
) -> torch.Tensor:
    """:func:`istft` of one whole spectrum by :func:`torch.istft`."""
    wav = torch.istft(
        spectrum.flatten(0, 1), len(window), hop_length, window=window, length=n_samples
    )
    return wav.unflatten(0, spectrum.shape[:2])


def istft(
    spectra: Iterable[torch.Tensor], window: torch.Tensor, hop_length: int, n_frames: int
) -> torch.Tensor:
    r"""Waveforms of spectra that follow each other in time.

    Args:
        spectra (iterable of :class:`torch.Tensor`): Complex spectra; their frames add up to
            `n_frames`.
        window (:class:`torch.Tensor`): The window of the STFT.
        hop_length (int): Hop, in samples.
        n_frames (int): Number of frames in all.

    Shape:
        - spectra: each :math:`(batch, n\_src, freq, frames)`
        - window: :math:`(n\_fft)`
        - output: :math:`(batch, n\_src, time)`, from the first sample of the signal to the end of
          the last window
    """
    n_fft = len(window)
    frames = (_inverse_fft(spectrum, n_fft) for spectrum in spectra)
    add = _fold if n_fft % hop_length else _overlap_add
    return add(frames, window, hop_length, n_frames)[..., n_fft // 2 :]


def _inverse_fft(spectrum, n_fft):
    with torch.autocast(spectrum.device.type, enabled=False):
        return torch.fft.irfft(spectrum, n=n_fft, dim=-2)


def _overlap_add(
    groups: Iterator[torch.Tensor], window: torch.Tensor, hop_length: int, n_frames: int
) -> torch.Tensor:
    """Adds frames that are cut into hops: hop k of frame t belongs to hop t + k of the signal."""
    window = window.view(-1, hop_length)
    length, start = len(window) - 1 + n_frames, 0
    wav: torch.Tensor | None = None
    weight = window.new_zeros(length, hop_length)
    for k, part in enumerate(window):
        weight[k : k + n_frames] += part**2
    for frames in groups:
        hops = frames.unflatten(-2, (-1, hop_length)).transpose(-1, -2)
        if wav is None:
            wav = frames.new_zeros(*hops.shape[:2], length, hop_length)
        stop = start + hops.shape[-2]
        for k, part in enumerate(window):
            wav[:, :, start + k : stop + k].addcmul_(hops[:, :, k], part)
        start = stop
    if wav is None:
        raise ValueError("There are no spectra to transform.")
    return wav.div_(weight.clamp(min=1e-11)).flatten(-2)


def _fold(
    groups: Iterator[torch.Tensor], window: torch.Tensor, hop_length: int, n_frames: int
) -> torch.Tensor:
    """The same for a hop that does not divide the window. (Not every device has ``fold``.)"""
    frames = torch.cat(list(groups), -1)
    column, n_fft = window.unsqueeze(-1), len(window)
    size, kernel = (1, n_fft + (n_frames - 1) * hop_length), (1, n_fft)
    both = torch.cat([(frames * column).flatten(0, 1), (column**2).expand_as(frames[0, :1])])
    added = F.fold(both, size, kernel, stride=(1, hop_length))[:, 0, 0]
    wav = added[:-1] / added[-1].clamp(min=1e-11)
    return wav.unflatten(0, frames.shape[:2])
