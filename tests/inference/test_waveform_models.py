"""`separate --model` with ConvTasNet and Open-Unmix, which run_baselines.sh trains."""

import numpy as np
import pytest
import soundfile as sf
import torch
from tiny import HOP, N_FFT, NAMES, RATE, transcriptor

from asteroid_scoresup.engine import save_model
from asteroid_scoresup.inference import Separator
from asteroid_scoresup.inference.resampler import ModelInput
from asteroid_scoresup.models import WaveformSeparator, unpack
from asteroid_scoresup.scripts.cli import main
from asteroid_scoresup.utils.stream import Recording

SIZES = {
    "ConvTasNet": dict(n_filters=16, n_blocks=1, n_repeats=1, bn_chan=8, hid_chan=8, skip_chan=8),
    "OpenUnmix": dict(n_fft=N_FFT, hop_length=HOP, hidden_size=8),
}


def model_of(name):
    torch.manual_seed(0)
    return WaveformSeparator(NAMES, name, SIZES[name], RATE).eval()


def noise(seconds, channels=1):
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal((channels, round(seconds * RATE)))).astype("float32")


@pytest.mark.parametrize("name", SIZES)
def test_one_chunk_is_the_output_of_the_model(name):
    model, song = model_of(name), noise(3, channels=2)
    separator = Separator(model)
    stems = separator.separate(song, RATE)
    level = ModelInput(Recording(song, RATE), RATE).level()
    with torch.no_grad():
        expected = model(torch.from_numpy(song), level).numpy()
    for i, source in enumerate(NAMES):
        np.testing.assert_allclose(stems[source], expected[:, i], atol=1e-5)


@pytest.mark.parametrize("name", SIZES)
def test_chunks_have_the_length_and_nearly_the_samples_of_the_whole(name):
    model, song = model_of(name), noise(9.37)[0]
    whole = Separator(model).separate(song, RATE)
    chunked = Separator(model, core_seconds=2.0).separate(song, RATE)
    for source in NAMES:
        assert chunked[source].shape == song.shape
        error = np.mean((chunked[source] - whole[source]) ** 2) / np.mean(whole[source] ** 2)
        assert error < 0.05


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.slow
def test_the_command_separates_and_transcribes(name, tmp_path):
    save_model(model_of(name), tmp_path / "model.pth")
    save_model(transcriptor(), tmp_path / "critic.pth")
    assert isinstance(unpack(tmp_path / "model.pth").separator, WaveformSeparator)
    sf.write(tmp_path / "song.wav", noise(2.0, 2).T, RATE)
    paths = [str(tmp_path / "song.wav"), "--model", str(tmp_path / "model.pth"), "--quiet"]
    out = ["--out_dir", str(tmp_path / "out")]
    assert main(["separate", *paths, *out, "--residual"]) == 0
    folder = tmp_path / "out" / "song"
    total = sum(sf.read(folder / f"{stem}.wav")[0] for stem in (*NAMES, "residual"))
    np.testing.assert_allclose(total, sf.read(tmp_path / "song.wav")[0], atol=1e-4)
    assert main(["transcribe", *paths, *out]) == 1
    critic = ["--transcriptor", str(tmp_path / "critic.pth")]
    assert main(["separate", *paths, *out, *critic, "--midi", "--report", "--overwrite"]) == 0
    assert (folder / "score.mid").is_file() and (folder / "page" / "index.html").is_file()
