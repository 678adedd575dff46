"""The recipe as its user runs it: `bash run.sh` in another process, on songs made here."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from asteroid_scoresup.data.synthesize import synthesize
from asteroid_scoresup.models import TCNSeparator, unpack

RUN = Path(__file__).parents[2] / "egs" / "slakh" / "run.sh"
TINY = (
    "--segment 2.048 --num_workers 0 --n_fft 1024 --hop_length 512 --n_blocks 3 --n_repeats 1 "
    "--bn_chan 8 --hid_chan 8 --t_epochs 1 --t_steps 3 --t_batch_size 3 --s_epochs 1 --s_steps 3 "
    "--s_batch_size 3 --f_epochs 1 --f_steps 2 --f_batch_size 3 --quiet"
)


def command(*options, opts=TINY):
    return ["bash", str(RUN), "--python", sys.executable, *options, "--train_opts", opts]


def run(*options, cwd, opts=TINY):
    done = subprocess.run(
        command(*map(str, options), opts=opts), cwd=cwd, capture_output=True, text=True, timeout=600
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder as stage 0 leaves it, but small."""
    folder = tmp_path_factory.mktemp("data")
    synthesize(
        folder / "slakh", n_train=3, n_validation=1, n_test=1, n_test_unseen=1, seconds=5,
        sample_rate=16000, renderer="tinysoundfont", jobs=1, quiet=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """The whole recipe, run once, from a folder that is not the recipe's."""
    root = tmp_path_factory.mktemp("exp")
    options = ["--stage", 1, "--data_dir", data, "--exp_root", root, "--tag", "t"]
    status, output = run(*options, "--adversarial", "aml+atl", cwd=root)
    assert status == 0, output
    return root / "slakh_t", output


def test_it_leaves_what_an_asteroid_recipe_leaves(finished):
    exp, _ = finished
    for step in ("transcriptor", "separator", "finetune"):
        assert json.loads((exp / step / "best_k_models.json").read_text())
        assert (exp / step / "conf.yml").is_file() and (exp / step / "best_model.pth").is_file()
        assert list((exp / step / "checkpoints").glob("epoch*.ckpt"))
    metrics = json.loads((exp / "final_metrics.json").read_text())
    for key in ("si_sdr", "si_sdr_imp", "input_si_sdr", "bass/si_sdr", "n_counted", "n_silent"):
        assert key in metrics
    assert metrics["si_sdr_imp"] == pytest.approx(metrics["si_sdr"] - metrics["input_si_sdr"])
    tracks = pd.read_csv(exp / "all_metrics.csv")
    assert set(tracks.test_set) == {"test", "test_unseen"}
    assert {"input mixture", "score oracle", "isolated, clip+informed", "pre-train"} <= set(
        tracks.row
    )
    separator, transcriptor, decoding, programs = unpack(exp / "best_model.pth")
    assert programs == {"bass": 32, "guitar": 24, "piano": 0}
    assert separator.sources == transcriptor.sources and len(decoding["threshold"]) == 3
    (page,) = (exp / "examples" / "test").glob("*/page/index.html")
    assert "SI-SDRi (dB)" in page.read_text()
    published = torch.load(exp / "publish_dir" / "model.pth", weights_only=True)
    assert published["infos"]["final_metrics"] == metrics
    for name in (
        "si_sdr_test.png",
        "details.md",
        "training_curves.png",
        "publish_dir/recipe_name.txt",
        "tables.md",
    ):
        assert (exp / name).stat().st_size > 0
    example = next((exp / "examples" / "test").iterdir())
    assert {"mixture.wav", "bass_estimate.wav", "separation.png"} <= {
        path.name for path in example.iterdir()
    }
    model = TCNSeparator.from_pretrained(exp / "best_model.pth")
    assert model(torch.randn(16000)).shape == (3, 16000)


def test_it_prints_both_tables_and_what_each_stage_does(finished):
    _, output = finished
    assert "fine-tune, clip+informed, aml+atl" in output and "pre-train" in output
    for stage in range(1, 6):
        assert f"Stage {stage}: " in output and f"stage {stage} took" in output


def test_a_finished_stage_is_not_trained_again(finished, data):
    exp, _ = finished
    before = torch.load(exp / "separator" / "best_model.pth", weights_only=True)["state_dict"]
    options = ["--data_dir", data, "--exp_root", exp.parent, "--tag", "t"]
    status, output = run("--stage", 3, "--stop_stage", 3, *options, cwd=exp)
    assert status == 0, output
    after = torch.load(exp / "separator" / "best_model.pth", weights_only=True)["state_dict"]
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_other_settings_in_a_used_folder_are_refused(finished, data):
    exp, _ = finished
    options = ["--data_dir", data, "--exp_root", exp.parent, "--tag", "t"]
    status, output = run("--stage", 3, *options, cwd=exp, opts=TINY + " --s_lr 0.5")
    assert status != 0
    assert "holds a run with another configuration" in output and "s_lr" in output


def test_training_needs_no_stem_and_a_model_comes_out(data, tmp_path):
    status, output = run("--stage", 1, "--stop_stage", 1, "--data_dir", data, cwd=tmp_path)
    assert status == 0, output
    bare = tmp_path / "bare"
    shutil.copytree(data / "prepared", bare / "prepared")
    references = list(bare.glob("prepared/*/*/references"))
    assert references
    for folder in references:
        shutil.rmtree(folder)
    options = ["--stage", 2, "--data_dir", bare, "--exp_root", tmp_path, "--tag", "bare"]
    status, output = run(*options, "--mixture_loss", "clip+harmonic", cwd=tmp_path)
    assert status == 0, output
    assert "2 tracks have no stems, so only their transcription was scored" in output
    exp = tmp_path / "slakh_bare"
    metrics = json.loads((exp / "final_metrics.json").read_text())
    assert 0 <= metrics["note_accuracy_mixture"] <= 1 and "si_sdr" not in metrics
    model = TCNSeparator.from_pretrained(exp / "best_model.pth")
    assert model(torch.randn(16000)).shape == (3, 16000)


@pytest.mark.parametrize("supervision", ["activity", "stems"])
def test_the_other_supervisions_run(data, tmp_path, supervision, finished):
    options = ["--stage", 2, "--data_dir", data, "--exp_root", tmp_path, "--tag", "o"]
    loss = ["--mixture_loss", "frame"] if supervision == "activity" else []
    status, output = run(*options, "--supervision", supervision, *loss, cwd=tmp_path)
    assert status == 0, output
    row = "baseline, frame" if supervision == "activity" else "supervised"
    assert row in (tmp_path / "slakh_o" / "tables.md").read_text()


def test_own_songs_through_every_stage(tmp_path):
    """Pairs of audio and MIDI, no stems, other classes, a folder named from where one stands."""
    made = tmp_path / "made"
    synthesize(
        made, n_train=3, n_validation=1, n_test=0, n_test_unseen=0, seconds=5, sample_rate=16000,
        renderer="tinysoundfont", jobs=1, quiet=True,
    )  # fmt: skip
    songs = tmp_path / "my songs"
    songs.mkdir()
    for track in made.glob("*/Track*"):
        shutil.copy(track / "mix.flac", songs / f"{track.name}.flac")
        shutil.copy(track / "all_src.mid", songs / f"{track.name}.mid")
    options = ["--stage", 0, "--slakh_dir", "my songs", "--data_dir", "data", "--exp_root", "exp"]
    options += ["--tag", "own", "--classes", "low=32-39;high=0-31", "--mixture", "song"]
    status, output = run(*options, cwd=tmp_path)
    assert status == 0, output
    assert "Stage 0" not in output and "have no stems" in output
    model = TCNSeparator.from_pretrained(tmp_path / "exp" / "slakh_own" / "best_model.pth")
    assert model.sources == ["low", "high"]
    # The same folder with other data is not taken for the old experiment.
    options[options.index("data")] = "other"
    options[options.index("low=32-39;high=0-31")] = "high=0-31;low=32-39"
    status, output = run(*options, cwd=tmp_path)
    assert status != 0 and "data_fingerprint" in output


def test_the_weak_baseline_gets_no_pitch(data, tmp_path, finished):
    options = ["--stage", 2, "--stop_stage", 3, "--data_dir", data, "--exp_root", tmp_path]
    options += ["--supervision", "activity", "--mixture_loss", "clip+harmonic"]
    status, output = run(*options, "--tag", "w", cwd=tmp_path)
    assert status != 0 and "knows who plays when and no pitch" in output
    transcriptor = ["--transcriptor", finished[0] / "transcriptor" / "best_model.pth"]
    status, output = run(*options[:-2], *transcriptor, "--tag", "v", cwd=tmp_path)
    assert status != 0 and "which holds a ScoreTranscriptor" in output


def test_the_real_files_run_through(real_data, tmp_path):
    """Two seconds of one song, and defects: stages 1 to 3 and 5."""
    options = ["--slakh_dir", real_data / "slakh2100_flac_redux", "--data_dir", tmp_path / "d"]
    options += ["--exp_root", tmp_path, "--tag", "real"]
    status, output = run("--stage", 1, "--stop_stage", 3, *options, cwd=tmp_path)
    assert status == 0, output
    assert "there is no validation split" in output
    status, output = run("--stage", 5, *options, cwd=tmp_path)
    assert status == 0, output
    assert "there is no test split" in output and "isolated, clip+informed" in output
    metrics = json.loads((tmp_path / "slakh_real" / "final_metrics.json").read_text())
    assert metrics["guitar/n_counted"] == 1 and metrics["bass/n_silent"] == 1


def test_a_stage_without_input_names_the_stage_that_makes_it(data, finished, tmp_path):
    status, output = run("--stage", 2, "--data_dir", tmp_path / "no", cwd=tmp_path)
    assert status == 1 and "which stage 1 makes" in output
    options = ["--data_dir", data, "--exp_root", tmp_path, "--tag", "new"]
    status, output = run("--stage", 3, *options, cwd=tmp_path)
    assert status == 1 and "transcriptor/best_model.pth, which stage 2 makes" in output
    status, output = run("--stage", 5, *options, cwd=tmp_path)
    assert status == 1 and "which stage 3 makes" in output


@pytest.mark.parametrize(
    "options, message",
    [
        (["--stagee", "3"], "there is no option --stagee"),
        (["--stage"], "needs a value"),
        (["3"], "expected options of the form"),
        (["--supervision", "none"], "--supervision is score, activity, stems or semi"),
        (["--adversarial", "gan"], "--adversarial is none, aml, atl, aml+atl or truth"),
    ],
)
def test_bad_options_are_refused_in_a_sentence(options, message, tmp_path):
    done = subprocess.run(
        ["bash", str(RUN), *options], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2 and message in done.stderr


def test_a_killed_run_goes_on(data, finished, tmp_path):
    options = ["--stage", "2", "--stop_stage", "2", "--data_dir", str(data)]
    options += ["--exp_root", str(tmp_path), "--tag", "k"]
    checkpoint = tmp_path / "slakh_k" / "transcriptor" / "checkpoints" / "last.ckpt"
    process = subprocess.Popen(
        command(*options, opts=TINY.replace("--t_epochs 1", "--t_epochs 10000")),
        cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while not checkpoint.is_file() and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    reached = torch.load(checkpoint, weights_only=True)["epoch"]
    opts = TINY.replace("--t_epochs 1", f"--t_epochs {reached + 3}")
    status, output = run(*options, cwd=tmp_path, opts=opts)
    assert status == 0, output
    logs = sorted(tmp_path.glob("slakh_k/transcriptor/logs/version_*/metrics.csv"))
    epochs = pd.read_csv(logs[-1]).epoch.dropna()
    assert epochs.min() == reached + 1 and epochs.max() == reached + 2
