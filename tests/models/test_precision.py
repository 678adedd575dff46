"""Networks and losses in double precision and bfloat16; traced and exported networks."""

import copy

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from tiny import (
    HOP,
    N_FFT,
    NAMES,
    RATE,
    separator,
    step_one,
    step_three,
    step_two,
    transcriptor,
    write_folder,
)

from asteroid_scoresup.dsp import STFT
from asteroid_scoresup.models import WaveformSeparator

SMALL = {
    "ConvTasNet": dict(n_filters=16, n_blocks=1, n_repeats=1, bn_chan=8, hid_chan=8, skip_chan=8),
    "OpenUnmix": dict(n_fft=N_FFT, hop_length=HOP, hidden_size=8),
}
MODELS = {
    "separator": separator,
    "transcriptor": transcriptor,
    **{name: lambda name=name: WaveformSeparator(NAMES, name, SMALL[name], RATE) for name in SMALL},
}


@pytest.mark.parametrize("name", MODELS)
def test_double_precision_is_used_throughout(name):
    model, wav = MODELS[name]().eval(), torch.randn(2, 4000, generator=torch.manual_seed(0))
    single, double = model(wav), copy.deepcopy(model).double()(wav.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=1e-4, atol=1e-5)
    # Better than single precision: a change of the input by 1e-12 changes the output.
    model = copy.deepcopy(model).double()
    moved = model(wav.double() * (1 + 1e-12), level=0.1) - model(wav.double(), level=0.1)
    assert 0 < moved.abs().max() < 1e-8


@pytest.mark.parametrize("name", ["separator", "transcriptor", "OpenUnmix"])
def test_bfloat16_weights_lose_no_more_than_the_precision_of_the_weights(name):
    if name == "OpenUnmix":
        try:
            torch.nn.LSTM(2, 2).bfloat16()(torch.zeros(1, 1, 2).bfloat16())
        except RuntimeError:
            pytest.skip(f"torch {torch.__version__} has no bfloat16 LSTM for this processor")
    model, wav = MODELS[name]().eval(), torch.randn(2, 4000, generator=torch.manual_seed(0))
    half = copy.deepcopy(model).bfloat16()(wav.bfloat16())
    assert half.dtype == torch.float32
    error = (half - model(wav)).pow(2).mean() / model(wav).pow(2).mean()
    assert error < 1e-3


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_products_in_bfloat16_on_every_processor(name, grad):
    model, wav = MODELS[name]().eval(), torch.randn(2, 4000, generator=torch.manual_seed(0))
    with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16):
        half = model(wav)
    assert half.dtype == torch.float32 and half.requires_grad == grad
    error = (half - model(wav)).pow(2).mean() / model(wav).pow(2).mean()
    assert error < 1e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_window_is_never_rounded(dtype):
    stft, wav = STFT(N_FFT, HOP, RATE).to(dtype), torch.randn(1, 4000)
    stft = stft.to(torch.float32) if dtype is torch.float64 else stft
    exact = torch.hann_window(N_FFT, dtype=torch.float64).float()
    torch.testing.assert_close(stft.window, exact, rtol=0, atol=0)
    expected = torch.stft(wav, N_FFT, HOP, window=exact, return_complex=True)
    torch.testing.assert_close(stft(wav), expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("prepared"))


@pytest.mark.slow
@pytest.mark.parametrize("step", [step_one, step_two, step_three])
@pytest.mark.parametrize(("precision", "tolerance"), [("64-true", 1e-4), ("bf16-true", 0.02)])
def test_training_in_other_precisions(step, precision, tolerance, manifest, tmp_path):
    losses = []
    for kind in ("32-true", precision):
        trainer = pl.Trainer(
            max_epochs=1, precision=kind, logger=CSVLogger(tmp_path), accelerator="cpu",
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip
        trainer.fit(step(manifest, steps=1))
        losses.append(float(trainer.callback_metrics["val_loss"]))
    assert losses[1] == pytest.approx(losses[0], rel=tolerance)


SHAPES = {1: lambda n: (n,), 2: lambda n: (2, n), 3: lambda n: (2, 1, n)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["separator", "transcriptor"])
@pytest.mark.parametrize("traced_with", SHAPES)
def test_a_traced_model_accepts_all_ranks_and_lengths(name, traced_with):
    model = MODELS[name]().eval()
    with torch.no_grad():
        traced = torch.jit.trace(model, torch.randn(SHAPES[traced_with](4000)), check_trace=False)
        for shape in SHAPES.values():
            for n in (4000, 5555):
                wav = torch.randn(shape(n))
                torch.testing.assert_close(traced(wav), model(wav), rtol=1e-4, atol=1e-5)
        with pytest.raises(Exception, match="Expected mono waveforms"):
            traced(torch.randn(2, 2, 4000))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["separator", "transcriptor"])
def test_export_with_a_dynamic_length(name):
    model = MODELS[name]().eval()
    shapes = ({1: torch.export.Dim.DYNAMIC},)
    with torch.no_grad():
        exported = torch.export.export(model, (torch.randn(2, 4000),), dynamic_shapes=shapes)
        for n in (513, 4000, 30_001):
            wav = torch.randn(2, n)
            torch.testing.assert_close(exported.module()(wav), model(wav), rtol=1e-4, atol=1e-5)
