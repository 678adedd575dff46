"""Simulated separation: inputs and labels of the critic in step 1."""

import pytest
import torch
from tiny import loaders, state_of, stft, templates, transcriptor, write_folder

from asteroid_scoresup.engine import (
    TranscriptorSystem,
    TranscriptorTrainingWrapper,
    simulate_separation,
)
from asteroid_scoresup.losses import TranscriptionLoss, transcription_loss


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    manifest = write_folder(tmp_path_factory.mktemp("prepared"))
    train, _ = loaders(manifest, steps=4, batch_size=16)
    wav, targets = next(iter(train))
    return manifest, stft().magnitude(stft()(wav)), targets


def test_classes_removed_from_the_labels_are_attenuated(scene):
    _, mixture, targets = scene
    torch.manual_seed(0)
    roll, sounding = targets["roll"], targets["sounding"]
    magnitude, left = simulate_separation(mixture, roll, sounding, templates())
    assert (magnitude <= mixture * (1 + 1e-6)).all() and (magnitude >= 0).all()
    masks = templates().soft_mask(sounding)
    n_seen = 0
    for clip in range(len(mixture)):
        for source in range(3):
            was, now = roll[clip, source].sum(), left[clip, source].sum()
            assert now in (0, was)
            own = masks[clip, source] > 0.999  # bins of no other class
            if was and own.any():
                level = magnitude[clip][own].norm() / mixture[clip][own].norm()
                if not now:
                    assert level < 10 ** (-25 / 20) * 1.001
                    n_seen += 1
    assert n_seen > 5


def test_kept_classes_are_attenuated_by_at_most_twelve_decibels_without_filter(scene):
    _, mixture, targets = scene
    torch.manual_seed(1)
    magnitude, left = simulate_separation(
        mixture, targets["roll"], targets["sounding"], templates()
    )
    masks = templates().soft_mask(targets["sounding"])
    loud = 0
    for clip in range(len(mixture)):
        for source in range(3):
            own = masks[clip, source] > 0.999
            if left[clip, source].sum() and own.any():
                loud += bool(
                    magnitude[clip][own].norm() > 10 ** (-12 / 20) * mixture[clip][own].norm()
                )
    assert loud >= 5


def test_a_fraction_of_zero_changes_nothing_and_a_half_about_half(scene):
    _, mixture, targets = scene
    roll, sounding = targets["roll"], targets["sounding"]
    magnitude, left = simulate_separation(mixture, roll, sounding, templates(), fraction=0.0)
    assert torch.equal(magnitude, mixture) and torch.equal(left, roll)
    torch.manual_seed(0)
    magnitude, _ = simulate_separation(mixture, roll, sounding, templates(), fraction=0.5)
    same = sum(torch.equal(one, other) for one, other in zip(magnitude, mixture))
    assert 3 <= same <= 13


def test_training_simulates_separation_and_validation_does_not(scene):
    manifest, _, _ = scene
    front = TranscriptorTrainingWrapper(transcriptor())
    train, validation = loaders(manifest)
    system = TranscriptorSystem(
        front, torch.optim.Adam(front.parameters()), TranscriptionLoss(), train, validation,
        templates=templates(), simulate=1.0,
    )  # fmt: skip
    batch = next(iter(train))
    plain = transcription_loss(front(batch[0]), batch[1]["roll"])
    torch.testing.assert_close(system.common_step(batch, 0, train=False), plain)
    torch.manual_seed(0)
    simulated = system.common_step(batch, 0, train=True)
    assert abs(simulated.detach() - plain.detach()) > 1e-3
    before = state_of(front)
    simulated.backward()
    assert all(p.grad is not None for p in front.parameters())
    assert all(torch.equal(value, before[key]) for key, value in front.state_dict().items())
