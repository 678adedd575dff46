"""The supervised losses."""

import numpy as np
import pytest
import torch
from tiny import sharing_by_bins

from asteroid_scoresup.losses import stem_loss, stem_share_loss


def scene():
    rng = np.random.default_rng(0)
    return rng.random((2, 3, 5, 7)), rng.random((2, 3, 5, 7)), rng.random((2, 5, 7))


def test_matches_numpy():
    sources, references, mixture = scene()
    expected = np.mean([abs(sources[b] - references[b]).sum() / mixture[b].sum() for b in (0, 1)])
    found = stem_loss(*map(torch.tensor, (sources, references, mixture)))
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_true_stems_cost_nothing_and_errors_point_back():
    sources, references, mixture = map(torch.tensor, scene())
    assert stem_loss(references, references, mixture) == 0
    sources.requires_grad_()
    stem_loss(sources, references, mixture).backward()
    assert torch.equal(sources.grad.sign(), (sources.detach() - references).sign())


def test_a_silent_mixture_counts_as_zero():
    sources, references, mixture = map(torch.tensor, scene())
    mixture[0] = 0
    expected = (sources[1] - references[1]).abs().sum() / mixture[1].sum() / 2
    torch.testing.assert_close(stem_loss(sources, references, mixture), expected)


def test_shares_of_stems_are_the_sharing_loss_with_true_shares():
    sources, references, mixture = scene()
    sounding = np.zeros((2, 3, 88, 7))
    sounding[:, 1, 5] = 1
    references[:, :, 3] = 0  # nobody plays here: the class that sounds gets it
    share = references / np.maximum(references.sum(1, keepdims=True), 1e-7)
    expected = sharing_by_bins(sources, mixture, share, sounding)
    found = stem_share_loss(*map(torch.tensor, (sources, references, mixture, sounding)))
    assert float(found) == pytest.approx(expected)


def test_shares_leave_the_rest_of_a_song_to_nobody():
    _, references, _ = map(torch.tensor, scene())
    mixture = 2 * references.sum(1)
    sounding = torch.ones(2, 3, 88, 7)
    true = stem_share_loss(references, references, mixture, sounding, residual=True)
    twice = stem_share_loss(2 * references, references, mixture, sounding, residual=True)
    assert 0 <= true < 1e-6 < 0.05 < twice
