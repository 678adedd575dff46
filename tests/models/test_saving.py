"""Saving, publishing and loading: plain packages that load without running code."""

import copy
import importlib
from pathlib import Path

import asteroid.models
import pytest
import torch
from asteroid.models import BaseModel, ConvTasNet, save_publishable
from tiny import NAMES, NET, RATE, differing, separator, state_of, transcriptor

import asteroid_scoresup
from asteroid_scoresup.engine import save_model
from asteroid_scoresup.models import (
    ActivityClassifier,
    ScoreTranscriptor,
    SourceModel,
    SpectrogramModel,
    TCNSeparator,
    WaveformSeparator,
    load_package,
)


def classifier():
    return ActivityClassifier(NAMES, **NET)


def convtasnet():
    small = dict(n_filters=16, n_blocks=1, n_repeats=1, bn_chan=8, hid_chan=8)
    return WaveformSeparator(NAMES, "ConvTasNet", small, RATE)


BUILDERS = [
    lambda: separator(mask_act="softmax", norm_type="bN", conv_kernel_size=5),
    transcriptor,
    classifier,
    convtasnet,
]


def warm(model):
    """Changes running statistics, so that a test would notice if they were lost."""
    model.train()
    model(torch.randn(2, RATE // 2))
    return model.eval()


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("through", [SourceModel, BaseModel, None])
@pytest.mark.parametrize("source", ["file", "path", "dict"])
def test_saved_and_restored(tmp_path, build, through, source):
    model = warm(build())
    package = model.serialize()
    torch.save(package, tmp_path / "model.pth")
    cls = through or type(model)
    if through is BaseModel and source == "path":
        source = "file"  # Asteroid's own does not accept a Path
    given = {"file": str(tmp_path / "model.pth"), "path": tmp_path / "model.pth", "dict": package}
    restored = cls.from_pretrained(given[source])
    assert type(restored) is type(model)
    assert not differing(model.state_dict(), restored.state_dict())
    assert restored.get_model_args() == model.get_model_args()
    wav = torch.randn(1, 2000)
    with torch.no_grad():
        torch.testing.assert_close(restored.eval()(wav), model(wav), rtol=0, atol=0)


@pytest.mark.parametrize("build", BUILDERS)
def test_restored_models_are_in_evaluation_mode(build):
    assert not build().from_pretrained(build().train().serialize()).training


def test_the_package_is_not_changed_by_loading():
    package = separator().serialize()
    before = copy.deepcopy(package)
    model = TCNSeparator.from_pretrained(package, mask_act="softmax")
    assert model.trunk.mask_act == "softmax"
    assert package["model_args"] == before["model_args"]
    assert package.keys() == before.keys() and package["infos"] == before["infos"]
    assert not differing(package["state_dict"], before["state_dict"])


def plain(value):
    if isinstance(value, dict):
        return all(type(key) is str and plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(plain(item) for item in value)
    return value is None or type(value) in (str, int, float, bool)


@pytest.mark.parametrize("build", BUILDERS)
def test_a_package_holds_plain_types_and_weights_only(build):
    package = build().serialize()
    assert plain(package["model_args"]) and plain(package["infos"])
    assert all(type(weight) is torch.Tensor for weight in package["state_dict"].values())
    assert not [key for key in package["state_dict"] if key.startswith("stft")]


def test_publishing(tmp_path, capsys):
    package = {**separator().serialize(), "dataset": "slakh-score", "licenses": []}
    save_publishable(str(tmp_path), package, {"si_sdr": 1.0}, {"optim": {"lr": 0.001}}, "egs/slakh")
    path = tmp_path / "model.pth"
    published = torch.load(path, weights_only=True)
    assert published["infos"]["recipe_name"] == "egs/slakh"
    assert published["infos"]["final_metrics"] == {"si_sdr": 1.0}
    for cls in (TCNSeparator, BaseModel):
        restored = cls.from_pretrained(str(path))
        assert not differing(restored.state_dict(), separator().state_dict())


def test_save_model_adds_facts_and_leaves_no_temporary_file(tmp_path):
    save_model(separator(), tmp_path / "new" / "best.pth", training={"epochs": 3})
    assert load_package(tmp_path / "new" / "best.pth")["infos"]["training"] == {"epochs": 3}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["best.pth"]


def test_importing_twice_registers_models_once():
    importlib.reload(asteroid_scoresup)
    for name in ("TCNSeparator", "ScoreTranscriptor", "ActivityClassifier", "WaveformSeparator"):
        assert asteroid.models.get(name).__name__ == name


@pytest.mark.parametrize("cls", [TCNSeparator, SpectrogramModel])
def test_files_that_are_not_models_are_named(tmp_path, cls):
    path = tmp_path / "model.pth"
    with pytest.raises(FileNotFoundError, match="There is no model file .*model.pth"):
        cls.from_pretrained(path)
    path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match="model.pth is not a model file"):
        cls.from_pretrained(path)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="model.pth is not a model package: it contains a list"):
        cls.from_pretrained(path)
    torch.save({"model_name": "TCNSeparator"}, path)
    with pytest.raises(ValueError, match=r"lacks \['model_args', 'state_dict'\]"):
        cls.from_pretrained(path)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"model_name": Path("x")}, tmp_path / "model.pth")
    with pytest.raises(ValueError, match="is not a model file"):
        TCNSeparator.from_pretrained(tmp_path / "model.pth")


def test_another_kind_of_model_is_refused():
    with pytest.raises(ValueError, match="contains a TCNSeparator, expected a ScoreTranscriptor"):
        ScoreTranscriptor.from_pretrained(separator().serialize())
    with pytest.raises(ValueError, match="contains a ActivityClassifier, expected a ScoreTranscri"):
        ScoreTranscriptor.from_pretrained(classifier().serialize())
    other = ConvTasNet(2, n_filters=16, n_blocks=1, n_repeats=1, bn_chan=8, hid_chan=8)
    with pytest.raises(ValueError, match="contains a ConvTasNet, which is not a SpectrogramModel"):
        SpectrogramModel.from_pretrained(other.serialize())
    with pytest.raises(ValueError, match="a WaveformSeparator, which is not a SpectrogramModel"):
        SpectrogramModel.from_pretrained(convtasnet().serialize())


def test_load_state_dict_is_strict_about_everything_but_the_stft():
    model = separator()
    weights = model.get_state_dict()
    other = separator(seed=1)
    other.load_state_dict(weights)
    assert not differing(state_of(other), state_of(model))
    with pytest.raises(RuntimeError, match="Missing key.*trunk"):
        other.load_state_dict({k: v for k, v in weights.items() if "mask_net.1" not in k})
