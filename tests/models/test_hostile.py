"""Damaged and malicious model files: an error with the name of the file, and no code is run."""

import io
import pickle
import random
import resource
import zipfile

import asteroid.models
import numpy as np
import pytest
import torch
from asteroid.models import ConvTasNet
from tiny import NAMES, separator, transcriptor

from asteroid_scoresup.models import (
    ScoreTranscriptor,
    SourceModel,
    WaveformSeparator,
    load_package,
    pack,
    unpack,
)
from asteroid_scoresup.models.checkpoint import read_transcriptor
from asteroid_scoresup.scripts.cli import main

READERS = [unpack, read_transcriptor, SourceModel.from_pretrained]


def written(package, path):
    torch.save(package, path)
    return path


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    "name", ["save_publishable", "register_model", "get", "BaseModel", "tcnseparator"]
)
def test_only_classes_of_models_are_called(name, tmp_path, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError(f"{name} was called")

    if hasattr(asteroid.models, name) and name != "BaseModel":
        monkeypatch.setattr(asteroid.models, name, never)
    path = written({**separator().serialize(), "model_name": name}, tmp_path / "model.pth")
    for reader in READERS:
        with pytest.raises(ValueError, match="model.pth"):
            reader(path)
    assert main(["infer", str(path), "--files", "x.wav"]) == 1


@pytest.mark.parametrize("name", ["save_publishable", "get", "register_model", "TCNSeparator", "x"])
def test_a_wrapped_model_must_be_a_model_of_asteroid(name, tmp_path):
    with pytest.raises(ValueError, match=f"Asteroid has no model '{name}'"):
        WaveformSeparator(NAMES, name, {})


def test_a_pickle_is_refused_without_advice_to_load_it(tmp_path, capsys):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    path = written({**separator().serialize(), "x": Harm()}, tmp_path / "model.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Harm()))
    for file in (path, tmp_path / "plain.pth"):
        for reader in READERS:
            with pytest.raises(ValueError, match="contains Python objects") as caught:
                reader(file)
            text = str(caught.value)
            assert str(file) in text and "weights_only" not in text and "trust" not in text
            assert "\n" not in text and "\x1b" not in text
        assert main(["infer", str(file), "--files", "x.wav"]) == 1
        assert main(["separate", "x.wav", "--model", str(file)]) == 1
        err = capsys.readouterr().err
        assert "weights_only" not in err and "Traceback" not in err
    assert not (tmp_path / "written").exists()


LARGE = {
    "n_fft": 4_000_000,
    "n_blocks": 10**9,
    "n_repeats": 10**9,
    "bn_chan": 10**6,
    "hid_chan": 10**9,
    "hop_length": 1,
    "sample_rate": 10**12,
    "conv_kernel_size": 10**8 + 1,
}


@pytest.mark.parametrize("key", LARGE)
def test_arguments_that_ask_for_far_more_weights_allocate_nothing(key, tmp_path):
    package = separator().serialize()
    package["model_args"][key] = LARGE[key]
    path = written(package, tmp_path / "model.pth")
    before = peak_bytes()
    with pytest.raises(ValueError, match="model.pth"):
        unpack(path)
    assert peak_bytes() - before < 100 * 2**20


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("ConvTasNet", {"n_blocks": 10**9}),
        ("ConvTasNet", {"bn_chan": 60_000, "n_blocks": 500}),
        ("ConvTasNet", {"n_filters": 100_000}),
        ("OpenUnmix", {"hidden_size": 100_000}),
        ("OpenUnmix", {"nb_layers": 100_000}),
    ],
)
def test_arguments_of_wrapped_models_allocate_nothing_either(model, arguments, tmp_path):
    sizes = {
        "ConvTasNet": dict(
            n_filters=16, n_blocks=1, n_repeats=1, bn_chan=8, hid_chan=8, skip_chan=8
        ),
        "OpenUnmix": dict(n_fft=256, hop_length=64, hidden_size=8),
    }
    package = WaveformSeparator(NAMES, model, sizes[model], 4000).serialize()
    package["model_args"]["model_args"].update(arguments)
    path = written(package, tmp_path / "model.pth")
    before = peak_bytes()
    with pytest.raises(ValueError, match="model.pth"):
        unpack(path)
    assert peak_bytes() - before < 100 * 2**20


def test_tensors_larger_than_the_file_are_refused(tmp_path):
    package = separator().serialize()
    key = next(iter(package["state_dict"]))
    package["state_dict"][key] = torch.zeros(1).expand(10**6, 10**6)
    with pytest.raises(ValueError, match="model.pth.*larger than its data in the file"):
        unpack(written(package, tmp_path / "model.pth"))
    file = io.BytesIO()
    torch.save(separator().serialize(), file)
    with (
        zipfile.ZipFile(file) as old,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.namelist():
            new.writestr(entry, old.read(entry) + bytes(10**6))
    with pytest.raises(ValueError, match="bomb.pth is not a model file: it is compressed"):
        unpack(tmp_path / "bomb.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value, tmp_path):
    package = separator().serialize()
    key = list(package["state_dict"])[3]
    package["state_dict"][key] = package["state_dict"][key].clone().fill_(value)
    with pytest.raises(ValueError, match=f"model.pth.*{key}.*NaN or infinite"):
        unpack(written(package, tmp_path / "model.pth"))


def test_a_file_of_asteroid_is_refused_with_advice(tmp_path):
    net = ConvTasNet(2, n_filters=16, n_blocks=1, n_repeats=1, bn_chan=8, hid_chan=8)
    path = written(net.serialize(), tmp_path / "conv.pth")
    with pytest.raises(ValueError, match="conv.pth contains a ConvTasNet.*a model of Asteroid,"):
        unpack(path)


WRONG = [
    None,
    3,
    -1,
    1.5,
    "text",
    [],
    {},
    [[1]],
    {"a": {"b": []}},
    torch.zeros(2),
    True,
    1e400,
    b"x",
]


def mutations(rng):
    """Packages with one or two random changes, and files with some bytes changed."""
    package = pack(separator(), transcriptor(), {"threshold": [0.3] * 3}, {"bass": 33})

    def nodes(part, path=()):
        for key in list(part):
            yield part, key
            if isinstance(part[key], dict):
                yield from nodes(part[key], (*path, key))

    for _ in range(rng.randint(1, 2)):
        part, key = rng.choice(list(nodes(package)))
        how = rng.random()
        if how < 0.25:
            del part[key]
        elif how < 0.35:
            part[rng.choice(["x", 5, None, "transcriptor"])] = part.pop(key)
        elif how < 0.45 and isinstance(part[key], torch.Tensor):
            part[key] = part[key].flatten()[: rng.randint(0, 3)]
        elif how < 0.55:
            part[key] = package
        else:
            part[key] = rng.choice(WRONG)
    return package


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_fuzzed_packages_are_read_or_refused(seed, tmp_path):
    rng, path = random.Random(seed), tmp_path / "fuzz.pth"
    for _ in range(6):
        try:
            torch.save(mutations(rng), path)
        except RecursionError:
            continue
        for reader in READERS:
            try:
                reader(path)
            except ValueError as error:
                assert "fuzz.pth" in str(error) and "\n" not in str(error), error
                assert len(str(error)) < 1000


def test_fuzzed_files_are_read_or_refused(tmp_path):
    torch.save(pack(separator(), transcriptor()), tmp_path / "model.pth")
    content = (tmp_path / "model.pth").read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / "fuzz.pth"
    for _ in range(40):
        changed = np.frombuffer(content, np.uint8).copy()
        head = rng.random() < 0.5  # the pickle is at the beginning
        where = rng.integers(0, 4000 if head else len(changed), rng.integers(1, 9))
        changed[where] = rng.integers(0, 256, len(where))
        stop = len(changed) if rng.random() < 0.8 else rng.integers(len(changed))
        path.write_bytes(changed[:stop].tobytes())
        try:
            unpack(path)
        except ValueError as error:
            assert "fuzz.pth" in str(error) and "\n" not in str(error), error
            assert "weights_only" not in str(error)


def test_nested_packages_are_refused(tmp_path):
    inner = {**transcriptor().serialize(), "transcriptor": transcriptor().serialize()}
    package = {**separator().serialize(), "transcriptor": inner}
    with pytest.raises(ValueError, match="model.pth: its transcriptor has another"):
        unpack(written(package, tmp_path / "model.pth"))
    for wrong in (None, 3, "x", []):
        written({**separator().serialize(), "transcriptor": wrong}, tmp_path / "model.pth")
        with pytest.raises(
            ValueError, match=r"model.pth \(its transcriptor\) is not a model package"
        ):
            unpack(tmp_path / "model.pth")


def test_separator_and_transcriptor_of_a_file_must_match(tmp_path):
    other = ScoreTranscriptor(NAMES[::-1], n_fft=256, hop_length=64, n_blocks=2, sample_rate=4000)
    package = {**separator().serialize(), "transcriptor": other.serialize()}
    with pytest.raises(ValueError, match="model.pth: Separator and transcriptor do not belong"):
        unpack(written(package, tmp_path / "model.pth"))


def test_the_type_of_torchs_version_is_read(tmp_path):
    """Asteroid stores torch's version as it is: a subclass of str."""
    net = ConvTasNet(2, n_filters=16, n_blocks=1, n_repeats=1, bn_chan=8, hid_chan=8)
    package = load_package(written(net.serialize(), tmp_path / "conv.pth"))
    assert package["infos"]["software_versions"]["torch_version"] == torch.__version__
