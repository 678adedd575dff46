"""Effects of produced songs, against formulas and measurements."""

import numpy as np
import pytest
from scipy.signal import chirp, resample_poly

from asteroid_scoresup.synthesis import effects

RATE = 16000


def noise(seconds=2.0, seed=0):
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(round(seconds * RATE))).astype(np.float32)


def decibels(value):
    return 20 * np.log10(value)


@pytest.mark.parametrize("seconds", [0.3, 1.5])
def test_rooms_decay_by_60_db_and_become_darker(seconds):
    rng = np.random.default_rng(1)
    responses = [effects.impulse_response(seconds, 2000, 0.02, RATE, rng) for _ in range(20)]
    energy = np.mean(np.square(responses), axis=0)[round(0.02 * RATE) :]
    remaining = 10 * np.log10(np.cumsum(energy[::-1])[::-1] / energy.sum())
    # Schroeder's integral from -25 dB, where low frequencies are left, to -45 dB: 60 / 20 of it.
    first, last = (int(np.argmax(remaining < level)) for level in (-25, -45))
    assert 3 * (last - first) / RATE == pytest.approx(seconds, rel=0.15)
    spectra = np.abs(np.fft.rfft([response[:4000] for response in responses])) ** 2
    late = np.abs(np.fft.rfft([response[-4000:] for response in responses])) ** 2
    ratios = [part[:, 1500:].mean() / part[:, :250].mean() for part in (spectra, late)]
    assert ratios[1] < ratios[0]


def test_reverberation_keeps_direct_sound_and_adds_its_level():
    signal = noise(4.0)
    room = effects.impulse_response(0.5, 4000, 0.01, RATE, np.random.default_rng(2))
    assert np.array_equal(effects.reverberate(signal, room, 0.0), signal)
    wet = effects.reverberate(signal, room, 0.5) - signal
    assert np.abs(wet[: round(0.01 * RATE) - 1]).max() < 1e-6
    assert wet[RATE:].std() / signal.std() == pytest.approx(0.5, rel=0.1)
    click = np.zeros(RATE, np.float32)
    click[100] = 1.0
    expected = click.copy()
    expected[100 : 100 + len(room)] += 0.25 * room.astype(np.float32)[: RATE - 100]
    assert np.allclose(effects.reverberate(click, room, 0.25), expected, atol=1e-6)


def test_a_chorus_is_a_delayed_copy_that_moves():
    time = np.arange(2 * RATE) / RATE
    tone = np.sin(2 * np.pi * 440 * time)
    still = effects.chorus(tone, 0.0, 1.0, 0.0, 0.5, RATE) - tone
    expected = 0.5 * np.sin(2 * np.pi * 440 * (time - 0.012))
    assert np.allclose(still[1000:], expected[1000:], atol=0.02)
    moving = effects.chorus(tone, 0.002, 1.0, 0.0, 0.5, RATE) - tone
    delay = 0.012 + 0.002 * np.sin(2 * np.pi * time)
    assert np.allclose(
        moving[1000:], (0.5 * np.sin(2 * np.pi * 440 * (time - delay)))[1000:], atol=0.02
    )


def test_a_compressor_divides_excess_levels():
    loud, quiet = np.ones(RATE), np.full(RATE, 0.01)
    signal = np.concatenate([quiet, loud, quiet])
    gain = effects.compressor_gain(signal, -10.0, 4.0, 0.005, 0.1, RATE)
    reference = decibels(np.sqrt(np.mean(signal**2)))
    excess = 0.0 - reference + 10.0
    assert decibels(gain[2 * RATE - 200]) == pytest.approx(-excess * 0.75, abs=0.05)
    assert gain[RATE // 2] == pytest.approx(1.0)
    assert decibels(gain[2 * RATE + round(0.1 * RATE)]) == pytest.approx(
        -excess * 0.75 * np.exp(-1), rel=0.1
    )
    assert gain.max() <= 1 and len(effects.compressor_gain(signal[:7], 0, 2, 0.1, 0.1, RATE)) == 7


def test_saturation_as_a_gain_is_the_saturation():
    signal = np.linspace(-1, 1, 1001)
    for drive in (0.3, 1.5):
        gain = effects.saturation_gain(signal, drive)
        assert np.allclose(gain * signal, np.tanh(drive * signal) / drive)
        assert gain.min() > 0 and gain.max() <= 1


def test_a_limiter_neither_clips_nor_jumps():
    signal = noise(3.0)
    signal[RATE] = 1.0
    gain = effects.limiter_gain(signal, 0.5, RATE)
    assert np.abs(gain * signal).max() <= 0.5 + 1e-9
    assert gain[RATE] == pytest.approx(0.5, rel=1e-6)
    assert np.abs(np.diff(gain)).max() < 1 / (0.005 * RATE)
    assert np.array_equal(effects.limiter_gain(signal, 2.0, RATE), np.ones(len(signal)))
    assert (gain == 1).mean() > 0.9  # far from the peak


@pytest.mark.slow
@pytest.mark.parametrize("rate", effects.MP3_RATES)
@pytest.mark.parametrize("compression", [0.2, 0.6])
def test_mp3_keeps_time_to_the_sample(rate, compression):
    time = np.arange(rate + 123) / rate
    wave = 0.4 * chirp(time, 100, 1, 0.25 * rate).astype(np.float32)
    wave[: rate // 4] = 0
    decoded = effects.mp3_round_trip(wave, rate, compression)
    assert decoded.shape == wave.shape and decoded.dtype == np.float32
    size = 2 * len(wave)
    cross = np.fft.irfft(np.fft.rfft(decoded, 8 * size) * np.conj(np.fft.rfft(wave, 8 * size)))
    assert cross.argmax() == 0
    # Also to a tenth of a sample.
    fine = [resample_poly(signal, 10, 1) for signal in (decoded, wave)]
    products = [np.dot(fine[0], np.roll(fine[1], shift)) for shift in range(-5, 6)]
    assert abs(int(np.argmax(products)) - 5) <= 1
    error = np.linalg.norm(decoded - wave) / np.linalg.norm(wave)
    assert 1e-4 < error < 0.35


def test_mp3_refuses_other_rates_and_unknown_delays():
    with pytest.raises(ValueError, match="no sample rate of 10000 Hz: use one of 8000, 11025"):
        effects.mp3_round_trip(noise(), 10000, 0.5)
    with pytest.raises(ValueError, match="compression 0.95 at 16000 Hz .* at most 0.6"):
        effects.mp3_round_trip(noise(), RATE, 0.95)
