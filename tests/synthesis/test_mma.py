"""Songs by MMA, with a stub in its place."""

import importlib
import os

import numpy as np
import pretty_midi
import pytest
import yaml

from asteroid_scoresup.midi.reader import read_midi
from asteroid_scoresup.synthesis import mma
from asteroid_scoresup.synthesis.soundfont import Preset, Tone, write_soundfont

synthesize = importlib.import_module("asteroid_scoresup.synthesis.synthesize").synthesize


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """A program that copies one song, and a library with one groove that has all classes."""
    song = pretty_midi.PrettyMIDI()
    for program, pitch in ((33, 40), (27, 60), (0, 64), (48, 70), (-1, 36)):
        part = pretty_midi.Instrument(max(program, 0), is_drum=program < 0)
        part.notes = [pretty_midi.Note(90, pitch, i * 0.3, i * 0.3 + 0.2) for i in range(12)]
        song.instruments.append(part)
    song.write(str(tmp_path / "band.mid"))
    song.instruments = song.instruments[:1]
    song.write(str(tmp_path / "solo.mid"))
    folder = tmp_path / "lib" / "stdlib"
    folder.mkdir(parents=True)
    (folder / "a.mma").write_text("DefGroove Rock all\nDefGroove Solo one\nDefGroove RockEnd x\n")
    program = tmp_path / "bin" / "mma"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ "$1" = -v ] && echo 20.12 && exit\ncat "$3" >> {tmp_path}/charts\n'
        f'if grep -q Rock "$3"; then cp {tmp_path}/band.mid "$2"; '
        f'else cp {tmp_path}/solo.mid "$2"; fi\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(mma, "LIBRARY", str(folder))
    return tmp_path


def test_grooves_without_all_classes_are_skipped_and_seeds_repeat(stub):
    assert mma.grooves(mma.LIBRARY) == {"a": ["stdlib/a:Rock", "stdlib/a:Solo"]}
    charts = []
    for _ in range(2):
        mma.accompany(stub / "song.mid", 20.0, seed=3)
        charts.append((stub / "charts").read_text())
        (stub / "charts").unlink()
    assert charts[0] == charts[1] and "RndSeed" in charts[0]
    assert len(read_midi(stub / "song.mid").instruments) == 4  # without the drums
    assert "Solo" in "".join(mma.draw_chart("Solo", 1, mma.random.Random(0)))


@pytest.mark.slow
def test_mma_writes_a_part_of_the_training_songs(stub):
    tone = Tone(60, 0.3 * np.sin(2 * np.pi * 261.6 * np.arange(4000) / 8000), 8000)
    presets = [Preset(program, "sine", (tone,)) for program in range(128)]
    presets.append(Preset(0, "kit", (tone,), bank=128))
    write_soundfont(stub / "a.sf2", "a", presets)
    options = {
        "n_train": 6, "n_validation": 1, "n_test": 0, "n_test_unseen": 0, "seconds": 2.0,
        "sample_rate": 8000, "quiet": True, "jobs": 1, "soundfonts": stub / "a.sf2",
        "programs": "all", "synthetic": 0.0, "varispeed": 0.0, "color_db": 0.0,
    }  # fmt: skip

    def written(folder):
        """Whether MMA wrote each track: the songs of the stub have strings."""
        found = {}
        for path in sorted(folder.rglob("metadata.yaml")):
            stems = yaml.safe_load(path.read_text())["stems"].values()
            found[path.parent.name] = any(stem["program_num"] == 48 for stem in stems)
        return found

    synthesize(stub / "some", mma=0.5, drums=True, **options)
    assert 0 < sum(written(stub / "some").values()) < 6
    synthesize(stub / "all", mma=1.0, drums=False, **options)
    assert sum(written(stub / "all").values()) == 6  # none for validation
    assert not any("Drums" in path.read_text() for path in (stub / "all").rglob("metadata.yaml"))


def test_bad_options_and_a_missing_program_are_named(stub, monkeypatch):
    out = stub / "out"
    with pytest.raises(ValueError, match="mma is 2, expected a probability"):
        synthesize(out, mma=2)
    with pytest.raises(ValueError, match="use it with programs 'all'"):
        synthesize(out, mma=0.5)
    with pytest.raises(ValueError, match="mma is for new songs"):
        synthesize(out, mma=0.5, midi_dir=stub, programs="all")
    monkeypatch.setattr(mma, "LIBRARY", str(stub / "none"))
    with pytest.raises(FileNotFoundError, match="none contains no MMA grooves"):
        synthesize(out, mma=0.5, programs="all")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FileNotFoundError, match="mma is not installed"):
        synthesize(out, mma=0.5, programs="all")
    assert not out.exists()
