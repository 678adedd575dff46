"""Score-informed factorization: against Lee and Seung's formula, and on signals with an answer."""

import numpy as np
import pytest
import torch
from tiny import HOP, N_FFT, NAMES, RATE, random_notes, render, stft, templates

from asteroid_scoresup.score import (
    Factors,
    Notes,
    hit_roll,
    onset_roll,
    score_informed_nmf,
    soft_masks,
    sounding_roll,
)
from asteroid_scoresup.score.defaults import GAIN_SHRINKAGE
from asteroid_scoresup.score.informed import soft_masks_of_batch


def song(seed=0, seconds=4.0):
    notes = random_notes(np.random.default_rng(seed), seconds)
    sources = torch.from_numpy(render(notes, seconds))
    size = (len(NAMES), stft().n_frames(sources.shape[1]), stft().grid)
    magnitude = stft().magnitude(stft()(torch.cat([sources.sum(0, keepdim=True), sources])))
    return magnitude[0], magnitude[1:], sounding_roll(notes, *size), onset_roll(notes, *size)


def test_onsets_are_where_notes_are_struck():
    notes = Notes([0.16, 0.5], [0.4, 0.51], [40, 60], [0, 1], [90, 90])
    roll = onset_roll(notes, 2, 60, stft().grid, before=1, after=2)
    assert roll[0].nonzero().flatten().tolist() == [9, 10, 11, 12]  # 0.16 s is frame 10
    assert roll[1].nonzero().flatten().tolist() == [30, 31, 32, 33]  # 0.505 s is nearest to 32
    at_the_edge = onset_roll(notes.replace(onset=[0.0, 0.5]), 2, 60, stft().grid)
    assert at_the_edge[0].nonzero().flatten().tolist() == [6, 7, 8, 9] or at_the_edge[0, 0] == 1


def divergence(target, model):
    return float((target * np.log(target / model) - target + model).sum())


def test_the_updates_are_those_of_lee_and_seung():
    magnitude, _, sounding, onsets = song()
    factors = score_informed_nmf(
        magnitude, sounding, onsets, templates(), iterations=3, attack=0.05
    )
    # The same in plain NumPy.
    source, pitch = np.nonzero(sounding.amax(-1).numpy() > 0)
    spectra = templates().weights.numpy()[pitch].astype(np.float64)
    spectra = np.concatenate([spectra, np.full((3, len(magnitude)), 0.05)])
    levels = np.concatenate([sounding.numpy()[source, pitch], onsets.numpy()]).astype(np.float64)
    target = magnitude.numpy().astype(np.float64) + 1e-9
    levels *= target.sum() / (spectra.T @ levels).sum()
    previous = np.inf
    for _ in range(3):
        ratio = target / (spectra.T @ levels + 1e-9)
        levels *= (spectra @ ratio) / (spectra.sum(1, keepdims=True) + 1e-9)
        ratio = target / (spectra.T @ levels + 1e-9)
        spectra *= (levels @ ratio.T) / (levels.sum(1, keepdims=True) + 1e-9)
        now = divergence(target, spectra.T @ levels + 1e-9)
        assert now < previous  # what the updates promise
        previous = now
    model = factors.templates.T @ factors.activations
    np.testing.assert_allclose(model.numpy(), spectra.T @ levels, rtol=2e-3, atol=1e-5)
    assert factors.class_index.tolist() == [*source.tolist(), 0, 1, 2]
    torch.testing.assert_close(factors.templates.sum(1), torch.ones(len(factors.templates)))


def test_what_the_score_forbids_stays_zero():
    magnitude, _, sounding, onsets = song()
    factors = score_informed_nmf(magnitude, sounding, onsets, templates())
    keys = (sounding.amax(-1) > 0).nonzero()
    for k, (source, pitch) in enumerate(keys.tolist()):
        assert factors.class_index[k] == source
        assert (factors.templates[k][templates().binary[pitch] == 0] == 0).all()
        assert (factors.activations[k][sounding[source, pitch] == 0] == 0).all()


def test_shares_come_nearer_to_the_truth_than_the_harmonic_masks():
    errors = {"informed": 0.0, "soft": 0.0}
    for seed in range(4):
        magnitude, truth, sounding, onsets = song(seed)
        factors = score_informed_nmf(magnitude, sounding, onsets, templates())
        for name, share in (
            ("informed", soft_masks(factors, 3)),
            ("soft", templates().soft_mask(sounding)),
        ):
            errors[name] += float((share * magnitude - truth).abs().sum() / truth.abs().sum())
    assert errors["informed"] < 0.8 * errors["soft"]


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0])
def test_masks_are_powers_of_the_estimates_and_have_gradients(power):
    rng = np.random.default_rng(0)
    templates, activations = rng.random((5, 9)), rng.random((5, 7))
    index = np.array([0, 1, -1, 1, 0])
    estimates = [templates[index == i].T @ activations[index == i] for i in (0, 1, -1)]
    powers = np.stack(estimates) ** power
    expected = (powers / powers.sum(0))[:2]
    factors = Factors(*map(torch.from_numpy, (templates, activations, index)))
    np.testing.assert_allclose(soft_masks(factors, 2, power), expected, rtol=1e-9)
    batch = Factors(*(part.unsqueeze(0) for part in factors[:3]))
    np.testing.assert_allclose(soft_masks_of_batch(batch, 2, power)[0], expected, rtol=1e-9)
    assert np.array_equal(factors.templates, templates)  # inputs are left as they are

    def masks(templates, activations):
        return soft_masks(Factors(templates, activations, factors.class_index), 2, power)

    inputs = [part.clone().requires_grad_() for part in factors[:2]]
    assert torch.autograd.gradcheck(masks, inputs)


def test_shares_sum_to_one_where_anything_is_known():
    magnitude, _, sounding, onsets = song()
    share = soft_masks(score_informed_nmf(magnitude, sounding, onsets, templates()), 3)
    total = share.sum(0)
    assert share.min() >= 0
    assert ((total - 1).abs() < 1e-4).logical_or(total == 0).all()
    assert (total > 0).float().mean() > 0.3
    silent = torch.zeros_like(magnitude)
    assert torch.isfinite(
        soft_masks(score_informed_nmf(silent, sounding, onsets, templates()), 3)
    ).all()
    assert share.shape[1] == N_FFT // 2 + 1


def test_what_belongs_to_no_class_gets_components_of_its_own():
    magnitude, truth, sounding, onsets = song(seconds=6.0)
    drum = torch.zeros_like(magnitude)
    generator = torch.Generator().manual_seed(1)
    drum[:, ::24] = 0.02 * torch.rand(len(magnitude), 1, generator=generator)
    mixture = magnitude + drum
    error = {}
    for free in (0, 6):
        share = soft_masks(score_informed_nmf(mixture, sounding, onsets, templates(), free=free), 3)
        assert share.sum(0).max() < 1 + 1e-4
        error[free] = float((share * mixture - truth).abs().sum() / truth.abs().sum())
    assert error[6] < 0.85 * error[0]
    assert (share.sum(0) < 0.5)[:, ::24].float().mean() > 0.5  # most of the drum is nobody's


def test_equal_channels_give_the_factors_of_one():
    magnitude, _, sounding, onsets = song()
    alone = score_informed_nmf(magnitude, sounding, onsets, templates())
    both = score_informed_nmf(torch.stack([magnitude, magnitude]), sounding, onsets, templates())
    torch.testing.assert_close(both.gains, torch.ones(len(alone.templates), 2))
    torch.testing.assert_close(both.templates, alone.templates, rtol=1e-3, atol=1e-6)
    masks = soft_masks(both, 3)
    assert masks.shape == (2, 3, *magnitude.shape)
    torch.testing.assert_close(masks[1], soft_masks(alone, 3), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("n_panned", [0, 2])
def test_channels_are_fitted_by_the_updates_of_the_tensor_factorization(n_panned):
    magnitude, truth, sounding, onsets = song()
    target = torch.stack([magnitude, 0.3 * magnitude + 0.5 * truth[0]])
    options = dict(iterations=2, n_panned=n_panned)
    factors = score_informed_nmf(target, sounding, onsets, templates(), **options)
    # The same in plain NumPy, with all channels in one product.
    source, pitch = np.nonzero(sounding.amax(-1).numpy() > 0)
    w = np.concatenate([templates().weights.numpy()[pitch], np.full((3, len(magnitude)), 0.02)])
    h = np.concatenate([sounding.numpy()[source, pitch], onsets.numpy()])
    w, h, x = (array.astype(np.float64) for array in (w, h, target.numpy() + 1e-9))
    g, einsum = np.ones((len(w), 2)), np.einsum
    h *= x.mean(0).sum() / (w.T @ h).sum()
    for _ in range(2):
        ratio = x / (einsum("kc,kf,kt->cft", g, w, h) + 1e-9)
        h *= einsum("kc,kf,cft->kt", g, w, ratio) / (einsum("kc,kf->k", g, w)[:, None] + 1e-9)
        ratio = x / (einsum("kc,kf,kt->cft", g, w, h) + 1e-9)
        new_w = w * einsum("kc,kt,cft->kf", g, h, ratio)
        new_w /= einsum("kc,kt->k", g, h)[:, None] + 1e-9
        mass = einsum("kf,kt->k", w, h)
        g *= einsum("kf,kt,cft->kc", w, h, ratio) / (mass[:, None] + 1e-9)
        g /= g.mean(1, keepdims=True).clip(1e-9)
        for index in range(n_panned):  # the classes of notes and attacks
            rows = np.flatnonzero(np.concatenate([source, np.arange(3)]) == index)
            mean = np.average(g[rows], axis=0, weights=mass[rows])
            g[rows] += GAIN_SHRINKAGE * (mean - g[rows])
        h, w = h * new_w.sum(1, keepdims=True), new_w / new_w.sum(1, keepdims=True)
    found = torch.einsum("kc,kf,kt->cft", factors.gains, factors.templates, factors.activations)
    np.testing.assert_allclose(
        found.numpy(), einsum("kc,kf,kt->cft", g, w, h), rtol=5e-3, atol=1e-5
    )


def test_panning_tells_instruments_apart():
    """An octave apart and together, they share half of their partials."""
    low = random_notes(np.random.default_rng(0), 6.0, n_src=1).transposed([12])
    notes = Notes.concatenate([low, low.replace(pitch=low.pitch + 12, class_index=[1] * len(low))])
    sources = torch.from_numpy(render(notes, 6.0, n_src=2))
    pan = torch.tensor([[1.0, 0.3], [0.2, 0.9]])
    channels = torch.einsum("sc,st->cst", pan, sources)
    truth = stft().magnitude(stft()(channels.flatten(0, 1))).unflatten(0, (2, 2))
    mixture = stft().magnitude(stft()(channels.sum(1)))
    size = (2, mixture.shape[-1], stft().grid)
    rolls = sounding_roll(notes, *size), onset_roll(notes, *size)

    def error(masks):
        return float((masks * mixture.unsqueeze(1) - truth).abs().sum() / truth.abs().sum())

    factors = score_informed_nmf(mixture, *rolls, templates())
    mean = mixture.square().mean(0).sqrt()  # what a factorization of one channel receives
    alone = soft_masks(score_informed_nmf(mean, *rolls, templates()), 2)
    assert error(soft_masks(factors, 2)) < 0.7 * error(alone)
    for index in (0, 1):
        gains = factors.gains[:-2][factors.class_index[:-2] == index].mean(0)
        torch.testing.assert_close(gains, 2 * pan[index] / pan[index].sum(), atol=0.1, rtol=0)


def test_hits_sound_from_their_onset_on():
    notes = Notes([0.16, 0.24, 0.5], [0.17, 0.25, 0.6], [38, 38, 42], [1, 1, 0], [127, 64, 127])
    options = dict(before=1, decay=0.1, seconds=0.2)
    roll = hit_roll(notes, 2, 40, stft().grid, **options)
    frames = np.arange(40) * HOP / RATE
    expected = np.zeros(40)
    for onset, velocity in ((0.16, 127), (0.24, 64)):
        first = round(onset * RATE / HOP)
        inside = (np.arange(40) >= first - 1) & (np.arange(40) < first + round(0.2 * RATE / HOP))
        amplitude = velocity / 127 * np.exp(-np.maximum(frames - onset, 0) / 0.1)
        expected = np.maximum(expected, inside * amplitude)
    np.testing.assert_allclose(roll[1, 38].numpy(), expected, atol=1e-6)
    assert roll[0, 42].any() and roll.count_nonzero() == roll[1, 38].count_nonzero() + len(
        roll[0, 42].nonzero()
    )
    outside = notes.replace(pitch=[38, 200, 38], class_index=[2, 0, -1])
    assert not hit_roll(outside, 2, 40, stft().grid).any()


@pytest.mark.parametrize("drums_are_a_class", [True, False])
def test_drums_have_components_of_their_own(drums_are_a_class):
    magnitude, truth, sounding, onsets = song(seconds=6.0)
    grid, frames = stft().grid, magnitude.shape[1]
    times = np.arange(0.3, 5.5, 0.37)
    kit = Notes(
        times, times + 0.05, np.resize([36, 38], len(times)), [3] * len(times), [100] * len(times)
    )
    hits = hit_roll(kit, 4, frames, grid)
    colors = torch.rand(2, len(magnitude), generator=torch.Generator().manual_seed(1))
    drum = 0.05 * colors.T @ hits[3, [36, 38]]
    mixture = magnitude + drum
    sounding = torch.cat([sounding, torch.zeros_like(sounding[:1])])
    onsets = torch.cat([onsets, torch.zeros_like(onsets[:1])])
    factors = score_informed_nmf(mixture, sounding, onsets, templates(), hits=hits)
    kinds = factors.class_index.tolist()
    assert kinds.count(3) == 1 + 2  # an attack, which stays silent, and two keys
    without = score_informed_nmf(mixture, sounding, onsets, templates())
    error = {}
    for name, found in (("hits", factors), ("none", without)):
        if not drums_are_a_class:  # their components then belong to no class
            index = found.class_index
            found = found._replace(class_index=index.masked_fill(index == 3, -1))
        masks = soft_masks(found, 4 if drums_are_a_class else 3)
        error[name] = float((masks[:3] * mixture - truth).abs().sum() / truth.sum())
        if drums_are_a_class and name == "hits":
            assert float((masks[3] * mixture - drum).abs().sum() / drum.sum()) < 0.5
    assert error["hits"] < 0.6 * error["none"]


def test_channels_without_notes_have_no_masks():
    magnitude, grid = torch.rand(2, N_FFT // 2 + 1, 20), stft().grid
    sounding, onsets = (r(Notes.empty(), 3, 20, grid) for r in (sounding_roll, onset_roll))
    factors = score_informed_nmf(magnitude, sounding, onsets, templates(), 2)
    assert not soft_masks(factors, 3).any()
