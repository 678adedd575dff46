"""A random equalizer: recordings and instruments differ in color."""

from __future__ import annotations

import numpy as np
import torch
from scipy.fft import next_fast_len


def equalize(
    signals: torch.Tensor,
    sample_rate: float,
    spread_db: float,
    rng: np.random.Generator,
    n_bands: int = 8,
) -> torch.Tensor:
    r"""Filters signals by one smooth random response of minimum phase.

    Args:
        signals (:class:`torch.Tensor`): Shape :math:`(..., time)`; all get the same response.
        sample_rate (float): Sample rate, in Hz.
        spread_db (float): Standard deviation of the gain of a band, in dB.
        rng (numpy.random.Generator): Random generator of the gains.
        n_bands (int): Number of bands, evenly spaced on a logarithmic axis from 40 Hz to Nyquist;
            the gain in dB is interpolated between them.

    Returns:
        :class:`torch.Tensor`: As `signals`, at about the same level.

    Examples
        >>> noise = torch.randn(3, 8000)
        >>> filtered = equalize(noise, 8000, 0.0, np.random.default_rng(0))
        >>> torch.allclose(filtered, noise, atol=1e-4)
        True
    """
    length, taps = signals.shape[-1], 2 * next_fast_len(int(sample_rate) // 2, real=True)
    frequency = np.fft.rfftfreq(taps, 1 / sample_rate).clip(min=40)
    bands = np.geomspace(40, sample_rate / 2, n_bands)
    gains_db = np.interp(np.log(frequency), np.log(bands), rng.normal(0, spread_db, n_bands))
    # The response is computed over a second, and has decayed after a fraction of it.
    response = np.fft.irfft(minimum_phase(10 ** (gains_db / 20)), n=taps).astype(np.float32)
    impulse = torch.from_numpy(response[: int(sample_rate) // 8])
    # With room to ring out, or the end of the signal would return at its beginning.
    padded = next_fast_len(length + len(impulse), real=True)
    spectrum = torch.fft.rfft(signals, n=padded) * torch.fft.rfft(impulse, n=padded)
    return torch.fft.irfft(spectrum, n=padded)[..., :length]


def minimum_phase(gains: np.ndarray) -> np.ndarray:
    r"""Frequency response of minimum phase: it rings after a sound, not before it.

    Real filters (instruments, rooms, equalizers) do so, and onsets stay where the score has them.
    Computed by folding the real cepstrum.

    Args:
        gains (array): Gains > 0 on the bins of an rfft of even length `n`, shape
            :math:`(n / 2 + 1)`.

    Returns:
        array: complex, of the same shape.

    Examples
        >>> np.abs(minimum_phase(np.full(5, 2.0))).tolist()
        [2.0, 2.0, 2.0, 2.0, 2.0]

    References
        A. V. Oppenheim and R. W. Schafer, *Discrete-Time Signal Processing*.
    """
    cepstrum = np.fft.irfft(np.log(gains))
    half = len(cepstrum) // 2
    cepstrum[1:half] *= 2
    cepstrum[half + 1 :] = 0
    return np.exp(np.fft.rfft(cepstrum))
