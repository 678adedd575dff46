"""Which notes are audible in an estimate, and the critic that learns to predict them."""

import numpy as np
import pytest
import torch
from tiny import NAMES, step_three, templates, transcriptor, write_folder
from torch.nn.functional import binary_cross_entropy_with_logits

from asteroid_scoresup.losses import audible_notes_loss, audible_rolls, isolated_rolls
from asteroid_scoresup.losses.critic import AUDIBLE, REMOVED, passed_fraction


def scene(batch=2, frames=6):
    torch.manual_seed(0)
    mixture = torch.rand(batch, 129, frames)
    roll = torch.zeros(batch, 3, 88, frames)
    for source, pitch in enumerate((20, 35, 50)):
        roll[:, source, pitch, source:] = 1
    return torch.rand(batch, 3, 129, frames), mixture, roll


def test_the_passed_fraction_matches_numpy():
    masks, mixture, _ = scene()
    found = passed_fraction(masks, mixture, templates()).numpy()
    weights, x, m = (a.numpy() for a in (templates().weights, mixture, masks))
    for b, i, p, t in ((0, 0, 20, 3), (1, 2, 50, 0), (1, 1, 35, 5)):
        expected = (weights[p] * m[b, i, :, t] * x[b, :, t]).sum() / (weights[p] * x[b, :, t]).sum()
        assert found[b, i, p, t] == pytest.approx(expected, rel=1e-5)


def test_all_notes_are_audible_in_the_mixture_and_none_in_silence():
    masks, mixture, roll = scene()
    labels, certain = audible_rolls(torch.ones_like(masks), mixture, roll, templates())
    assert certain.all() and torch.equal(labels, roll.unsqueeze(1).expand_as(labels))
    labels, certain = audible_rolls(torch.zeros_like(masks), mixture, roll, templates())
    assert certain.all() and not labels.any()


def test_harmonic_masks_give_the_isolated_rolls():
    _, mixture, roll = scene()
    masks = templates().mask(roll).float()
    labels, certain = audible_rolls(masks, mixture, roll, templates())
    isolated = isolated_rolls(roll)
    # All partials of its own notes pass; of other notes those that coincide with them.
    own = isolated > 0
    assert (labels[own] == 1).all()
    assert (labels == isolated)[certain].float().mean() > 0.99


def test_uncertain_notes_are_left_out_of_the_loss():
    masks, mixture, roll = scene()
    masks = torch.full_like(masks, (REMOVED + AUDIBLE) / 2)
    labels, certain = audible_rolls(masks, mixture, roll, templates())
    assert torch.equal(certain, (roll.unsqueeze(1) == 0).expand_as(certain)) and not labels.any()
    logits = torch.randn(6, 3, 88, 6, requires_grad=True)
    loss = audible_notes_loss(logits, masks, mixture, roll, templates())
    loss.backward()
    silent = (roll.unsqueeze(1) == 0).expand(2, 3, 3, 88, 6).flatten(0, 1)
    assert (logits.grad[~silent] == 0).all() and (logits.grad[silent] != 0).all()
    each = binary_cross_entropy_with_logits(logits, torch.zeros_like(logits), reduction="none")
    torch.testing.assert_close(loss, (each * silent).sum() / (6 * 6))


def test_labels_of_an_activity_classifier_are_audible_classes():
    masks, mixture, roll = scene()
    logits = torch.zeros(6, 3, 1, 6)
    found = audible_notes_loss(logits, torch.ones_like(masks), mixture, roll, templates())
    assert float(found) == pytest.approx(3 * np.log(2), rel=1e-5)


def test_only_the_transcriptor_receives_a_gradient(tmp_path):
    manifest = write_folder(tmp_path)
    gradients = {}
    for weight in (0.0, 1.0):
        system = step_three(manifest, critic=transcriptor(), audible_notes=weight)
        batch = next(iter(system.train_loader))
        found = {}

        def update(optimizer, network, loss, found=found):
            network.zero_grad()
            loss.backward()
            grads = [p.grad.clone() for p in network.parameters() if p.grad is not None]
            found[type(network).__name__] = torch.cat([g.flatten() for g in grads])

        system._update = update
        system.optimizers = lambda system=system: system.optimizer
        system._schedulers = list
        system.log = system.log_dict = lambda *args, **kwargs: None
        torch.manual_seed(0)
        system.training_step(batch, 0)
        gradients[weight] = found
    assert len(NAMES) == 3
    without, with_it = gradients[0.0], gradients[1.0]
    torch.testing.assert_close(without["TCNSeparator"], with_it["TCNSeparator"])
    difference = without["ScoreTranscriptor"] - with_it["ScoreTranscriptor"]
    assert difference.norm() > 0.01 * without["ScoreTranscriptor"].norm()
