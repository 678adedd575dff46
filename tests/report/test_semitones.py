"""Semitone spectra: tones appear in their row, level and time, at any sample rate."""

import numpy as np
import pytest

from asteroid_scoresup.report.semitones import (
    FRAME_RATE,
    HIGHEST_PITCH,
    ROWS_PER_SEMITONE,
    SemitoneSpectrum,
    highest_pitch,
    n_rows,
)
from asteroid_scoresup.score import LOWEST_PITCH

N_FRAMES = 40


def spectrum_of(signal, rate, highest=None):
    """The spectrum of `signal`, a function of the time (s) from the start of the first frame."""
    spectrum = SemitoneSpectrum(rate, highest or highest_pitch(rate))
    n_samples = 2 * spectrum.margin + round(N_FRAMES * rate / FRAME_RATE)
    time = (np.arange(n_samples) - spectrum.margin) / rate
    return spectrum(signal(time).astype(np.float32), N_FRAMES)


def tone(pitch, amplitude=1.0):
    return lambda time: amplitude * np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time + 1)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
@pytest.mark.parametrize("pitch", [28, 40, 53, 69, 84, 100])
def test_a_tone_has_its_level_in_the_middle_row_of_its_pitch(rate, pitch):
    magnitude = spectrum_of(tone(pitch, 0.5), rate)
    row = (pitch - LOWEST_PITCH) * ROWS_PER_SEMITONE + ROWS_PER_SEMITONE // 2
    assert abs(magnitude[:, 20].argmax() - row) <= (pitch < 35)
    np.testing.assert_allclose(magnitude[row], 0.5, rtol=0.07)


def test_semitones_are_resolved_from_the_lowest_note_of_a_guitar():
    magnitude = spectrum_of(lambda t: tone(40)(t) + tone(43)(t), 44100)[:, 20]
    rows = [(p - LOWEST_PITCH) * ROWS_PER_SEMITONE + 1 for p in (40, 41.5, 43)]
    low, between, high = magnitude[np.round(rows).astype(int)]
    assert between < 0.5 * min(low, high)
    magnitude = spectrum_of(lambda t: tone(64)(t) + tone(65)(t), 44100).mean(axis=1)
    low, high = ((p - LOWEST_PITCH) * ROWS_PER_SEMITONE + 1 for p in (64, 65))
    assert magnitude[low + 1 : high].min() < 0.8 * min(magnitude[low], magnitude[high])


@pytest.mark.parametrize("pitch", [40, 60, 100])
def test_a_burst_appears_at_its_time(pitch):
    middle = 0.41
    burst = lambda t: tone(pitch)(t) * np.exp(-(((t - middle) / 0.03) ** 2))  # noqa: E731
    magnitude = spectrum_of(burst, 16000)
    row = (pitch - LOWEST_PITCH) * ROWS_PER_SEMITONE + 1
    assert abs((magnitude[row].argmax() + 0.5) / FRAME_RATE - middle) <= 1 / FRAME_RATE


def test_rows_above_half_the_sample_rate_are_zero():
    noise = lambda t: np.random.default_rng(0).standard_normal(len(t))  # noqa: E731
    magnitude = spectrum_of(noise, 8000, HIGHEST_PITCH)
    assert magnitude.shape == (n_rows(HIGHEST_PITCH), N_FRAMES)
    audible = n_rows(highest_pitch(8000))
    assert (magnitude[:audible] > 0).all()
    assert (magnitude[audible + ROWS_PER_SEMITONE :] == 0).all()


def test_silence_is_zero():
    assert not spectrum_of(np.zeros_like, 16000).any()
