"""--compile: the same networks, losses, gradients and files."""

import copy
import importlib
import shutil
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from tiny import separator, stft, templates, transcriptor

from asteroid_scoresup.engine import compilation, compile_if_it_pays, compile_networks
from asteroid_scoresup.losses import ScoreSupervisedLoss
from asteroid_scoresup.models import PitchTranscriptor, WaveformSeparator

RECIPE = Path(__file__).parents[2] / "egs" / "slakh"


@pytest.fixture
def recipe_settings(monkeypatch):
    """The module of the recipe's scripts."""
    monkeypatch.syspath_prepend(RECIPE)
    yield importlib.import_module("local.settings")
    for name in [name for name in sys.modules if name.partition(".")[0] == "local"]:
        del sys.modules[name]


needs_compiler = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a compiler"
)


def gradients(net, critic, wav, roll):
    loss = ScoreSupervisedLoss(
        {"transcription": 0.2, "clip": 0.5, "soft_harmonic": 1.0}, stft(), critic, templates()
    )
    targets = {"mixture": wav, "roll": roll, "sounding": roll}
    total = loss(net.spectrograms(wav), targets)
    net.zero_grad()
    total.backward()
    return [total.detach(), *(p.grad.clone() for p in net.parameters())]


@needs_compiler
def test_compiled_networks_have_the_same_gradients():
    torch.manual_seed(0)
    net, critic = separator(n_blocks=1), transcriptor(n_blocks=1)
    wav = 0.1 * torch.randn(2, 4000)
    roll = (torch.rand(2, 3, 88, net.stft.n_frames(4000)) < 0.05).float()
    expected, keys = gradients(net, critic, wav, roll), list(net.state_dict())
    assert net.trunk._compiled_call_impl is None
    compile_networks(net, critic)
    assert net.trunk._compiled_call_impl and critic.trunk._compiled_call_impl
    # The critic has the same layers: generating its code again would only take time.
    critic.trunk.compile(backend="aot_eager")
    torch.testing.assert_close(gradients(net, critic, wav, roll), expected, rtol=1e-3, atol=1e-5)
    assert list(net.state_dict()) == keys
    assert copy.deepcopy(critic).trunk._compiled_call_impl is None


@needs_compiler
def test_open_unmix_is_compiled_behind_its_stft():
    torch.manual_seed(0)
    sizes = dict(n_fft=256, hop_length=64, hidden_size=8, nb_layers=1)
    model = WaveformSeparator(["bass", "piano"], "OpenUnmix", sizes, 4000).eval()
    wav = 0.1 * torch.randn(2, 4000)
    with torch.no_grad():
        expected = model.net(wav)
        compile_networks(model)
        torch.testing.assert_close(model.net(wav), expected, rtol=1e-3, atol=1e-5)
    assert model.net.targets[0]._compiled_call_impl is not None


def test_long_trainings_are_compiled_where_that_works(monkeypatch):
    calls = []
    monkeypatch.setattr(compilation, "compile_networks", lambda *models: calls.append(models))
    monkeypatch.setattr(torch, "compile", lambda function: function)
    monkeypatch.setattr(torch._dynamo.config, "suppress_errors", False)
    net = separator(n_blocks=1)
    assert compile_if_it_pays(compilation.COMPILE_FROM - 1, net) == "" and not calls
    pitch = PitchTranscriptor(**transcriptor().get_model_args() | {"pitch_chan": 4})
    assert compile_if_it_pays(compilation.COMPILE_FROM, net, pitch) == "" and not calls
    assert "for 30,000 updates" in compile_if_it_pays(compilation.COMPILE_FROM, net)
    assert calls == [(net,)]

    def fail(function):
        raise RuntimeError("No working C++ compiler found\nwith details")

    monkeypatch.setattr(torch, "compile", fail)
    decision = compile_if_it_pays(compilation.COMPILE_FROM, net)
    assert decision.endswith("the networks are not compiled: No working C++ compiler found\n")
    assert len(calls) == 1


@pytest.mark.parametrize(
    "changes, compiled",
    [
        ({}, True),
        ({"s_epochs": 2}, False),
        ({"s_minutes": 5.0}, False),
        ({"devices": 2}, False),
        ({"num_nodes": 4}, False),
        ({"supervision": "stems"}, False),
        ({"compile": False}, False),
        ({"compile": True, "s_epochs": 2, "devices": 2}, True),
    ],
)
def test_what_is_compiled_by_default(monkeypatch, recipe_settings, changes, compiled):
    calls = []
    monkeypatch.setattr(recipe_settings, "compile_networks", lambda *models: calls.append(models))

    def decide(n_updates, *models):
        if n_updates >= 30_000:
            calls.append(models)
        return ""

    monkeypatch.setattr(recipe_settings, "compile_if_it_pays", decide)
    options = dict(compile="auto", devices=1, num_nodes=1, s_epochs=300, s_steps=100, s_minutes=0.0)
    recipe_settings.compiled(Namespace(**options | changes), "s", "network")
    assert bool(calls) == compiled
