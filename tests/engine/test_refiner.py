"""Training material and training of a mask refiner."""

import numpy as np
import pytest
import torch
from tiny import HOP, N_FFT, write_folder

from asteroid_scoresup.data.classes import ClassMap
from asteroid_scoresup.engine import fit
from asteroid_scoresup.engine.ensembles import damage, parts_of
from asteroid_scoresup.engine.refinement_dataset import RefinementDataset, ensemble_loader
from asteroid_scoresup.engine.refiner_system import RefinerSystem
from asteroid_scoresup.losses.refinement import refinement_loss
from asteroid_scoresup.models import MaskRefiner
from asteroid_scoresup.models.mask_refiner import class_estimates
from asteroid_scoresup.score import Notes

SIZE = dict(n_fft=N_FFT, hop_length=HOP, segment=0.5)


@pytest.fixture
def manifest(tmp_path):
    return write_folder(tmp_path / "prepared")


def network(seed=0):
    torch.manual_seed(seed)
    return MaskRefiner(channels=8, n_blocks=2, bins=4, sample_rate=4000)


def test_items_are_exact_parts_of_the_whole(manifest):
    """Spectra of a segment are those of the whole signal, at both ends and in between."""
    dataset = RefinementDataset(manifest, "train", n_segments=3, **SIZE)
    variant = dataset.variant(1, 0)
    factors = variant.factors
    signals = torch.from_numpy(variant.signals).float() * variant.gain
    whole = dataset.stft(signals) * dataset.stft.scale
    mixture = whole.sum(0)
    last = whole.shape[-1] - dataset.n_frames
    for place in (0.0, 0.4, 1.0):
        item = dataset.item(variant, place)
        first = int(place * last)
        part = slice(first, first + dataset.n_frames)
        torch.testing.assert_close(item.magnitude, mixture[..., part].abs(), atol=1e-5, rtol=1e-4)
        truth = whole[: len(variant.group), :, part]
        torch.testing.assert_close(
            item.projection, (mixture[..., part].conj() * truth).real, atol=1e-5, rtol=1e-4
        )
        torch.testing.assert_close(item.energy, truth.abs().square().sum((1, 2)), rtol=1e-3, atol=0)
        expected = class_estimates(
            item.magnitude,
            factors._replace(activations=factors.activations[:, part]),
            len(variant.group),
        )
        torch.testing.assert_close(item.estimates, expected)


def test_true_masks_have_a_lower_loss_than_those_of_the_factorization(manifest):
    item = RefinementDataset(manifest, "train", n_segments=3, **SIZE)[0]
    true = (item.projection / item.magnitude.square().clamp(min=1e-9)).clamp(0, 1)
    plain = network().masks(item.magnitude, item.estimates)
    assert (refinement_loss(true, item) < refinement_loss(plain, item)).all()


def test_items_depend_on_seed_and_number_only(manifest):
    one, other = (RefinementDataset(manifest, "train", n_segments=2, **SIZE) for _ in range(2))
    later = one[5]
    other[0]
    for mine, its in zip(later, other[5]):
        torch.testing.assert_close(mine, its)
    different = RefinementDataset(manifest, "train", n_segments=2, seed=1, **SIZE)[5]
    assert later.magnitude.shape != different.magnitude.shape or not torch.equal(
        later.magnitude, different.magnitude
    )


def test_mixtures_need_no_stem(manifest):
    """A sum of two songs: the classes of each belong to one group."""
    for path in manifest.root.glob("*/*/stems/*"):
        path.unlink()
    dataset = RefinementDataset(manifest, "train", "mixtures", n_segments=2, **SIZE)
    item = dataset[0]
    assert item.group.tolist() == [0, 0, 0, 1, 1, 1]
    assert len(item.estimates) == 7
    # The two mixtures add up to the input.
    torch.testing.assert_close(
        item.projection.sum(0), item.magnitude.square(), atol=1e-5, rtol=1e-3
    )
    with pytest.raises(ValueError, match="lacks stems; train with mixtures instead"):
        RefinementDataset(manifest, "train", "stems", **SIZE)


def test_songs_with_other_sounds_are_no_mixtures_to_learn_from(manifest):
    manifest.mixture = "song"
    with pytest.raises(ValueError, match="run `prepare --mixture submix`"):
        RefinementDataset(manifest, "train", "mixtures", **SIZE)


@pytest.mark.parametrize("supervision", ["stems", "mixtures"])
def test_drums_have_components_without_partials(manifest, supervision):
    """As in the masks of a separation: one component per key, which may have any spectrum."""
    manifest.classes = ClassMap.parse("bass=32-39;guitar=drums;piano=0-7")
    dataset = RefinementDataset(manifest, "train", supervision, n_segments=1, **SIZE)
    for number in range(len(dataset.tracks)):
        made, factors = dataset.ensemble(number, 0), dataset.variant(number, 0).factors
        struck = made.notes.select(np.isin(made.notes.class_index, made.unpitched))
        if len(struck):
            break
    assert len(struck)
    classes = factors.class_index.tolist()
    for index in set(made.unpitched) & set(range(len(made.group))):
        keys = set(struck.pitch[struck.class_index == index])
        own = factors.templates[factors.class_index == index]
        # One for each key, and one for the noise of attacks, of which a drum has none.
        assert classes.count(index) == len(keys) + 1
        assert (own[-len(keys) :] > 0).float().mean() > 0.7  # half precision


def test_keys_of_drums_are_not_damaged():
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 100, 400))
    notes = Notes(times, times + 0.1, rng.integers(35, 60, 400), np.arange(400) % 2, [90] * 400)
    moved = 0
    for seed in range(30):
        found = damage(notes, np.random.default_rng(seed), unpitched=(1,))
        keys, pitches = [notes.pitch[notes.class_index == i].tolist() for i in (1, 0)]
        if len(found) == len(notes):
            assert found.pitch[found.class_index == 1].tolist() == keys
            moved += found.pitch[found.class_index == 0].tolist() != pitches
    assert moved


def test_unknown_supervision_is_refused(manifest):
    with pytest.raises(ValueError, match="supervision is one of stems, mixtures, found 'score'"):
        RefinementDataset(manifest, "train", "score", **SIZE)


def test_damaged_factors_are_named(manifest):
    dataset = RefinementDataset(manifest, "train", n_segments=1, **SIZE)
    dataset.variant(0, 0)
    path = next(manifest.root.glob("train/*/refine-*.npz"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"{path.name} is damaged .*: delete it"):
        dataset.variant(0, 0)


def test_a_sum_is_fitted_again_if_the_score_of_the_other_song_changes(manifest):
    dataset = RefinementDataset(manifest, "train", "mixtures", n_segments=1, **SIZE)
    dataset.variant(0, 0)
    before = set(manifest.root.glob("train/*/refine-*.npz"))
    number = dataset._other(0, np.random.default_rng([dataset.seed, 0, 0]))
    table = manifest.folder(dataset.tracks[number]) / "notes.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-1]) + "\n")
    dataset.variant(0, 0)
    assert len(before) == 1
    assert len(set(manifest.root.glob("train/*/refine-*.npz"))) == 2


def test_damage_is_small_and_keeps_the_order_of_times():
    rng = np.random.default_rng(0)
    onset = np.sort(rng.uniform(0, 30, 400))
    notes = Notes(onset, onset + 0.3, rng.integers(40, 80, 400), np.zeros(400), np.full(400, 90))
    kept, moved, wrong = [], [], []
    for seed in range(60):
        found = damage(notes, np.random.default_rng(seed))
        kept.append(len(found))
        if len(found) == len(notes):
            moved.append(np.abs(found.onset - notes.onset).max())
            wrong.append((found.pitch != notes.pitch).mean())
        assert (found.offset >= found.onset).all()
    assert 360 <= min(kept) < 400 == max(kept)
    assert min(moved) == 0 and 0.02 < max(moved) <= 0.05
    assert min(wrong) == 0 and 0 < max(wrong) <= 0.08


@pytest.mark.parametrize("supervision", ["stems", "mixtures"])
@pytest.mark.slow
def test_one_batch_is_overfitted(manifest, supervision):
    dataset = RefinementDataset(manifest, "train", supervision, n_segments=2, **SIZE)
    item, model = dataset[0], network()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(25):
        loss = refinement_loss(model.masks(item.magnitude, item.estimates), item).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5  # dB


@pytest.mark.slow
def test_training_resumes_and_reports_what_it_gains(manifest, tmp_path):
    train = RefinementDataset(manifest, "train", n_segments=4, n_variants=1, **SIZE)
    dev = RefinementDataset(manifest, "validation", **SIZE)

    def run(epochs):
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        loaders = ensemble_loader(train, 2), ensemble_loader(dev, 1)
        system = RefinerSystem(model, optimizer, *loaders)
        best = fit(system, tmp_path / "exp", epochs, quiet=True)
        return best, {k: float(v) for k, v in system.trainer.callback_metrics.items()}

    first, _ = run(1)
    second, metrics = run(4)
    assert (first["epochs"], second["epochs"]) == (1, 4)
    assert second["best_val_loss"] <= first["best_val_loss"]
    assert {"val_sdr", "val_gain"} <= set(metrics)


def test_parts_of_no_class_sound_and_may_be_in_the_score(manifest):
    """The signals add up to parts of the song; the notes of no class have numbers of their own."""
    manifest.mixture = "song"
    track = manifest.select("train")[0]
    found = {"alone": 0, "known": 0, "unknown": 0}
    for seed in range(120):
        made = parts_of(manifest, track, np.random.default_rng(seed))
        n_src = len(made.group)
        assert n_src in (2, 3) and len(made.signals) == n_src + 1
        index = set(made.notes.class_index.tolist())
        assert index <= {*range(n_src), n_src}
        if n_src == 3 or not np.any(made.signals[-1]):
            found["alone"] += 1
        else:
            found["known" if n_src in index else "unknown"] += 1
    assert min(found.values()) >= 2


def test_items_of_the_lowest_bins_are_parts_of_whole_items(manifest):
    whole, low = (
        RefinementDataset(manifest, "train", n_segments=2, n_bins=n, **SIZE)[1] for n in (None, 40)
    )
    torch.testing.assert_close(low.magnitude, whole.magnitude[:40])
    torch.testing.assert_close(low.estimates, whole.estimates[:, :40])
    torch.testing.assert_close(low.projection, whole.projection[:, :40])
    # Of the energy, too: true masks have as little error as the bins allow.
    assert (low.energy <= whole.energy * 1.001).all()
    single = low.projection.abs().sum((1, 2)) > 0
    assert low.energy[single].min() > 0
