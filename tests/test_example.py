"""The examples run from end to end, with a tiny model or none."""

import importlib.util
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile as sf
from slakh_folder import melody, write_midi
from tiny import NAMES, separator, transcriptor

from asteroid_scoresup.engine import save_model
from asteroid_scoresup.evaluation import Decoding
from asteroid_scoresup.models import pack

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    """An example, by the name of its file."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def main():
    return load("midi_to_stems")


@pytest.fixture
def model(tmp_path):
    # It is untrained; with a low threshold it predicts some notes.
    decoding = Decoding((0.01,) * 3, (0.0,) * 3, (0.0,) * 3).plain()
    save_model(pack(separator(), transcriptor(), decoding), tmp_path / "model.pth")
    return str(tmp_path / "model.pth")


def check(folder, seconds):
    """Stems and residual add up to the mixture."""
    mixture, rate = sf.read(folder / "mixture.wav", dtype="float32")
    assert rate == 44100 and len(mixture) == round(seconds * rate) and np.abs(mixture).max() > 0.1
    parts = [sf.read(folder / f"{name}.wav", dtype="float32")[0] for name in (*NAMES, "residual")]
    np.testing.assert_allclose(sum(parts), mixture, atol=1e-6)
    midi = pretty_midi.PrettyMIDI(str(folder / "score.mid"))
    assert [part.name for part in midi.instruments] == list(NAMES)


def test_a_composed_song_is_separated_transcribed_and_scored(main, model, tmp_path, capsys):
    out = tmp_path / "out"
    made = main(["--model", model, "--seconds", "4", "--out_dir", str(out)])
    assert {path.name for path in made.written} == {
        *(f"{name}.wav" for name in (*NAMES, "residual")),
        "score.mid",
    }
    check(out, 4)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == list(NAMES)
    assert all(np.isfinite([float(x) for x in line.split()[1:]]).all() for line in lines[1:4])


def test_a_midi_file_is_cut_and_other_instruments_are_residual(main, model, tmp_path, capsys):
    notes = melody(0, 3.0)
    write_midi(tmp_path / "song.mid", (0, notes), (48, notes), (128, notes))
    options = ["--model", model, "--seconds", "2"]
    main([str(tmp_path / "song.mid"), *options, "--out_dir", str(tmp_path / "song")])
    check(tmp_path / "song", 2)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:4]]
    assert [line[2] for line in lines[:2]] == ["nan", "nan"]
    assert float(lines[2][1]) < 20
    submix = ["--mixture", "submix", "--out_dir", str(tmp_path / "submix")]
    main([str(tmp_path / "song.mid"), *options, *submix])
    # The piano alone is the mixture, and scores as high as it can.
    assert capsys.readouterr().out.splitlines()[3].split()[1] == "30.0"


def test_a_midi_file_without_instruments_of_the_classes_is_refused(main, model, tmp_path):
    write_midi(tmp_path / "drums.mid", (128, melody(0, 3.0)))
    with pytest.raises(SystemExit, match="no notes of bass, guitar, piano"):
        main([str(tmp_path / "drums.mid"), "--model", model, "--out_dir", str(tmp_path / "out")])


def test_a_composed_song_goes_from_a_warped_score_to_stems(tmp_path, capsys):
    written = load("score_to_stems")(["--seconds", "12", "--out_dir", str(tmp_path / "out")])
    assert [path.name for path in written] == [f"{name}.wav" for name in NAMES]
    lines = capsys.readouterr().out.splitlines()[-3:]
    as_it_came, aligned, true = (np.array(line[22:].split(), dtype=float).mean() for line in lines)
    # The aligned score must come close to the true one, and the other must not.
    assert as_it_came + 2 < aligned and aligned > true - 1.5
    mixture = sf.read(tmp_path / "out" / "song.wav")[0]
    assert all(sf.read(path)[0].shape == mixture.shape for path in written)


def test_an_example_with_a_recording_needs_its_score(tmp_path):
    with pytest.raises(SystemExit):
        load("score_to_stems")([str(tmp_path / "song.wav")])
