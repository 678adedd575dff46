"""The hash of a model depends on its content, not on its file."""

import copy
import hashlib

import pytest
import torch
from tiny import separator, transcriptor

from asteroid_scoresup.models import model_hash, pack, save_model
from asteroid_scoresup.models.fingerprint import loaded_model_hash


def bytes_hash(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_same_model_has_the_same_hash_in_every_file(tmp_path):
    files = [tmp_path / f"{name}.pth" for name in "abcd"]
    save_model(transcriptor(), files[0], training={"epochs": 1})
    save_model(transcriptor(), files[1], training={"epochs": 2, "minutes": 0.5})
    package = transcriptor().serialize()
    torch.save({key: package[key] for key in reversed(package)}, files[2])
    torch.save(package, files[3], _use_new_zipfile_serialization=False)
    assert len({bytes_hash(path) for path in files}) == 4
    assert len({model_hash(path) for path in files}) == 1
    assert model_hash(package) == model_hash(files[0])


def test_files_of_the_same_content_have_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        save_model(separator(), tmp_path / f"{name}.pth")
    assert bytes_hash(tmp_path / "one.pth") == bytes_hash(tmp_path / "other.pth")


def changed(package, what):
    package = copy.deepcopy(package)
    weights = package["state_dict"]
    name = next(name for name in weights if weights[name].ndim > 1)
    if what == "a weight":
        weights[name].view(-1)[-1] += 1e-6
    elif what == "a type":
        weights[name] = weights[name].half()
    elif what == "a shape":
        weights[name] = weights[name].reshape(1, *weights[name].shape)
    elif what == "a name":
        weights[f"{name}2"] = weights.pop(name)
    elif what == "an argument":
        package["model_args"]["hop_length"] += 1
    elif what == "the order of the classes":
        package["model_args"]["sources"].reverse()
    elif what == "the class":
        package["model_name"] = "ScoreTranscriptor"
    elif what == "a program":
        package["programs"]["bass"] += 1
    elif what == "the decoding":
        package["decoding"]["threshold"][0] = 0.25
    elif what == "the transcriptor":
        package["transcriptor"] = transcriptor(seed=5).serialize()
    return package


@pytest.mark.parametrize(
    "what",
    [
        "a weight", "a type", "a shape", "a name", "an argument", "the order of the classes",
        "the class", "a program", "the decoding", "the transcriptor",
    ],
)  # fmt: skip
def test_every_change_of_the_model_changes_the_hash(what):
    programs = {"bass": 32, "guitar": 24, "piano": 0}
    package = pack(separator(), transcriptor(), {"threshold": [0.5, 0.5]}, programs)
    assert model_hash(changed(package, what)) != model_hash(package)
    assert model_hash(changed(package, "")) == model_hash(package)


def test_facts_of_a_packed_model_do_not_count():
    package = pack(separator(), transcriptor())
    other = copy.deepcopy(package)
    other["transcriptor"]["infos"]["training"] = {"epochs": 3}
    assert model_hash(other) == model_hash(package)


def test_the_hash_of_a_loaded_model_depends_on_arguments_and_weights():
    """Folders of results record it: a change would make earlier results unusable."""
    model = separator()
    assert loaded_model_hash(model) == loaded_model_hash(separator())
    assert loaded_model_hash(model) != loaded_model_hash(separator(seed=1))
    assert len(loaded_model_hash(model)) == 64
