"""The script that trains networks which correct the masks of a factorization, and their scores."""

import subprocess

import pytest
from tiny import NAMES, NET, write_folder
from tiny_recipe import NETWORK_4K, RECIPE

from asteroid_scoresup.models import (
    MaskRefiner,
    PitchSeparator,
    ScoreGuidedSeparator,
    TCNSeparator,
    save_model,
)

TINY = (
    f"{NETWORK_4K} --r_epochs 1 --r_steps 2 --r_batch_size 2 --r_segment 0.5 --r_variants 1 "
    "--r_channels 4 --r_blocks 1 --num_workers 0 --warmup_steps 1 --quiet --jobs 1"
)


@pytest.fixture
def run(fast_python, tmp_path):
    for name, seed in (("songs", 0), ("others", 3)):
        write_folder(tmp_path / name, seed=seed)

    def run(script, *options, code=0):
        command = [fast_python, RECIPE / script, *map(str, options)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=RECIPE, timeout=300)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


@pytest.mark.slow
def test_both_networks_are_trained_and_scored(run, tmp_path):
    data = ("--data_dir", tmp_path / "songs", *TINY.split())
    refiner = ("--exp_dir", tmp_path / "refiner", *data)
    assert "MaskRefiner (stems): validation loss" in run("train_refiner.py", *refiner)
    assert MaskRefiner.from_pretrained(tmp_path / "refiner" / "best_model.pth").channels == 4

    separator = PitchSeparator(NAMES, **NET, pitch_chan=8)
    save_model(separator, tmp_path / "plain.pth")
    guided = ("--exp_dir", tmp_path / "guided", "--start", tmp_path / "plain.pth", *data)
    guided += ("--also", tmp_path / "others", "--validation_dir", f"{tmp_path / 'others'}:test")
    assert "ScoreGuidedSeparator (stems): validation" in run("train_refiner.py", *guided)
    model = tmp_path / "guided" / "best_model.pth"
    assert ScoreGuidedSeparator.from_pretrained(model).sources == list(NAMES)
    assert "done before" in run("train_refiner.py", *guided)
    # Other songs are another training.
    message = run("train_refiner.py", *guided[:-4], code=1)
    assert "also" in message and "Traceback" not in message

    tests = f"songs={tmp_path / 'songs'}:test"
    other = tmp_path / "refiner" / "best_model.pth"
    both = ("--refiner", model, "--refiner", other)
    lines = run("eval_refiner.py", "--tests", tests, *both).splitlines()
    rows = [line.split(":")[0].removeprefix("songs, ") for line in lines[:4]]
    names = [f"corrected by {path}" for path in (model, other)]
    assert rows == ["factorization", *names, "ideal ratio mask"]


def test_other_models_and_rates_are_refused(run, tmp_path):
    save_model(PitchSeparator(NAMES, **{**NET, "sample_rate": 8000}), tmp_path / "fast.pth")
    data = ("--exp_dir", tmp_path / "exp", "--data_dir", tmp_path / "songs", *TINY.split())
    message = run("train_refiner.py", *data, "--start", tmp_path / "fast.pth", code=1)
    assert "works at 8000 Hz" in message and "prepared at 4000 Hz" in message
    save_model(TCNSeparator(NAMES, **NET), tmp_path / "tcn.pth")
    message = run("train_refiner.py", *data, "--start", tmp_path / "tcn.pth", code=1)
    assert "tcn.pth contains a TCNSeparator" in message
    message = run("train_refiner.py", *data, "--compile", "true", code=2)
    assert "not compiled, leave it out" in message
    guided = ScoreGuidedSeparator(NAMES, **NET, pitch_chan=8)
    save_model(guided, tmp_path / "guided.pth")
    mixtures = ("--supervision", "mixtures", "--start", tmp_path / "guided.pth")
    message = run("train_refiner.py", *data, *mixtures, code=2)
    assert "guided.pth knows classes, leave it out" in message
    # The other scripts do not train it.
    start = ("--model", "pitch", "--critic", "none", "--loss", "informed+notes")
    message = run(
        "train_separator.py",
        *data[:4],
        *NETWORK_4K.split(),
        *start,
        "--start",
        tmp_path / "guided.pth",
        code=2,
    )
    assert "continue its training with train_refiner.py" in message
