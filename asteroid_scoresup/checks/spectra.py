"""What the parts of the label check share: stretches of a song and their spectra."""

from __future__ import annotations

import numpy as np
import torch

from ..utils.files import resample_audio

#: How much of a song is analyzed, in seconds, and in how many windows.
LISTEN_SECONDS = 60.0
N_WINDOWS = 3
#: The check needs no more bandwidth than this, in Hz.
MAX_RATE = 16000
#: Largest offset between notes and audio that is looked for, in seconds.
MAX_LAG = 1.0


def find_windows(notes, duration):
    """Parts of the song to analyze: all of it, or windows around the quantiles of the notes.

    Args:
        notes (Notes): The score.
        duration (float): Length of the song, in seconds.

    Returns:
        list of tuple: Start and stop, in seconds; the windows do not overlap.
    """
    if duration <= LISTEN_SECONDS or not len(notes):
        return [(0.0, duration)]
    length = LISTEN_SECONDS / N_WINDOWS
    centers = np.quantile(notes.onset, (np.arange(N_WINDOWS) + 0.5) / N_WINDOWS)
    starts = np.clip(centers - length / 2, 0, duration - length)
    # Side by side where the quantiles lie close together: forwards, then back from the end.
    apart = length * np.arange(N_WINDOWS)
    starts = np.maximum.accumulate(starts - apart) + apart
    starts = np.minimum(starts, duration - length - apart[::-1])
    return [(float(start), float(start + length)) for start in starts]


def frequency_of(pitch):
    """Frequency in Hz of MIDI note numbers, which need not be whole."""
    return 440.0 * 2.0 ** ((np.asarray(pitch, dtype=np.float64) - 69) / 12)


def pitch_of(frequency):
    """MIDI note numbers, not rounded, of frequencies in Hz."""
    return 69 + 12 * np.log2(np.asarray(frequency, dtype=np.float64) / 440.0)


class Excerpt:
    r"""A window of a signal and its spectra, with room for the largest lag on both sides.

    Args:
        signal (array): Shape :math:`(time,)`.
        sample_rate (float): Its rate, in Hz.
        start, stop (float): The window, in seconds.
    """

    def __init__(self, signal, sample_rate, start, stop):
        first = max(int((start - MAX_LAG - 0.2) * sample_rate), 0)
        last = int((stop + MAX_LAG + 0.2) * sample_rate)
        part = np.ascontiguousarray(signal[first:last], dtype=np.float32)
        self.origin = first / sample_rate
        self.rate = sample_rate
        if sample_rate > MAX_RATE:
            part, self.rate = resample_audio(part, int(sample_rate), MAX_RATE), MAX_RATE
        self.signal = torch.from_numpy(part)
        self._cache = {}

    def spectrum(self, window, hop):
        """Power, shape (freq, frames), under a Hann window of about `window` seconds.

        A sinusoid of amplitude A reads A squared.

        Returns:
            tuple: the power, Hz per bin, seconds per frame.
        """
        return self.once(("spectrum", window, hop), lambda: self._spectrum(window, hop))

    def once(self, key, compute):
        """The result of `compute()`, which is called the first time only."""
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]

    def _spectrum(self, window, hop):
        n_fft = 2 ** round(np.log2(window * self.rate))
        step = round(hop * self.rate)
        hann = torch.hann_window(n_fft)
        signal = torch.nn.functional.pad(self.signal, (n_fft // 2, n_fft // 2))
        spectrum = torch.stft(signal, n_fft, step, window=hann, center=False, return_complex=True)
        power = (spectrum.real**2 + spectrum.imag**2) / (n_fft / 4) ** 2
        return power.numpy(), self.rate / n_fft, step / self.rate
