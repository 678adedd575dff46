"""The command line: subcommands, errors in one sentence, exit status."""

import gc
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile as sf
from tiny import NAMES, NET

from asteroid_scoresup.engine import save_model
from asteroid_scoresup.models import TCNSeparator
from asteroid_scoresup.scripts import synthesize
from asteroid_scoresup.scripts.cli import VERBS, main


def test_help_lists_every_verb(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS)


@pytest.mark.parametrize("verb", sorted({*VERBS} - {"infer", "models", "export", "completion"}))
def test_every_verb_has_help_for_its_options(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0 and "--quiet" in capsys.readouterr().out


def test_an_unknown_verb_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["sing"])
    assert stop.value.code == 2 and "sing" in capsys.readouterr().err


def test_separate_continues_after_a_bad_file(tmp_path, capsys):
    save_model(TCNSeparator(NAMES, **NET), tmp_path / "model.pth")
    (tmp_path / "bad.wav").write_text("no audio")
    sf.write(tmp_path / "good.wav", 0.1 * np.random.default_rng(0).standard_normal(4000), 4000)
    songs = [str(tmp_path / "bad.wav"), str(tmp_path / "good.wav")]
    options = ["--model", str(tmp_path / "model.pth"), "--out_dir", str(tmp_path / "o"), "--quiet"]
    assert main(["separate", *songs, *options]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "bad.wav cannot be read as audio" in error
    assert (tmp_path / "o" / "good" / "bass.wav").is_file()


def test_separate_has_the_options_of_demucs(tmp_path, capsys):
    save_model(TCNSeparator(NAMES, **NET), tmp_path / "model.pth")
    noise = 0.1 * np.random.default_rng(0).standard_normal(4000)
    sf.write(tmp_path / "song.wav", noise, 4000, "FLOAT")
    common = [
        "separate",
        str(tmp_path / "song.wav"),
        "-n",
        str(tmp_path / "model.pth"),
        "-d",
        "cpu",
    ]
    for options, subtype in ((["--int24"], "PCM_24"), (["--float32"], "FLOAT")):
        out = tmp_path / subtype
        assert main([*common, "-o", str(out), "--two-stems", "bass", *options]) == 0
        written = {path.name for path in (out / "song").glob("*.wav")}
        assert written == {"bass.wav", "without_bass.wav"}
        assert {sf.info(out / "song" / name).subtype for name in written} == {subtype}
    stems = [sf.read(tmp_path / "FLOAT" / "song" / name)[0] for name in sorted(written)]
    np.testing.assert_allclose(sum(stems), sf.read(tmp_path / "song.wav")[0], atol=1e-6)
    assert main([*common, "--two-stems", "bass", "--only", "bass"]) == 1
    assert "--two-stems is --only and --without together" in capsys.readouterr().err


def test_errors_are_one_sentence_and_status_1(tmp_path, capsys):
    sf.write(tmp_path / "song.wav", np.zeros(100), 4000)
    song, model = str(tmp_path / "song.wav"), str(tmp_path / "none.pth")
    assert main(["separate", song, "--model", model]) == 1
    assert capsys.readouterr().err.startswith("asteroid-scoresup separate: There is no model file")


def test_infer_runs_asteroids_command_with_our_models(tmp_path, capsys):
    save_model(TCNSeparator(NAMES, **NET), tmp_path / "model.pth")
    song, model = tmp_path / "song.wav", str(tmp_path / "model.pth")
    sf.write(song, 0.1 * np.random.default_rng(0).standard_normal(4000), NET["sample_rate"])
    assert main(["infer", model, "--files", str(song)]) == 0
    assert len(list(tmp_path.glob("song_est*.wav"))) == len(NAMES)
    sf.write(song, np.zeros(4000), 3000)
    assert main(["infer", model, "--files", str(song), "--force-overwrite"]) == 1
    assert "sampling rate of 3000Hz" in capsys.readouterr().err
    assert main(["infer", str(tmp_path / "none.pth"), "--files", str(song)]) == 1
    assert "There is no model file" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_ends_a_command_with_a_sentence(monkeypatch, capsys, number, status):
    number = getattr(signal, number)
    # A shell starts background commands with Ctrl-C ignored, which Python then leaves as it is.
    ctrl_c = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(
        synthesize, "run", lambda args: (os.kill(os.getpid(), number), time.sleep(5))
    )
    assert main(["synthesize", "out"]) == status
    assert capsys.readouterr().err == "asteroid-scoresup: interrupted; run it again to resume.\n"
    assert signal.getsignal(signal.SIGTERM) is before
    signal.signal(signal.SIGINT, ctrl_c)


def test_infer_accepts_options_in_any_order(tmp_path):
    save_model(TCNSeparator(NAMES, **NET), tmp_path / "model.pth")
    song, model = tmp_path / "song.wav", str(tmp_path / "model.pth")
    sf.write(song, 0.1 * np.random.default_rng(0).standard_normal(4000), NET["sample_rate"])
    files = ["--files", str(song)]
    for number, order in enumerate(
        [
            ["--device", "cpu", model, *files],
            [model, "-d", "cpu", *files],
            [*files, "--device", "cpu", model],
            [model, *files, "-w", "1000", "--device=cpu"],
        ]
    ):
        out = tmp_path / str(number)
        out.mkdir()
        assert main(["infer", *order, "--output-dir", str(out)]) == 0
        assert len(list(out.glob("song_est*.wav"))) == len(NAMES)


def test_infer_runs_a_model_of_asteroids(tmp_path):
    import torch
    from asteroid.models import ConvTasNet

    net = ConvTasNet(
        2,
        n_filters=16,
        n_blocks=1,
        n_repeats=1,
        bn_chan=8,
        hid_chan=8,
        skip_chan=8,
        sample_rate=4000,
    )
    torch.save(net.serialize(), tmp_path / "conv.pth")
    sf.write(tmp_path / "song.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 4000), 4000)
    song, model = str(tmp_path / "song.wav"), str(tmp_path / "conv.pth")
    assert main(["infer", model, "--files", song, "--device", "cpu"]) == 0
    assert len(list(tmp_path.glob("song_est*.wav"))) == 2


@pytest.fixture
def broken(monkeypatch):
    """`transcribe` with a bug."""
    from asteroid_scoresup.scripts import transcribe

    def run(args):
        raise ZeroDivisionError("a fault\nof two lines")

    monkeypatch.setattr(transcribe, "run", run)


def test_a_bug_is_reported_in_a_sentence_too(broken, capsys):
    assert main(["transcribe", "song.wav"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("asteroid-scoresup transcribe: ZeroDivisionError: a fault of two lines.")
    assert "--traceback" in err and "Traceback" not in err


@pytest.mark.parametrize(
    "argv",
    [
        ["--traceback", "transcribe", "song.wav"],
        ["transcribe", "song.wav", "--traceback"],
        ["transcribe", "--debug", "song.wav"],
    ],
)
def test_the_traceback_is_shown_on_request(argv, broken, capsys):
    assert main(argv) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False), ("", False)])
def test_an_environment_variable_shows_the_traceback(value, shown, broken, capsys, monkeypatch):
    monkeypatch.setenv("ASTEROID_SCORESUP_TRACEBACK", value)
    assert main(["transcribe", "song.wav"]) == 1
    assert ("Traceback" in capsys.readouterr().err) is shown


def test_bad_input_has_a_traceback_on_request_only(tmp_path, capsys):
    argv = ["separate", "song.wav", "--model", str(tmp_path / "none.pth")]
    assert main(argv) == 1 and "Traceback" not in capsys.readouterr().err
    assert main([*argv, "--traceback"]) == 1 and "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("given, policy", [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_sleep_unless_told_otherwise(given, policy):
    environment = {key: os.environ[key] for key in os.environ if key != "OMP_WAIT_POLICY"}
    if given:
        environment["OMP_WAIT_POLICY"] = given
    code = "import os, asteroid_scoresup_cli; print(os.environ['OMP_WAIT_POLICY'])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == policy


def test_only_the_command_itself_changes_garbage_collection(monkeypatch, capsys):
    before = gc.get_threshold()
    try:
        for argv, changed in ((["--version"], False), (None, True)):
            monkeypatch.setattr("sys.argv", ["asteroid-scoresup", "--version"])
            with pytest.raises(SystemExit):
                main(argv)
            assert (gc.get_threshold() != before) == changed
    finally:
        gc.set_threshold(*before)


def test_version(capsys):
    import asteroid_scoresup

    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == f"asteroid-scoresup {asteroid_scoresup.__version__}"
