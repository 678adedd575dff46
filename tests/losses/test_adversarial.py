"""The adversarial losses: remixes and interference."""

import numpy as np
import pytest
import torch
from tiny import stft

from asteroid_scoresup.losses import (
    interference_rolls,
    interference_transcriptor_loss,
    remix,
    remix_order,
    remix_separator_loss,
    remix_transcriptor_loss,
)

B, S, P, F, T = 5, 3, 88, 130, 4


def entropy(logits, roll):
    probability = 1 / (1 + np.exp(-logits))
    entropies = -(roll * np.log(probability) + (1 - roll) * np.log(1 - probability))
    return entropies.sum() / (logits.shape[0] * logits.shape[-1])


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def rolls(seed, *shape):
    return (np.random.default_rng(seed).random(shape) < 0.2).astype(float)


@pytest.mark.parametrize("batch, n_src", [(3, 3), (4, 3), (8, 5), (2, 1)])
def test_no_two_sources_of_a_remix_share_a_clip(batch, n_src):
    generator = torch.Generator().manual_seed(0)
    orders = [remix_order(batch, n_src, generator) for _ in range(20)]
    for order in orders:
        for clips in order.tolist():
            assert len(set(clips)) == n_src
        # ... and every source of every clip is used exactly once.
        assert all(sorted(column) == list(range(batch)) for column in order.T.tolist())
    assert any(not torch.equal(orders[0], order) for order in orders)


def test_the_order_depends_on_the_generator_only():
    draw = [remix_order(6, 3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draw[0], draw[1]) and not torch.equal(draw[0], draw[2])


def test_small_batches_are_refused():
    with pytest.raises(ValueError, match="3 sources of different clips.*at least 3, found 2"):
        remix_order(2, 3)


def test_remix_sums_sources_and_gathers_their_scores():
    sources, roll = numbers(0, B, S, F, T), rolls(0, B, S, P, T)
    order = remix_order(B, S, torch.Generator().manual_seed(3))
    mixture, scores = remix(torch.tensor(sources), torch.tensor(roll), order)
    for b in range(B):
        clips = order[b].tolist()
        np.testing.assert_allclose(mixture[b], sum(sources[c, i] for i, c in enumerate(clips)))
        for i, clip in enumerate(clips):
            np.testing.assert_array_equal(scores[b, i], roll[clip, i])


def test_remixed_spectra_are_those_of_remixed_waveforms():
    wavs = torch.randn(B, S, 1000, generator=torch.Generator().manual_seed(0))
    order = remix_order(B, S, torch.Generator().manual_seed(1))
    spectra = stft()(wavs.flatten(0, 1)).unflatten(0, (B, S))
    mixture, _ = remix(spectra, torch.zeros(B, S, P, spectra.shape[-1]), order)
    sums = torch.stack([sum(wavs[c, i] for i, c in enumerate(row)) for row in order.tolist()])
    torch.testing.assert_close(mixture, stft()(sums), rtol=1e-4, atol=1e-4)


def test_separator_and_transcriptor_have_opposite_aims():
    logits, roll = numbers(1, B, S, P, T), rolls(1, B, S, P, T)
    separator = remix_separator_loss(torch.tensor(logits), torch.tensor(roll))
    assert float(separator) == pytest.approx(entropy(logits, roll), rel=1e-9)
    silence = remix_transcriptor_loss(torch.tensor(logits))
    assert float(silence) == pytest.approx(entropy(logits, np.zeros_like(roll)), rel=1e-9)
    # For notes of the score, the separator raises the logit and the transcriptor lowers it.
    tensor = torch.tensor(logits, requires_grad=True)
    notes = torch.tensor(roll) > 0
    (up,) = torch.autograd.grad(remix_separator_loss(tensor, torch.tensor(roll)), tensor)
    (down,) = torch.autograd.grad(remix_transcriptor_loss(tensor), tensor)
    assert (up[notes] < 0).all() and (down[notes] > 0).all()


def test_interference_is_everything_but_the_target():
    roll = rolls(2, B, S, P, T)
    found = interference_rolls(torch.tensor(roll)).numpy()
    for i in range(S):
        for j in range(S):
            expected = roll[:, j] if i != j else np.zeros_like(roll[:, j])
            np.testing.assert_array_equal(found[:, i, j], expected)


def test_interference_loss():
    logits, roll = numbers(3, B * S, S, P, T), rolls(3, B, S, P, T)
    expected = 0.0
    for b in range(B):
        for i in range(S):
            label = roll[b].copy()
            label[i] = 0
            expected += entropy(logits[b * S + i][None], label[None]) / (B * S)
    found = interference_transcriptor_loss(torch.tensor(logits), torch.tensor(roll))
    assert float(found) == pytest.approx(expected, rel=1e-9)
