"""Spectra whose rows are fractions of a semitone, so that notes lie on their fundamentals.

A single STFT cannot show music on a logarithmic axis: a window that tells the semitones of a bass
apart smears the onsets of a cymbal. Windows of four lengths, each half of the one before, are used:
long ones for low rows, short ones for high rows, blended in between so that no seam shows. Levels
are those of a sinusoid: a sine of amplitude 1 gives 1 in its row, at any rate and pitch, to within
half a decibel.
"""

from __future__ import annotations

import numpy as np

from ..score import LOWEST_PITCH

#: Frames per second. All window lengths and rates share them.
FRAME_RATE = 50
ROWS_PER_SEMITONE = 3
#: Highest pitch of a spectrum: C9, 8.4 kHz, where hardly any partial is left to see.
HIGHEST_PITCH = 120

# Windows hold 40 periods of their row's frequency where that is between 46 ms and 370 ms:
# half a main lobe is then less than a semitone from 110 Hz on. Our choice, by eye.
_PERIODS = 40
_LONGEST_SECONDS = 0.3712
_N_LENGTHS = 4
# Frames of a window overlap so much that the longest ones need not be taken at every frame.
_STRIDES = (4, 2, 1, 1)
# Samples in a batch of windows: 8 MiB as float32.
_BATCH = 1 << 21


class SemitoneSpectrum:
    r"""Magnitudes on a logarithmic frequency axis, :data:`ROWS_PER_SEMITONE` rows per semitone.

    Row 0 is the lowest; the rows of the MIDI pitch `p` are centred around it. Rows above half the
    sample rate are 0, so signals of several rates can share the axis of one of them.

    Args:
        sample_rate (int): Rate of the signals, in Hz.
        highest_pitch (int): Highest MIDI pitch of the axis, see :func:`highest_pitch`. The lowest
            is 21, 27.5 Hz.

    Shape:
        - input: :math:`(time,)`
        - output: :math:`(rows, frames)`

    Examples
        >>> spectrum = SemitoneSpectrum(8000, highest_pitch=90)
        >>> n = 8000 + 2 * spectrum.margin
        >>> tone = np.sin(2 * np.pi * 440 / 8000 * np.arange(n), dtype="float32")
        >>> magnitude = spectrum(tone, n_frames=50)
        >>> magnitude.shape, int(magnitude[:, 25].argmax()) == (69 - 21) * 3 + 1
        ((210, 50), True)
        >>> round(float(magnitude.max()), 1)
        1.0
    """

    def __init__(self, sample_rate, highest_pitch=HIGHEST_PITCH):
        self.sample_rate = sample_rate
        below = (ROWS_PER_SEMITONE - 1) / 2 / ROWS_PER_SEMITONE
        self.n_rows = n_rows(highest_pitch)
        pitches = LOWEST_PITCH - below + np.arange(self.n_rows) / ROWS_PER_SEMITONE
        frequencies = 440 * 2 ** ((pitches - 69) / 12)
        shortest = _LONGEST_SECONDS / 2 ** (_N_LENGTHS - 1)
        seconds = np.clip(_PERIODS / frequencies, shortest, _LONGEST_SECONDS)
        octave = np.log2(_LONGEST_SECONDS / seconds)
        self._bands = []
        for i, stride in enumerate(_STRIDES):
            weights = np.clip(1 - np.abs(octave - i), 0, 1)
            rows = np.nonzero(weights)[0]
            length = 2 * round(sample_rate * _LONGEST_SECONDS / 2 ** (i + 1))
            self._bands.append(_Band(sample_rate, length, stride, frequencies[rows]))
            self._bands[-1].rows = rows
            self._bands[-1].weights = weights[rows, None].astype(np.float32)

    @property
    def margin(self):
        """int: Samples needed before the first frame's stretch of time and after the last's."""
        lengthened = max(_STRIDES) * self.sample_rate / FRAME_RATE
        return int(np.ceil(self._bands[0].length / 2 + lengthened))

    def __call__(self, samples, n_frames):
        """The spectrum of a stretch of a signal.

        Args:
            samples (array): The signal, :attr:`margin` samples longer at both ends.
            n_frames (int): Number of frames; frame `i` is that of `i` + 0.5 frames' time.

        Returns:
            array: float32
        """
        logarithm = np.zeros((self.n_rows, n_frames), dtype=np.float32)
        for band in self._bands:
            magnitude = band.magnitude(samples, self.margin, n_frames)
            logarithm[band.rows] += band.weights * np.log(np.maximum(magnitude, 1e-20))
        return np.where(logarithm > -40, np.exp(logarithm), 0)


class _Band:
    """The rows for which one window length is used."""

    def __init__(self, sample_rate, length, stride, frequencies):
        self.sample_rate, self.length, self.stride = sample_rate, length, stride
        window = np.hanning(length + 1)[:-1]
        self.window = (2 * window / window.sum()).astype(np.float32)
        # Twice the window at least: between its bins a linear interpolation is then good enough.
        self.n_fft = 2 ** int(np.ceil(np.log2(2 * length)))
        # A high row is wider than a main lobe: its loudest of several points counts.
        width = frequencies[-1] * (2 ** (1 / 12 / ROWS_PER_SEMITONE) - 1)
        n_points = 2 * int(width * length / sample_rate / 2) + 1
        offsets = ((np.arange(n_points) + 0.5) / n_points - 0.5) / ROWS_PER_SEMITONE
        points = frequencies[:, None] * 2 ** (offsets / 12)
        bins = points * self.n_fft / sample_rate
        self.audible = bins < self.n_fft // 2
        bins = np.where(self.audible, bins, 0)
        self.left = bins.astype(np.int64)
        self.right_share = (bins - self.left).astype(np.float32)

    def magnitude(self, samples, margin, n_frames):
        """Magnitudes of shape (rows, frames)."""
        times = np.arange(0, n_frames + self.stride, self.stride) + 0.5
        centres = margin + np.round(times * self.sample_rate / FRAME_RATE).astype(np.int64)
        stretches = np.lib.stride_tricks.sliding_window_view(samples, self.length)
        step = max(_BATCH // self.n_fft, 1)
        parts = []
        for at in range(0, len(centres), step):
            frames = stretches[centres[at : at + step] - self.length // 2] * self.window
            bins = np.abs(np.fft.rfft(frames, n=self.n_fft))
            share = self.right_share
            points = bins[:, self.left] * (1 - share) + bins[:, self.left + 1] * share
            parts.append(np.where(self.audible, points, 0).max(axis=-1))
        taken = np.concatenate(parts).T
        if self.stride == 1:
            return taken[:, :n_frames]
        place = np.arange(n_frames) / self.stride
        before = place.astype(np.int64)
        later = (place - before).astype(np.float32)
        return taken[:, before] * (1 - later) + taken[:, before + 1] * later


def highest_pitch(sample_rate):
    """The highest MIDI pitch whose rows lie below half a sample rate, at most 120.

    Examples
        >>> highest_pitch(44100), highest_pitch(16000)
        (120, 118)
    """
    nyquist_pitch = 69 + 12 * np.log2(sample_rate / 2 / 440)
    return int(np.clip(np.floor(nyquist_pitch - 0.5), LOWEST_PITCH, HIGHEST_PITCH))


def n_rows(highest_pitch):
    """Number of rows of an axis that ends with a MIDI pitch."""
    return (highest_pitch - LOWEST_PITCH + 1) * ROWS_PER_SEMITONE
