"""Batches that are finished on the device where they are used."""

import pickle

import pytest
import torch
from tiny import HOP, N_FFT, loaders, step_two, transcriptor, write_folder
from torch.utils.data import default_collate

from asteroid_scoresup.data import ScoreDataset, ScoreInformedMasks, make_loader
from asteroid_scoresup.data.batches import DeferredBatch
from asteroid_scoresup.engine import fit, training_loaders

SHARED = dict(segment=1.024, n_fft=N_FFT, hop_length=HOP)
RANDOM = dict(n_segments=12, gain_db=3.0, eq_db=4.0, **SHARED)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def masks(manifest):
    return ScoreInformedMasks(manifest, N_FFT, HOP, n_partials=6)


@pytest.mark.parametrize(
    "options",
    [
        {**RANDOM},
        {**RANDOM, "eq_db": 0.0},
        {**RANDOM, "remix": 0.5},
        {**RANDOM, "varispeed": 3, "with_masks": True},
        {**RANDOM, "targets": "both", "stem_fraction": 0.4, "with_masks": True},
        {**SHARED, "targets": "both", "with_masks": True},
    ],
    ids=["equalizer", "plain", "sums", "masks", "stems", "fixed segments"],
)
def test_batches_are_the_same_either_way(manifest, masks, options):
    options = dict(options)
    if options.pop("with_masks", False):
        options["soft_masks"] = masks
    plain, deferred = (
        ScoreDataset(manifest, "train", deferred=flag, **options) for flag in (False, True)
    )
    n_batches = 0
    for expected, batch in zip(make_loader(plain, 4), make_loader(deferred, 4)):
        assert isinstance(batch, DeferredBatch) and len(batch) == len(expected[0])
        mixture, targets = batch.to("cpu")
        assert set(targets) == set(expected[1])
        torch.testing.assert_close((mixture, targets), tuple(expected), rtol=1e-3, atol=1e-5)
        n_batches += 1
    assert n_batches > 0


def test_they_pass_through_loader_processes_and_unpack(manifest, masks):
    data = ScoreDataset(manifest, "train", deferred=True, soft_masks=masks, **RANDOM)
    one, other = (list(make_loader(data, 4, workers)) for workers in (0, 1))
    for batch, sent in zip(one, other):
        mixture, targets = sent
        expected = batch.to("cpu")
        assert torch.equal(mixture, expected[0])
        assert torch.equal(targets["soft_masks"], expected[1]["soft_masks"])
    again = pickle.loads(pickle.dumps(one[0]))
    assert torch.equal(again.to("cpu")[0], one[0].to("cpu")[0])


def test_factors_take_less_memory_than_their_masks(manifest, masks):
    data = ScoreDataset(manifest, "train", deferred=True, soft_masks=masks, **RANDOM)
    batch = next(iter(make_loader(data, 4)))
    sent = sum(batch.tensors[key].nbytes for key in ("templates", "activations", "class_index"))
    assert sent < batch.to("cpu")[1]["soft_masks"].nbytes


def test_stems_alone_cannot_be_deferred(manifest):
    with pytest.raises(ValueError, match="deferred items have a dict of targets"):
        ScoreDataset(manifest, "train", "stems", deferred=True, **RANDOM)


def test_stems_alone_are_equalized_like_the_mixture(manifest):
    data = ScoreDataset(manifest, "train", "stems", **RANDOM)
    mixture, stems = data[3]
    torch.testing.assert_close(stems.sum(0), mixture, rtol=1e-4, atol=1e-5)
    both = ScoreDataset(manifest, "train", "both", **RANDOM)[3]
    assert torch.equal(stems, both[1]["sources"]) and torch.equal(mixture, both[0])


def test_default_items_collate_as_in_torch(manifest):
    data = ScoreDataset(manifest, "train", **RANDOM)
    batch = next(iter(make_loader(data, 4)))
    expected = default_collate([data[i] for i in range(4)])
    torch.testing.assert_close(batch, expected, rtol=0, atol=0)


@pytest.mark.slow
def test_a_training_is_the_same_either_way(manifest, tmp_path):
    """Lightning finishes them when it moves a batch to its device."""
    losses = []
    for flag in (False, True):
        critic = transcriptor()
        system = step_two(manifest, critic=critic)
        system.train_loader, system.val_loader = loaders(manifest, deferred=flag)
        losses.append(fit(system, tmp_path / str(flag), 2, quiet=True, precision="32-true"))
    assert losses[0]["best_val_loss"] == pytest.approx(losses[1]["best_val_loss"], rel=1e-3)


def test_the_recipe_defers_where_there_is_a_gpu(manifest, monkeypatch):
    for available in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        pair = training_loaders(manifest, 8, 4, **SHARED)
        assert [loader.dataset.deferred for loader in pair] == [available] * 2
        assert [loader.pin_memory for loader in pair] == [available] * 2
