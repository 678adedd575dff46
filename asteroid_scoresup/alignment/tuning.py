r"""How a recording is tuned, in cents relative to A = 440 Hz.

The frequencies of spectral peaks, in semitones, cluster around whole numbers plus the tuning; their
circular mean, weighted by amplitude, is the tuning. It is found up to whole semitones: A = 415 Hz
is a transposition by a semitone, and 1 cent.
"""

from __future__ import annotations

import numpy as np

from ..utils.stream import Recording
from .features import RATE, WINDOWS, mono_chunks

_N_FFT = WINDOWS[0][0]
_EVERY = 4096  # samples between spectra
_LOWEST, _HIGHEST = 110.0, 2500.0  # Hz
_PEAKS = 12  # per spectrum
#: Below this concentration of the peaks around one tuning, from 0 to 1, none is reported.
_CLEAR = 0.06


def find_tuning(recording: Recording) -> float:
    """Estimates the tuning of a recording.

    Args:
        recording (Recording): The recording.

    Returns:
        float: Cents above A = 440 Hz, from -50 to 50; 0 where the recording has no clear tuning.
    """
    total = 0j
    weights = squares = 0.0
    window = np.hanning(_N_FFT + 1)[:-1].astype(np.float32)
    for samples, _ in mono_chunks(recording):
        if len(samples) < _N_FFT:
            continue
        frames = np.lib.stride_tricks.sliding_window_view(samples, _N_FFT)[::_EVERY]
        found, amplitude = _peaks(np.abs(np.fft.rfft(frames * window)))
        semitones = 12 * np.log2(found / 440)
        total += complex(np.sum(amplitude * np.exp(2j * np.pi * semitones)))
        weights += float(amplitude.sum())
        squares += float((amplitude**2).sum())
    # Peaks at random have a mean, too, which falls with their number.
    if weights <= 0 or abs(total) < max(_CLEAR * weights, 3 * np.sqrt(squares)):
        return 0.0
    return float(np.angle(total) / (2 * np.pi) * 100)


def _peaks(magnitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in Hz and compressed amplitudes of the largest peaks of each spectrum."""
    low, high = (int(f * _N_FFT / RATE) for f in (_LOWEST, _HIGHEST))
    log = np.log(magnitude[:, low - 1 : high + 2] + 1e-9)
    left, middle, right = log[:, :-2], log[:, 1:-1], log[:, 2:]
    is_peak = (middle > left) & (middle >= right) & (middle > np.log(1e-3))
    height = np.where(is_peak, middle, -np.inf)
    best = np.argpartition(-height, _PEAKS, axis=1)[:, :_PEAKS]
    rows = np.arange(len(log))[:, None]
    kept = is_peak[rows, best]
    a, b, c = (x[rows, best][kept] for x in (left, middle, right))
    place = best[kept] + low + 0.5 * (a - c) / np.minimum(a - 2 * b + c, -1e-9)
    return place * RATE / _N_FFT, np.exp(b / 2)
