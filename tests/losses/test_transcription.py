"""The transcription losses compared with NumPy, and their gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid_scoresup.losses import (
    TranscriptionLoss,
    critic_roll,
    isolated_rolls,
    separated_transcription_loss,
    transcription_loss,
)

B, S, P, F, T = 2, 3, 88, 9, 5


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def rolls(seed, *shape):
    return (np.random.default_rng(seed).random(shape) < 0.2).astype(float)


def entropy(logits, roll):
    """Binary cross-entropy by its formula."""
    probability = 1 / (1 + np.exp(-logits))
    total = 0.0
    for y, p in zip(roll.ravel(), probability.ravel()):
        total -= np.log(p) if y else np.log(1 - p)
    return total / (logits.shape[0] * logits.shape[-1])


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 6), st.integers(0, 99))
def test_matches_the_formula(batch, n_src, frames, seed):
    logits, roll = numbers(seed, batch, n_src, 7, frames), rolls(seed, batch, n_src, 7, frames)
    found = transcription_loss(torch.tensor(logits), torch.tensor(roll))
    assert float(found) == pytest.approx(entropy(logits, roll), rel=1e-9)


def test_rolls_may_have_another_dtype():
    logits, roll = torch.tensor(numbers(0, B, S, P, T)), torch.tensor(rolls(0, B, S, P, T))
    assert transcription_loss(logits, roll.bool()) == transcription_loss(logits, roll)


def test_gradient_is_probability_minus_label():
    logits = torch.tensor(numbers(1, B, S, P, T), requires_grad=True)
    roll = torch.tensor(rolls(1, B, S, P, T))
    transcription_loss(logits, roll).backward()
    torch.testing.assert_close(logits.grad, (logits.detach().sigmoid() - roll) / (B * T))


def test_rolls_for_another_hop_are_refused():
    message = r"\(2, 3, 88, 5\) cannot be compared with a roll of shape \(2, 3, 88, 6\).*same hop"
    with pytest.raises(ValueError, match=message):
        transcription_loss(torch.zeros(B, S, P, T), torch.zeros(B, S, P, T + 1))


def test_isolated_rolls_silence_every_other_class():
    roll = rolls(2, B, S, P, T)
    found = isolated_rolls(torch.tensor(roll)).numpy()
    for kept in range(S):
        expected = np.zeros_like(roll)
        expected[:, kept] = roll[:, kept]
        np.testing.assert_array_equal(found[:, kept], expected)


def test_labels_of_a_classifier_are_activities():
    roll = torch.tensor(rolls(3, B, S, P, T)) * (torch.arange(T) > 1)
    assert critic_roll(roll, P) is roll
    np.testing.assert_array_equal(critic_roll(roll, 1), roll.numpy().max(2, keepdims=True))
    assert critic_roll(roll, 1).mean() not in (0, 1)


@pytest.mark.parametrize("n_outputs", [P, 1])
def test_each_estimate_is_compared_with_the_score_of_its_class(n_outputs):
    weight = numbers(4, S * n_outputs, F)
    estimates, roll = np.abs(numbers(5, B, S, F, T)), rolls(5, B, S, P, T) * (np.arange(T) > 1)

    def critic(magnitude):
        return (torch.tensor(weight) @ magnitude).unflatten(1, (S, n_outputs))

    expected = 0.0
    for b in range(B):
        for i in range(S):
            logits = (weight @ estimates[b, i]).reshape(S, n_outputs, T)
            label = np.zeros((S, n_outputs, T))
            label[i] = roll[b, i] if n_outputs == P else roll[b, i].max(0, keepdims=True)
            expected += entropy(logits[None], label[None]) / (B * S)
    found = separated_transcription_loss(critic, torch.tensor(estimates), torch.tensor(roll))
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_some_classes_give_the_same_loss_on_average():
    estimates, roll = torch.tensor(numbers(7, B, S, F, T)).abs(), torch.tensor(rolls(7, B, S, P, T))
    weight = torch.tensor(numbers(8, S * P, F))
    sizes = []

    def critic(magnitude):
        sizes.append(len(magnitude))
        return (weight @ magnitude).unflatten(1, (S, P))

    whole = separated_transcription_loss(critic, estimates, roll)
    values = [
        float(separated_transcription_loss(critic, estimates, roll, torch.tensor([[i], [j]])))
        for i in range(S)
        for j in range(S)
    ]
    assert np.mean(values) == pytest.approx(float(whole), rel=1e-9)
    assert np.std(values) > 0 and sizes == [B * S] + [B] * 9


@pytest.mark.parametrize("n_outputs", [P, 1])
def test_the_module_of_step_1(n_outputs):
    logits, roll = numbers(6, B, S, n_outputs, T), rolls(6, B, S, P, T)
    label = roll if n_outputs == P else roll.max(2, keepdims=True)
    found = TranscriptionLoss()(torch.tensor(logits), {"roll": torch.tensor(roll)})
    assert float(found) == pytest.approx(entropy(logits, label), rel=1e-9)
