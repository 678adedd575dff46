"""Channels to one, so that nothing cancels.

The mean of two channels loses what they hold in opposite phase: an instrument with one channel
inverted is gone, a whole song is silence. Where that happens, the mean is taken with the signs that
bring the channels into phase, bin by bin.
"""

from __future__ import annotations

import numpy as np
import torch

#: Share of the energy in opposite phase from which channels are aligned. Below it the plain mean
#: loses nothing that can be heard.
LEAST_OPPOSED = 0.02
#: Correlation of two channels, in a bin and its surroundings, below which they count as opposed:
#: unrelated channels (a wide stereo effect) stay above it.
OPPOSED = -0.6
_WINDOW = 2048  # samples
_FRAMES, _BINS = 9, 3  # surroundings of a bin
_PART = 1 << 20  # samples that are aligned at a time
_EDGE = 8 * _WINDOW  # samples round a part that can change it, and a few


def downmix(audio):
    r"""Mean of the channels, aligned where they are in opposite phase.

    Args:
        audio (array): float32, shape :math:`(time, channels)`.

    Returns:
        tuple: float32 array of shape :math:`(time,)`, and the share of the energy that lies in
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
    # The first that is not much softer than the others.
    reference = int(np.argmax(energy >= 0.5 * energy.max()))
    sums = [_opposed(part, reference) for _, _, part in _parts(audio)]
    opposed, total = (sum(values) for values in zip(*sums))
    share = opposed / total if total > 0 else 0.0
    if share < LEAST_OPPOSED:
        return mean, share
    aligned = np.empty_like(mean)
    for place, core, part in _parts(audio):
        aligned[place] = _aligned(part, reference)[core]
    return aligned, share


def _parts(audio):
    """Where a part belongs, where it lies in what comes with it, and that: (channels, time)."""
    for start in range(0, len(audio), _PART):
        stop, first = min(start + _PART, len(audio)), max(start - _EDGE, 0)
        part = audio[first : stop + _EDGE].T
        yield slice(start, stop), slice(start - first, stop - first), torch.tensor(part)


def _spectra(part, hop=_WINDOW // 4):
    part = torch.nn.functional.pad(part, (0, max(_WINDOW - part.shape[1], 0)))
    options = dict(hop_length=hop, window=torch.hann_window(_WINDOW), pad_mode="constant")
    return torch.stft(part, _WINDOW, return_complex=True, **options), options


def _smooth(values):
    size, padding = (_BINS, _FRAMES), (_BINS // 2, _FRAMES // 2)
    return torch.nn.functional.avg_pool2d(values[None], size, 1, padding)[0]


def _inverted(spectrum, reference):
    """Where each channel is in opposite phase to the reference: (channels, freq, frames)."""
    cross = _smooth((spectrum * spectrum[reference].conj()).real)
    power = _smooth(spectrum.real.square() + spectrum.imag.square())
    return cross < OPPOSED * (power * power[reference]).clamp(min=0).sqrt()


def _opposed(part, reference):
    """Energy in opposite phase, and all energy."""
    spectrum, _ = _spectra(part, _WINDOW)  # frames side by side tell enough
    power = spectrum.real.square() + spectrum.imag.square()
    # What cancels is the softer of the two, twice.
    low = torch.minimum(power, power[reference]) * _inverted(spectrum, reference)
    return 2 * float(low.sum(dtype=torch.float64)), float(power.sum(dtype=torch.float64))


def _aligned(part, reference):
    spectrum, options = _spectra(part)
    signs = 1 - 2 * _inverted(spectrum, reference).float()
    length = max(part.shape[1], _WINDOW)
    del options["pad_mode"]
    return torch.istft((spectrum * signs).mean(0), _WINDOW, length=length, **options).numpy()
