"""The mixture losses compared with loops over the bins in NumPy, and their gradients."""

import numpy as np
import pytest
import torch
from tiny import N_FFT, random_notes, render, sharing_by_bins, stft, templates

from asteroid_scoresup.losses import (
    allowed_bins,
    clip_mixture_loss,
    frame_mixture_loss,
    harmonic_mixture_loss,
    mask_kl_loss,
    mixture_loss,
    soft_harmonic_loss,
)
from asteroid_scoresup.score import piano_roll, sounding_roll

B, S, F, T = 3, 3, N_FFT // 2 + 1, 6
TEMPLATES = templates(decay=0.6)


def scene(seed=0):
    """Random estimates and mixtures, and a roll with rests, a silent class and a silent clip."""
    rng = np.random.default_rng(seed)
    mixture = rng.random((B, F, T))
    estimates = rng.random((B, S, F, T)) * mixture[:, None]
    roll = (rng.random((B, S, 88, T)) < 0.01).astype(float)
    roll[..., 3] = 0
    roll[0, 1] = 0
    roll[2] = 0
    return torch.tensor(estimates), torch.tensor(mixture), torch.tensor(roll)


def by_bins(estimates, mixture, target):
    """The mixture loss, given the set of active classes of each bin."""
    clips = []
    for b in range(B):
        distance = 0.0
        for f in range(F):
            for t in range(T):
                found, x = estimates[b, :, f, t], mixture[b, f, t]
                active = target(b, f, t)
                distance += abs(x - sum(found[i] for i in active))
                distance += sum(abs(found[i]) for i in range(S) if i not in active)
        clips.append(distance / mixture[b].sum())
    return np.mean(clips)


def in_frame(roll):
    return lambda b, f, t: {i for i in range(S) if roll[b, i, :, t].any()}


def partials(roll):
    """Weight of every class in every bin, by a loop over the sounding notes."""
    weights = np.zeros((B, S, F, T))
    for b, i, p, t in zip(*np.nonzero(roll)):
        weights[b, i, :, t] += roll[b, i, p, t] * TEMPLATES.weights[p].numpy()
    return weights


def numpy_scene(seed):
    return (array.numpy() for array in scene(seed))


@pytest.mark.parametrize("seed", range(3))
def test_clip(seed):
    estimates, mixture, roll = numpy_scene(seed)
    expected = by_bins(
        estimates, mixture, lambda b, f, t: {i for i in range(S) if roll[b, i].any()}
    )
    assert float(clip_mixture_loss(*scene(seed))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_frame(seed):
    estimates, mixture, roll = numpy_scene(seed)
    expected = by_bins(estimates, mixture, in_frame(roll))
    assert float(frame_mixture_loss(*scene(seed))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_harmonic(seed, strict):
    estimates, mixture, roll = numpy_scene(seed)
    binary = TEMPLATES.binary.numpy()

    def active(b, f, t):
        classes = {i for i in range(S) if (roll[b, i, :, t] * binary[:, f]).any()}
        return classes or (set() if strict else in_frame(roll)(b, f, t))

    expected = by_bins(estimates, mixture, active)
    found = harmonic_mixture_loss(*scene(seed), TEMPLATES, strict)
    assert float(found) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_soft_harmonic(seed):
    estimates, mixture, roll = numpy_scene(seed)
    weights = partials(roll)
    target_masks = weights / np.maximum(weights.sum(1, keepdims=True), 1e-12)
    expected = sharing_by_bins(estimates, mixture, target_masks, roll)
    found = soft_harmonic_loss(*scene(seed), TEMPLATES)
    assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_gradient_of_the_divergence_passes_gradcheck():
    generator = torch.Generator().manual_seed(0)
    mixture = 0.1 + torch.rand(2, 5, 4, generator=generator, dtype=torch.float64)
    target_masks = torch.rand(2, 3, 5, 4, generator=generator, dtype=torch.float64)
    target_masks = target_masks / target_masks.sum(1, keepdim=True)
    target_masks[:, :, 2] = 0  # bins without a target
    sounding = (torch.rand(2, 3, 88, 4, generator=generator) < 0.01).float()
    masks = 0.05 + 0.9 * torch.rand(2, 3, 5, 4, generator=generator, dtype=torch.float64)
    masks[0, 1, 3] += 1.0  # louder than the mixture
    estimates = (masks * mixture.unsqueeze(1)).requires_grad_()

    def loss(estimates, residual):
        return mask_kl_loss(estimates, mixture, target_masks, sounding, residual=residual)

    for residual in (False, True):
        assert torch.autograd.gradcheck(loss, (estimates, residual), eps=1e-6)


def test_strict_and_lenient_bins_differ_where_no_note_has_a_partial():
    _, _, roll = scene()
    mask = TEMPLATES.mask(roll)
    lenient, strict = allowed_bins(mask, roll), allowed_bins(mask, roll, strict=True)
    extra = lenient & ~strict
    assert torch.equal(strict, mask) and extra.any()
    assert not (extra & mask.any(1, keepdim=True)).any()


LOSSES = {
    "clip": clip_mixture_loss,
    "frame": frame_mixture_loss,
    "harmonic": lambda *scene: harmonic_mixture_loss(*scene, TEMPLATES),
    "soft": lambda *scene: soft_harmonic_loss(*scene, TEMPLATES),
}


@pytest.fixture(params=LOSSES)
def loss(request):
    return LOSSES[request.param]


def test_level_and_length_change_nothing(loss):
    estimates, mixture, roll = scene()
    once = loss(estimates, mixture, roll)
    torch.testing.assert_close(loss(0.01 * estimates, 0.01 * mixture, roll), once)
    twice = (torch.cat([part, part], dim=-1) for part in (estimates, mixture, roll))
    torch.testing.assert_close(loss(*twice), once)


def test_gradient_raises_active_classes_and_lowers_silent_ones(loss):
    estimates, mixture, roll = scene()
    # All estimates are too soft: those of active classes must grow, the others must shrink.
    estimates = (0.01 * (estimates + mixture[:, None])).requires_grad_()
    loss(estimates, mixture, roll).backward()
    plays = roll.any(2).any(-1)
    for b in range(B):
        for i in range(S):
            if plays[b, i]:
                assert estimates.grad[b, i].min() < 0
            else:
                assert estimates.grad[b, i].min() > 0


@pytest.mark.slow
def test_gradient_passes_gradcheck(loss):
    estimates, mixture, roll = scene()
    estimates, mixture, roll = estimates[:1, :, ::16], mixture[:1, ::16], roll[:1]
    small = templates(decay=0.6)
    small.binary, small.weights = small.binary[:, ::16].double(), small.weights[:, ::16].double()
    pure = {
        LOSSES["harmonic"]: lambda *scene: harmonic_mixture_loss(*scene, small),
        LOSSES["soft"]: lambda *scene: soft_harmonic_loss(*scene, small),
    }.get(loss, loss)
    assert torch.autograd.gradcheck(
        lambda estimates: pure(estimates, mixture, roll), estimates.clone().requires_grad_()
    )


def test_a_silent_clip_counts_as_zero_and_has_no_gradient(loss):
    estimates, mixture, roll = scene()
    mixture[1] = 0
    with_silence = loss(estimates.requires_grad_(), mixture, roll)
    others = [0, 2]
    without = loss(estimates[others], mixture[others], roll[others])
    torch.testing.assert_close(with_silence, without * 2 / 3)
    with_silence.backward()
    assert torch.isfinite(estimates.grad).all() and not estimates.grad[1].any()


def test_the_stft_of_digital_silence_counts_as_silent(loss):
    magnitude = stft().magnitude(stft()(torch.zeros(1, 1000)))
    assert not magnitude.any()
    estimates = torch.full((1, S, *magnitude.shape[1:]), 0.01)
    roll = torch.ones(1, S, 88, magnitude.shape[-1])
    assert loss(estimates, magnitude, roll) == 0


def test_true_stems_have_a_low_loss_and_swapped_classes_a_high_one(loss):
    rng = np.random.default_rng(3)
    notes = random_notes(rng, 4.0)
    stems = torch.from_numpy(render(notes, 4.0))
    mixture = stft().magnitude(stft()(stems.sum(0, keepdim=True)))
    estimates = stft().magnitude(stft()(stems)).unsqueeze(0)
    size = (3, mixture.shape[-1], stft().grid)
    draw = piano_roll if loss is clip_mixture_loss else sounding_roll
    roll = draw(notes, *size)[None]
    true = loss(estimates, mixture, roll)
    assert true < 0.3
    if loss is not clip_mixture_loss:  # which does not tell the classes apart here
        assert loss(estimates.roll(1, dims=1), mixture, roll) > 2 * true
    nothing = loss(0 * estimates, mixture, roll)
    if loss is LOSSES["soft"]:
        assert nothing > 2
    else:
        assert nothing == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    "shapes", [((2, 3, 5, 7), (2, 5, 8)), ((2, 3, 5, 7), (1, 5, 7)), ((2, 5, 7), (2, 5, 7))]
)
def test_shapes_that_do_not_fit_are_refused(shapes):
    estimates, mixture = (torch.ones(shape) for shape in shapes)
    with pytest.raises(
        ValueError, match=r"do not match a mixture of shape.*\(batch, freq, frames\)"
    ):
        mixture_loss(estimates, mixture, torch.ones(()))


@pytest.mark.parametrize("name", LOSSES)
def test_a_residual_may_stay_unexplained_but_not_be_claimed(name):
    residual = {
        "clip": lambda *scene: clip_mixture_loss(*scene, residual=True),
        "frame": lambda *scene: frame_mixture_loss(*scene, residual=True),
        "harmonic": lambda *scene: harmonic_mixture_loss(*scene, TEMPLATES, residual=True),
        "soft": lambda *scene: soft_harmonic_loss(*scene, TEMPLATES, residual=True),
    }[name]
    estimates, mixture, roll = scene()
    mixture = mixture.clone()
    mixture[2] = 1  # no class plays in this clip: all of it is residual
    quiet, loud = 0 * estimates[2:], mixture[2:, None].expand(1, S, F, T)
    assert residual(quiet, mixture[2:], roll[2:]) < 1e-3
    assert residual(loud, mixture[2:], roll[2:]) > 1
    if name != "soft":  # below the mixture, active classes have no loss
        alone = estimates.clone()
        alone[:, 1:] = 0
        everywhere = torch.ones_like(roll)
        assert residual(alone, mixture, everywhere) == 0
        assert LOSSES[name](alone, mixture, everywhere) > 0.1


def test_estimates_above_the_mixture_have_a_gradient_downwards():
    """Waveform models can exceed the mixture; a clamp alone would have no gradient."""
    estimates, mixture, roll = scene()
    estimates = (estimates + 1.5 * mixture[:, None]).requires_grad_()
    soft_harmonic_loss(estimates, mixture, roll, TEMPLATES).backward()
    assert (estimates.grad > 0).all()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_harmonic_with_drums(seed, strict):
    """Drums may use every bin of the frames in which they play, and explain none."""
    estimates, mixture, roll = numpy_scene(seed)
    drums = templates(decay=0.6, unpitched=(1,))
    binary = drums.binary.numpy()

    def active(b, f, t):
        playing = in_frame(roll)(b, f, t)
        pitched = {i for i in playing - {1} if (roll[b, i, :, t] * binary[:, f]).any()}
        return (pitched or (set() if strict else playing)) | (playing & {1})

    expected = by_bins(estimates, mixture, active)
    found = harmonic_mixture_loss(*scene(seed), drums, strict)
    assert float(found) == pytest.approx(expected, rel=1e-9)
    # Without the option drums would be held to the partials of their keys.
    plain = harmonic_mixture_loss(*scene(seed), TEMPLATES, strict)
    assert float(plain) != pytest.approx(expected)
