"""Random channels change spectra, not times, and are reproducible."""

import numpy as np
import pytest
import soundfile as sf

from asteroid_scoresup.synthesis.channel import random_channel
from asteroid_scoresup.synthesis.synthesize import synthesize

RATE = 8000


def burst():
    stem = np.zeros(RATE, dtype=np.float32)
    stem[3000:3800] = np.random.default_rng(0).standard_normal(800) * np.hanning(800)
    return stem


def test_channels_change_spectra_and_not_times():
    stem, spectra = burst(), []
    for seed in range(20):
        changed = random_channel(stem, RATE, 6.0, np.random.default_rng(seed))
        np.testing.assert_array_equal(
            changed, random_channel(stem, RATE, 6.0, np.random.default_rng(seed))
        )
        lag = np.argmax(np.correlate(np.abs(changed), np.abs(stem), "full")) - (RATE - 1)
        assert abs(lag) <= 2
        inside = np.sum(changed[2900:3900] ** 2) / np.sum(changed**2)
        assert inside > 0.97  # it does not ring long before or after
        spectra.append(20 * np.log10(np.abs(np.fft.rfft(changed))[400:3600:100] + 1e-9))
    assert np.std(spectra, axis=0).mean() > 3


def test_silence_is_unchanged():
    silence = np.zeros(100, dtype=np.float32)
    np.testing.assert_array_equal(
        random_channel(silence, RATE, 6.0, np.random.default_rng(0)), silence
    )


@pytest.mark.slow
def test_only_training_stems_pass_through_a_channel(tmp_path):
    options = dict(n_train=1, n_validation=1, n_test=1, n_test_unseen=1, seconds=4, quiet=True)
    options.update(sample_rate=16000, renderer="tinysoundfont", jobs=1)
    synthesize(tmp_path / "plain", color_db=0.0, **options)
    synthesize(tmp_path / "channels", color_db=6.0, **options)
    for plain in sorted((tmp_path / "plain").glob("*/Track*/stems/S*.flac")):
        other = tmp_path / "channels" / plain.relative_to(tmp_path / "plain")
        same = np.array_equal(sf.read(plain)[0], sf.read(other)[0])
        assert same == ("train" not in plain.parts), plain
