"""Downmix to mono in which channels do not cancel.

The mean of two channels loses everything that they have in opposite phase: an instrument with one
inverted channel, or a whole song. In such recordings the channels are brought into phase bin by bin
before the mean is taken.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

#: Fraction of the energy in opposite phase above which channels are aligned. Below it, the plain
#: mean loses nothing audible.
LEAST_OPPOSED = 0.02
#: Correlation of two channels, around a bin, below which they are in opposite phase. Unrelated
#: channels (a wide stereo effect) stay above it.
OPPOSED = -0.6
_WINDOW = 2048  # samples
_FRAMES, _BINS = 9, 3  # neighborhood of a bin
_CHUNK = 1 << 20  # samples that are aligned at a time
_EDGE = 8 * _WINDOW  # samples around a chunk that can change it, and a few more


def downmix(audio: np.ndarray) -> tuple[np.ndarray, float]:
    r"""Mean of the channels, aligned where they are in opposite phase.

    Args:
        audio (array): float32, shape :math:`(time, channels)`.

    Returns:
        tuple: float32 array of shape :math:`(time)`, and the fraction of the energy that is in
        opposite phase to the first loud channel. Below 0.02 the array is the plain mean.

    Examples
        >>> tone = np.sin(np.arange(8000, dtype=np.float32))
        >>> mono, opposed = downmix(np.stack([tone, -tone], axis=1))
        >>> float(np.abs(mono - tone).max()) < 1e-5, round(opposed, 3)
        (True, 1.0)
    """
    n_channels = audio.shape[1]
    if n_channels == 1:
        return audio[:, 0].copy(), 0.0
    mean = audio.mean(axis=1)
    if all(np.array_equal(audio[:, 0], audio[:, i]) for i in range(1, n_channels)):
        return mean, 0.0
    energy = np.square(audio, dtype=np.float64).sum(axis=0)
    # The first channel that is not much softer than the others.
    reference = int(np.argmax(energy >= 0.5 * energy.max()))
    sums = [_opposed_energy(wav, reference) for _, _, wav in _iter_chunks(audio)]
    opposed, total = (sum(values) for values in zip(*sums))
    fraction = opposed / total if total > 0 else 0.0
    if fraction < LEAST_OPPOSED:
        return mean, fraction
    aligned = np.empty_like(mean)
    for chunk, core, wav in _iter_chunks(audio):
        aligned[chunk] = _aligned(wav, reference)[core]
    return aligned, fraction


def _iter_chunks(audio: np.ndarray) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Yields the place of a chunk in `audio`, its place in `wav`, and `wav`: the chunk with its
    surroundings, (channels, time)."""
    for start in range(0, len(audio), _CHUNK):
        stop, first = min(start + _CHUNK, len(audio)), max(start - _EDGE, 0)
        wav = torch.tensor(audio[first : stop + _EDGE].T)
        yield slice(start, stop), slice(start - first, stop - first), wav


def _spectra(wav: torch.Tensor, hop_length: int = _WINDOW // 4) -> torch.Tensor:
    wav = torch.nn.functional.pad(wav, (0, max(_WINDOW - wav.shape[1], 0)))
    window = torch.hann_window(_WINDOW)
    return torch.stft(
        wav, _WINDOW, hop_length, window=window, pad_mode="constant", return_complex=True
    )


def _smooth(values: torch.Tensor) -> torch.Tensor:
    size, padding = (_BINS, _FRAMES), (_BINS // 2, _FRAMES // 2)
    return torch.nn.functional.avg_pool2d(values[None], size, 1, padding)[0]


def _inverted(spectrum: torch.Tensor, reference: int) -> torch.Tensor:
    """Bins in which a channel is in opposite phase to the reference: (channels, freq, frames)."""
    cross = _smooth((spectrum * spectrum[reference].conj()).real)
    power = _smooth(spectrum.real.square() + spectrum.imag.square())
    return cross < OPPOSED * (power * power[reference]).clamp(min=0).sqrt()


def _opposed_energy(wav: torch.Tensor, reference: int) -> tuple[float, float]:
    """Energy in opposite phase, and total energy."""
    spectrum = _spectra(wav, _WINDOW)  # frames without overlap are enough
    power = spectrum.real.square() + spectrum.imag.square()
    # The softer of the two channels cancels, in both of them.
    low = torch.minimum(power, power[reference]) * _inverted(spectrum, reference)
    return 2 * float(low.sum(dtype=torch.float64)), float(power.sum(dtype=torch.float64))


def _aligned(wav: torch.Tensor, reference: int) -> np.ndarray:
    spectrum = _spectra(wav)
    signs = 1 - 2 * _inverted(spectrum, reference).float()
    length, window = max(wav.shape[1], _WINDOW), torch.hann_window(_WINDOW)
    mean = (spectrum * signs).mean(0)
    return torch.istft(mean, _WINDOW, _WINDOW // 4, window=window, length=length).numpy()
