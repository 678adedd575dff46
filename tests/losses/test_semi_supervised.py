"""Batches in which some examples have stems."""

import pytest
import torch
from asteroid.losses import multisrc_neg_sisdr
from tiny import separator, stft, templates, transcriptor, write_folder

from asteroid_scoresup.data import ScoreDataset
from asteroid_scoresup.losses import ScoreSupervisedLoss, SemiSupervisedLoss

N_FFT, HOP = 256, 64


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    manifest = write_folder(tmp_path_factory.mktemp("prepared"))
    data = ScoreDataset(
        manifest, "train", "both", 1.024, 6, N_FFT, HOP, stem_fraction=1 / 3, stem_draw=0.5
    )
    mixture, targets = torch.utils.data.default_collate(list(data))
    targets["has_stems"] = torch.tensor([True, False, False, True, False, False])
    targets["sources"][~targets["has_stems"]] = 0
    return mixture, targets


def score_loss(**weights):
    weights = weights or {"transcription": 0.2, "clip": 0.5, "soft_harmonic": 1.0}
    critic = transcriptor() if "transcription" in weights else None
    return ScoreSupervisedLoss(weights, stft(), critic, templates())


def subset(targets, chosen):
    return {key: value[chosen] for key, value in targets.items()}


@pytest.mark.parametrize("waveforms", [False, True])
def test_it_is_the_mean_over_the_examples(batch, waveforms):
    mixture, targets = batch
    model, has = separator(), targets["has_stems"]
    with torch.no_grad():
        estimates = model(mixture) if waveforms else model.spectrograms(mixture)
        stems = score_loss(mask_approximation=1.0)
        found = SemiSupervisedLoss(score_loss(), stems, stem_weight=3.0)(estimates, targets)
        total = 0
        for i in range(6):
            one = slice(i, i + 1)
            part = estimates[one] if waveforms else tuple(x[one] for x in estimates)
            loss = stems if has[i] else score_loss()
            total += (3.0 if has[i] else 1.0) * loss(part, subset(targets, one))
    torch.testing.assert_close(found, total / 6)


def test_a_loss_of_asteroid_receives_the_examples_with_stems(batch):
    mixture, targets = batch
    has = targets["has_stems"]
    estimates = mixture.unsqueeze(1) * torch.rand(6, 3, 1).requires_grad_()
    loss = SemiSupervisedLoss(score_loss(clip=1.0), multisrc_neg_sisdr)
    found = loss(estimates, targets)
    expected = multisrc_neg_sisdr(estimates[has], targets["sources"][has]).mean() / 3
    expected = expected + score_loss(clip=1.0)(estimates[~has], subset(targets, ~has)) * 2 / 3
    torch.testing.assert_close(found, expected)
    assert set(loss.last_terms) == {"clip", "stems_loss"}


def test_sources_of_examples_without_stems_are_ignored(batch):
    mixture, targets = batch
    wrong = {**targets, "sources": targets["sources"].clone()}
    wrong["sources"][~targets["has_stems"]] = torch.nan
    loss = SemiSupervisedLoss(score_loss(), score_loss(magnitude_approximation=1.0))
    estimates = separator().spectrograms(mixture)
    torch.testing.assert_close(loss(estimates, wrong), loss(estimates, targets))


@pytest.mark.parametrize("everyone", [True, False])
def test_all_examples_of_a_batch_may_be_of_one_kind(batch, everyone):
    mixture, targets = batch
    targets = {**targets, "has_stems": torch.full((6,), everyone)}
    estimates = separator().spectrograms(mixture)
    score, stems = score_loss(), score_loss(magnitude_approximation=1.0)
    found = SemiSupervisedLoss(score, stems)(estimates, targets)
    torch.testing.assert_close(found, (stems if everyone else score)(estimates, targets))


def test_has_stems_is_required_in_training_and_optional_in_validation(batch):
    mixture, targets = batch
    targets = {key: value for key, value in targets.items() if key != "has_stems"}
    loss = SemiSupervisedLoss(score_loss(), score_loss(magnitude_approximation=1.0))
    estimates = separator().spectrograms(mixture)
    with pytest.raises(ValueError, match="has_stems"):
        loss(estimates, targets)
    torch.testing.assert_close(loss.eval()(estimates, targets), score_loss()(estimates, targets))
