"""The separator: shapes, levels, context in time, TorchScript and export."""

import warnings

import pytest
import torch
from tiny import HOP, N_FFT, NAMES, NET, RATE, differing, separator, state_of, stft, transcriptor

from asteroid_scoresup.dsp import NOMINAL_RMS
from asteroid_scoresup.models import ActivityClassifier, TCNSeparator


def noise(*shape, seed=0):
    return NOMINAL_RMS * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_the_three_shapes_of_asteroid_give_the_same_estimates():
    model, wav = separator().eval(), noise(2, 3000)
    estimates = model(wav)
    assert estimates.shape == (2, 3, 3000)
    assert torch.equal(model(wav.unsqueeze(1)), estimates)
    for clip, expected in zip(wav, estimates):
        torch.testing.assert_close(model(clip), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 2, 3000), (1, 1, 1, 3000)])
@pytest.mark.parametrize("build", [separator, transcriptor])
def test_stereo_is_refused(build, shape):
    with pytest.raises(ValueError, match=r"mono waveforms.*found \(.*3000\)"):
        build()(torch.zeros(shape))


@torch.no_grad()
@pytest.mark.parametrize("gain", [1e-3, 0.1, 30.0])
def test_estimates_scale_exactly_with_the_recording(gain):
    model, wav = separator().eval(), noise(2, 3000)
    estimates = model(wav)
    torch.testing.assert_close(model(gain * wav) / gain, estimates, rtol=1e-4, atol=1e-7)
    assert estimates.abs().max() > 0.01  # so that the tolerance means something


@torch.no_grad()
def test_each_row_of_a_batch_has_its_own_level():
    model, wav = separator().eval(), noise(2, 3000)
    gains = torch.tensor([[1.0], [0.01]])
    torch.testing.assert_close(
        model(wav * gains), model(wav) * gains[..., None], rtol=1e-4, atol=1e-7
    )


@torch.no_grad()
def test_the_level_may_be_that_of_the_whole_recording():
    model, clip = separator().eval(), noise(1, 3000)
    rms = float(clip.square().mean().sqrt())
    torch.testing.assert_close(model(clip, level=rms), model(clip), rtol=1e-4, atol=1e-7)
    # A soft segment of a loud recording stays soft at the input of the network.
    quiet = model(clip, level=10 * rms)
    expected = 10 * rms / NOMINAL_RMS
    scaled, gain = model.normalize(clip, 10 * rms)
    torch.testing.assert_close(gain, torch.full((1, 1), 1 / expected))
    spectrum = stft()(scaled)
    masked = stft().masked(spectrum, model.masks(stft().magnitude(spectrum)))
    torch.testing.assert_close(quiet, stft().waveform(masked, 3000) * expected)
    assert not torch.allclose(quiet, model(clip), atol=1e-3)
    per_clip = model(torch.cat([clip, clip]), level=torch.tensor([rms, 10 * rms]))
    torch.testing.assert_close(per_clip, torch.cat([model(clip), quiet]), rtol=1e-4, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("n_samples", [1, 50, 255, 3000])
def test_silence_gives_silence_at_any_length(n_samples):
    estimates = separator().eval()(torch.zeros(2, n_samples))
    assert estimates.shape == (2, 3, n_samples)
    assert torch.equal(estimates, torch.zeros_like(estimates))


@torch.no_grad()
def test_masks_of_one_give_the_mixture():
    class Ones(TCNSeparator):
        def masks(self, magnitude):
            return torch.ones(2, 3, *magnitude.shape[1:])

    model, wav = Ones(NAMES, **NET).eval(), noise(2, 3037)
    torch.testing.assert_close(model(wav), wav.unsqueeze(1).expand(-1, 3, -1), rtol=0, atol=2e-6)


@torch.no_grad()
@pytest.mark.parametrize("method", ["masks", "outputs"])
def test_a_subclass_separates_with_its_own_masks(method):
    class Halved(TCNSeparator):
        pass

    model, wav = Halved(NAMES, **NET).eval(), noise(2, 9000)
    whole, magnitude = model(wav), stft().magnitude(stft()(wav))
    parts = list(model.iter_masks(magnitude, slice(2, 70)))
    assert len(parts) == 2
    torch.testing.assert_close(torch.cat(parts, -1), model.masks(magnitude)[..., 2:70])
    own = getattr(TCNSeparator, method)
    setattr(Halved, method, lambda self, magnitude: own(self, magnitude) / 2)
    torch.testing.assert_close(model(wav), whole / 2)


@torch.no_grad()
def test_masks_are_the_same_in_training_and_inference():
    model, wav = separator().eval(), noise(2, 3000)
    mixture, sources = model.spectrograms(wav)
    torch.testing.assert_close(mixture, stft().magnitude(stft()(wav)))
    masks = sources / mixture.unsqueeze(1)
    assert masks.min() >= 0 and masks.max() <= 1 + 1e-5 and masks.std() > 0.01
    rms = torch.full((2,), NOMINAL_RMS)
    estimates = model(wav, level=rms)
    expected = stft().waveform(stft().masked(stft()(wav), masks), 3000)
    torch.testing.assert_close(estimates, expected, rtol=1e-3, atol=1e-5)


@torch.no_grad()
def test_softmax_masks_sum_to_one():
    model, wav = separator(mask_act="softmax").eval(), noise(1, 3000)
    torch.testing.assert_close(model(wav).sum(1), wav, rtol=0, atol=1e-5)


def test_frames_depend_on_the_receptive_field_only():
    model = separator(n_blocks=3, n_repeats=2).eval()
    magnitude = stft().magnitude(stft()(noise(1, 80 * HOP))).requires_grad_()
    reach = model.receptive_field
    assert reach == 2 * (1 + 2 + 4)
    model.masks(magnitude)[..., 40].sum().backward()
    seen = magnitude.grad.abs().sum((0, 1)).nonzero().flatten()
    assert (seen.min(), seen.max()) == (40 - reach, 40 + reach)


@torch.no_grad()
def test_a_chunk_with_enough_context_gives_the_same_masks():
    model = separator(n_blocks=3, n_repeats=2).eval()
    magnitude = stft().magnitude(stft()(noise(1, 120 * HOP)))
    whole, reach = model.masks(magnitude), model.receptive_field
    chunk = model.masks(magnitude[..., 50 - reach : 70 + reach])[..., reach:-reach]
    torch.testing.assert_close(chunk, whole[..., 50:70], rtol=0, atol=2e-6)
    short = model.masks(magnitude[..., 51 : 70 + reach])[..., :1]
    assert not torch.allclose(short, whole[..., 51:52], atol=1e-4)  # less context is not enough


def test_the_input_is_sensitive_to_soft_parts():
    # log(1 + 1000 X): magnitudes 60 dB below full scale still matter.
    seen = []
    model = separator().eval()
    model.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    magnitude = torch.full((1, 129, 10), 0.001)
    model.masks(magnitude)
    torch.testing.assert_close(seen[0], torch.log1p(1000 * magnitude))


def test_load_trunk_copies_everything_but_the_output_layer():
    model, critic = separator(seed=1), transcriptor(seed=2)
    before = state_of(model)
    model.load_trunk(critic)
    changed = differing(before, state_of(model))
    for name, value in critic.trunk.state_dict().items():
        mine = model.trunk.state_dict()[name]
        if "mask_net.1" in name:
            assert f"trunk.{name}" not in changed
        else:
            assert torch.equal(mine, value)
    assert len(changed) > 10


@pytest.mark.parametrize(
    "kwargs", [dict(bn_chan=8), dict(n_blocks=3), dict(n_repeats=2), dict(n_fft=512)]
)
def test_a_trunk_of_another_shape_is_refused(kwargs):
    for one, other in (
        (separator(**kwargs), transcriptor()),
        (separator(), transcriptor(**kwargs)),
    ):
        before = state_of(one)
        with pytest.raises(ValueError, match="The trunks differ in"):
            one.load_trunk(other)
        assert not differing(before, state_of(one))


def test_a_separator_starts_from_a_classifier_too():
    torch.manual_seed(3)
    model, classifier = separator(), ActivityClassifier(NAMES, **NET)
    model.load_trunk(classifier)
    assert torch.equal(model.trunk.bottleneck[1].weight, classifier.trunk.bottleneck[1].weight)


@torch.no_grad()
def test_under_autocast_estimates_are_float32_and_close():
    model, wav = separator().eval(), noise(1, 3000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        estimates = model(wav)
    assert estimates.dtype == torch.float32
    torch.testing.assert_close(estimates, model(wav), rtol=0, atol=0.01)


@torch.no_grad()
def test_torchscript_at_other_lengths_and_batches_than_traced(tmp_path):
    model = separator().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, noise(1, 4000))
    torch.jit.save(traced, tmp_path / "traced.pt")
    traced = torch.jit.load(tmp_path / "traced.pt")
    for batch, n_samples in ((1, 4000), (3, 5037), (2, 2999), (1, N_FFT)):
        wav = noise(batch, n_samples, seed=n_samples)
        torch.testing.assert_close(traced(wav), model(wav), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@torch.no_grad()
def test_torch_export():
    model = separator().eval()
    program = torch.export.export(model, (noise(2, RATE),))
    wav = noise(2, RATE, seed=5)
    torch.testing.assert_close(program.module()(wav), model(wav), rtol=1e-4, atol=1e-6)
