"""The filters that `inspect_losses.py` fits to a loss."""

import pytest
import torch
from tiny import N_FFT, loaders, state_of, stft, transcriptor, write_folder
from tiny_recipe import RECIPE

from asteroid_scoresup.dsp import Spectrograms
from asteroid_scoresup.losses import ScoreSupervisedLoss


@pytest.fixture
def fitted_filters(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPE))
    from inspect_losses import fitted_filters

    return fitted_filters


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    train, _ = loaders(write_folder(tmp_path_factory.mktemp("prepared")), steps=1, batch_size=3)
    wav, targets = next(iter(train))
    return stft().magnitude(stft()(wav)), targets


@torch.no_grad()
def test_filters_for_the_clip_loss_sum_to_one_and_omit_a_silent_class(fitted_filters, scene):
    """Where the minimum of the loss is known."""
    mixture, targets = scene
    silent = {name: targets[name].clone() for name in ("roll", "sounding")}
    for roll in silent.values():
        roll[:, 2] = 0
    filters = fitted_filters(ScoreSupervisedLoss({"clip": 1.0}, stft()), mixture, silent, 200)
    assert filters.shape == (3, 3, N_FFT // 2 + 1, mixture.shape[-1])
    assert torch.equal(filters[..., :1].expand_as(filters), filters)  # the same in every frame
    level = mixture.mean(-1)
    assert ((filters[..., 0][:, :2].sum(1) - 1).abs() * level).sum() < 0.05 * level.sum()
    assert (filters[..., 0][:, 2] * level).sum() < 0.05 * level.sum()


@torch.no_grad()
def test_filters_satisfy_a_critic_that_is_left_as_it_was(fitted_filters, scene):
    mixture, targets = scene
    critic = transcriptor()
    before = {name: value.clone() for name, value in state_of(critic).items()}
    loss = ScoreSupervisedLoss({"transcription": 0.2, "clip": 0.5}, stft(), critic).eval()

    def value(masks):
        return float(loss(Spectrograms(mixture, masks * mixture.unsqueeze(1)), targets))

    start = fitted_filters(loss, mixture, targets, 0)
    assert torch.equal(start, torch.full_like(start, 0.5))
    few, more = (fitted_filters(loss, mixture, targets, n) for n in (3, 30))
    assert value(more) < value(few) < value(start)
    assert all(torch.equal(value, before[name]) for name, value in state_of(critic).items())
    assert all(weight.grad is None for weight in critic.parameters())
