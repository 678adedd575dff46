"""Spectra with three rows per semitone, so that notes are drawn on their fundamentals.

One STFT is not enough for a logarithmic frequency axis: a window that resolves the semitones of a
bass smears the onsets of a cymbal. Four window lengths are used, each half as long as the previous:
long windows for low rows, short ones for high rows, cross-faded in between. Levels are amplitudes:
a sine of amplitude 1 gives 1 in its row, at any sample rate and pitch, to within half a decibel.

This is our own code because a constant-Q transform (``librosa.cqt``, ``nnAudio``) would add heavy
dependencies (numba and scikit-learn for librosa) for one picture, and would need the whole song in
memory: here any stretch of a song can be computed on its own, at the cost of a few short FFTs per
frame.
"""

from __future__ import annotations

import numpy as np
from pretty_midi import hz_to_note_number, note_number_to_hz

from ..score import LOWEST_PITCH

#: Frames per second, for all window lengths and sample rates.
FRAME_RATE = 50
ROWS_PER_SEMITONE = 3
#: Highest MIDI pitch of a spectrum: C9, 8.4 kHz, above which partials are hardly visible.
HIGHEST_PITCH = 120

# Windows hold 40 periods of their row's frequency, within 46 ms to 370 ms: half the main lobe is
# then narrower than a semitone above 110 Hz. Our choice, by eye.
_PERIODS = 40
_LONGEST_SECONDS = 0.3712
_N_LENGTHS = 4
# Long windows overlap so much that they are not needed at every frame.
_STRIDES = (4, 2, 1, 1)
# Samples in a batch of windows: 8 MiB as float32.
_BATCH = 1 << 21


class SemitoneSpectrum:
    r"""Magnitudes on a logarithmic frequency axis, :data:`ROWS_PER_SEMITONE` rows per semitone.

    Row 0 is the lowest; the rows of a MIDI pitch are centered around it. Rows above half the sample
    rate are 0, so that signals of different sample rates can share one axis.

    Args:
        sample_rate (int): Sample rate of the signals, in Hz.
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

    def __init__(self, sample_rate: int, highest_pitch: int = HIGHEST_PITCH) -> None:
        self.sample_rate = sample_rate
        below = (ROWS_PER_SEMITONE - 1) / 2 / ROWS_PER_SEMITONE
        self.n_rows = n_rows(highest_pitch)
        pitches = LOWEST_PITCH - below + np.arange(self.n_rows) / ROWS_PER_SEMITONE
        frequencies = note_number_to_hz(pitches)
        shortest = _LONGEST_SECONDS / 2 ** (_N_LENGTHS - 1)
        seconds = np.clip(_PERIODS / frequencies, shortest, _LONGEST_SECONDS)
        octave = np.log2(_LONGEST_SECONDS / seconds)
        self._bands = []
        for i, stride in enumerate(_STRIDES):
            weights = np.clip(1 - np.abs(octave - i), 0, 1)
            rows = np.nonzero(weights)[0]
            length = 2 * round(sample_rate * _LONGEST_SECONDS / 2 ** (i + 1))
            band = _Band(sample_rate, length, stride, frequencies[rows])
            self._bands.append((band, rows, weights[rows, None].astype(np.float32)))

    @property
    def margin(self) -> int:
        """int: Samples needed before the first frame and after the last."""
        lengthened = max(_STRIDES) * self.sample_rate / FRAME_RATE
        return int(np.ceil(self._bands[0][0].length / 2 + lengthened))

    def __call__(self, samples: np.ndarray, n_frames: int) -> np.ndarray:
        """The spectrum of an excerpt of a signal.

        Args:
            samples (array): The excerpt, with :attr:`margin` more samples at both ends.
            n_frames (int): Number of frames; frame `i` is centered at `(i + 0.5) / FRAME_RATE`
                seconds.

        Returns:
            :class:`numpy.ndarray`: float32
        """
        logarithm = np.zeros((self.n_rows, n_frames), dtype=np.float32)
        for band, rows, weights in self._bands:
            magnitude = band.magnitude(samples, self.margin, n_frames)
            logarithm[rows] += weights * np.log(np.maximum(magnitude, 1e-20))
        return np.where(logarithm > -40, np.exp(logarithm), 0)


class _Band:
    """The rows of one window length."""

    def __init__(self, sample_rate: int, length: int, stride: int, frequencies: np.ndarray) -> None:
        self.sample_rate, self.length, self.stride = sample_rate, length, stride
        window = np.hanning(length + 1)[:-1]
        self.window = (2 * window / window.sum()).astype(np.float32)
        # At least twice the window, so that linear interpolation between bins is good enough.
        self.n_fft = 2 ** int(np.ceil(np.log2(2 * length)))
        # A high row is wider than the main lobe: take the loudest of several points.
        width = frequencies[-1] * (2 ** (1 / 12 / ROWS_PER_SEMITONE) - 1)
        n_points = 2 * int(width * length / sample_rate / 2) + 1
        offsets = ((np.arange(n_points) + 0.5) / n_points - 0.5) / ROWS_PER_SEMITONE
        points = frequencies[:, None] * 2 ** (offsets / 12)
        bins = points * self.n_fft / sample_rate
        self.audible = bins < self.n_fft // 2
        bins = np.where(self.audible, bins, 0)
        self.left = bins.astype(np.int64)
        self.right_weight = (bins - self.left).astype(np.float32)

    def magnitude(self, samples: np.ndarray, margin: int, n_frames: int) -> np.ndarray:
        """Magnitudes of shape (rows, frames)."""
        times = np.arange(0, n_frames + self.stride, self.stride) + 0.5
        centers = margin + np.round(times * self.sample_rate / FRAME_RATE).astype(np.int64)
        windows = np.lib.stride_tricks.sliding_window_view(samples, self.length)
        step = max(_BATCH // self.n_fft, 1)
        parts = []
        for at in range(0, len(centers), step):
            frames = windows[centers[at : at + step] - self.length // 2] * self.window
            bins = np.abs(np.fft.rfft(frames, n=self.n_fft))
            right = self.right_weight
            points = bins[:, self.left] * (1 - right) + bins[:, self.left + 1] * right
            parts.append(np.where(self.audible, points, 0).max(axis=-1))
        taken = np.concatenate(parts).T
        if self.stride == 1:
            return taken[:, :n_frames]
        place = np.arange(n_frames) / self.stride
        before = place.astype(np.int64)
        later = (place - before).astype(np.float32)
        return taken[:, before] * (1 - later) + taken[:, before + 1] * later


def highest_pitch(sample_rate: float) -> int:
    """The highest MIDI pitch whose rows are below half the sample rate, at most 120.

    Examples
        >>> highest_pitch(44100), highest_pitch(16000)
        (120, 118)
    """
    nyquist_pitch = hz_to_note_number(sample_rate / 2)
    return int(np.clip(np.floor(nyquist_pitch - 0.5), LOWEST_PITCH, HIGHEST_PITCH))


def n_rows(highest_pitch: int) -> int:
    """Number of rows from the lowest pitch up to a MIDI pitch."""
    return (highest_pitch - LOWEST_PITCH + 1) * ROWS_PER_SEMITONE
