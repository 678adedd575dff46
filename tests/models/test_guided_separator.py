"""The separator that takes a score where there is one."""

import numpy as np
import pytest
import torch
from tiny import NAMES, NET, RATE

from asteroid_scoresup.dsp.grid import FrameGrid
from asteroid_scoresup.inference import Separator
from asteroid_scoresup.models import (
    PitchSeparator,
    ScoreGuidedSeparator,
    SourceModel,
    TCNSeparator,
    save_model,
)
from asteroid_scoresup.models.guided_separator import read_guided

SIZES = dict(NET, pitch_chan=8)
N_FREQS = NET["n_fft"] // 2 + 1
FOR_A_SCORE = ("guide_trunk", "guide_pitch", "correction_head")


def network(seed=0, **changes):
    """With random weights everywhere, so that every path counts."""
    net = untrained(seed, **changes)
    for block in [*net.blocks, *net.partial_blocks]:
        torch.nn.init.normal_(block.out, std=0.2)
    for layer in (net.guide_trunk[1], net.guide_pitch, net.correction_head[2]):
        for weight in layer.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    return net


def untrained(seed=0, **changes):
    torch.manual_seed(seed)
    return ScoreGuidedSeparator(NAMES, **{**SIZES, **changes}).eval()


def song(frames=40, seed=1, n_freqs=N_FREQS):
    generator = torch.Generator().manual_seed(seed)
    parts = torch.rand(len(NAMES) + 1, n_freqs, frames, generator=generator) * 0.05
    return parts.sum(0), parts


@torch.no_grad()
def test_untrained_it_is_the_factorization_and_the_separator_it_starts_from():
    plain = PitchSeparator(NAMES, **SIZES).eval()
    net = untrained(seed=3)
    net.load_separator(plain)
    magnitude, estimates = song()
    assert not net.all_corrections(magnitude, estimates).any()
    torch.testing.assert_close(net.masks(magnitude[None]), plain.masks(magnitude[None]))


@torch.no_grad()
def test_corrections_are_a_bias_and_weighted_log_ratios():
    """With constant outputs of the network, against the formula in plain NumPy."""
    net = untrained()
    last = net.correction_head[2]
    rng = np.random.default_rng(0)
    # (rows, bias and three weights), the same for the three bins of a pitch.
    wanted = rng.normal(size=(len(NAMES) + 1, 4)).astype(np.float32)
    last.bias.copy_(torch.from_numpy(np.repeat(wanted.ravel(), 3)))
    magnitude, estimates = song()
    found = net.all_corrections(magnitude, estimates).numpy()
    X, V = magnitude.double().numpy(), estimates.double().numpy()
    level = np.sqrt(np.square(net.log_frequency[: net.n_bins].numpy() @ X).mean(0))
    floor = 1e-3 * X + 1e-4 * level

    def ratio(part):
        return np.clip(np.log((part + floor) / (X + floor)) / 3, -3, 1.5)

    total = V.sum(0)
    for row, (bias, own, others, everything) in enumerate(wanted):
        expected = bias + own * ratio(V[row]) + others * ratio(total - V[row])
        expected = expected + everything * ratio(total)
        np.testing.assert_allclose(found[row], expected, atol=2e-4)


@torch.no_grad()
def test_frames_depend_on_the_receptive_field_only():
    net = network()
    reach = net.receptive_field
    magnitude, estimates = song(2 * reach + 30)
    whole = net.all_corrections(magnitude, estimates)
    first, stop = reach + 5, reach + 20
    part = slice(first - reach, stop + reach)
    found = net.all_corrections(magnitude[:, part], estimates[..., part])
    torch.testing.assert_close(found[..., reach:-reach], whole[..., first:stop])
    assert whole[..., first:stop].std() > 0.01
    # Beyond it, nothing changes.
    louder = estimates.clone()
    louder[..., -1] *= 3
    changed = (net.all_corrections(magnitude, louder) - whole).abs().amax((0, 1)) > 1e-6
    assert not changed[: -1 - reach].any() and changed[-1]


def test_gradients_reach_the_layers_of_their_path():
    """Without a score the layers for it have no gradient; with one, those of the plain masks."""
    net = network().train()
    magnitude, estimates = song()
    net.all_corrections(magnitude, estimates).square().mean().backward()
    with_score = {n for n, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    net.zero_grad()
    net.masks(magnitude[None]).square().mean().backward()
    without = {n for n, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    assert {n.split(".")[0] for n in with_score - without} == set(FOR_A_SCORE)
    assert {n.split(".")[0] for n in without - with_score} == {"mask_head"}


@torch.no_grad()
def test_another_rate_with_the_same_window_in_seconds():
    """A recording at three times the rate has the same bins, and more above."""
    net = network()
    magnitude, estimates = song()
    grid = net.stft.grid
    high = FrameGrid(3 * grid.n_fft, 3 * grid.hop_length, 3 * grid.sample_rate)
    size = (0, 0, 0, high.n_freqs - N_FREQS)
    padded = torch.nn.functional.pad(magnitude, size), torch.nn.functional.pad(estimates, size)
    found = net.all_corrections(*padded, high)
    assert found.shape == (len(NAMES) + 1, high.n_freqs, 40)
    assert not found[:, N_FREQS:].any()
    torch.testing.assert_close(found[:, :N_FREQS], net.all_corrections(magnitude, estimates))


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100])
@torch.no_grad()
def test_models_of_any_rate(rate):
    """The number of bins of the logarithmic axis is seldom a multiple of three."""
    net = network(sample_rate=rate, n_fft=512, hop_length=128)
    magnitude, estimates = song(n_freqs=257)
    found = net.all_corrections(magnitude, estimates)
    assert found.shape == estimates.shape and found.isfinite().all() and found.std() > 0.01


@pytest.mark.parametrize("rate", [RATE // 2, RATE * 2, round(RATE * 2.75625)])
@torch.no_grad()
def test_any_rate_gives_finite_corrections(rate):
    net = network()
    n_fft = round(NET["n_fft"] * rate / RATE / 4) * 4
    magnitude, estimates = song(n_freqs=n_fft // 2 + 1)
    found = net.all_corrections(magnitude, estimates, FrameGrid(n_fft, n_fft // 4, rate))
    assert found.shape == estimates.shape and found.isfinite().all() and found.any()


@torch.no_grad()
def test_silence_and_absent_classes_give_finite_corrections():
    net = network()
    magnitude, estimates = song()
    estimates[0] = 0
    magnitude[:, :10], estimates[..., :10] = 0, 0
    assert net.all_corrections(magnitude, estimates).isfinite().all()


def test_wrong_estimates_are_refused():
    net = untrained()
    magnitude, estimates = song()
    with pytest.raises(ValueError, match="Expected estimates of bass, guitar, piano and of no "):
        net.all_corrections(magnitude, estimates[1:])
    with pytest.raises(ValueError, match=f"have {N_FREQS - 1} bins, an STFT of {NET['n_fft']}"):
        net.all_corrections(magnitude[1:], estimates[:, 1:])


@torch.no_grad()
def test_files_keep_it_and_load_as_a_separator(tmp_path):
    net = network(power=1.2)
    save_model(net, tmp_path / "guided.pth")
    magnitude, estimates = song()
    for kind in (SourceModel, PitchSeparator, TCNSeparator):
        loaded = kind.from_pretrained(tmp_path / "guided.pth")
        assert type(loaded) is ScoreGuidedSeparator and loaded.power == 1.2
        torch.testing.assert_close(
            loaded.all_corrections(magnitude, estimates), net.all_corrections(magnitude, estimates)
        )
    noise = np.random.default_rng(0).standard_normal(2 * RATE).astype("float32") * 0.1
    stems = Separator.from_pretrained(tmp_path / "guided.pth").separate(noise, RATE)
    wav = torch.from_numpy(noise)
    for name, stem in zip(NAMES, net(wav)):
        np.testing.assert_allclose(stems[name], stem.numpy(), atol=1e-5)


def test_it_starts_from_a_separator_of_its_classes_only(tmp_path):
    save_model(PitchSeparator(NAMES, **SIZES), tmp_path / "plain.pth")
    net = read_guided(tmp_path / "plain.pth")
    plain = PitchSeparator.from_pretrained(tmp_path / "plain.pth").state_dict()
    mine = net.state_dict()
    assert all(torch.equal(mine[key], value) for key, value in plain.items())
    others = (NAMES[:2], SIZES), (NAMES, {**SIZES, "mask_act": "softmax"})
    for names, sizes in others:
        with pytest.raises(ValueError, match=r"same classes \(bass, guitar, piano\) and sizes, "):
            net.load_separator(PitchSeparator(names, **sizes))
    save_model(TCNSeparator(NAMES, **NET), tmp_path / "tcn.pth")
    with pytest.raises(ValueError, match="tcn.pth contains a TCNSeparator"):
        read_guided(tmp_path / "tcn.pth")


def test_a_separator_that_predicts_notes_starts_one_that_does_not(tmp_path):
    plain = PitchSeparator(NAMES, **SIZES, predicts_notes=True)
    save_model(plain, tmp_path / "plain.pth")
    net = read_guided(tmp_path / "plain.pth")
    assert not net.predicts_notes
    torch.testing.assert_close(net.front[0].weight, plain.front[0].weight)
    with pytest.raises(ValueError, match="predicts no notes: the score has them"):
        ScoreGuidedSeparator(NAMES, **SIZES, predicts_notes=True)


@pytest.mark.parametrize("power", [0, -1.5, True, "x", [1, 2], None, 11])
def test_files_with_another_power_are_refused(power, tmp_path):
    package = untrained().serialize()
    package["model_args"]["power"] = power
    torch.save(package, tmp_path / "model.pth")
    with pytest.raises(ValueError, match="model.pth: the power of masks is .*, expected a number"):
        SourceModel.from_pretrained(tmp_path / "model.pth")
