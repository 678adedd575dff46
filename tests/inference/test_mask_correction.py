"""Networks that correct masks, for the classes and STFT of a separation."""

import numpy as np
import pytest
import torch

from asteroid_scoresup.dsp.grid import FrameGrid
from asteroid_scoresup.inference import ScoreInformedSeparator, Separator
from asteroid_scoresup.inference.mask_correction import MaskCorrection, load_refiner
from asteroid_scoresup.models import (
    MaskRefiner,
    ScoreGuidedSeparator,
    TCNSeparator,
    save_model,
)
from asteroid_scoresup.score import Notes

SIZES = dict(n_fft=512, hop_length=128, n_blocks=2, bn_chan=16, hid_chan=16, sample_rate=4000)
GRID = FrameGrid(512, 128, 4000)


def guided(names=("bass", "drums", "piano")):
    torch.manual_seed(0)
    net = ScoreGuidedSeparator(list(names), pitch_chan=8, **SIZES).eval()
    for weight in net.correction_head[2].parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return net


@torch.no_grad()
def test_classes_may_be_fewer_and_in_another_order():
    net = guided()
    magnitude, estimates = torch.rand(257, 20), torch.rand(3, 257, 20)
    found = MaskCorrection(net, ["piano", "bass"], GRID)(magnitude, estimates)
    every = torch.stack([estimates[1], torch.zeros(257, 20), estimates[0], estimates[2]])
    expected = net.all_corrections(magnitude, every)
    torch.testing.assert_close(found, expected[[2, 0, 3]])
    assert found.std() > 0.01


@torch.no_grad()
def test_a_refiner_takes_any_classes():
    refiner = MaskRefiner(channels=4, n_blocks=1).eval()
    torch.nn.init.normal_(refiner.outputs.weight)
    magnitude, estimates = torch.rand(257, 20), torch.rand(3, 257, 20)
    correction = MaskCorrection(refiner, ["oboe", "bassoon"], GRID)
    torch.testing.assert_close(
        correction(magnitude, estimates), refiner.all_corrections(magnitude, estimates)
    )


def test_the_bundled_network_is_chosen_by_the_classes():
    assert isinstance(load_refiner("auto", ["bass", "guitar", "piano"]), ScoreGuidedSeparator)
    assert isinstance(load_refiner("auto", ["piano", "drums"]), ScoreGuidedSeparator)
    assert isinstance(load_refiner("auto", ["bass", "oboe"]), MaskRefiner)


def test_files_of_the_same_name_are_not_the_bundled_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "guided").mkdir()
    (tmp_path / "auto").write_text("no model")
    assert isinstance(load_refiner("auto", ["oboe"]), MaskRefiner)
    assert isinstance(load_refiner("auto", ["bass"]), ScoreGuidedSeparator)


def test_a_separator_that_takes_scores_uses_itself():
    times = np.arange(0, 2, 0.5)
    score = Notes(times, times + 0.4, [40, 45, 47, 52], [0] * 4, [90] * 4)
    wave = np.random.default_rng(0).standard_normal(3 * 4000).astype("float32") * 0.1
    net = guided(("bass", "guitar", "piano"))
    found = Separator(net).separate(wave, 4000, score=score, align="never")
    expected = ScoreInformedSeparator(score, align="never", refiner=net).separate(wave, 4000)
    np.testing.assert_array_equal(found["bass"], expected["bass"])
    other = Separator(net).separate(wave, 4000, score=score, align="never", refiner=None)
    assert np.abs(other["bass"] - found["bass"]).max() > 1e-4
    # Of classes that it does not know, it corrects nothing.
    low = Separator(net).separate(wave, 4000, score=score, align="never", classes="tuba=58")
    expected = ScoreInformedSeparator(score, "tuba=58", "never", "refiner").separate(wave, 4000)
    np.testing.assert_array_equal(low["tuba"], expected["tuba"])


def test_unknown_classes_and_other_models_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match="knows bass, drums, piano, and not oboe: name the classes"
    ):
        load_refiner(guided(), ["bass", "oboe"])
    over_time = ScoreGuidedSeparator(["bass"], pitch_chan=8, norm_type="gLN", **SIZES)
    with pytest.raises(ValueError, match="normalizes over time"):
        load_refiner(over_time, ["bass"])
    save_model(TCNSeparator(["bass"], **SIZES), tmp_path / "tcn.pth")
    with pytest.raises(
        ValueError, match="tcn.pth contains a TCNSeparator, expected a network that"
    ):
        load_refiner(tmp_path / "tcn.pth", ["bass"])


@pytest.mark.parametrize("rate", [4000, 11025])
def test_a_separation_does_not_depend_on_the_level_or_the_pieces(rate, monkeypatch):
    """Levels are those of the window, and groups of frames see what the network needs to see."""
    times = np.arange(0, 6, 0.5)
    pitches = np.resize([40, 45, 60, 64, 67], len(times))
    score = Notes(times, times + 0.4, pitches, pitches > 50, np.full(len(times), 90))
    wave = np.random.default_rng(0).standard_normal((2, 7 * rate)).astype("float32") * 0.1
    separator = ScoreInformedSeparator(score, "bass=32-39;piano=0-7", "never", guided())
    found = separator.separate(wave, rate)
    plain = ScoreInformedSeparator(score, "bass=32-39;piano=0-7", "never", None).separate(
        wave, rate
    )
    quiet = separator.separate(wave * 1e-3, rate)
    monkeypatch.setattr("asteroid_scoresup.inference.score_informed._FRAMES", 16)
    monkeypatch.setattr("asteroid_scoresup.inference.score_informed._PER_MARGIN", 0)
    pieces = separator.separate(wave, rate)
    for name, stem in found.items():
        np.testing.assert_allclose(quiet[name], stem * 1e-3, atol=2e-7)
        np.testing.assert_allclose(pieces[name], stem, atol=2e-5)
        assert np.abs(stem - plain[name]).max() > 1e-3
