"""The command line: verbs, one sentence on errors, exit status."""

import os
import signal

import numpy as np
import pytest
import soundfile as sf
from tiny import NAMES, NET

from asteroid_scoresup.engine import save_model
from asteroid_scoresup.models import TCNSeparator
from asteroid_scoresup.scripts import synthesize
from asteroid_scoresup.scripts.cli import VERBS, main


def test_help_names_every_verb(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "infer"])
def test_every_verb_has_help_for_its_options(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0 and "--quiet" in capsys.readouterr().out


def test_an_unknown_verb_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["sing"])
    assert stop.value.code == 2 and "sing" in capsys.readouterr().err


def test_separate_goes_on_after_a_bad_file(tmp_path, capsys):
    save_model(TCNSeparator(NAMES, **NET), tmp_path / "model.pth")
    (tmp_path / "bad.wav").write_text("no audio")
    sf.write(tmp_path / "good.wav", 0.1 * np.random.default_rng(0).standard_normal(4000), 4000)
    songs = [str(tmp_path / "bad.wav"), str(tmp_path / "good.wav")]
    options = ["--model", str(tmp_path / "model.pth"), "--out_dir", str(tmp_path / "o"), "--quiet"]
    assert main(["separate", *songs, *options]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "bad.wav cannot be read as audio" in error
    assert (tmp_path / "o" / "good" / "bass.wav").is_file()


def test_errors_are_one_sentence_and_status_1(tmp_path, capsys):
    sf.write(tmp_path / "song.wav", np.zeros(100), 4000)
    song, model = str(tmp_path / "song.wav"), str(tmp_path / "none.pth")
    assert main(["separate", song, "--model", model]) == 1
    assert capsys.readouterr().err.startswith("asteroid-scoresup separate: There is no model file")


def test_infer_is_asteroids_own_command_with_our_models(tmp_path, capsys):
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
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(synthesize, "run", lambda args: os.kill(os.getpid(), number))
    assert main(["synthesize", "out"]) == status
    assert capsys.readouterr().err == "asteroid-scoresup: interrupted; run it again to go on.\n"
    assert signal.getsignal(signal.SIGTERM) is before
