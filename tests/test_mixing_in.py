"""Other models of Asteroid with our loss and our dataset: nothing of theirs is changed."""

import pytest
import pytorch_lightning as pl
import torch
from asteroid.engine.system import System
from asteroid.losses import MixITLossWrapper, multisrc_neg_sisdr
from asteroid.models import ConvTasNet, DCUNet, DPRNNTasNet, SuDORMRFNet
from pytorch_lightning.loggers import CSVLogger
from tiny import (
    HOP,
    N_FFT,
    RATE,
    differing,
    loaders,
    state_of,
    stft,
    templates,
    transcriptor,
    write_folder,
)

from asteroid_scoresup.data import ScoreDataset
from asteroid_scoresup.losses import ScoreSupervisedLoss, SemiSupervisedLoss

WEIGHTS = {"transcription": 0.2, "clip": 0.5, "soft_harmonic": 1.0}
SHAPES = dict(n_filters=16, kernel_size=16, stride=8)
MODELS = {
    "ConvTasNet": lambda n: ConvTasNet(
        n, n_blocks=2, n_repeats=1, bn_chan=16, hid_chan=32, skip_chan=16, **SHAPES
    ),
    "DPRNNTasNet": lambda n: DPRNNTasNet(
        n, bn_chan=16, hid_size=16, chunk_size=20, n_repeats=1, **SHAPES
    ),
    "SuDORMRFNet": lambda n: SuDORMRFNet(
        n, bn_chan=16, num_blocks=1, upsampling_depth=2, n_filters=32
    ),
    "DCUNet": lambda n: DCUNet(
        "mini", n_src=n, stft_n_filters=256, stft_kernel_size=256, stft_stride=64,
        fix_length_mode="pad",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("prepared"))


def loss_of(weights=WEIGHTS, **kwargs):
    return ScoreSupervisedLoss(weights, stft(), transcriptor(), templates(), **kwargs)


@pytest.mark.parametrize("name", MODELS)
def test_models_of_other_recipes_learn_from_scores(name, manifest, tmp_path):
    torch.manual_seed(0)
    model, loss = MODELS[name](3), loss_of()
    critic = state_of(loss.critic)
    train, validation = loaders(manifest, steps=2)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    before = state_of(model)
    trainer = pl.Trainer(
        max_epochs=1, default_root_dir=tmp_path, logger=CSVLogger(tmp_path), accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(System(model, optimizer, loss, train, validation))
    assert trainer.global_step == 2 and differing(before, state_of(model))
    assert not differing(critic, state_of(loss.critic))

    mixture, targets = next(iter(train))
    model.train()
    values = []
    for _ in range(30):
        value = loss(model(mixture), targets)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert max(values[-5:]) < 0.8 * values[0]


@pytest.mark.parametrize("n_src", [1, 2, 3])
def test_any_number_of_sources(n_src, tmp_path):
    manifest = write_folder(tmp_path, n_src=n_src)
    mixture, targets = next(iter(loaders(manifest)[0]))
    loss = ScoreSupervisedLoss({"clip": 1.0, "soft_harmonic": 1.0}, stft(), None, templates())
    loss(MODELS["ConvTasNet"](n_src)(mixture), targets).backward()


def test_eight_sources_of_which_some_never_play(manifest):
    torch.manual_seed(0)
    mixture, targets = next(iter(loaders(manifest)[0]))
    model = MODELS["ConvTasNet"](8)
    pad = (0, 0, 0, 0, 0, 5)
    rolls = {k: torch.nn.functional.pad(targets[k], pad) for k in ("roll", "sounding")}
    names = [f"class{i}" for i in range(8)]
    from asteroid_scoresup.models import ScoreTranscriptor

    critic = ScoreTranscriptor(
        names, n_fft=N_FFT, hop_length=HOP, sample_rate=RATE, n_blocks=2, n_repeats=1, bn_chan=16,
        hid_chan=32,
    )  # fmt: skip
    loss = ScoreSupervisedLoss({**WEIGHTS, "harmonic": 1.0}, stft(), critic, templates())
    value = loss(model(mixture), {**targets, **rolls})
    value.backward()
    assert torch.isfinite(value)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_a_residual_source_has_no_score(manifest):
    mixture, targets = next(iter(loaders(manifest)[0]))
    model = MODELS["ConvTasNet"](4)
    loss_of(residual="source")(model(mixture), targets).backward()
    of_residual = model.masker.mask_net[1].weight.grad.chunk(4)[3]
    assert of_residual.abs().sum() > 0


def test_half_precision_and_accumulation_change_little(manifest):
    mixture, targets = next(iter(loaders(manifest, batch_size=4)[0]))
    model, loss = MODELS["ConvTasNet"](3), loss_of().eval()
    whole = loss(model(mixture), targets)
    with torch.autocast("cpu", torch.bfloat16):
        half = loss(model(mixture), targets)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=0.03, atol=0)
    # The mean over two halves of a batch is that of the batch: gradients may be accumulated.
    model.zero_grad()
    whole.backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    for part in (slice(0, 2), slice(2, 4)):
        some = {key: value[part] for key, value in targets.items()}
        (loss(model(mixture[part]), some) / 2).backward()
    found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_waveforms_and_magnitudes_give_the_same_numbers(manifest):
    """As far as the STFT is consistent: masked spectra are none of any signal, exactly."""
    from tiny import separator

    mixture, targets = next(iter(loaders(manifest)[0]))
    model, loss = separator(), loss_of().eval()
    with torch.no_grad():
        spectrum = model.stft(mixture)
        magnitudes = loss.terms(model.spectrograms(mixture), targets)
        masked = model.stft.masked(spectrum, model.masks(model.stft.magnitude(spectrum)))
        waveforms = loss.terms(model.stft.waveform(masked, mixture.shape[-1]), targets)
    for name in WEIGHTS:
        torch.testing.assert_close(waveforms[name], magnitudes[name], rtol=0.05, atol=0.02)


def test_a_term_of_weight_zero_costs_nothing_and_the_critic_is_not_saved(manifest):
    class Never(torch.nn.Module):
        def outputs(self, magnitude):
            raise AssertionError("a critic of weight 0 was asked")

    mixture, targets = next(iter(loaders(manifest)[0]))
    model = MODELS["ConvTasNet"](3)
    weights = {"transcription": 0.0, "clip": 1.0}
    ScoreSupervisedLoss(weights, stft(), Never())(model(mixture), targets).backward()
    assert not any("critic" in key for key in model.serialize()["state_dict"])


STEM_LOSSES = {
    "multisrc_neg_sisdr": lambda: multisrc_neg_sisdr,
    "multi_domain": lambda: ScoreSupervisedLoss({"multi_domain": 1.0}, stft()),
}


@pytest.mark.parametrize("name", STEM_LOSSES)
def test_scores_and_stems_in_one_batch_beside_mixit(name, manifest, tmp_path):
    """Semi-supervised batches in an unchanged System, and MixIT as a loss of its own beside."""
    torch.manual_seed(0)
    model = MODELS["ConvTasNet"](3)
    data = ScoreDataset(
        manifest, "train", "both", 1.024, 24, N_FFT, HOP, stem_fraction=0.5, stem_draw=0.5
    )
    loader = torch.utils.data.DataLoader(data, batch_size=6)
    loss = SemiSupervisedLoss(loss_of(), STEM_LOSSES[name](), stem_weight=0.05)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    trainer = pl.Trainer(
        max_epochs=1, default_root_dir=tmp_path, logger=CSVLogger(tmp_path), accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(System(model, optimizer, loss, loader, loaders(manifest)[1]))
    assert trainer.global_step == 4
    mixture, targets = next(iter(loader))
    loss.train()(model(mixture), targets)
    stems = "stems_multi_domain" if name == "multi_domain" else "stems_loss"
    assert {"clip", stems} <= set(loss.last_terms)
    mixit = MixITLossWrapper(multisrc_neg_sisdr, generalized=False)
    four = MODELS["ConvTasNet"](4)
    mixtures = torch.stack([next(iter(loader))[0][:2], next(iter(loader))[0][2:4]], 1)
    assert torch.isfinite(mixit(four(mixtures.sum(1)), mixtures))
