"""The level of a recording is independent of the silence around it."""

import numpy as np
import pytest

from asteroid_scoresup.dsp.level import LevelMeter, gated_rms

RATE = 8000


def music(seconds=60, seed=0):
    """Notes of different loudness with gaps of up to a second."""
    rng = np.random.default_rng(seed)
    wave = 0.1 * rng.standard_normal(seconds * RATE)
    envelope = np.repeat(rng.uniform(0.05, 1, seconds * 2), RATE // 2)
    return wave * envelope


def decibels(one, other):
    return 20 * np.log10(one / other)


def test_without_silence_the_level_is_the_rms():
    wave = music()
    assert gated_rms(wave, RATE) == pytest.approx(np.sqrt(np.mean(wave**2)), rel=1e-12)


@pytest.mark.parametrize("floor", [0, 1e-6, 1e-4])
@pytest.mark.parametrize("seconds", [0.3, 7.77, 120, 600])
@pytest.mark.slow
def test_silence_changes_nothing(seconds, floor):
    silence = floor * np.random.default_rng(1).standard_normal(int(seconds * RATE))
    alone = gated_rms(music(), RATE)
    for parts in ((silence, music()), (music(), silence), (music(), silence, music())):
        assert abs(decibels(gated_rms(np.concatenate(parts), RATE), alone)) < 0.05


@pytest.mark.parametrize("scale", [1e-8, 1, 1e10])
def test_the_level_scales_with_the_signal(scale):
    wave = np.concatenate([np.zeros(50000), music()])
    assert gated_rms(scale * wave, RATE) == pytest.approx(scale * gated_rms(wave, RATE), rel=1e-9)


def test_blocks_and_channels():
    wave = music(20)
    stereo = np.stack([wave, -wave], 1)
    whole = gated_rms(wave, RATE)
    assert gated_rms(stereo, RATE) == whole
    for cuts in ([1, 2, 3], [3199, 3200, 3201], np.arange(17, len(wave), 997)):
        meter = LevelMeter(RATE)
        for block in np.split(stereo, cuts):
            meter.add(block)
        assert meter.level == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("n_samples", [0, 1, 100, 3200, 3201])
def test_very_short_signals(n_samples):
    assert gated_rms(np.zeros(n_samples), RATE) == 0
    assert gated_rms(np.full(n_samples, 0.5), RATE) == pytest.approx(0.5 if n_samples else 0)


def test_a_sound_in_the_last_samples_counts():
    wave = np.zeros(3200 * 5 + 10)
    wave[-10:] = 0.5
    assert gated_rms(wave, RATE) == pytest.approx(0.5)
