"""No step waits for a GPU or mixes devices; shown without a GPU, by tensors without values.

Tensors of torch's device ``meta`` have shapes, types and gradients only. An operation on tensors of
two devices fails, and so does whatever looks at a value (``item()``, ``bool()``, indices from a
mask), for which a GPU would have to be waited for.
"""

import contextlib

import pytest
import torch
from tiny import N_FFT, NAMES, NET, RATE, separator, templates, transcriptor

from asteroid_scoresup.data.batches import DeferredBatch, Shared
from asteroid_scoresup.dsp.equalizer import _band_logs
from asteroid_scoresup.engine import FineTuneSystem, simulate_separation
from asteroid_scoresup.losses import TERMS, ScoreSupervisedLoss, terms_that_need, transcription_loss
from asteroid_scoresup.models import ActivityClassifier, MaskRefiner, PitchSeparator
from asteroid_scoresup.score import Factors, soft_masks, soft_masks_of_batch

BATCH, SAMPLES = 4, 4000


@pytest.fixture
def gpu(monkeypatch):
    """A device whose tensors have no values, and which has no autocast."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    _band_logs.cache_clear()
    yield torch.device("meta")
    _band_logs.cache_clear()


def batch_on(device, frames):
    wav = torch.randn(BATCH, SAMPLES, device=device)
    roll = torch.rand(BATCH, 3, 88, frames, device=device)
    targets = {
        "mixture": wav,
        "roll": roll,
        "onsets": roll,
        "sounding": roll,
        "soft_masks": torch.rand(BATCH, 3, N_FFT // 2 + 1, frames, device=device),
        "sources": torch.randn(BATCH, 3, SAMPLES, device=device),
    }
    return wav, targets


def networks(device):
    with device:
        return separator(), transcriptor()


def backward(loss, *trained):
    """Takes gradients, and checks on which device they are."""
    device = trained[0].stft.window.device
    assert loss.device.type == device.type and not loss.shape
    loss.backward()
    for network in trained:
        gradients = [p.grad for p in network.parameters() if p.requires_grad]
        assert gradients and {g.device.type for g in gradients} == {"meta"}


def test_the_method_finds_mistakes(gpu):
    with pytest.raises(RuntimeError, match="device"):
        torch.ones(3, device=gpu) + torch.ones(3)
    with pytest.raises(RuntimeError):
        bool((torch.ones(3, device=gpu) > 0).any())


def test_step_one(gpu):
    _, net = networks(gpu)
    wav, targets = batch_on(gpu, net.stft.n_frames(SAMPLES))
    mixture, partials = net.stft.magnitude(net.stft(wav)), templates().to(gpu)
    magnitude, roll = simulate_separation(
        mixture, targets["roll"], targets["sounding"], partials, 0.5
    )
    backward(transcription_loss(net.outputs(magnitude), roll), net)


@pytest.mark.slow
@pytest.mark.parametrize("term", sorted(set(TERMS) - {"si_sdr", "notes"}))
def test_terms_of_step_two(gpu, term):
    """All but SI-SDR, which leaves out silent stems and so has to look at the data, and notes."""
    net, critic = networks(gpu)
    wav, targets = batch_on(gpu, net.stft.n_frames(SAMPLES))
    with_drums = templates(unpitched=[2]).to(gpu)
    loss = ScoreSupervisedLoss({term: 1.0}, net.stft, critic, with_drums, 1, residual=True)
    estimates = net(wav) if term in terms_that_need("waveforms") else net.spectrograms(wav)
    backward(loss(estimates, targets), net)


def test_a_separator_that_predicts_notes(gpu):
    with gpu:
        net = PitchSeparator(NAMES, **NET, pitch_chan=4, predicts_notes=True)
    wav, targets = batch_on(gpu, net.stft.n_frames(SAMPLES))
    loss = ScoreSupervisedLoss({"notes": 0.3, "informed": 3.0}, net.stft)
    backward(loss(net.spectrograms(wav), targets), net)


def test_the_weak_baseline(gpu):
    net, _ = networks(gpu)
    with gpu:
        critic = ActivityClassifier(NAMES, **NET)
    wav, targets = batch_on(gpu, net.stft.n_frames(SAMPLES))
    loss = ScoreSupervisedLoss({"transcription": 1.0, "frame": 1.0}, net.stft, critic)
    backward(loss(net.spectrograms(wav), targets), net)


def test_step_three(gpu):
    net, critic = networks(gpu)
    batch = batch_on(gpu, net.stft.n_frames(SAMPLES))
    weights = {"transcription": 0.2, "clip": 0.5, "harmonic": 0.1, "informed": 1.0}
    loss = ScoreSupervisedLoss(weights, net.stft, critic, templates().to(gpu))
    pair = [torch.optim.SGD(model.parameters(), 0.1) for model in (net, critic)]
    more = dict(aml=0.1, atl=0.1, audible_notes=1.0, gradient_clip=1.0)
    system = FineTuneSystem(net, critic, loss, pair, None, **more)
    trained = iter((net, critic))
    system.optimizers, system._schedulers = lambda: pair, list
    system.manual_backward = lambda loss: backward(loss, next(trained))
    system.log = system.log_dict = lambda *args, **kwargs: None
    system.training_step(batch, 0)
    assert next(trained, None) is None


def test_deferred_batches(gpu):
    tensors = {
        "signals": torch.randn(BATCH, 1, 4, SAMPLES),
        "bands_db": torch.randn(BATCH, 1, 8),
        "templates": torch.rand(BATCH, 20, N_FFT // 2 + 1),
        "activations": torch.rand(BATCH, 20, 63),
        "class_index": torch.zeros(BATCH, 20, dtype=torch.long),
    }
    shared = Shared(RATE, 3, "both", 1.5)
    batch = DeferredBatch(tensors, {"roll": torch.rand(BATCH, 3, 88, 63)}, shared)
    mixture, targets = batch.to(gpu)
    assert {x.device.type for x in (mixture, *targets.values())} == {gpu.type}
    assert mixture.shape == (BATCH, SAMPLES)
    assert targets["soft_masks"].shape == (BATCH, 3, N_FFT // 2 + 1, 63)


def test_separation(gpu):
    net, reader = networks(gpu)
    wav = torch.randn(2, SAMPLES, device=gpu)
    with torch.no_grad():
        assert net(wav).device.type == gpu.type
        assert reader(wav, level=0.1).device.type == gpu.type


def test_the_refiner(gpu):
    with gpu:
        refiner = MaskRefiner(channels=4, n_blocks=1)
    magnitude = torch.rand(N_FFT // 2 + 1, 30, device=gpu)
    estimates = torch.rand(3, N_FFT // 2 + 1, 30, device=gpu)
    assert refiner.masks(magnitude, estimates).device.type == gpu.type


def test_masks_of_a_batch_are_those_of_its_segments():
    """The same in operations that do not depend on values (values needed: not fake)."""
    generator = torch.Generator().manual_seed(0)
    templates = torch.rand(2, 9, 17, generator=generator)
    activations = torch.rand(2, 9, 12, generator=generator)
    activations[:, :, 5] = 0  # a silent frame
    activations[1, 6:] = 0  # padding
    index = torch.randint(-1, 3, (2, 9), generator=generator)
    together = soft_masks_of_batch(Factors(templates, activations, index), 3)
    for item in range(2):
        n = (9, 6)[item]
        own = Factors(templates[item, :n], activations[item, :n], index[item, :n])
        torch.testing.assert_close(together[item], soft_masks(own, 3))
