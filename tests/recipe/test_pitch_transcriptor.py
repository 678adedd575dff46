"""Steps 1 to 3 of the recipe with the networks that share their weights over pitch."""

import subprocess

import pandas as pd
import pytest
import torch
import yaml
from tiny import write_folder
from tiny_recipe import NETWORK_4K, RECIPE, batches, lengths

from asteroid_scoresup.models import (
    PitchSeparator,
    PitchTranscriptor,
    ScoreTranscriptor,
    TCNSeparator,
    unpack,
)

TINY = (
    f"{NETWORK_4K} {batches(3)} {lengths()} --num_workers 0 --warmup_steps 1 --varispeed 0 "
    "--n_partials 6 --pitch_chan 4 --quiet --n_examples 0"
)


@pytest.fixture
def run(fast_python, tmp_path):
    write_folder(tmp_path / "songs", stems=False)
    write_folder(tmp_path / "others", seed=3)

    def run(script, folder, *options, code=0, data="songs"):
        given = ["--exp_dir", tmp_path / folder, "--data_dir", tmp_path / data, *TINY.split()]
        command = [fast_python, RECIPE / script, *given, *map(str, options)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=RECIPE, timeout=300)
        assert done.returncode == code, done.stderr
        return done.stderr

    return run


def test_all_steps_with_parts_of_other_songs(run, tmp_path):
    pitch = ("--t_model", "pitch", "--t_parts", tmp_path / "others")
    run("train_transcriptor.py", "step1", *pitch, "--t_simulate", 0.5)
    critic = tmp_path / "step1" / "best_model.pth"
    first = ScoreTranscriptor.from_pretrained(critic)
    assert type(first) is PitchTranscriptor and first.pitch_chan == 4
    run("train_separator.py", "tcn", "--critic", critic)
    separator = TCNSeparator.from_pretrained(tmp_path / "tcn" / "best_model.pth")
    assert type(separator) is TCNSeparator
    run("train_separator.py", "step2", "--critic", critic, "--model", "pitch", "--s_lr", 1e-6)
    separator = tmp_path / "step2" / "best_model.pth"
    trained = TCNSeparator.from_pretrained(separator)
    assert type(trained) is PitchSeparator
    torch.testing.assert_close(trained.front[0].weight, first.front[0].weight, atol=1e-4, rtol=0)
    joint = ("--critic", "none", "--model", "pitch", "--loss", "informed+notes")
    run("train_separator.py", "joint", *joint)
    trained = TCNSeparator.from_pretrained(tmp_path / "joint" / "best_model.pth")
    assert trained.predicts_notes and trained.transcriptor().n_heads == 2
    made = [tmp_path / "joint" / name for name in ("best_model.pth", "best_transcriptor.pth")]
    run(
        "train_separator.py",
        "more",
        *joint,
        "--start",
        made[0],
        "--s_lr",
        1e-6,
        "--ema_decay",
        0.5,
        "--bn_chan",
        16,
    )
    more = TCNSeparator.from_pretrained(tmp_path / "more" / "best_model.pth")
    for name, weight in trained.state_dict().items():
        torch.testing.assert_close(more.state_dict()[name], weight, atol=1e-4, rtol=0)
    conf = yaml.safe_load((tmp_path / "more" / "conf.yml").read_text())
    assert conf["network"]["bn_chan"] == 8  # that of the file
    message = run("train_separator.py", "other", "--critic", critic, "--start", made[0], code=2)
    assert "with --model pitch, found --model tcn" in message
    message = run("train_separator.py", "other", *joint, "--start", separator, code=2)
    assert "predicts no notes" in message
    again = ("--separator", made[0], "--transcriptor", made[1])
    run("finetune.py", "joint3", *again, "--model", "pitch", "--loss", "informed+notes")
    both = ("--separator", separator, "--transcriptor", critic)
    run(
        "finetune.py",
        "step3",
        *both,
        "--model",
        "pitch",
        "--adversarial",
        "aml+atl",
        "--adapt_critic",
        "true",
    )
    tuned = PitchTranscriptor.from_pretrained(tmp_path / "step3" / "best_transcriptor.pth")
    # Onsets are still trained in step 3: the last layer of both heads has moved.
    moved = (tuned.head[2].weight - first.head[2].weight).abs().sum(1)
    assert torch.all(moved > 0)
    tests = f"test={tmp_path / 'others'}:test"
    row = ("--row", "tuned", "--separator", separator, "--transcriptor", critic)
    run("score.py", "scores", *row, "--factorize", "--tests", tests)
    rows = ("--separator", separator, "--transcriptor", critic, "--row", "isolated")
    run("eval.py", "step2", *rows, "--model", "pitch", data="others")
    assert unpack(tmp_path / "step2" / "publish_dir" / "model.pth")[1].n_heads == 2
    table = pd.read_csv(tmp_path / "scores" / "scores.csv")
    assert table.value.notna().any() and set(table.row) == {"tuned", "tuned, factorized"}


def test_what_needs_a_critic_or_notes_says_so(run):
    message = run("train_separator.py", "a", "--critic", "none", code=2)
    assert "the loss term 'transcription' needs a critic" in message
    joint = ("--critic", "none", "--loss", "informed+notes")
    message = run("train_separator.py", "b", *joint, code=2)
    assert "use --model pitch" in message


def test_parts_without_stems_are_refused(run, tmp_path):
    message = run("train_transcriptor.py", "step1", "--t_parts", tmp_path / "songs", code=1)
    assert "does not exist, but targets='both' asks for stems" in message
    missing = tmp_path / "missing"
    message = run("train_transcriptor.py", "other", "--t_parts", missing, code=1)
    assert str(missing) in message and "Traceback" not in message
