"""Every path that names a device, on a GPU: the results are those of the CPU.

Without a GPU these tests are skipped. ``SCORESUP_TEST_DEVICE=cpu pytest tests/gpu`` tries the tests
themselves on a CPU.
"""

import copy
import os
import shutil

import numpy as np
import pytest
import soundfile as sf
import torch
from pytorch_lightning import Callback
from tiny import (
    HOP,
    N_FFT,
    NAMES,
    NET,
    RATE,
    loaders,
    separator,
    state_of,
    step_one,
    step_three,
    step_two,
    stft,
    templates,
    transcriptor,
    write_folder,
)

from asteroid_scoresup.data import ScoreDataset, ScoreInformedMasks, make_loader
from asteroid_scoresup.engine import compile_networks, fit
from asteroid_scoresup.evaluation.evaluate import (
    TestTrack,
    fit_decoding,
    score_separation,
    score_transcription,
)
from asteroid_scoresup.inference import OutputOptions, Separator, process_songs
from asteroid_scoresup.losses import TERMS, ScoreSupervisedLoss, terms_that_need, transcription_loss
from asteroid_scoresup.models import TCNSeparator
from asteroid_scoresup.score import score_informed_nmf, soft_masks
from asteroid_scoresup.utils.stream import Recording

DEVICE = os.environ.get("SCORESUP_TEST_DEVICE", "cuda")
ON_CPU = DEVICE == "cpu"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not ON_CPU and not torch.cuda.is_available(), reason="there is no GPU"),
]
STEPS = {1: step_one, 2: step_two, 3: step_three}


@pytest.fixture(autouse=True)
def exact_products():
    """Products in float32 rather than TF32, so that results can be compared with a CPU."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def batch(manifest):
    """A batch with all that losses read."""
    masks = ScoreInformedMasks(manifest, N_FFT, HOP, n_partials=6)
    data = ScoreDataset(
        manifest, "train", "both", 1.024, 4, N_FFT, HOP, soft_masks=masks, eq_db=3.0, saliency=0.5
    )
    return next(iter(make_loader(data, 4)))


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def moved(batch, device):
    wav, targets = batch
    return wav.to(device), {name: value.to(device) for name, value in targets.items()}


def loss_and_gradients(device, batch, weights, **autocast):
    """Loss of step 2, and the gradients of the separator, on the CPU."""
    wav, targets = moved(batch, device)
    net, critic = separator(seed=1).to(device), transcriptor().to(device)
    loss = ScoreSupervisedLoss(weights, net.stft, critic, templates()).to(device)
    with torch.autocast(device, torch.bfloat16, enabled=bool(autocast)):
        estimates = net(wav) if set(weights) & terms_that_need("waveforms") else None
        value = loss(net.spectrograms(wav) if estimates is None else estimates, targets)
    value.backward()
    return [value.detach().cpu(), *(p.grad.cpu() for p in net.parameters())]


# ---------------------------------------------------------------- losses and gradients


@pytest.mark.parametrize("term", sorted(TERMS))
def test_terms_of_the_loss_and_their_gradients(batch, term):
    found = loss_and_gradients(DEVICE, batch, {term: 1.0})
    expected = loss_and_gradients("cpu", batch, {term: 1.0})
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_bfloat16_is_close_to_float32(batch):
    weights = {"transcription": 0.2, "clip": 0.5, "informed": 3.0}
    found = loss_and_gradients(DEVICE, batch, weights, bfloat16=True)
    expected = loss_and_gradients(DEVICE, batch, weights)
    assert abs(found[0] / expected[0] - 1) < 0.02
    one, other = (torch.cat([g.flatten() for g in grads[1:]]) for grads in (found, expected))
    assert torch.nn.functional.cosine_similarity(one, other, dim=0) > 0.99


def test_step_one_has_the_gradients_of_the_cpu(batch):
    def gradients(device):
        wav, targets = moved(batch, device)
        net = transcriptor().to(device)
        magnitude = net.stft.magnitude(net.stft(wav))
        transcription_loss(net.outputs(magnitude), targets["roll"]).backward()
        return [p.grad.cpu() for p in net.parameters()]

    torch.testing.assert_close(gradients(DEVICE), gradients("cpu"), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a compiler")
def test_compiled_networks_have_the_same_gradients(batch):
    wav, _ = moved(batch, DEVICE)
    net = separator(n_blocks=1).to(DEVICE)
    other = copy.deepcopy(net)
    compile_networks(other)
    grads = []
    for model in (net, other):
        model.spectrograms(wav).sources.square().mean().backward()
        grads.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-6)


# ---------------------------------------------------------------- training


class Places(Callback):
    """Notes on which device batches and weights are."""

    def __init__(self):
        self.devices = set()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        wav, targets = batch
        tensors = [wav, *targets.values(), *pl_module.parameters(), *pl_module.buffers()]
        self.devices |= {tensor.device.type for tensor in tensors}


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_steps_train_where_the_gpu_is(manifest, tmp_path, step, precision):
    more = dict(aml=0.1, atl=0.1, audible_notes=1.0) if step == 3 else {}
    system, places = STEPS[step](manifest, **more), Places()
    before = state_of(system.model)
    best = fit(system, tmp_path, 2, [places], quiet=True, precision=precision)
    assert places.devices == {DEVICE}
    assert np.isfinite(best["best_val_loss"])
    after = {key: value.cpu() for key, value in system.model.state_dict().items()}
    changed = [key for key in before if not torch.equal(before[key].cpu(), after[key])]
    assert len(changed) > len(before) / 2


class Killed(Exception):
    pass


class KillInEpoch(Callback):
    """Ends a run in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == self.epoch and batch_idx == 1:
            raise Killed


@pytest.mark.parametrize("step", [2, 3])
def test_a_killed_run_resumes(manifest, tmp_path, step):
    whole = fit(STEPS[step](manifest), tmp_path / "whole", 3, quiet=True, precision="32-true")
    with pytest.raises(Killed):
        fit(STEPS[step](manifest), tmp_path / "killed", 3, [KillInEpoch(1)], quiet=True,
            precision="32-true")  # fmt: skip
    resumed = fit(STEPS[step](manifest), tmp_path / "killed", 3, quiet=True, precision="32-true")
    assert resumed["epochs"] == whole["epochs"] == 3
    # Not its weights: where gradients are 0 up to rounding, Adam takes steps of random signs.
    assert resumed["best_val_loss"] == pytest.approx(whole["best_val_loss"], rel=0.02)


def test_batches_finished_on_the_device_are_those_of_the_cpu(manifest):
    masks = ScoreInformedMasks(manifest, N_FFT, HOP, n_partials=6)
    shared = dict(segment=1.024, n_segments=6, n_fft=N_FFT, hop_length=HOP, eq_db=4.0, gain_db=3.0)
    for more in (dict(remix=0.5), dict(soft_masks=masks, varispeed=2), dict(targets="both")):
        data = (ScoreDataset(manifest, "train", deferred=d, **shared, **more) for d in (0, 1))
        for expected, deferred in zip(*(make_loader(one, 3) for one in data)):
            wav, targets = deferred.to(DEVICE)
            assert {x.device.type for x in (wav, *targets.values())} == {DEVICE}
            found = wav.cpu(), {name: value.cpu() for name, value in targets.items()}
            torch.testing.assert_close(found, tuple(expected), rtol=1e-3, atol=1e-4)


def test_pinned_batches_reach_the_device(manifest):
    if ON_CPU:
        pytest.skip("page-locked memory needs a GPU")
    train, _ = loaders(manifest, deferred=True)
    wav, targets = next(iter(train)).to(DEVICE)
    assert wav.is_cuda and targets["roll"].is_cuda


# ---------------------------------------------------------------- separation


@pytest.mark.parametrize("channels", [1, 2])
def test_chunks_give_the_result_of_the_cpu(channels):
    song = noise(channels, 9 * RATE)
    kwargs = dict(core_seconds=2.0)
    found = Separator(separator(), device=DEVICE, **kwargs).separate(song, RATE)
    expected = Separator(separator()).separate(song, RATE)
    for name in NAMES:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)


def test_bfloat16_changes_stems_little():
    song = noise(2, 3 * RATE)
    found = Separator(separator(), device=DEVICE, precision="bfloat16").separate(song, RATE)
    expected = Separator(separator()).separate(song, RATE)
    for name in NAMES:
        error = np.sum((found[name] - expected[name]) ** 2) / np.sum(expected[name] ** 2)
        assert 10 * np.log10(error) < -35


def test_another_rate_and_a_long_recording():
    song = noise(2, 240 * 2 * RATE)  # four minutes at twice the rate
    stems = Separator(separator(), device=DEVICE).separate(song, 2 * RATE)
    assert {stem.shape for stem in stems.values()} == {song.shape}
    assert all(np.isfinite(stem).all() for stem in stems.values())


def test_note_probabilities_are_those_of_the_cpu():
    song = Recording(noise(2, 3 * RATE), RATE)
    found, expected = (
        next(Separator(separator(), transcriptor(), device=device).chunks(song, notes=True))
        for device in (DEVICE, "cpu")
    )
    np.testing.assert_allclose(found.note_probs, expected.note_probs, atol=1e-3)
    np.testing.assert_allclose(found.note_levels, expected.note_levels, rtol=1e-2, atol=1e-2)


def test_stems_notes_and_the_listening_page(tmp_path):
    sf.write(tmp_path / "song.wav", 0.1 * noise(3 * RATE, 2), RATE)
    model = TCNSeparator(NAMES, **NET)
    options = OutputOptions(midi=True, page=True, residual=True)
    both = Separator(model, transcriptor(), device=DEVICE)
    ((_, result),) = process_songs(both, [tmp_path / "song.wav"], tmp_path / "out", options)
    assert not isinstance(result, ValueError), result
    names = {path.name for path in result.folder.iterdir()}
    assert {"bass.wav", "residual.wav", "score.mid", "page"} <= names


# ---------------------------------------------------------------- factorization, evaluation


@pytest.mark.parametrize("channels", [0, 2])
def test_the_factorization_is_that_of_the_cpu(channels):
    generator = torch.Generator().manual_seed(0)
    shape = (channels,) if channels else ()
    magnitude = torch.rand(*shape, N_FFT // 2 + 1, 50, generator=generator)
    sounding = (torch.rand(3, 88, 50, generator=generator) < 0.03).float()
    onsets = (torch.rand(3, 50, generator=generator) < 0.1).float()
    hits = (torch.rand(3, 128, 50, generator=generator) < 0.001).float()

    def masks(device):
        inputs = (x.to(device) for x in (magnitude, sounding, onsets))
        factors = score_informed_nmf(*inputs, templates().to(device), free=2, hits=hits.to(device))
        return soft_masks(factors, 3).cpu()

    torch.testing.assert_close(masks(DEVICE), masks("cpu"), rtol=1e-2, atol=1e-3)


def test_masks_of_prepared_tracks_are_those_of_the_cpu(manifest, tmp_path):
    for folder in ("cpu", "device"):
        shutil.copytree(manifest.root, tmp_path / folder)
    found = []
    for folder, device in (("cpu", "cpu"), ("device", DEVICE)):
        own = copy.copy(manifest)
        own.root = tmp_path / folder
        masks = ScoreInformedMasks(own, N_FFT, HOP, n_partials=6)
        masks.fit_all(own.tracks, jobs=1, progress=False, device=device)
        assert all(masks.path(track).is_file() for track in own.tracks)
        found.append(masks.read(own.tracks[0]))
    torch.testing.assert_close(*found, rtol=1e-2, atol=1e-3)


def test_scores_are_those_of_the_cpu(manifest):
    song = TestTrack(manifest, manifest.select("test")[0])
    records = []
    for device in (DEVICE, "cpu"):
        net, reader = separator().to(device), transcriptor().to(device)
        decoding = fit_decoding(manifest, reader)
        made, estimates = score_separation(song, {"row": net}, stft(), templates())
        made += score_transcription(song, "row", reader, estimates["row"], decoding)
        records.append(made)
    for one, other in zip(*records):
        for key, value in other.items():
            assert one[key] == (pytest.approx(value, abs=0.02, nan_ok=True)
                                if isinstance(value, float) else value), key  # fmt: skip
