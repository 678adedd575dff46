"""The network that refines score-informed masks."""

import numpy as np
import pytest
import torch

from asteroid_scoresup.models import (
    MaskRefiner,
    TCNSeparator,
    refine_masks,
    save_model,
)
from asteroid_scoresup.models.mask_refiner import class_estimates
from asteroid_scoresup.score import Factors, soft_masks

N_FREQS, N_FRAMES = 41, 90


def factors(n_src=3, free=1, seed=0):
    """Random factors of `n_src` classes with two components each."""
    generator = torch.Generator().manual_seed(seed)
    class_index = torch.tensor([*range(n_src), *range(n_src), *[-1] * free])
    templates = torch.rand(len(class_index), N_FREQS, generator=generator)
    activations = torch.rand(len(class_index), N_FRAMES, generator=generator)
    return Factors(templates, activations, class_index)


def mixture(found, seed=1):
    """Magnitudes near the model of the factors."""
    generator = torch.Generator().manual_seed(seed)
    model = found.templates.T @ found.activations
    return model * (0.5 + torch.rand(model.shape, generator=generator))


@pytest.fixture
def trained():
    """A network whose corrections are not zero."""
    torch.manual_seed(0)
    model = MaskRefiner(channels=8, n_blocks=3, bins=4)
    for layer in (model.outputs, *(b.shared for b in model.blocks)):
        torch.nn.init.normal_(layer.weight, std=0.3)
    torch.nn.init.normal_(model.no_class)
    return model.eval()


def test_untrained_networks_return_the_masks_of_the_factorization():
    found = factors()
    masks = refine_masks(mixture(found), found, 3, MaskRefiner(channels=8, n_blocks=2))
    torch.testing.assert_close(masks, soft_masks(found, 3), rtol=0, atol=1e-3)


def test_masks_are_the_softmax_of_corrected_logits(trained):
    found = factors()
    magnitude = mixture(found)
    estimates = class_estimates(magnitude, found, 3)
    with torch.no_grad():
        delta = trained.corrections(trained.features(magnitude, estimates)).double().numpy()
    assert np.abs(delta).max() > 0.1
    weights = (estimates.double().numpy() + 1e-4 * magnitude.double().numpy()) ** 1.5
    weights *= np.exp(delta)
    expected = (weights / weights.sum(0))[:3]
    found_masks = refine_masks(magnitude, found, 3, trained).numpy()
    np.testing.assert_allclose(found_masks, expected, atol=1e-4)


@pytest.mark.parametrize("free", [0, 2])
def test_masks_sum_to_one_with_that_of_no_class(free):
    found = factors(free=free)
    masks = refine_masks(mixture(found), found, 3, MaskRefiner(channels=8, n_blocks=2))
    assert masks.min() >= 0
    assert masks.sum(0).max() <= 1 + 1e-5
    assert (masks.sum(0).min() > 1 - 1e-4) == (free == 0)


def test_corrections_are_a_bias_and_weighted_log_ratios():
    """In each bin, of the estimates of the class, of the others, and of all."""
    torch.manual_seed(0)
    model, found = MaskRefiner(channels=4, n_blocks=1, bins=4), factors()
    torch.nn.init.constant_(model.outputs.bias, 0.0)
    with torch.no_grad():
        # The weights of the first ratio, in every bin, and nothing else.
        model.outputs.bias[4:8] = 0.3
    magnitude = mixture(found)
    estimates = class_estimates(magnitude, found, 3)
    features = model.features(magnitude, estimates)
    sounds = estimates[:3].amin(0) > 0.1 * magnitude  # far above the smallest estimate
    ratio = (estimates[:3] / magnitude).log() / 3
    torch.testing.assert_close(features[:3, 0, sounds], ratio[:, sounds], atol=5e-3, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(model.corrections(features), 0.3 * features[:, 0])


def test_what_belongs_to_no_class_is_another_row(trained):
    """Had its components a class of their own, only the flag of no class would differ."""
    found = factors(free=2)
    magnitude = mixture(found)
    named = found._replace(class_index=found.class_index.where(found.class_index >= 0, 3))
    torch.nn.init.zeros_(trained.no_class)
    one = refine_masks(magnitude, found, 3, trained)
    trained.no_class.data += 1
    assert not torch.allclose(refine_masks(magnitude, found, 3, trained), one, atol=1e-3)
    sums = class_estimates(magnitude, named, 4)
    torch.testing.assert_close(sums[3], class_estimates(magnitude, found, 3)[3])
    assert not sums[4].any()


def test_estimates_have_the_level_of_the_mixture_whatever_the_scale_of_the_factors():
    found = factors()
    magnitude = mixture(found)
    estimates = class_estimates(magnitude, found, 3)
    torch.testing.assert_close(estimates.sum((0, 1)), magnitude.sum(0))
    louder = found._replace(activations=7 * found.activations)
    torch.testing.assert_close(class_estimates(magnitude, louder, 3), estimates)


@pytest.mark.parametrize("chunk", [17, 64])
def test_chunks_give_the_masks_of_the_whole(trained, monkeypatch, chunk):
    found = factors()
    magnitude = mixture(found)
    magnitude[:, 40:55] = 0  # a silence
    whole = refine_masks(magnitude, found, 3, trained)
    monkeypatch.setattr("asteroid_scoresup.models.mask_refiner._CHUNK", chunk)
    torch.testing.assert_close(refine_masks(magnitude, found, 3, trained), whole)


def test_frames_beyond_the_receptive_field_do_not_count(trained):
    found = factors()
    magnitude = mixture(found)
    whole = refine_masks(magnitude, found, 3, trained)
    changed = magnitude.clone()
    changed[:, 45] *= 3
    differs = (refine_masks(changed, found, 3, trained) - whole).abs().amax((0, 1)) > 1e-6
    reach = trained.receptive_field
    assert differs[45]
    assert not differs[: 45 - reach].any() and not differs[46 + reach :].any()


def test_the_level_does_not_count(trained):
    found = factors()
    magnitude = mixture(found)
    whole = refine_masks(magnitude, found, 3, trained)
    for gain in (1e-3, 1e3):
        torch.testing.assert_close(refine_masks(gain * magnitude, found, 3, trained), whole)


def test_classes_are_equal(trained):
    """The order of the classes only orders the masks."""
    found = factors()
    magnitude = mixture(found)
    masks = refine_masks(magnitude, found, 3, trained)
    order = torch.tensor([2, 0, 1])
    number = torch.where(found.class_index < 0, -1, order[found.class_index])
    other = refine_masks(magnitude, found._replace(class_index=number), 3, trained)
    torch.testing.assert_close(other[order], masks, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_src", [1, 2, 12])
def test_any_number_of_classes(trained, n_src):
    found = factors(n_src, free=0)
    masks = refine_masks(mixture(found), found, n_src, trained)
    assert masks.shape == (n_src, N_FREQS, N_FRAMES)
    assert masks.isfinite().all()


def test_silence_and_no_frames_are_finite(trained):
    found = factors()
    silent = found._replace(activations=0 * found.activations)
    masks = refine_masks(torch.zeros(N_FREQS, N_FRAMES), silent, 3, trained)
    assert masks.isfinite().all()
    nothing = found._replace(activations=found.activations[:, :0])
    assert refine_masks(torch.zeros(N_FREQS, 0), nothing, 3, trained).shape == (3, N_FREQS, 0)


def test_gradients_reach_every_weight(trained):
    found = factors()
    trained.train()
    trained(mixture(found), found, 3).square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in trained.parameters())


def test_files_restore_the_network(trained, tmp_path):
    save_model(trained, tmp_path / "refiner.pth")
    found = factors()
    restored = MaskRefiner.from_pretrained(tmp_path / "refiner.pth")
    args = mixture(found), found, 3
    torch.testing.assert_close(refine_masks(*args, restored), refine_masks(*args, trained))


def test_other_models_are_refused(tmp_path):
    separator = TCNSeparator(
        ["a", "b"], n_fft=64, hop_length=16, n_blocks=1, n_repeats=1, bn_chan=4, hid_chan=4
    )
    save_model(separator, tmp_path / "separator.pth")
    with pytest.raises(ValueError, match="contains a TCNSeparator, expected a MaskRefiner"):
        MaskRefiner.from_pretrained(tmp_path / "separator.pth")
    with pytest.raises(FileNotFoundError, match="There is no model file"):
        MaskRefiner.from_pretrained(tmp_path / "none.pth")


def test_factors_of_another_length_are_refused(trained):
    found = factors()
    with pytest.raises(ValueError, match="The factors have 41 bins and 80 frames"):
        class_estimates(mixture(found), found._replace(activations=found.activations[:, :80]), 3)
