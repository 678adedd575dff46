"""The supervised loss."""

import numpy as np
import pytest
import torch

from asteroid_scoresup.losses import stem_loss


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
