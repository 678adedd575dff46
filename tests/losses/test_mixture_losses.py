"""The four mixture losses against loops in NumPy, bin by bin, and what their gradients push."""

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
    sources = rng.random((B, S, F, T)) * mixture[:, None]
    roll = (rng.random((B, S, 88, T)) < 0.01).astype(float)
    roll[..., 3] = 0
    roll[0, 1] = 0
    roll[2] = 0
    return torch.tensor(sources), torch.tensor(mixture), torch.tensor(roll)


def by_bins(sources, mixture, target):
    """The loss from what each bin wants: a set of classes."""
    clips = []
    for b in range(B):
        distance = 0.0
        for f in range(F):
            for t in range(T):
                found, x = sources[b, :, f, t], mixture[b, f, t]
                wanted = target(b, f, t)
                distance += abs(x - sum(found[i] for i in wanted))
                distance += sum(abs(found[i]) for i in range(S) if i not in wanted)
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
    sources, mixture, roll = numpy_scene(seed)
    expected = by_bins(sources, mixture, lambda b, f, t: {i for i in range(S) if roll[b, i].any()})
    assert float(clip_mixture_loss(*scene(seed))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_frame(seed):
    sources, mixture, roll = numpy_scene(seed)
    expected = by_bins(sources, mixture, in_frame(roll))
    assert float(frame_mixture_loss(*scene(seed))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_harmonic(seed, strict):
    sources, mixture, roll = numpy_scene(seed)
    weights = partials(roll)
    share = weights / np.maximum(weights.sum(1, keepdims=True), 1e-12)
    expected = sharing_by_bins(sources, mixture, share, roll)
    found = soft_harmonic_loss(*scene(seed), TEMPLATES)
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_gradient_of_the_sharing_loss_by_differences():
    generator = torch.Generator().manual_seed(0)
    mixture = 0.1 + torch.rand(2, 5, 4, generator=generator, dtype=torch.float64)
    share = torch.rand(2, 3, 5, 4, generator=generator, dtype=torch.float64)
    share = share / share.sum(1, keepdim=True)
    share[:, :, 2] = 0  # bins of which nothing is known
    sounding = (torch.rand(2, 3, 88, 4, generator=generator) < 0.01).float()
    masks = 0.05 + 0.9 * torch.rand(2, 3, 5, 4, generator=generator, dtype=torch.float64)
    masks[0, 1, 3] += 1.0  # louder than the mixture
    sources = (masks * mixture.unsqueeze(1)).requires_grad_()

    def loss(sources, residual):
        return mask_kl_loss(sources, mixture, share, sounding, residual=residual)

    for residual in (False, True):
        assert torch.autograd.gradcheck(loss, (sources, residual), eps=1e-6)


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


def test_no_level_and_no_length(loss):
    sources, mixture, roll = scene()
    once = loss(sources, mixture, roll)
    torch.testing.assert_close(loss(0.01 * sources, 0.01 * mixture, roll), once)
    twice = (torch.cat([part, part], dim=-1) for part in (sources, mixture, roll))
    torch.testing.assert_close(loss(*twice), once)


def test_gradient_pulls_active_classes_up_and_silent_ones_down(loss):
    sources, mixture, roll = scene()
    # Estimates far too quiet: everything that plays must grow, everything else must shrink.
    sources = (0.01 * (sources + mixture[:, None])).requires_grad_()
    loss(sources, mixture, roll).backward()
    plays = roll.any(2).any(-1)
    for b in range(B):
        for i in range(S):
            if plays[b, i]:
                assert sources.grad[b, i].min() < 0
            else:
                assert sources.grad[b, i].min() > 0


def test_gradient_passes_gradcheck(loss):
    sources, mixture, roll = scene()
    sources, mixture, roll = sources[:1, :, ::16], mixture[:1, ::16], roll[:1]
    small = templates(decay=0.6)
    small.binary, small.weights = small.binary[:, ::16].double(), small.weights[:, ::16].double()
    pure = {
        LOSSES["harmonic"]: lambda *scene: harmonic_mixture_loss(*scene, small),
        LOSSES["soft"]: lambda *scene: soft_harmonic_loss(*scene, small),
    }.get(loss, loss)
    assert torch.autograd.gradcheck(
        lambda estimates: pure(estimates, mixture, roll), sources.clone().requires_grad_()
    )


def test_silent_clip_counts_as_zero_and_teaches_nothing(loss):
    sources, mixture, roll = scene()
    mixture[1] = 0
    with_silence = loss(sources.requires_grad_(), mixture, roll)
    others = [0, 2]
    without = loss(sources[others], mixture[others], roll[others])
    torch.testing.assert_close(with_silence, without * 2 / 3)
    with_silence.backward()
    assert torch.isfinite(sources.grad).all() and not sources.grad[1].any()


def test_digital_silence_through_the_stft_is_silent_too(loss):
    magnitude = stft().magnitude(stft()(torch.zeros(1, 1000)))
    assert not magnitude.any()
    sources = torch.full((1, S, *magnitude.shape[1:]), 0.01)
    roll = torch.ones(1, S, 88, magnitude.shape[-1])
    assert loss(sources, magnitude, roll) == 0


def test_true_stems_cost_little_and_the_wrong_class_much(loss):
    rng = np.random.default_rng(3)
    notes = random_notes(rng, 4.0)
    stems = torch.from_numpy(render(notes, 4.0))
    mixture = stft().magnitude(stft()(stems.sum(0, keepdim=True)))
    sources = stft().magnitude(stft()(stems)).unsqueeze(0)
    size = (3, mixture.shape[-1], stft().grid)
    draw = piano_roll if loss is clip_mixture_loss else sounding_roll
    roll = draw(notes, *size)[None]
    true = loss(sources, mixture, roll)
    assert true < 0.3
    if loss is not clip_mixture_loss:  # in whose eyes the classes are all alike
        assert loss(sources.roll(1, dims=1), mixture, roll) > 2 * true
    nothing = loss(0 * sources, mixture, roll)
    if loss is LOSSES["soft"]:
        assert nothing > 2
    else:
        assert nothing == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    "shapes", [((2, 3, 5, 7), (2, 5, 8)), ((2, 3, 5, 7), (1, 5, 7)), ((2, 5, 7), (2, 5, 7))]
)
def test_shapes_that_do_not_fit_are_refused(shapes):
    sources, mixture = (torch.ones(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"do not match a mixture of shape.*\(batch, freq, frames\)"):
        mixture_loss(sources, mixture, torch.ones(()))


@pytest.mark.parametrize("name", LOSSES)
def test_a_residual_may_be_left_unexplained_but_not_taken(name):
    residual = {
        "clip": lambda *scene: clip_mixture_loss(*scene, residual=True),
        "frame": lambda *scene: frame_mixture_loss(*scene, residual=True),
        "harmonic": lambda *scene: harmonic_mixture_loss(*scene, TEMPLATES, residual=True),
        "soft": lambda *scene: soft_harmonic_loss(*scene, TEMPLATES, residual=True),
    }[name]
    sources, mixture, roll = scene()
    mixture = mixture.clone()
    mixture[2] = 1  # the clip in which nobody plays: all of it is residual
    quiet, loud = 0 * sources[2:], mixture[2:, None].expand(1, S, F, T)
    assert residual(quiet, mixture[2:], roll[2:]) < 1e-3
    assert residual(loud, mixture[2:], roll[2:]) > 1
    if name != "soft":  # estimates within the mixture cost nothing where their class plays
        alone = sources.clone()
        alone[:, 1:] = 0
        everywhere = torch.ones_like(roll)
        assert residual(alone, mixture, everywhere) == 0
        assert LOSSES[name](alone, mixture, everywhere) > 0.1


def test_estimates_above_the_mixture_are_brought_down():
    """Waveform models can exceed the mixture; a clamp alone would leave them there."""
    sources, mixture, roll = scene()
    sources = (sources + 1.5 * mixture[:, None]).requires_grad_()
    soft_harmonic_loss(sources, mixture, roll, TEMPLATES).backward()
    assert (sources.grad > 0).all()
