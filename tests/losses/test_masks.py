"""The supervised losses."""

import numpy as np
import pytest
import torch
from tiny import sharing_by_bins

from asteroid_scoresup.losses import magnitude_approximation_loss, mask_approximation_loss


def scene():
    rng = np.random.default_rng(0)
    return rng.random((2, 3, 5, 7)), rng.random((2, 3, 5, 7)), rng.random((2, 5, 7))


def test_matches_numpy():
    sources, stems, mixture = scene()
    expected = np.mean([abs(sources[b] - stems[b]).sum() / mixture[b].sum() for b in (0, 1)])
    found = magnitude_approximation_loss(*map(torch.tensor, (sources, stems, mixture)))
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_true_stems_cost_nothing_and_errors_point_back():
    sources, stems, mixture = map(torch.tensor, scene())
    assert magnitude_approximation_loss(stems, stems, mixture) == 0
    sources.requires_grad_()
    magnitude_approximation_loss(sources, stems, mixture).backward()
    assert torch.equal(sources.grad.sign(), (sources.detach() - stems).sign())


def test_a_silent_mixture_counts_as_zero():
    sources, stems, mixture = map(torch.tensor, scene())
    mixture[0] = 0
    expected = (sources[1] - stems[1]).abs().sum() / mixture[1].sum() / 2
    torch.testing.assert_close(magnitude_approximation_loss(sources, stems, mixture), expected)


def test_shares_of_stems_are_the_sharing_loss_with_true_shares():
    sources, stems, mixture = scene()
    sounding = np.zeros((2, 3, 88, 7))
    sounding[:, 1, 5] = 1
    stems[:, :, 3] = 0  # nobody plays here: the class that sounds gets it
    share = stems / np.maximum(stems.sum(1, keepdims=True), 1e-7)
    expected = sharing_by_bins(sources, mixture, share, sounding)
    found = mask_approximation_loss(*map(torch.tensor, (sources, stems, mixture, sounding)))
    assert float(found) == pytest.approx(expected)


def test_shares_leave_the_rest_of_a_song_to_nobody():
    _, stems, _ = map(torch.tensor, scene())
    mixture = 2 * stems.sum(1)
    sounding = torch.ones(2, 3, 88, 7)
    true = mask_approximation_loss(stems, stems, mixture, sounding, residual=True)
    twice = mask_approximation_loss(2 * stems, stems, mixture, sounding, residual=True)
    assert 0 <= true < 1e-6 < 0.05 < twice
