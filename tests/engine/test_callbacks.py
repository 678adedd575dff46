"""Logging in training, and the random numbers of each batch."""

import csv
import math

import pytest
import torch
from asteroid.losses import singlesrc_neg_sisdr
from tiny import NAMES, separator, step_three, step_two, write_folder

from asteroid_scoresup.engine import BatchSeed, LogLossTerms, LogValidationSISDR, fit
from asteroid_scoresup.utils.files import read_audio, write_audio


def logged(folder):
    """All values of a run's CSV log, by name."""
    (path,) = folder.glob("logs/*/metrics.csv")
    values = {}
    for row in csv.DictReader(path.open()):
        for name, value in row.items():
            if value:
                values.setdefault(name, []).append(float(value))
    return values


class Process:
    """Stub of a Trainer: one of several processes, in an epoch of ten batches."""

    num_training_batches = 10

    def __init__(self, rank, world, epoch):
        self.global_rank, self.world_size, self.current_epoch = rank, world, epoch


def test_every_batch_of_every_process_draws_different_numbers():
    torch.manual_seed(3)
    seed = BatchSeed()

    def drawn(world):
        found = []
        for rank in range(world):
            for epoch in range(2):
                for batch in range(10):
                    seed.on_train_batch_start(Process(rank, world, epoch), None, None, batch)
                    found.append(torch.rand(1).item())
        return found

    assert len(set(drawn(4))) == 80
    assert drawn(1) == drawn(1)
    torch.manual_seed(3)  # the first batch of a single process
    assert drawn(1)[0] != drawn(1)[1] and drawn(1)[0] == drawn(4)[0]


class Recorder:
    """Stub of a System."""

    device = "cpu"

    def __init__(self):
        self.values = {}

    def log_dict(self, values, **kwargs):
        self.values.update(values)


class Idle:
    sanity_checking = False


def test_si_sdr_is_computed_on_the_middle_of_each_track(tmp_path):
    manifest = write_folder(tmp_path, splits={"validation": 2})
    model, recorder = separator().train(), Recorder()
    callback = LogValidationSISDR(model, manifest, seconds=2.0)
    callback.on_validation_epoch_end(Idle, recorder)
    assert model.training
    model.eval()
    scores = []
    for track in manifest.select("validation"):
        wav = torch.from_numpy(manifest.read_mixture(track))
        start = (len(wav) - 8000) // 2
        estimates = model(wav[start : start + 8000], level=track.rms).detach()
        stems = torch.stack(
            [torch.from_numpy(read_audio(manifest.stem_path(track, name))[0]) for name in NAMES]
        )[:, start : start + 8000]
        scores.append(-singlesrc_neg_sisdr(estimates, stems))
    expected = torch.stack(scores).mean(0)
    assert recorder.values.keys() == {"val_si_sdr", *(f"val_si_sdr_{name}" for name in NAMES)}
    for name, value in zip(NAMES, expected):
        assert recorder.values[f"val_si_sdr_{name}"] == pytest.approx(float(value), abs=1e-3)
    assert recorder.values["val_si_sdr"] == pytest.approx(float(expected.mean()), abs=1e-3)


def test_a_silent_stem_has_no_si_sdr(tmp_path):
    manifest = write_folder(tmp_path, splits={"validation": 2})
    first, second = manifest.select("validation")
    recorders = [Recorder(), Recorder()]
    path = manifest.stem_path(first, "guitar")
    write_audio(path, 0 * read_audio(path)[0], manifest.sample_rate)
    LogValidationSISDR(separator(), manifest).on_validation_epoch_end(Idle, recorders[0])
    manifest.tracks.remove(first)
    LogValidationSISDR(separator(), manifest).on_validation_epoch_end(Idle, recorders[1])
    with_silence, without = (recorder.values["val_si_sdr_guitar"] for recorder in recorders)
    assert math.isfinite(with_silence) and with_silence == pytest.approx(without, abs=1e-4)


def test_songs_without_stems_log_nothing(tmp_path):
    manifest = write_folder(tmp_path, stems=False)
    recorder = Recorder()
    LogValidationSISDR(separator(), manifest).on_validation_epoch_end(Idle, recorder)
    assert not recorder.values


def test_the_number_of_tracks_is_limited(tmp_path):
    manifest = write_folder(tmp_path, splits={"validation": 3}, seconds=1.0)
    assert len(LogValidationSISDR(separator(), manifest, max_tracks=2).segments) == 2


def test_terms_are_logged_by_name(tmp_path):
    manifest = write_folder(tmp_path / "data")
    system = step_two(manifest, {"transcription": 0.2, "clip": 0.5}, steps=8)
    fit(system, tmp_path / "exp", 1, callbacks=[LogLossTerms()], quiet=True)
    values = logged(tmp_path / "exp")
    total = 0.2 * values["val_transcription"][0] + 0.5 * values["val_clip"][0]
    assert values["val_loss"][0] == pytest.approx(total, rel=1e-4)
    assert {"train_transcription", "train_clip"} <= values.keys()
    assert values["train_transcription"] != values["val_transcription"]


@pytest.mark.slow
def test_validation_terms_of_step_three_are_those_of_the_validation_critic(tmp_path):
    manifest = write_folder(tmp_path / "data")
    system = step_three(manifest)
    fit(system, tmp_path / "exp", 1, callbacks=[LogLossTerms()], quiet=True)
    values = logged(tmp_path / "exp")
    weights = system.loss_func.weights
    total = sum(weight * values[f"val_{name}"][0] for name, weight in weights.items())
    assert values["val_separation"][0] == pytest.approx(total, rel=1e-4)
