"""Training of a network that separates with a score and without one."""

import numpy as np
import pytest
import torch
from tiny import HOP, N_FFT, NAMES, NET, write_folder
from torch.utils.data import ConcatDataset

from asteroid_scoresup.engine import fit
from asteroid_scoresup.engine.ensembles import parts_of, played
from asteroid_scoresup.engine.refinement_dataset import RefinementDataset, ensemble_loader
from asteroid_scoresup.engine.refiner_system import RefinerSystem
from asteroid_scoresup.losses.refinement import refinement_loss
from asteroid_scoresup.models import ScoreGuidedSeparator

CLASSES = ["piano", "bass", "guitar"]  # in another order than that of the data
SIZE = dict(n_fft=N_FFT, hop_length=HOP, segment=0.5)


@pytest.fixture
def manifest(tmp_path):
    return write_folder(tmp_path / "prepared")


def network(seed=0):
    torch.manual_seed(seed)
    return ScoreGuidedSeparator(CLASSES, **NET, pitch_chan=8)


def test_ensembles_have_fixed_classes(manifest):
    """A class that is not kept is silent and has no notes; the others are in the given order."""
    manifest.mixture = "song"
    track = manifest.select("train")[0]
    stems = {name: manifest.read_stem(track, name) for name in NAMES}
    n_kept = []
    for seed in range(60):
        made = parts_of(manifest, track, np.random.default_rng(seed), CLASSES)
        assert made.group == (0, 1, 2) and len(made.signals) == 4
        sounds = made.signals[:-1].any(1)
        n_kept.append(sounds.sum())
        index = set(made.notes.class_index.tolist())
        for row, name in enumerate(CLASSES):
            assert (row in index) == sounds[row]
            if sounds[row]:
                gain = made.signals[row] @ stems[name] / (stems[name] @ stems[name])
                np.testing.assert_allclose(made.signals[row], gain * stems[name], atol=1e-5)
        assert index <= {0, 1, 2, 3}
    assert set(n_kept) == {2, 3} and n_kept.count(3) > 30


def test_classes_must_be_in_the_data(manifest):
    with pytest.raises(ValueError, match="has no class 'drums': prepare it with the classes of"):
        RefinementDataset(manifest, "train", classes=["bass", "drums"], **SIZE)
    with pytest.raises(ValueError, match="that knows classes is trained with supervision 'stems'"):
        RefinementDataset(manifest, "train", "mixtures", classes=["bass", "piano"], **SIZE)


def test_several_folders_are_one(manifest, tmp_path):
    other = write_folder(tmp_path / "other", seed=5)
    both = RefinementDataset([manifest, other], "train", n_segments=8, n_variants=1, **SIZE)
    n = len(manifest.select("train"))
    assert len(both.tracks) == 2 * n and both.data == [manifest] * n + [other] * n
    one = RefinementDataset(manifest, "train", n_segments=8, n_variants=1, **SIZE)
    np.testing.assert_array_equal(both.ensemble(0, 0).signals, one.ensemble(0, 0).signals)
    stems = [other.read_stem(both.tracks[n], name) for name in NAMES]
    made = both.ensemble(n, 0).signals
    # A sum of the stems of this song, at other levels.
    residual = made.sum(0) - np.linalg.lstsq(np.stack(stems).T, made.sum(0))[0] @ np.stack(stems)
    assert np.abs(residual).max() < 1e-4
    third = write_folder(tmp_path / "third", n_src=2)
    with pytest.raises(ValueError, match="has other classes or another sample rate than"):
        RefinementDataset([manifest, third], "train", **SIZE)


@pytest.mark.slow
def test_factorizations_made_side_by_side_are_those_made_when_needed(manifest):
    dataset = RefinementDataset(manifest, "train", n_segments=4, n_variants=2, **SIZE)
    late = [dataset.variant(n, k) for n in range(2) for k in range(2)]
    for path in manifest.root.glob("train/*/refine-*.npz"):
        path.unlink()
    dataset.fit(jobs=2)
    assert len(list(manifest.root.glob("train/*/refine-*.npz"))) == 2 * len(dataset.tracks)
    for mine, number in zip(late, [(0, 0), (0, 1), (1, 0), (1, 1)]):
        found = dataset.variant(*number)
        np.testing.assert_array_equal(found.signals, mine.signals)
        torch.testing.assert_close(found.factors.activations, mine.factors.activations)


def test_items_are_at_the_nominal_level(manifest):
    dataset = RefinementDataset(manifest, "train", n_segments=1, **{**SIZE, "segment": 10.0})
    variant = dataset.variant(0, 0)
    level = np.square(variant.signals.astype(float).sum(0)).mean() ** 0.5
    assert level * variant.gain == pytest.approx(0.1, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("score_dropout", [0.0, 1.0])
def test_one_batch_is_overfitted_with_a_score_and_without(manifest, score_dropout):
    dataset = RefinementDataset(manifest, "train", n_segments=2, classes=CLASSES, **SIZE)
    batch, model = [dataset[0], dataset[1]], network()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    system = RefinerSystem(model, optimizer, None, score_dropout=score_dropout)
    losses = []
    for _ in range(40):
        loss = system.common_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # In dB; with a score, it starts from the masks of the factorization.
    assert losses[-1] < losses[0] - (1.0 if score_dropout else 0.3)


@torch.no_grad()
def test_without_a_score_the_level_counts(manifest):
    """Masks of half the size have the same loss with a score, and a higher one without."""
    dataset = RefinementDataset(manifest, "train", n_segments=2, classes=CLASSES, **SIZE)
    item = next(dataset.item(dataset.variant(n, 0), 0.5) for n in range(len(dataset.tracks)))
    true = (item.projection / item.magnitude.square().clamp(min=1e-9)).clamp(0, 1)
    sounds = item.energy > 0.01 * item.magnitude.square().sum()
    whole, half = (refinement_loss(m, item)[sounds] for m in (true, true / 2))
    torch.testing.assert_close(whole, half, atol=0.01, rtol=0)
    exact, low = (refinement_loss(m, item, False)[sounds] for m in (true, true / 2))
    assert (low > exact + 1).all() and (exact >= whole - 1e-4).all()


@torch.no_grad()
def test_a_score_is_dropped_only_where_all_classes_that_sound_are_targets(manifest):
    dataset = RefinementDataset(manifest, "train", n_segments=2, classes=CLASSES, **SIZE)
    found = {True: 0, False: 0}
    system = RefinerSystem(network(), None, None, score_dropout=1.0)
    for number in range(len(dataset.tracks)):
        for k in range(8):
            variant = dataset.variant(number, k)
            n_played = len(played(dataset.tracks[number]))
            assert variant.is_complete == (variant.signals[:-1].any(1).sum() == n_played)
            item = dataset.item(variant, 0.5)
            expected = system._without_score if item.is_complete else system._with_score
            torch.testing.assert_close(system.common_step([item], 0), expected(item).mean())
            found[item.is_complete] += 1
    assert min(found.values()) > 0


@pytest.mark.slow
def test_training_says_what_it_does_with_and_without_a_score(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("asteroid_scoresup.engine.ensembles._ALL", 1.0)  # complete items
    train = RefinementDataset(
        manifest, "train", n_segments=4, n_variants=1, classes=CLASSES, **SIZE
    )
    dev = RefinementDataset(manifest, "validation", classes=CLASSES, **SIZE)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    loaders = ensemble_loader(train, 2), ensemble_loader(ConcatDataset([dev, dev]), 1)
    system = RefinerSystem(model, optimizer, *loaders, score_dropout=0.5)
    best = fit(system, tmp_path / "exp", 3, quiet=True)
    metrics = {k: float(v) for k, v in system.trainer.callback_metrics.items()}
    assert {"val_sdr", "val_gain", "val_without"} <= set(metrics)
    assert np.isfinite(best["best_val_loss"])
