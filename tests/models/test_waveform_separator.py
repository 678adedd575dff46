"""Asteroid's models as separators of named classes, and Open-Unmix as one of them."""

import sys

import numpy as np
import pytest
import torch
from asteroid.models import ConvTasNet
from tiny import NAMES, RATE

from asteroid_scoresup.dsp import NOMINAL_RMS
from asteroid_scoresup.models import OpenUnmixNet, WaveformSeparator

SMALL = {
    "ConvTasNet": dict(n_filters=16, kernel_size=16, stride=8, n_blocks=2, n_repeats=1,
                       bn_chan=8, hid_chan=16, skip_chan=8),
    "SuDORMRFNet": dict(bn_chan=16, num_blocks=1, upsampling_depth=2, n_filters=32, kernel_size=21,
                        stride=10),
    "DCUNet": dict(architecture="mini", stft_n_filters=256, stft_kernel_size=256, stft_stride=64,
                   fix_length_mode="pad"),
    "OpenUnmix": dict(n_fft=256, hop_length=64, hidden_size=8, nb_layers=1),
}  # fmt: skip


def build(name="ConvTasNet"):
    torch.manual_seed(0)
    return WaveformSeparator(NAMES, name, SMALL[name], RATE).eval()


@pytest.mark.parametrize("name", SMALL)
def test_shapes_and_levels(name):
    model = build(name)
    wav = 0.02 * torch.randn(2, 3001)
    with torch.no_grad():
        together = model(wav, level=torch.tensor([0.05, 0.02]))
        assert together.shape == (2, 3, 3001)
        alone = model(wav[1], level=0.02)
        assert alone.shape == (3, 3001) and model(wav.unsqueeze(1)).shape == (2, 3, 3001)
        # A recording four times as loud gives stems four times as loud.
        torch.testing.assert_close(model(4 * wav[1], level=0.08), 4 * alone, rtol=1e-4, atol=1e-6)
    assert model.n_src == 3 and model.sources == list(NAMES)


def test_it_is_the_wrapped_model_at_the_nominal_level():
    model = build()
    wav = torch.randn(1, 2000)
    wav *= NOMINAL_RMS / wav.pow(2).mean().sqrt()
    with torch.no_grad():
        torch.testing.assert_close(model(wav), model.net(wav), rtol=1e-4, atol=1e-6)


def test_default_arguments_are_those_of_asteroid():
    ours = WaveformSeparator(NAMES, "ConvTasNet")
    theirs = ConvTasNet(3, sample_rate=16000)
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (ours.net, theirs)]
    assert shapes[0] == shapes[1] and ours.net.sample_rate == 16000


def test_an_unknown_model_is_refused():
    with pytest.raises(ValueError, match="Asteroid has no model 'Demucs': use ConvTasNet"):
        WaveformSeparator(NAMES, "Demucs")


def test_arguments_are_copies():
    given = dict(SMALL["ConvTasNet"])
    model = WaveformSeparator(NAMES, "ConvTasNet", given)
    given["n_blocks"] = 7
    model.get_model_args()["model_args"]["n_blocks"] = 8
    assert model.get_model_args()["model_args"] == SMALL["ConvTasNet"]


def open_unmix(n_src=2):
    torch.manual_seed(0)
    return OpenUnmixNet(n_src, RATE, **SMALL["OpenUnmix"])


def test_open_unmix_masks_the_magnitudes_of_the_mixture():
    model = open_unmix().eval()
    wav = torch.randn(2, 4000)
    with torch.no_grad():
        estimates = model(wav)
        spectrum = model.stft(wav)
        mixture = model.stft.magnitude(spectrum)
        expected = []
        for target in model.targets:
            masked = target(mixture.unsqueeze(1))[:, 0]  # the package's own output
            assert (masked >= 0).all()
            phase = torch.polar(masked / model.stft.scale, spectrum.angle())
            expected.append(model.stft.waveform(phase.unsqueeze(1), 4000)[:, 0])
    torch.testing.assert_close(estimates, torch.stack(expected, 1), rtol=1e-4, atol=1e-5)
    assert torch.isfinite(model(torch.zeros(1, 4000))).all()


def test_open_unmix_fits_mean_and_scale_of_its_input():
    model = open_unmix()
    batches = [torch.randn(2, 2000), 3 * torch.randn(1, 2000)]
    model.fit_input(batches)
    frames = np.concatenate(
        [model.stft.magnitude(model.stft(b)).numpy().transpose(0, 2, 1).reshape(-1, 129)
         for b in batches]
    )  # fmt: skip
    for target in model.targets:
        np.testing.assert_allclose(target.input_mean.detach(), -frames.mean(0), rtol=1e-4)
        scale = 1 / np.maximum(frames.std(0, ddof=1), 1e-4 * frames.std(0, ddof=1).max())
        np.testing.assert_allclose(target.input_scale.detach(), scale, rtol=1e-3)


def test_a_missing_openunmix_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openunmix.model", None)
    with pytest.raises(ImportError, match="pip install openunmix"):
        open_unmix()
