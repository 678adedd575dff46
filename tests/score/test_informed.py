"""Score-informed factorization: against Lee and Seung's formula, and on signals with an answer."""

import numpy as np
import torch
from tiny import N_FFT, NAMES, random_notes, render, stft, templates

from asteroid_scoresup.score import Notes, onset_roll, score_informed_nmf, soft_masks, sounding_roll


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
