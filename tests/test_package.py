"""What importing the package does, and does not."""

import importlib.metadata
import subprocess
import sys

import asteroid.models
import pytest

import asteroid_scoresup
from asteroid_scoresup.models import ActivityClassifier, ScoreTranscriptor, TCNSeparator


@pytest.mark.parametrize("model", [TCNSeparator, ScoreTranscriptor, ActivityClassifier])
def test_models_are_registered_with_asteroid_and_twice_is_no_error(model):
    asteroid_scoresup._register_models()
    assert asteroid.models.get(model.__name__) is model


def test_a_torch_without_its_torchaudio_is_refused_with_advice(monkeypatch):
    versions = {"torch": "2.13.0+cpu", "torchaudio": "2.11.0"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    with pytest.raises(ImportError, match="torch 2.13.0 and torchaudio 2.11.0 do not belong"):
        asteroid_scoresup._check_torch_pair()
    versions["torch"] = "2.11.1"
    asteroid_scoresup._check_torch_pair()


@pytest.mark.slow
def test_importing_brings_no_more_than_asteroid_and_our_own_modules():
    """The cost of an import is what it loads: nothing heavy beyond what asteroid loads."""
    code = (
        "import sys, asteroid, asteroid.models, asteroid.masknn\n"
        "before = set(sys.modules)\n"
        "import asteroid_scoresup\n"
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"asteroid_scoresup"}
