"""The loss of mask refiners."""

import numpy as np
import torch

from asteroid_scoresup.losses.refinement import RefinementItem, refinement_loss


def item(group, seed=0):
    """Random complex spectra of two groups, and their item."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(2, 5, 7)) + 1j * rng.normal(size=(2, 5, 7))
    mixture = truth.sum(0)
    made = RefinementItem(
        torch.from_numpy(np.abs(mixture)),
        torch.zeros(len(group) + 1, 5, 7),
        torch.tensor(group),
        torch.from_numpy((mixture.conj() * truth).real),
        torch.from_numpy((np.abs(truth) ** 2).sum((1, 2))),
    )
    return made, truth, mixture


def test_it_is_the_distortion_of_masked_spectra():
    made, truth, mixture = item([0, 1, 1])
    masks = np.random.default_rng(1).uniform(size=(3, 5, 7)) / 3
    sums = np.stack([masks[0], masks[1] + masks[2]])
    quiet = 1e-3 * (np.abs(mixture) ** 2).sum()
    estimates = sums * mixture
    scale = (estimates.conj() * truth).real.sum((1, 2)) / (np.abs(estimates) ** 2).sum((1, 2))
    error = (np.abs(scale[:, None, None] * estimates - truth) ** 2).sum((1, 2))
    expected = 10 * np.log10((error + quiet) / ((np.abs(truth) ** 2).sum((1, 2)) + quiet))
    for gain in (1.0, 0.5):  # the scale of the estimates does not count
        found = refinement_loss(gain * torch.from_numpy(masks), made)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_a_silent_group_counts_by_its_leakage():
    made, _, _ = item([0, 1])
    made = made._replace(projection=made.projection * 0, energy=made.energy * 0)
    none, some = (refinement_loss(torch.full((2, 5, 7), m).double(), made) for m in (0.0, 0.1))
    np.testing.assert_allclose(none.numpy(), 0, atol=1e-9)
    assert (some > 3).all()


def test_gradients_reach_the_masks_of_each_class():
    made, _, _ = item([0, 1, 1])
    masks = torch.full((3, 5, 7), 0.3, dtype=torch.float64, requires_grad=True)
    refinement_loss(masks, made).sum().backward()
    assert (masks.grad.abs().sum((1, 2)) > 0).all()
    torch.testing.assert_close(masks.grad[1], masks.grad[2])  # only their sum is known
