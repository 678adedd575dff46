"""One default for how notes sound: library, recipe and README's snippet train the same."""

import inspect
import re
from dataclasses import asdict
from pathlib import Path

import yaml

from asteroid_scoresup.data import ScoreDataset, ScoreInformedMasks
from asteroid_scoresup.score import HarmonicTemplates, SoundingOptions

ROOT = Path(__file__).parents[1]
CONF = yaml.safe_load((ROOT / "egs/slakh/local/conf.yml").read_text())
LOSSES = ROOT / "egs/slakh/local/losses"
SCORE = CONF["score"]


def defaults(function):
    return {name: p.default for name, p in inspect.signature(function).parameters.items()}


def test_sounding_rolls_have_the_recipes_defaults():
    recipe = {
        "before": SCORE["sound_before"],
        "after": SCORE["sound_after"],
        "fade": SCORE["fade"],
        "use_velocity": SCORE["use_velocity"],
    }
    assert recipe == asdict(SoundingOptions())


def test_templates_and_informed_shares_have_the_recipes_defaults():
    partials = {
        "n_partials": SCORE["n_partials"],
        "relative_width": SCORE["relative_width"],
        "decay": SCORE["partial_decay"],
        "inharmonicity": SCORE["inharmonicity"],
    }
    templates, shares = defaults(HarmonicTemplates), defaults(ScoreInformedMasks)
    assert {name: templates[name] for name in partials} == partials
    assert {name: shares[name] for name in partials} == partials
    assert templates["power"] == SCORE["soft_power"]
    assert shares["power"] == SCORE["informed_power"]
    assert shares["iterations"] == SCORE["informed_iterations"]
    stft = CONF["stft"]
    for function in (ScoreDataset, ScoreInformedMasks):
        assert {name: defaults(function)[name] for name in stft} == stft


def test_the_snippets_have_the_recipes_loss_weights_and_no_other_options():
    """README's, and the diff and the second snippet of docs/other_recipes.rst."""
    readme = re.search(r"```python\n(.+?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    page = (ROOT / "docs" / "other_recipes.rst").read_text()
    losses = [yaml.safe_load(path.read_text())["loss"] for path in LOSSES.glob("clip+*.yml")]
    recipe = {name: weight for loss in losses for name, weight in loss.items()}
    weights = re.findall(r"\{(\"transcription\":[^}]*)\}", readme + page)
    assert len(weights) == 3
    for text in weights:
        for name, value in re.findall(r"\"(\w+)\": ([\d.]+)", text):
            assert recipe[name] == float(value), text
    assert not re.search(r"n_partials|fade|use_velocity|HarmonicTemplates\(", readme)
