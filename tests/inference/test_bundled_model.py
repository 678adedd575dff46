"""The bundled model: its contents, and its results for an unseen song."""

import numpy as np
import pytest
import torch

from asteroid_scoresup.evaluation import separation_scores
from asteroid_scoresup.inference import Separator
from asteroid_scoresup.inference.separator import BUNDLED_MODEL
from asteroid_scoresup.models import MaskRefiner, ScoreGuidedSeparator
from asteroid_scoresup.scripts.cli import main
from asteroid_scoresup.synthesis.composer import TRAIN_PALETTE, compose_song
from asteroid_scoresup.synthesis.render import render_instrument
from asteroid_scoresup.synthesis.slakh_writer import mix_stems

RATE = 16000


@pytest.fixture(scope="module")
def song():
    """True stems by class and the mixture, drums included, of a song outside the training data."""
    parts = compose_song(np.random.default_rng(2026), TRAIN_PALETTE, 20, drums=True).instruments
    stems = [render_instrument(part, 20, RATE, renderer="tinysoundfont") for part in parts]
    mixture, _ = mix_stems(stems, RATE, 0.0, np.random.default_rng(0))
    true = {}
    for part, stem in zip(parts, stems):
        name = part.name.split()[0]
        true[name] = true.get(name, 0) + stem
    return true, mixture


def test_it_is_small_and_holds_half_precision_tensors():
    assert BUNDLED_MODEL.stat().st_size < 8e6
    package = torch.load(BUNDLED_MODEL, weights_only=True)
    for part in (package, package["transcriptor"]):
        assert {value.dtype for value in part["state_dict"].values()} == {torch.float16}
    assert set(package["programs"]) == {"bass", "guitar", "piano"}
    assert len(package["decoding"]["threshold"]) == 3
    card = BUNDLED_MODEL.with_suffix(".md").read_text()
    for needed in ("No stem was used", "bash", "commit", "SI-SDR in dB", "## Limits"):
        assert needed in card


@pytest.mark.slow
def test_the_model_with_drums_separates_an_unseen_song_too(song):
    true, mixture = song
    separator = Separator.from_pretrained("band_drums")
    assert separator.names == ["bass", "drums", "guitar", "piano"]
    estimates = separator.separate(mixture, RATE)
    rows = separation_scores({name: true[name] for name in estimates}, estimates, mixture)
    scores = {row["instrument"]: row["si_sdr_imp"] for row in rows}
    assert np.mean(list(scores.values())) > 2 and scores["drums"] > 4, scores
    card = BUNDLED_MODEL.with_name("band_drums.md").read_text()
    for needed in ("No stem was used", "MIT license", "SI-SDRi (dB)", "## Limits"):
        assert needed in card


def test_it_separates_an_unseen_song(song):
    true, mixture = song
    estimates = Separator.from_pretrained().separate(mixture, RATE)
    stems = {name: true[name] for name in estimates}
    rows = separation_scores(stems, estimates, mixture)
    scores = {row["instrument"]: row["si_sdr_imp"] for row in rows}
    assert np.mean(list(scores.values())) > 2, scores
    assert scores["bass"] > 3, scores


def test_it_finds_the_bass_line(song):
    true, mixture = song
    midi = Separator.from_pretrained().transcribe(mixture, RATE)
    assert [part.name for part in midi.instruments] == ["bass", "guitar", "piano"]
    bass = midi.instruments[0].notes
    assert len(bass) > 10 and all(28 <= note.pitch <= 67 for note in bass)


def test_the_command_uses_it_if_no_model_is_named(song, tmp_path, capsys):
    import soundfile as sf

    sf.write(tmp_path / "song.wav", song[1][: 4 * RATE], RATE)
    arguments = ["separate", str(tmp_path / "song.wav"), "--out_dir", str(tmp_path / "out")]
    assert main([*arguments, "--midi", "--report", "--residual"]) == 0
    found = {path.name for path in (tmp_path / "out" / "song").iterdir()}
    stems = {"bass.wav", "guitar.wav", "piano.wav", "residual.wav"}
    assert found == stems | {"score.mid", "page", "separation.json"}
    assert "6 written" in capsys.readouterr().out


def test_the_guided_separator_is_small_and_has_a_card():
    path = BUNDLED_MODEL.with_name("guided.pth")
    assert path.stat().st_size < 3.3e6
    package = torch.load(path, weights_only=True)
    assert package["infos"]["license"] == "mit"
    assert {value.dtype for value in package["state_dict"].values()} == {torch.float16}
    model = ScoreGuidedSeparator.from_pretrained("guided")
    assert model.sources == ["bass", "drums", "guitar", "piano"]
    card = path.with_suffix(".md").read_text()
    for needed in ("Stems were used", "MIT license", "FluidR3", "## Limits", "without a score"):
        assert needed in card


def test_the_refiner_is_small_and_has_a_card():
    path = BUNDLED_MODEL.with_name("refiner.pth")
    assert path.stat().st_size < 200e3
    package = torch.load(path, weights_only=True)
    assert package["infos"]["license"] == "mit"
    assert {value.dtype for value in package["state_dict"].values()} == {torch.float16}
    assert MaskRefiner.from_pretrained("refiner").n_bins == 512
    card = path.with_suffix(".md").read_text()
    for needed in ("Stems were used", "MIT license", "FluidR3", "## Limits"):
        assert needed in card
