"""Loggers by name, and the examples that TensorBoard shows."""

import csv
import sys
import types

import numpy as np
import pytest
import soundfile as sf
import torch
from tiny import HOP, N_FFT, NAMES, RATE, separator, step_two, transcriptor, write_folder

from asteroid_scoresup.dsp.grid import FrameGrid
from asteroid_scoresup.engine import LogExamples, fit, tracker_callbacks
from asteroid_scoresup.engine.trackers import make_loggers, stacked
from asteroid_scoresup.score import piano_roll


def scalars_of_csv(folder):
    """Last value of each number in the CSV log."""
    (path,) = folder.glob("logs/*/metrics.csv")
    rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(path.open())]
    return {key: value for row in rows for key, value in row.items()}


def test_tensorboard_has_the_numbers_and_two_songs_per_epoch(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    manifest = write_folder(tmp_path / "data", splits={"train": 2, "validation": 3})
    system, critic = step_two(manifest, steps=2), transcriptor()
    model = system.model.separator
    examples = tracker_callbacks("tensorboard", manifest, model, critic)
    fit(
        system, tmp_path / "exp", 2, examples, quiet=True, precision="32-true",
        logger="tensorboard", profile=True,
    )  # fmt: skip
    (folder,) = (tmp_path / "exp" / "tensorboard").iterdir()
    events = EventAccumulator(str(folder), {"audio": 0, "images": 0, "scalars": 0})
    events.Reload()
    tags = events.Tags()
    songs = [f"Track{number:05d}" for number in range(2)]
    names = ["mixture", *NAMES]
    assert set(tags["audio"]) == {f"{song}/{name}" for song in songs for name in names}
    assert set(tags["images"]) == {f"{s}/{name}" for s in songs for name in ("masks", "rolls")}
    for tag in tags["audio"]:
        entries = events.Audio(tag)
        assert [entry.step for entry in entries] == [2, 4]
        assert entries[0].sample_rate == RATE
    masks = events.Images(f"{songs[0]}/masks")
    assert [(image.step, image.height) for image in masks] == [
        (step, 3 * (N_FFT // 2 + 1) + 2) for step in (2, 4)
    ]
    for name, value in scalars_of_csv(tmp_path / "exp").items():
        if name in tags["scalars"]:
            assert events.Scalars(name)[-1].value == pytest.approx(value, rel=1e-5)
    assert "val_loss" in tags["scalars"]
    (profile,) = (tmp_path / "exp").glob("*profile*.txt")
    assert "run_training_epoch" in profile.read_text()


@pytest.mark.slow
def test_wandb_has_two_songs_in_one_step_per_epoch(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for kind in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{kind}_DIR", str(tmp_path / "wandb"))
    manifest = write_folder(tmp_path / "data", splits={"train": 2, "validation": 3})
    for epochs in (2, 3):  # the second time it resumes
        system = step_two(manifest, steps=2)
        examples = tracker_callbacks("wandb", manifest, system.model.separator, transcriptor())
        fit(
            system, tmp_path / "exp", epochs, examples, quiet=True, precision="32-true",
            logger="wandb",
        )  # fmt: skip
        wandb.finish()
    wandb.teardown()
    run = (tmp_path / "exp" / "wandb_id.txt").read_text().strip()
    first, second = sorted((tmp_path / "exp" / "wandb").glob(f"offline-run-*-{run}"))
    names = {f"audio/{name}" for name in ("mixture", *NAMES)} | {"images/masks", "images/rolls"}
    for folder, epochs in ((first, 2), (second, 1)):
        # Files are named by the step and a hash.
        found = {}
        for path in (folder / "files" / "media").glob("*/*/*"):
            name, step, _ = path.stem.split("_")
            found.setdefault(step, set()).add((path.parent.name, f"{path.parts[-3]}/{name}"))
        songs = [f"Track{number:05d}" for number in range(2)]
        assert list(found.values()) == [{(song, name) for song in songs for name in names}] * epochs
    audio, rate = sf.read(next(first.glob("files/media/audio/Track00000/mixture_*.wav")))
    track = next(track for track in manifest.tracks if track.split == "validation")
    mixture = manifest.read_mixture(track)
    assert rate == RATE
    np.testing.assert_allclose(audio, mixture, atol=2**-15)


def test_media_are_sent_to_wandb_together(monkeypatch):
    """Without W&B: what its classes and Lightning's logger are given."""
    from asteroid_scoresup.engine.trackers import _Tracker

    fake = types.SimpleNamespace(Audio=lambda *a, **k: ("audio", *a, k), Image=lambda *a: a)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    sent, samples, image = [], np.zeros(4), np.zeros((2, 2, 3), np.uint8)
    logger = types.SimpleNamespace(log_metrics=lambda *args: sent.append(args))
    _Tracker(logger).add({"a/mixture": samples}, {"a/masks": image}, 4000, 7)
    expected = {"a/mixture": ("audio", samples, {"sample_rate": 4000}), "a/masks": (image,)}
    assert sent == [(expected, 7)]


def test_examples_are_the_estimates_and_the_score(tmp_path):
    manifest = write_folder(tmp_path / "data", splits={"validation": 1})
    (track,) = manifest.tracks
    model, critic = separator().eval(), transcriptor().eval()
    audio, images = LogExamples(manifest, model, critic, seconds=2)._examples(track, "cpu")
    mixture = torch.from_numpy(manifest.read_mixture(track))
    start = (len(mixture) - 2 * RATE) // 2
    part = mixture[start : start + 2 * RATE]
    np.testing.assert_array_equal(audio["mixture"], part)
    with torch.no_grad():
        estimates = model(part, level=track.rms)
        found = [critic(x, level=track.rms)[i].sigmoid() for i, x in enumerate(estimates)]
    for name, estimate in zip(NAMES, estimates):
        np.testing.assert_allclose(audio[name], estimate, atol=1e-6)
    rolls = images["rolls"]
    assert rolls.shape == (3 * 88 + 2, 2 * RATE // HOP + 1, 3)
    grid = FrameGrid(N_FFT, HOP, RATE)
    first = round(start / HOP)
    roll = piano_roll(manifest.notes(track), 3, first + rolls.shape[1], grid)[..., first:]
    for i in range(3):
        rows = slice(89 * i, 89 * i + 88)
        np.testing.assert_array_equal(rolls[rows, :, 1][::-1], 255 * roll[i].numpy())
        np.testing.assert_allclose(rolls[rows, :, 0][::-1], 255 * found[i].numpy(), atol=1)
    assert (rolls[88] == 255).all() and roll.any()
    # Step 1: the mixture is transcribed.
    _, images = LogExamples(manifest, None, critic, seconds=2)._examples(track, "cpu")
    with torch.no_grad():
        expected = critic(part, level=track.rms)[1].sigmoid()
    np.testing.assert_allclose(
        images["rolls"][89 : 89 + 88, :, 0][::-1], 255 * expected.numpy(), atol=1
    )
    assert set(images) == {"rolls"}


def test_other_loggers_get_no_examples(tmp_path):
    manifest = write_folder(tmp_path / "data", splits={"train": 1, "validation": 1})
    assert tracker_callbacks("csv", manifest) == []
    callback = LogExamples(manifest, None, None)
    callback._examples = None  # would fail
    fit(step_two(manifest, steps=1), tmp_path / "exp", 1, [callback], quiet=True)
    assert not (tmp_path / "exp" / "tensorboard").exists()


def test_a_gray_image_has_low_rows_at_the_bottom():
    image = stacked(np.stack([np.array([[0.0], [1.0]]), np.array([[0.5], [2.0]])]))
    assert image[:, 0, 0].tolist() == [255, 0, 255, 255, 128]
    assert (image == image[..., :1]).all()


@pytest.mark.parametrize("name, module", [("tensorboard", "tensorboard"), ("wandb", "wandb")])
def test_a_missing_tracker_names_its_extra(tmp_path, monkeypatch, name, module):
    import pytorch_lightning.loggers as loggers

    class Missing:
        def __init__(self, *args, **kwargs):
            raise ModuleNotFoundError("Neither `tensorboard` nor `tensorboardX` is available.")

    from asteroid_scoresup.engine import trackers

    assert hasattr(loggers, "WandbLogger") and module not in ("",)
    monkeypatch.setattr(trackers, "TensorBoardLogger", Missing)
    monkeypatch.setattr(trackers, "WandbLogger", Missing)
    with pytest.raises(ImportError, match=rf"pip install 'asteroid-scoresup\[{name}\]'"):
        make_loggers(name, tmp_path)
    with pytest.raises(ValueError, match="The logger is 'mlflow', expected one of csv"):
        make_loggers("mlflow", tmp_path)


def test_a_resumed_run_goes_on_in_its_run_of_wandb(tmp_path, monkeypatch):
    from asteroid_scoresup.engine import trackers

    made = []
    monkeypatch.setattr(trackers, "WandbLogger", lambda *args, **kwargs: made.append(kwargs))
    for _ in range(2):
        make_loggers("wandb", tmp_path)
    assert made[0] == made[1] and len(made[0]["id"]) == 12 and made[0]["resume"] == "allow"
    make_loggers("wandb", tmp_path / "other")
    assert made[2]["id"] != made[0]["id"]
