"""Hashes of input models in the configuration of a folder, and finished trainings."""

import hashlib
import math

import pytest
import torch
from tiny import separator, transcriptor

from asteroid_scoresup.engine import lock_experiment, save_model
from asteroid_scoresup.engine.folder import hash_inputs, is_finished


def started(folder, inputs):
    lock_experiment(folder, {"main_args": {"inputs": inputs}})
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"")


def lock(folder, *paths):
    lock_experiment(folder, {"main_args": {"inputs": hash_inputs(folder, paths)}})


def test_the_same_model_in_another_file_is_the_same_input(tmp_path):
    save_model(transcriptor(), tmp_path / "one.pth", training={"minutes": 1.0})
    save_model(transcriptor(), tmp_path / "two.pth", training={"minutes": 2.0})
    save_model(transcriptor(seed=1), tmp_path / "other.pth")
    started(tmp_path / "run", hash_inputs(tmp_path / "run", [tmp_path / "one.pth"]))
    lock(tmp_path / "run", tmp_path / "two.pth")
    with pytest.raises(ValueError, match="another configuration: main_args.inputs"):
        lock(tmp_path / "run", tmp_path / "other.pth")


def test_folders_of_earlier_versions_are_resumed(tmp_path, recwarn):
    """They contain hashes of file contents, which change whenever a file is written."""
    path = tmp_path / "critic.pth"
    save_model(transcriptor(), path)
    old = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    started(tmp_path / "run", old)
    lock(tmp_path / "run", path)
    assert not [w for w in recwarn if "earlier version" in str(w.message)]
    save_model(transcriptor(), path, training={"epochs": 1})
    with pytest.warns(UserWarning, match="was started by an earlier version"):
        lock(tmp_path / "run", path)
    with pytest.raises(ValueError, match="another configuration"):
        lock(tmp_path / "run", path, path)


@pytest.mark.parametrize(
    "epochs, minutes, done",
    [(2, 0, True), (3, 0, True), (4, 0, False), (9, 5, True), (9, 6, False)],
)
def test_a_training_is_finished_when_it_has_the_requested_length(tmp_path, epochs, minutes, done):
    files = [tmp_path / "a.pth", tmp_path / "b.pth"]
    for path in files:
        assert not is_finished(files, epochs, minutes)
        save_model(separator(), path, training={"epochs": 3, "minutes": 5.0})
    assert is_finished(files, epochs, minutes) == done


@pytest.mark.parametrize("what", ["cut", "no facts", "a list"])
def test_a_damaged_model_is_not_finished(tmp_path, what):
    path = tmp_path / "a.pth"
    save_model(separator(), path, training={"epochs": 3, "minutes": 5.0})
    if what == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    else:
        torch.save({"infos": {}} if what == "no facts" else [math.pi], path)
    assert not is_finished([path], 1)
