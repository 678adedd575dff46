"""`--minutes`: as many songs and updates as there is time for."""

import json
import subprocess
import sys

import pytest
import torch
from tiny_recipe import NETWORK, RECIPE, batches, write_slakh

from asteroid_scoresup.data.prepare import prepare

TINY = f"{NETWORK} {batches(3)} --num_workers 0 --quiet --n_examples 0"
FEW = "--synthesize_opts=--seconds 3 --synthetic 0"


@pytest.fixture(scope="module")
def minutes():
    sys.path.insert(0, str(RECIPE))
    try:
        from local import minutes
    finally:
        sys.path.remove(str(RECIPE))
    return minutes


@pytest.fixture(scope="session")
def run(fast_python):
    def run(*options, script="run.sh"):
        done = subprocess.run(
            ["bash", RECIPE / script, "--python", fast_python, "--n_jobs", "1", *map(str, options)],
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_slakh(folder / "slakh", train=2, validation=1, test=2, seconds=4)
    prepare(folder / "slakh", folder / "prepared", jobs=1, progress=False)
    return folder


def test_songs_are_counted(minutes):
    wanted = {"n_train": 1500, "n_validation": 60, "n_test": 100, "n_test_unseen": 50, "seconds": 9}
    made = {"n_train": 32, "n_validation": 1, "n_test": 1, "n_test_unseen": 1}
    found = minutes.song_counts(wanted, made, spent=10.0, left=100.0)
    assert found["seconds"] == 9
    assert sum(found[key] for key in made) == pytest.approx(350, abs=4)
    assert found["n_train"] / found["n_test"] == pytest.approx(15, rel=0.1)
    assert minutes.song_counts(wanted, made, 10.0, 0.1) == {**made, "seconds": 9}
    assert minutes.song_counts(wanted, made, 10.0, 1e6) == wanted


def test_the_time_is_divided(minutes):
    updates = {"t": 0.01, "s": 0.02, "f": 0.04}
    found, steps = minutes.divide(400.0, updates, 1.0, 5.0, evaluates=True)
    used = 60 * sum(found.values())
    validations = {step: 60 * found[f"{step}_minutes"] / updates[step] / steps[f"{step}_steps"]
                   for step in updates}  # fmt: skip
    assert all(7.5 < count < 8.5 for count in validations.values())
    # Training, its validations, one more at the end of each, four starts, and the evaluation.
    total = used + 1.0 * 3 * 8 + 3 * 1.0 + 4 * 5.0 + 0.2 * 400
    assert total == pytest.approx(400, rel=0.01)
    assert found["s_minutes"] > 1.8 * found["t_minutes"]
    slow, _ = minutes.divide(400.0, updates, 30.0, 5.0, evaluates=False)
    assert 60 * slow["s_minutes"] > 0.8 * 0.5 * (400 - 15 - 90)  # validates less often
    with pytest.raises(ValueError, match="10 s are left .* give more --minutes, or prepare"):
        minutes.divide(10.0, updates, 1.0, 5.0, evaluates=True)


def test_a_trial_gives_a_plan_that_fits(data, tmp_path, fast_python):
    command = [fast_python, "-m", "local.minutes", "plan", "--exp_dir", tmp_path, "--left", "300"]
    command += ["--steps", "tsf", "--adversarial", "aml", "--data_dir", data / "prepared"]
    done = subprocess.run(
        [*map(str, command), *TINY.split()], cwd=RECIPE, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    plan = json.loads((tmp_path / "minutes.json").read_text())
    words = done.stdout.split()
    assert dict(zip(words[::2], words[1::2])) == {f"--{k}": str(v) for k, v in plan.items()}
    assert set(plan) == {f"{step}_{unit}" for step in "tsf" for unit in ("minutes", "steps")}
    assert 0 < 60 * sum(plan[f"{step}_minutes"] for step in "tsf") < 0.8 * 300
    assert "step 3:" in done.stderr and "updates of" in done.stderr
    again = subprocess.run(
        [*map(str, command), *TINY.split()], cwd=RECIPE, capture_output=True, text=True, timeout=300
    )
    assert again.stdout == done.stdout and "with which this run began" in again.stderr


def test_every_stage_keeps_to_the_plan(run, data, tmp_path):
    exp = tmp_path / "slakh_t"
    exp.mkdir()
    plan = {f"{step}_minutes": 0.01 for step in "tsf"} | {f"{step}_steps": 2 for step in "tsf"}
    (exp / "minutes.json").write_text(json.dumps(plan))
    options = ["--stage", 2, "--data_dir", data, "--exp_root", tmp_path, "--tag", "t"]
    status, output = run(*options, "--minutes", 30, "--train_opts", TINY)
    assert status == 0, output
    for step in ("transcriptor", "separator", "finetune"):
        model = torch.load(exp / step / "best_model.pth", weights_only=True)
        trained = model["infos"]["training"]
        assert trained["minutes"] >= 0.01 and (exp / step / "checkpoints" / "last.ckpt").is_file()
    assert (exp / "tables.md").is_file()
    status, output = run(*options, "--minutes", 30, "--train_opts", TINY)
    assert status == 0 and output.count("done before") >= 3, output


def test_the_evaluation_stops_in_time_after_at_least_one_song(run, data, tmp_path):
    exp = tmp_path / "slakh_t"
    exp.mkdir()
    plan = {"t_minutes": 0.001, "s_minutes": 0.001, "t_steps": 1, "s_steps": 1}
    (exp / "minutes.json").write_text(json.dumps(plan))
    options = ["--stage", 2, "--data_dir", data, "--exp_root", tmp_path, "--tag", "t"]
    opts = f"{TINY} --f_epochs 1 --f_steps 1 --eval_minutes 0.0001"
    status, output = run(*options, "--train_opts", f"{opts} --t_epochs 1 --t_steps 1 "
                         "--s_epochs 1 --s_steps 1")  # fmt: skip
    assert status == 0 and "scored 1 of the 2 songs in test: the time is over" in output, output


def test_songs_for_which_there_is_time(run, tmp_path):
    options = ["--data_dir", tmp_path / "d", "--stop_stage", "prepare", "--minutes", "0.05", FEW]
    status, output = run(*options)
    assert status == 0, output
    counts = "--n_train 3 --n_validation 1 --n_test 1 --n_test_unseen 1 --seconds 30"
    assert (tmp_path / "d" / "songs.txt").read_text().split() == counts.split()
    tracks = json.loads((tmp_path / "d" / "prepared" / "manifest.json").read_text())["tracks"]
    assert len(tracks) == 6


@pytest.mark.parametrize("value", ["soon", "-3", "1e2", "."])
def test_other_minutes_are_refused(run, value):
    status, output = run("--minutes", value)
    assert status == 2 and "--minutes is a number of minutes such as 9" in output
