"""The recipe as a user runs it: `bash run.sh` in another process, on songs synthesized here."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from tiny_recipe import NETWORK, RECIPE, batches, lengths, write_slakh

from asteroid_scoresup.data.prepare import prepare
from asteroid_scoresup.engine.checkpoints import resume_epoch
from asteroid_scoresup.models import TCNSeparator, model_hash, unpack

RUN = RECIPE / "run.sh"
TINY = f"{NETWORK} {batches(3)} {lengths(steps=(3, 3, 2))} --num_workers 0 --quiet"
#: Without the plots and pages of songs, which take longer than the training.
NO_EXAMPLES = f"{TINY} --n_examples 0"


def command(*options, opts=TINY, python=sys.executable):
    return ["bash", str(RUN), "--python", python, *options, "--train_opts", opts]


@pytest.fixture(scope="session")
def run(fast_python):
    """Runs the recipe to its end; returns its exit status and output."""

    def run(*options, cwd, opts=TINY, python=fast_python):
        done = subprocess.run(
            # Workers of `prepare` would import everything again.
            command("--n_jobs", "1", *map(str, options), opts=opts, python=python),
            cwd=cwd, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder as stage 0 leaves it, but small."""
    folder = tmp_path_factory.mktemp("data")
    write_slakh(folder / "slakh", train=3, validation=1, test=1, test_unseen=1)
    return folder


@pytest.fixture(scope="module")
def prepared(data, tmp_path_factory):
    """A data folder as stage 1 leaves it."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(data / "slakh", folder / "prepared", sample_rate=16000, jobs=1, progress=False)
    return folder


@pytest.fixture(scope="module")
def finished(run, data, tmp_path_factory):
    """The whole recipe, run once from a folder of its own."""
    root = tmp_path_factory.mktemp("exp")
    options = ["--stage", 1, "--data_dir", data, "--exp_root", root, "--tag", "t"]
    options += ["--adversarial", "aml+atl"]
    status, output = run(*options, cwd=root)
    assert status == 0, output
    return root / "slakh_t", output


def test_every_script_can_be_imported_by_the_interpreter_itself():
    """The other tests start the scripts where most packages are imported already."""
    names = sorted(path.stem for path in RUN.parent.glob("*.py"))
    assert {"train_transcriptor", "train_separator", "finetune", "eval"} <= set(names)
    code = f"import sys; sys.path.insert(0, '.'); import {', '.join(names)}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=RUN.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


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
    assert model_hash(exp / "publish_dir") == model_hash(exp / "best_model.pth")
    card = (exp / "publish_dir" / "README.md").read_text()
    assert "si_sdr_imp" in card and "hid_chan" in card
    for name in ("README.md", "config.json"):  # to share: without the names of local folders
        assert str(exp.parent) not in (exp / "publish_dir" / name).read_text()
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


def results(exp):
    """The results of an experiment, from its files."""
    tables = [(exp / name).read_text() for name in ("tables.md", "details.md", "all_metrics.csv")]
    models = ["best_model.pth", "publish_dir/model.pth"]
    models += [f"{step}/best_model.pth" for step in ("transcriptor", "separator", "finetune")]
    return [*tables, *(model_hash(exp / name) for name in models)]


def test_the_same_command_again_does_nothing_even_in_a_moved_folder(run, finished, data, tmp_path):
    exp, _ = finished
    shutil.copytree(exp, tmp_path / "exp root" / "slakh_t")
    shutil.copytree(data, tmp_path / "moved data")
    moved = tmp_path / "exp root" / "slakh_t"
    before = {path: path.stat().st_mtime_ns for path in moved.rglob("*.*") if path.is_file()}
    options = ["--stage", 1, "--data_dir", "moved data", "--exp_root", "exp root", "--tag", "t"]
    status, output = run(*options, "--adversarial", "aml+atl", cwd=tmp_path)
    assert status == 0, output
    assert output.count("done before") == 4
    after = {path: path.stat().st_mtime_ns for path in moved.rglob("*.*") if path.is_file()}
    assert {path.name for path in after if after[path] != before.get(path)} == {"conf.yml"}
    assert results(moved) == results(exp)


#: By stage: it is killed when this file appears.
KILLED_AT = {
    1: "data/prepared/*/Track*",
    2: "slakh_t/transcriptor/conf.yml",
    3: "slakh_t/separator/checkpoints/last.ckpt",
    4: "slakh_t/finetune/best_transcriptor.pth",
    5: "slakh_t/all_metrics.csv",
}


def test_a_recipe_killed_in_every_stage_gives_the_same_results(
    run, fast_python, finished, data, tmp_path
):
    shutil.copytree(data / "slakh", tmp_path / "data" / "slakh")
    options = ["--data_dir", str(tmp_path / "data"), "--exp_root", str(tmp_path), "--tag", "t"]
    options += ["--adversarial", "aml+atl"]
    for stage, signal_file in KILLED_AT.items():
        process = subprocess.Popen(
            command("--stage", str(stage), *options, opts=NO_EXAMPLES, python=fast_python),
            cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            wait_for(lambda: list(tmp_path.glob(signal_file)), process)  # noqa: B023
        finally:
            kill(process)
        for path in tmp_path.rglob(".*.part*"):
            os.utime(path, (0, 0))  # files of the last seconds are kept
        # What the next stages start from; the stage itself is resumed.
        if stage < 5:
            only = ("--stage", stage, "--stop_stage", stage)
            status, output = run(*only, *options, cwd=tmp_path, opts=NO_EXAMPLES)
            assert status == 0, output
    status, output = run("--stage", 1, *options, cwd=tmp_path, opts=NO_EXAMPLES)
    assert status == 0, output
    assert output.count("done before") == 3
    assert results(tmp_path / "slakh_t") == results(finished[0])
    assert not list(tmp_path.rglob("*.part*"))


def kill(process):
    """Kills the processes of a session; returns when none of them holds its output any more."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)


def wait_for(condition, process, seconds=300):
    """Waits until a condition holds, for as long as a process runs."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        assert process.poll() is None, f"it ended by itself, with exit code {process.returncode}"
        time.sleep(0.02)


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM to run.sh alone"])
def test_a_signal_ends_training_with_a_sentence(prepared, fast_python, tmp_path, how):
    options = ["--stage", "2", "--stop_stage", "2", "--data_dir", str(prepared)]
    options += ["--exp_root", str(tmp_path), "--tag", "k"]
    opts = TINY.replace("--t_epochs 1", "--t_epochs 10000")
    opts = opts.replace("--num_workers 0", "--num_workers 1")
    # The script that gets the signal is started as for users; those before it only check options.
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$1" in train_*) exec {sys.executable} "$@";; esac\n'
        f'exec {fast_python} "$@"\n'
    )
    python.chmod(0o755)
    process = subprocess.Popen(
        command(*options, opts=opts, python=str(python)),
        cwd=tmp_path, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        wait_for((tmp_path / "slakh_k/transcriptor/checkpoints/last.ckpt").is_file, process)
        if how == "Ctrl-C":  # the terminal sends it to every process
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.terminate()
        output, _ = process.communicate(timeout=60)  # also the end of the loader's processes
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == (130 if how == "Ctrl-C" else 143)
    epoch = resume_epoch(tmp_path / "slakh_k" / "transcriptor" / "checkpoints")
    assert f"interrupted; the same command resumes from epoch {epoch}." in output
    assert "Traceback" not in output
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_data_that_was_damaged_ends_training_with_a_sentence(run, prepared, tmp_path):
    shutil.copytree(prepared / "prepared", tmp_path / "d" / "prepared")
    mixture = sorted(tmp_path.glob("d/prepared/train/*/mixture.wav"))[0]
    mixture.write_bytes(mixture.read_bytes()[:40000])
    options = ["--stage", 2, "--data_dir", tmp_path / "d", "--exp_root", tmp_path, "--tag", "x"]
    status, output = run(*options, cwd=tmp_path)
    assert status == 1 and "Traceback" not in output
    assert f"{mixture} has " in output and "manifest.json says 80000" in output
    assert not list(tmp_path.glob("slakh_x/**/*.pth"))


def test_other_settings_in_a_used_folder_are_refused(run, finished, data):
    exp, _ = finished
    options = ["--data_dir", data, "--exp_root", exp.parent, "--tag", "t"]
    status, output = run("--stage", "separator", *options, cwd=exp, opts=TINY + " --s_lr 0.5")
    assert status != 0
    assert "contains a run with another configuration" in output and "s_lr" in output


def test_training_needs_no_stem_and_a_model_comes_out(run, data, tmp_path):
    status, output = run("--stage", 1, "--stop_stage", 1, "--data_dir", data, cwd=tmp_path)
    assert status == 0, output
    bare = tmp_path / "bare"
    shutil.copytree(data / "prepared", bare / "prepared")
    stems = list(bare.glob("prepared/*/*/stems"))
    assert stems
    for folder in stems:
        shutil.rmtree(folder)
    options = ["--stage", 2, "--data_dir", bare, "--exp_root", tmp_path, "--tag", "bare"]
    status, output = run(*options, "--loss", "clip+harmonic", cwd=tmp_path)
    assert status == 0, output
    assert "2 tracks have no stems, so only their transcription was scored" in output
    exp = tmp_path / "slakh_bare"
    metrics = json.loads((exp / "final_metrics.json").read_text())
    assert 0 <= metrics["note_accuracy_mixture"] <= 1 and "si_sdr" not in metrics
    model = TCNSeparator.from_pretrained(exp / "best_model.pth")
    assert model(torch.randn(16000)).shape == (3, 16000)


@pytest.mark.parametrize("supervision", ["activity", "stems"])
def test_the_other_supervisions_run(run, data, tmp_path, supervision, finished):
    options = ["--data_dir", data, "--exp_root", tmp_path, "--tag", "o"]
    if supervision == "activity":  # its critic is trained on other labels
        options += ["--stage", 2]
    else:
        transcriptor = finished[0] / "transcriptor" / "best_model.pth"
        options += ["--stage", 3, "--transcriptor", transcriptor]
    options += ["--supervision", supervision]
    status, output = run(*options, cwd=tmp_path, opts=NO_EXAMPLES)
    assert status == 0, output
    row = "baseline, frame" if supervision == "activity" else "supervised"
    assert row in (tmp_path / "slakh_o" / "tables.md").read_text()


def test_own_songs_through_every_stage(run, tmp_path):
    """Pairs of audio and MIDI without stems, other classes, a relative path."""
    made = tmp_path / "made"
    write_slakh(made, train=3, validation=1, test=0)
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
    # The same folder with other data is refused.
    options[options.index("data")] = "other"
    options[options.index("low=32-39;high=0-31")] = "high=0-31;low=32-39"
    status, output = run(*options, cwd=tmp_path)
    assert status != 0 and "data_fingerprint" in output


def test_the_weak_baseline_receives_no_pitch(run, data, tmp_path, finished):
    options = ["--stage", 2, "--stop_stage", 3, "--data_dir", data, "--exp_root", tmp_path]
    options += ["--supervision", "activity", "--loss", "clip+harmonic"]
    status, output = run(*options, "--tag", "w", cwd=tmp_path)
    assert status != 0 and "needs more than who plays when" in output
    transcriptor = ["--transcriptor", finished[0] / "transcriptor" / "best_model.pth"]
    status, output = run(*options[:-2], *transcriptor, "--tag", "v", cwd=tmp_path)
    assert status != 0 and "contains a ScoreTranscriptor" in output


def test_the_real_files_run_through(run, real_data, tmp_path):
    """Two seconds of one song, and defects: stages 1 to 3 and 5."""
    options = ["--slakh_dir", real_data / "slakh2100_flac_redux", "--data_dir", tmp_path / "d"]
    options += ["--exp_root", tmp_path, "--tag", "real"]
    status, output = run("--stage", 1, "--stop_stage", 3, *options, cwd=tmp_path)
    assert status == 0, output
    assert "there is no validation split" in output
    status, output = run("--stage", 5, *options, cwd=tmp_path, opts=NO_EXAMPLES)
    assert status == 0, output
    assert "there is no test split" in output and "isolated, clip+informed" in output
    metrics = json.loads((tmp_path / "slakh_real" / "final_metrics.json").read_text())
    assert metrics["guitar/n_counted"] == 1 and metrics["bass/n_silent"] == 1


def test_a_stage_without_input_names_the_stage_that_makes_it(run, data, finished, tmp_path):
    status, output = run("--stage", 2, "--data_dir", tmp_path / "no", cwd=tmp_path)
    assert status == 1 and "which stage 1 makes" in output
    options = ["--data_dir", data, "--exp_root", tmp_path, "--tag", "new"]
    status, output = run("--stage", 3, *options, cwd=tmp_path)
    assert status == 1 and "transcriptor/best_model.pth, which stage 2 makes" in output
    status, output = run("--stage", 5, *options, cwd=tmp_path)
    assert status == 1 and "which stage 3 makes" in output


BAD_OPTIONS = {
    "--stagee 3": "there is no option --stagee",
    "--stage": "--stage needs a value",
    "3": "expected options of the form",
    "--": "there is no option --",
    "--recipe /": "there is no option --recipe",
    "--PATH=/": "there is no option --PATH",
    "--a[$(touch${IFS}broken)]=1": "there is no option --a[",
    "--a[`touch${IFS}broken`] 1": "there is no option --a[",
    "--stage abc": "--stage is a number from 0 to 5 or one of synthesize, prepare, transcriptor",
    "--stage 9": "evaluate, found '9'",
    "--stage -1": "--stage is a number",
    "--stage 2.5": "--stage is a number",
    "--stage=": "--stage is a number",
    "--stop_stage 6": "--stop_stage is a number",
    "--stage 4 --stop_stage separator": "--stage 4 is above --stop_stage 3",
    "--seed -3": "--seed is a whole number",
    "--seed 4294967296": "--seed is a whole number",
    "--n_jobs 0": "--n_jobs is a whole number from 1",
    "--n_jobs a[$(touch${IFS}broken)]": "--n_jobs is a whole number",
    "--preset huge": "--preset is one of mini, bundled, band, small, long, paper, found 'huge'",
    "--mixture stems": "--mixture is one of submix, song",
    "--supervision none": "--supervision is one of score, activity, stems, semi",
    "--adversarial gan": "--adversarial is one of none, aml, atl, aml+atl, found",
    "--adversarial aml --supervision stems": "--adversarial aml is for step 3",
    "--adversarial aml --train_opts --f_batch_size=2": "need --f_batch_size 3 or more, found 2",
    "--adapt_critic yes": "--adapt_critic is one of true, false",
    "--adapt_critic true --supervision stems": "--adapt_critic true is for step 3",
    "--loss clip+sharp": "there is no loss 'clip+sharp': --loss is one of clip, clip+harmonic",
    "--loss my/loss.yml": "my/loss.yml': --loss is one of clip",
    "--loss stems": "--supervision score: the term 'magnitude_approximation' needs stems",
    "--loss clip --supervision stems": "no loss term compares with stems",
    "--loss stems --supervision semi": "no loss term reads the scores",
    "--supervision activity --loss soft_harmonic": "needs more than who plays when",
    "--id gpu0": "--id is numbers of CUDA devices",
    "--id 0,": "--id is numbers of CUDA devices",
    "--tag a/b": "--tag is the name of a folder",
    "--tag ..": "--tag is the name of a folder",
    "--python no_such_python": "'no_such_python' is not a program",
    "--slakh_dir nowhere": "nowhere is not a folder",
    "--midi_dir nowhere": "nowhere is not a folder",
    "--slakh_dir / --midi_dir /": "are for stage 0, which --slakh_dir replaces",
    "--splits nothing.json": "nothing.json is not a file",
    "--transcriptor nothing.pth": "nothing.pth is not a file",
    "--start nothing": "neither a file nor a bundled model (band, band_drums)",
    "--start runs/nothing.pth": "--start runs/nothing.pth is neither a file",
    "--exp_root /dev/null": "/dev/null is a file, expected a folder",
}
BAD_SETTINGS = {
    "--t_lr nan": "--t_lr is a number above 0 to 10, found 'nan'",
    "--t_lr inf": "--t_lr is a number",
    "--t_lr 0": "--t_lr is a number above 0",
    "--s_lr fast": "--s_lr is a number",
    "--s_epochs 0": "--s_epochs is a whole number from 1",
    "--s_epochs 1e3": "--s_epochs is a whole number",
    "--t_batch_size -2": "--t_batch_size is a whole number",
    "--segment 0": "--segment is a number above 0",
    "--stem_fraction 1.5": "--stem_fraction is a number",
    "--conv_kernel_size 4": "--conv_kernel_size is an odd number",
    "--n_fft 1025": "--n_fft 1025 is odd",
    "--n_fft 256 --hop_length 512": "--hop_length 512 is above --n_fft 256",
    "--f_minutes 3 --devices 2": "--f_minutes needs a single device",
    "--r_minutes 3 --devices 2": "--r_minutes needs a single device",
    "--norm_type BN": "--norm_type is one of",
    "--model UNet": "--model is one of tcn, pitch, ConvTasNet, OpenUnmix",
    "--precision 8": "--precision is one of",
    "--compile maybe": "--compile is true, false or auto",
    "--clip -1": "--clip is a number",
    "--clip 0 --informed 0 --transcription 0": "the weights of all loss terms are 0",
    "--si_sdr 1": "needs stems",
    "--s_minutes nan": "--s_minutes is a number",
    "--s_minutes 5 --devices 2": "every process has a clock of its own",
    "--model ConvTasNet": "--model ConvTasNet ends with step 2: use --stop_stage separator",
    "--devices 2": "step 3 trains two networks in turn, on one device",
    "--s_epoch 3": "there is no setting '--s_epoch' in local/conf.yml; did you mean --s_epochs?",
    "--exp_dir x": "there is no setting '--exp_dir'",
    "s_epochs 3": "there is no setting 's_epochs'",
    "--s_epochs": "--s_epochs needs a value",
    "--s_epochs --quiet": "--s_epochs needs a value",
    "--quiet=yes": "--quiet takes no value",
    "--data_dir 'x": "is not quoted as in a shell",
}


def refused(options, message, cwd, python):
    done = subprocess.run(
        ["bash", str(RUN), "--python", python, "--stage", "2", *options],
        cwd=cwd, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr and done.stderr.count("\n") == 1 and not done.stdout
    assert not list(cwd.iterdir()) and not (RUN.parent / "broken").exists()


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_bad_options_are_refused_in_a_sentence(options, tmp_path, fast_python):
    refused(options.split(), BAD_OPTIONS[options], tmp_path, fast_python)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--prepare_opts", "--corect"], "--prepare_opts: unrecognized arguments: --corect."),
        (["--synthesize_opts", "--seed"], "--synthesize_opts: argument --seed: expected one arg"),
        (["--classes", "bass"], "--classes: "),
    ],
)
def test_options_of_the_commands_are_checked_before_anything_is_done(
    options, message, tmp_path, fast_python
):
    refused(options, message, tmp_path, fast_python)


@pytest.mark.parametrize("settings", BAD_SETTINGS)
def test_bad_settings_are_refused_before_anything_is_done(settings, tmp_path, fast_python):
    refused(["--train_opts", settings], BAD_SETTINGS[settings], tmp_path, fast_python)


@pytest.mark.parametrize(
    "text, words",
    [
        ("", []),
        ("  ", []),
        ("--a 1  --b 2", ["--a", "1", "--b", "2"]),
        ("--a 'b c' \"d  e\" f\\ g", ["--a", "b c", "d  e", "f g"]),
        ("--a '' -n %s * $HOME $(id)", ["--a", "", "-n", "%s", "*", "$HOME", "$(id)"]),
    ],
)
def test_options_in_one_text_are_quoted_as_in_a_shell(text, words):
    # $0 is the script whose head has the names of the options; it is not run.
    source = (
        'set -eu; file=$1 text=$2; set --; . "$file"; split_words x "$text"; '
        'printf "<%s>" ${words[@]+"${words[@]}"}'
    )
    utils = RUN.parent / "utils" / "parse_options.sh"
    done = subprocess.run(
        ["bash", "-c", source, str(RUN), str(utils), text], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("".join(f"<{word}>" for word in words) or "<>")


def test_every_path_may_contain_blanks(fast_python, prepared, tmp_path):
    """Paths of the checkout, Python, data and experiments."""
    recipe = tmp_path / "check out" / "egs" / "slakh"
    shutil.copytree(RUN.parent, recipe, ignore=shutil.ignore_patterns("data", "exp", "results"))
    python = tmp_path / "py dir" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{fast_python}" "$@"\n')
    python.chmod(0o755)
    shutil.copytree(prepared / "prepared", tmp_path / "my data" / "prepared")
    done = subprocess.run(
        ["bash", recipe / "run.sh", "--python", "py dir/python", "--data_dir", "my data", "--stage",
         "2", "--stop_stage", "2", "--exp_root", "my exp", "--tag", "a tag", "--train_opts", TINY],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "my exp" / "slakh_a tag" / "transcriptor" / "best_model.pth").is_file()


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("conf.yml", "a: [", "conf.yml cannot be read"),
        ("conf.yml", "3", "conf.yml is damaged: expected sections"),
        ("presets.yml", "- mini", "presets.yml is damaged"),
        ("presets.yml", "mini: {s_epoch: 3}", "mini changes 's_epoch', which is not a setting"),
        ("presets.yml", "mini: {s_lr: .nan}", "s_lr is a number above 0 to 10, found nan"),
        ("presets.yml", "mini: {n_fft: 1024.5}", "n_fft is a whole number"),
    ],
)
def test_damaged_files_of_settings_are_named(tmp_path, fast_python, name, content, message):
    shutil.copytree(RUN.parent, tmp_path / "r", ignore=shutil.ignore_patterns("data", "exp"))
    (tmp_path / "r" / "local" / name).write_text(content)
    done = subprocess.run(
        ["bash", tmp_path / "r" / "run.sh", "--python", fast_python, "--stage", "2"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_a_killed_run_is_resumed(run, fast_python, prepared, tmp_path):
    options = ["--stage", "2", "--stop_stage", "2", "--data_dir", str(prepared)]
    options += ["--exp_root", str(tmp_path), "--tag", "k"]
    checkpoint = tmp_path / "slakh_k" / "transcriptor" / "checkpoints" / "last.ckpt"
    opts = TINY.replace("--t_epochs 1", "--t_epochs 10000")
    process = subprocess.Popen(
        command(*options, opts=opts, python=fast_python),
        cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        wait_for(checkpoint.is_file, process)
    finally:
        kill(process)
    reached = torch.load(checkpoint, weights_only=True)["epoch"]
    opts = TINY.replace("--t_epochs 1", f"--t_epochs {reached + 3}")
    status, output = run(*options, cwd=tmp_path, opts=opts)
    assert status == 0, output
    logs = sorted(tmp_path.glob("slakh_k/transcriptor/logs/version_*/metrics.csv"))
    epochs = pd.read_csv(logs[-1]).epoch.dropna()
    assert epochs.min() == reached + 1 and epochs.max() == reached + 2


def test_separator_and_transcriptor_as_one_network(run, data, tmp_path):
    options = ("--transcriptor", "none", "--data_dir", data, "--stage", 1, "--tag", "one")
    exp = ("--exp_root", tmp_path)
    code, output = run(*options, *exp, cwd=tmp_path)
    assert code == 2 and "--loss informed+notes" in output
    opts = f"{NO_EXAMPLES} --model pitch --pitch_chan 4"
    loss = ("--loss", "informed+notes")
    stages = ("--stop_stage", "separator")
    code, output = run(*options, *exp, *loss, *stages, cwd=tmp_path, opts=opts)
    assert code == 0, output
    stages = ("--stage", "evaluate")
    code, evaluated = run(*options, *exp, *loss, *stages, cwd=tmp_path, opts=opts)
    assert code == 0, evaluated
    assert "Stage 2" not in output and "as one network" in output
    made = unpack(tmp_path / "slakh_one" / "best_model.pth")
    first = made.separator.transcriptor().state_dict()
    for name, weight in made.transcriptor.state_dict().items():
        torch.testing.assert_close(weight, first[name])
    table = (tmp_path / "slakh_one" / "tables.md").read_text()
    assert "isolated, informed+notes" in table and "input mixture" in table
    assert (tmp_path / "slakh_one" / "separator" / "best_transcriptor.pth").is_file()
    trained = tmp_path / "slakh_one" / "separator" / "best_model.pth"
    again = ("--tag", "two", "--start", trained.relative_to(tmp_path))
    only = ("--stage", "separator", "--stop_stage", "separator")
    code, output = run(
        *options, *exp, *loss, *again, *only, cwd=tmp_path, opts=f"{opts} --s_lr 1e-7"
    )
    assert code == 0, output
    more = TCNSeparator.from_pretrained(tmp_path / "slakh_two" / "separator" / "best_model.pth")
    for name, weight in more.state_dict().items():
        expected = made.separator.state_dict()[name]
        torch.testing.assert_close(weight, expected, atol=1e-4, rtol=0)
