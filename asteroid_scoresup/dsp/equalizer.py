"""A random equalizer: recordings and instruments differ in color."""

from __future__ import annotations

import functools

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch.nn.functional import pad

#: Bands of the equalizer, and the frequency of the lowest, in Hz; the highest is Nyquist.
N_BANDS, LOWEST_BAND = 8, 40.0
#: Length of a block of :func:`fir_filter` relative to that of the response.
_BLOCK = 4


def equalize(
    signals: torch.Tensor,
    sample_rate: float,
    spread_db: float,
    rng: np.random.Generator,
    n_bands: int = N_BANDS,
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
    return equalize_bands(signals, sample_rate, rng.normal(0, spread_db, n_bands))


def equalize_bands(signals: torch.Tensor, sample_rate: float, bands_db: np.ndarray) -> torch.Tensor:
    r""":func:`equalize` with given gains of the bands.

    Args:
        signals (:class:`torch.Tensor`): Shape :math:`(..., time)`; all get the same response.
        sample_rate (float): Sample rate, in Hz.
        bands_db (array): The gains, in dB, shape :math:`(n\_bands)`.

    Returns:
        :class:`torch.Tensor`: As `signals`.
    """
    bands = torch.from_numpy(np.array(bands_db, dtype=np.float32)).to(signals.device)
    return equalize_batch(signals.unsqueeze(0), sample_rate, bands.unsqueeze(0))[0]


def equalize_batch(
    signals: torch.Tensor, sample_rate: float, bands_db: torch.Tensor
) -> torch.Tensor:
    r""":func:`equalize_bands` of a batch, with gains for each of its items, on any device.

    Args:
        signals (:class:`torch.Tensor`): The signals.
        sample_rate (float): Sample rate, in Hz.
        bands_db (:class:`torch.Tensor`): Gains of the bands, in dB.

    Shape:
        - signals: :math:`(batch, ..., time)`
        - bands_db: :math:`(batch, n\_bands)`
        - output: as `signals`

    Examples
        >>> noise, gains = torch.randn(2, 8000), np.array([[3.0, -2.0, 1.0], [0.0, 4.0, 4.0]])
        >>> filtered = equalize_batch(noise, 8000, torch.from_numpy(gains))
        >>> torch.allclose(filtered[1], equalize_bands(noise[1], 8000, gains[1]), atol=1e-4)
        True
    """
    logs = _band_logs(sample_rate, bands_db.shape[-1], str(signals.device))
    # Real products: TF32 would round the logarithms.
    bands = bands_db.to(logs)[:, :, None, None]
    response = torch.view_as_complex((bands * logs).sum(1)).exp()
    # The response is computed over a second, and has decayed after a fraction of it.
    impulse = torch.fft.irfft(response, n=_taps(sample_rate))[:, : int(sample_rate) // 8]
    shape = (len(signals), *[1] * (signals.ndim - 2), impulse.shape[-1])
    return fir_filter(signals, impulse.view(shape))


def fir_filter(signals: torch.Tensor, impulse: torch.Tensor) -> torch.Tensor:
    r"""Convolves signals with an impulse response, in overlapping blocks that stay in the cache.

    As ``scipy.signal.oaconvolve``, but on any device, and faster for segments of a few seconds.

    Args:
        signals (:class:`torch.Tensor`): The signals.
        impulse (:class:`torch.Tensor`): The responses, of the same number of dimensions.

    Shape:
        - signals: :math:`(..., time)`
        - impulse: :math:`(..., taps)`
        - output: as `signals`: the beginning of the convolution, in floating point

    Examples
        >>> filtered = fir_filter(torch.tensor([1.0, 0.0, 2.0]), torch.tensor([1.0, 0.5]))
        >>> [round(value, 3) for value in filtered.tolist()]
        [1.0, 0.5, 2.0]
    """
    length, taps = signals.shape[-1], impulse.shape[-1]
    if not signals.numel():
        return signals.clone()
    size = min(1 << (_BLOCK * taps - 1).bit_length(), next_fast_len(length + taps, real=True))
    step = size - taps + 1
    n_blocks = -(-length // step)
    blocks = pad(signals, (0, n_blocks * step - length)).unflatten(-1, (n_blocks, step))
    spectra = torch.fft.rfft(blocks, n=size) * torch.fft.rfft(impulse, n=size).unsqueeze(-2)
    parts = torch.fft.irfft(spectra, n=size)
    filtered = parts[..., :step]
    if n_blocks > 1:  # only then is there a block to ring into
        filtered[..., 1:, : taps - 1] += parts[..., :-1, step:]
    return filtered.flatten(-2)[..., :length]


def _taps(sample_rate: float) -> int:
    """Length of the transform that computes the response: about a second."""
    return 2 * next_fast_len(int(sample_rate) // 2, real=True)


def _interpolated(bands_db: np.ndarray, sample_rate: float) -> np.ndarray:
    """Gains in dB on the bins of the transform."""
    frequency = np.fft.rfftfreq(_taps(sample_rate), 1 / sample_rate).clip(min=LOWEST_BAND)
    bands = np.geomspace(LOWEST_BAND, sample_rate / 2, len(bands_db))
    return np.interp(np.log(frequency), np.log(bands), bands_db)


@functools.lru_cache(maxsize=8)
def _band_logs(sample_rate: float, n_bands: int, device: str) -> torch.Tensor:
    """Logarithm of the response to 1 dB in each band, (n_bands, bins, 2), real and imaginary.

    The logarithm of a minimum-phase response is linear in the gains in dB.
    """
    rows = [10 ** (_interpolated(row, sample_rate) / 20) for row in np.eye(n_bands)]
    logs = np.stack([_log_response(gains) for gains in rows])
    return torch.view_as_real(torch.from_numpy(logs.astype(np.complex64))).to(device)


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
    return np.exp(_log_response(gains))


def _log_response(gains: np.ndarray) -> np.ndarray:
    cepstrum = np.fft.irfft(np.log(gains))
    half = len(cepstrum) // 2
    cepstrum[1:half] *= 2
    cepstrum[half + 1 :] = 0
    return np.fft.rfft(cepstrum)
