"""The random equalizer: one smooth response for mixture and stems alike."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import next_fast_len
from scipy.signal import fftconvolve
from tiny import RATE, write_folder

from asteroid_scoresup.data import ScoreDataset
from asteroid_scoresup.dsp.equalizer import (
    equalize,
    equalize_bands,
    equalize_batch,
    fir_filter,
    minimum_phase,
)


def response_db(seed, spread=4.0, length=2048):
    impulse = torch.zeros(2, length, dtype=torch.float64)
    impulse[0, 0] = 1
    filtered = equalize(impulse, RATE, spread, np.random.default_rng(seed))
    assert filtered[1].abs().max() < 1e-12  # silence stays silent
    return 20 * np.log10(np.abs(np.fft.rfft(filtered[0].numpy())))


def test_it_is_a_filter_of_minimum_phase_with_interpolated_gains():
    """Against NumPy and SciPy in double precision."""
    rng = np.random.default_rng(4)
    for rate, length in ((RATE, 700), (RATE, 9000), (16000, 65536), (44100, 30000)):
        signals, bands = rng.standard_normal((2, 3, length)), rng.normal(0, 6, (2, 8))
        taps = 2 * next_fast_len(rate // 2, real=True)
        frequency = np.fft.rfftfreq(taps, 1 / rate).clip(min=40)
        places = np.log(np.geomspace(40, rate / 2, 8))
        found = equalize_batch(torch.from_numpy(signals), rate, torch.from_numpy(bands))
        for song, gains, filtered in zip(signals, bands, found):
            response = minimum_phase(10 ** (np.interp(np.log(frequency), places, gains) / 20))
            impulse = np.fft.irfft(response, n=taps)[: rate // 8]
            expected = fftconvolve(song, impulse[None])[:, :length]
            np.testing.assert_allclose(filtered, expected, atol=2e-5 * np.abs(expected).max())
            single = equalize_bands(torch.from_numpy(song).float(), rate, gains)
            assert single.dtype == torch.float32
            np.testing.assert_allclose(single, expected, atol=2e-5 * np.abs(expected).max())


def test_integers_and_empty_signals_are_filtered():
    noise = (1000 * torch.randn(2, 9000, generator=torch.Generator().manual_seed(1))).short()
    bands = np.array([3.0, -2.0, 4.0, 1.0])[::-1]
    expected = equalize_bands(noise.double(), RATE, bands)
    found = equalize_bands(noise, RATE, bands)
    torch.testing.assert_close(found.double(), expected, atol=0.05, rtol=1e-4)
    assert equalize_bands(torch.zeros(2, 0), RATE, bands).shape == (2, 0)


def test_filtering_has_the_gradient_of_a_convolution():
    signals = torch.randn(2, 50, dtype=torch.float64, requires_grad=True)
    impulse = torch.randn(1, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(fir_filter, (signals, impulse))


@given(st.integers(0, 300), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_filtering_in_blocks_is_a_convolution(length, taps, seed):
    rng = np.random.default_rng(seed)
    signals, impulse = rng.standard_normal((2, length)), rng.standard_normal((1, taps))
    found = fir_filter(torch.from_numpy(signals), torch.from_numpy(impulse))
    expected = [np.convolve(np.append(signal, 0), impulse[0])[:length] for signal in signals]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_gains_have_the_requested_spread():
    responses = np.stack([response_db(seed) for seed in range(600)])
    # At the ends there is a single band; between two bands gains are averaged.
    for end in (0, -1):
        assert responses[:, end].std() == pytest.approx(4.0, rel=0.12)
        assert responses[:, end].mean() == pytest.approx(0.0, abs=0.5)
    assert (responses.std(0) < 4.6).all() and (responses.std(0) > 2.3).all()


def test_the_response_is_smooth():
    frequency = np.fft.rfftfreq(2048, 1 / RATE)
    octaves = np.diff(np.log2(frequency[21:]))
    assert np.abs(np.diff(response_db(1)[21:]) / octaves).max() < 30


def test_without_spread_signals_are_unchanged():
    noise = torch.randn(3, 1000, generator=torch.Generator().manual_seed(0))
    filtered = equalize(noise, RATE, 0.0, np.random.default_rng(0))
    torch.testing.assert_close(filtered, noise, atol=1e-5, rtol=1e-4)


def test_the_dataset_filters_mixture_and_stems_alike(tmp_path):
    manifest = write_folder(tmp_path)
    shared = dict(targets="both", segment=1.024, n_segments=4, n_fft=256, hop_length=64)
    plain = ScoreDataset(manifest, "train", **shared)
    colored = ScoreDataset(manifest, "train", eq_db=6.0, **shared)
    for index in range(4):
        mixture, targets = colored[index]
        torch.testing.assert_close(targets["sources"].sum(0), mixture, atol=1e-5, rtol=1e-4)
        before = plain[index][0]
        assert torch.equal(targets["roll"], plain[index][1]["roll"])
        assert (mixture - before).abs().max() > 0.05 * before.abs().max()
        assert torch.equal(colored[index][0], mixture)  # the same at every call


def test_the_end_does_not_return_at_the_beginning():
    signal = torch.zeros(4000)
    signal[-1] = 1
    filtered = equalize(signal, RATE, 6.0, np.random.default_rng(0))
    assert filtered[:2000].abs().max() < 1e-2 * filtered.abs().max()


def test_there_is_no_ringing_before_an_impulse():
    """Minimum phase: onsets stay where the score has them."""
    for seed in range(10):
        signal = torch.zeros(4000)
        signal[2000] = 1
        filtered = equalize(signal, RATE, 6.0, np.random.default_rng(seed)).abs()
        assert filtered[:2000].max() < 1e-3 * filtered.max()
        assert filtered.argmax() in range(2000, 2004)


def test_minimum_phase_keeps_the_gains():
    gains = np.exp(np.random.default_rng(0).normal(0, 0.3, 1025))
    gains = np.convolve(gains, np.hanning(99) / np.hanning(99).sum(), "same").clip(min=0.1)
    response = minimum_phase(gains)
    np.testing.assert_allclose(np.abs(response), gains, rtol=1e-9)
    energy = np.cumsum(np.fft.irfft(response) ** 2)
    assert energy[200] > 0.95 * energy[-1]
