"""The losses with stems, compared with NumPy."""

import numpy as np
import pytest
import torch
from tiny import sharing_by_bins

from asteroid_scoresup.losses import magnitude_approximation_loss, mask_approximation_loss


def scene():
    rng = np.random.default_rng(0)
    return rng.random((2, 3, 5, 7)), rng.random((2, 3, 5, 7)), rng.random((2, 5, 7))


def test_matches_numpy():
    estimates, stems, mixture = scene()
    expected = np.mean([abs(estimates[b] - stems[b]).sum() / mixture[b].sum() for b in (0, 1)])
    found = magnitude_approximation_loss(*map(torch.tensor, (estimates, stems, mixture)))
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_the_loss_of_true_stems_is_zero_and_gradients_have_the_sign_of_the_error():
    estimates, stems, mixture = map(torch.tensor, scene())
    assert magnitude_approximation_loss(stems, stems, mixture) == 0
    estimates.requires_grad_()
    magnitude_approximation_loss(estimates, stems, mixture).backward()
    assert torch.equal(estimates.grad.sign(), (estimates.detach() - stems).sign())


def test_a_silent_mixture_counts_as_zero():
    estimates, stems, mixture = map(torch.tensor, scene())
    mixture[0] = 0
    expected = (estimates[1] - stems[1]).abs().sum() / mixture[1].sum() / 2
    torch.testing.assert_close(magnitude_approximation_loss(estimates, stems, mixture), expected)


def test_mask_approximation_is_the_divergence_from_ideal_ratio_masks():
    estimates, stems, mixture = scene()
    sounding = np.zeros((2, 3, 88, 7))
    sounding[:, 1, 5] = 1
    stems[:, :, 3] = 0  # silent stems: the bin belongs to the active class
    masks = stems / np.maximum(stems.sum(1, keepdims=True), 1e-7)
    expected = sharing_by_bins(estimates, mixture, masks, sounding)
    found = mask_approximation_loss(*map(torch.tensor, (estimates, stems, mixture, sounding)))
    assert float(found) == pytest.approx(expected)


def test_the_residual_of_a_song_belongs_to_no_class():
    _, stems, _ = map(torch.tensor, scene())
    mixture = 2 * stems.sum(1)
    sounding = torch.ones(2, 3, 88, 7)
    true = mask_approximation_loss(stems, stems, mixture, sounding, residual=True)
    twice = mask_approximation_loss(2 * stems, stems, mixture, sounding, residual=True)
    assert 0 <= true < 1e-6 < 0.05 < twice
