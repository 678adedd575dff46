"""A song of any rate, length and number of channels through a model."""

import numpy as np
import pytest
import soundfile as sf
import torch
from tiny import NAMES, NET

from asteroid_scoresup.engine import save_model
from asteroid_scoresup.inference import Separator
from asteroid_scoresup.models import TCNSeparator


class Halves(TCNSeparator):
    """Gives a fixed share of every bin to each class."""

    shares = (0.5, 0.3, 0.1)

    def masks(self, magnitude):
        shares = torch.tensor(self.shares)[None, :, None, None]
        return shares.expand(len(magnitude), -1, *magnitude.shape[1:])


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_levels_are_the_mixtures_and_nothing_is_rescaled():
    song = noise(4000)
    stems = Separator(Halves(NAMES, **NET)).separate(song, NET["sample_rate"])
    for name, share in zip(NAMES, Halves.shares):
        np.testing.assert_allclose(stems[name], share * song, atol=1e-4)


def test_stereo_stays_stereo_and_channels_do_not_mix():
    song = np.stack([noise(4000), 0 * noise(4000)])
    stems = Separator(Halves(NAMES, **NET)).separate(song, NET["sample_rate"])
    np.testing.assert_allclose(stems["bass"][0], 0.5 * song[0], atol=1e-4)
    assert np.abs(stems["bass"][1]).max() < 1e-6


@pytest.mark.parametrize("rate", [4000, 8000, 11025])
def test_other_rates_come_back_at_their_rate_and_length(rate):
    time = np.arange(rate * 2) / rate
    song = np.sin(2 * np.pi * 300 * time).astype(np.float32)
    stem = Separator(Halves(NAMES, **NET)).separate(song, rate)["bass"]
    assert stem.shape == song.shape
    inner = slice(rate // 4, -rate // 4)  # the resampler rings at the ends
    np.testing.assert_allclose(stem[inner], 0.5 * song[inner], atol=5e-3)


def test_files_are_written_with_their_residual(tmp_path):
    model = TCNSeparator(NAMES, **NET)
    save_model(model, tmp_path / "model.pth")
    song = 0.1 * noise(6000, 2)
    sf.write(tmp_path / "song.flac", song, 8000)
    heard, _ = sf.read(tmp_path / "song.flac", dtype="float32")
    separator = Separator.from_pretrained(tmp_path / "model.pth")
    written = separator.separate_file(tmp_path / "song.flac", tmp_path / "out", residual=True)
    assert [path.name for path in written] == [f"{n}.wav" for n in (*NAMES, "residual")]
    parts = [sf.read(path, dtype="float32") for path in written]
    assert {rate for _, rate in parts} == {8000}
    np.testing.assert_allclose(sum(audio for audio, _ in parts), heard, atol=1e-6)


def test_silence_gives_silence():
    stems = Separator(TCNSeparator(NAMES, **NET)).separate(np.zeros(4000), 4000)
    assert all(np.abs(stem).max() == 0 for stem in stems.values())


@pytest.mark.parametrize(
    "song, message", [(np.zeros(0), "is empty"), (np.full(100, np.nan), "NaN or infinite")]
)
def test_what_cannot_be_separated_is_said(song, message):
    with pytest.raises(ValueError, match=message):
        Separator(TCNSeparator(NAMES, **NET)).separate(song, 4000)


def test_a_file_that_is_no_audio_is_named(tmp_path):
    (tmp_path / "song.wav").write_text("no audio")
    with pytest.raises(ValueError, match="song.wav cannot be read as audio"):
        Separator(TCNSeparator(NAMES, **NET)).separate_file(tmp_path / "song.wav", tmp_path)
