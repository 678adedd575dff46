"""`train_bundled.sh`: from SoundFonts to a packed model, with scores on other songs."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pretty_midi
import pytest
import torch
import yaml
from tiny_recipe import NETWORK, RECIPE, batches, lengths

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.synthesis.soundfont import Preset, Tone, write_soundfont

TINY = f"{NETWORK} {batches(2)} {lengths(steps=(2, 2, 1))} --quiet --n_examples 0"
FEW = "--n_train 2 --n_validation 1 --n_test 1 --n_test_unseen 1 --seconds 3 --synthetic 0 "


@pytest.fixture(scope="module")
def fonts(tmp_path_factory):
    """A folder with small SoundFonts under the names of the catalog."""
    folder = tmp_path_factory.mktemp("fonts")
    tone = Tone(60, 0.3 * np.sin(2 * np.pi * 261.6 * np.arange(4000) / 8000), 8000)
    for name in ("FluidR3_GM", "MuseScore_General_Lite"):
        presets = [Preset(program, "sine", (tone,)) for program in range(128)]
        presets.append(Preset(0, "kit", (tone,), bank=128))
        write_soundfont(folder / f"{name}.sf2", name, presets)
    return folder


@pytest.fixture
def run(fast_python, fonts, tmp_path):
    def run(*options, **environment):
        done = subprocess.run(
            ["bash", RECIPE / "train_bundled.sh", "--python", fast_python, "--n_jobs", "1",
             "--data_dir", tmp_path / "data", "--exp_root", tmp_path / "exp", *map(str, options)],
            capture_output=True, text=True, timeout=900,
            env={**os.environ, "SOUNDFONT_PATH": str(fonts), **environment},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def mma(tmp_path):
    """A PATH with a stub of MMA, which plays one song."""
    song = pretty_midi.PrettyMIDI()
    for program, pitch in ((33, 40), (27, 60), (0, 64)):
        part = pretty_midi.Instrument(program)
        part.notes = [pretty_midi.Note(90, pitch, i * 0.2, i * 0.2 + 0.15) for i in range(10)]
        song.instruments.append(part)
    song.write(str(tmp_path / "song.mid"))
    program = tmp_path / "bin" / "mma"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncp {tmp_path}/song.mid "$2"\n')
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


def test_a_dry_run_prints_the_commands_and_writes_nothing(run, mma, tmp_path):
    status, output = run("--dry_run", "true", "--minutes", 8, PATH=mma)
    assert status == 0, output
    places = [output.index(word) for word in ("mma_songs.py", "--soundfont TimGM6mb", "run.sh",
                                              "score.py", "pack_model.py")]  # fmt: skip
    assert places == sorted(places)
    assert "--minutes 7.2 " in output and r"--synthesize_opts --mixing\ produced" in output
    assert "mma=" in output and "MuseScore_General_Lite" in output
    assert not (tmp_path / "data").exists() and not (tmp_path / "exp").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--soundfonts", "TimGM6mb"], "TimGM6mb is under GPL-2, which restricts"),
        (["--soundfonts", "my.sf2"], "my.sf2 is not a SoundFont of known license: use some of"),
        (["--preset", "mini"], "the preset mini names no SoundFont"),
        (["--mixing", "loud"], "--mixing is one of plain, produced, found 'loud'"),
        (["--synthesize_opts", "--n_train -1"], "n_train is -1"),
        (["--minutes", "soon"], "--minutes is a number of minutes"),
    ],
)
def test_bad_options_are_refused_before_anything_is_made(run, tmp_path, options, message):
    status, output = run(*options)
    assert status in (1, 2) and message in output, output
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
@pytest.mark.recipe
def test_a_model_is_made_and_its_scores_are_of_other_songs(run, mma, tmp_path):
    if not Path("/usr/share/mma/lib/stdlib").is_dir():
        pytest.skip("the grooves of MMA are not installed")
    options = ["--synthesize_opts", FEW, "--train_opts", TINY, "--n_mma", 1]
    status, output = run(*options, PATH=mma)
    assert status == 0, output
    exp = tmp_path / "exp" / "slakh_bundled"
    scores = pd.read_csv(exp / "development" / "scores.csv")
    assert set(scores.test_set) == {"composed", "mma"}
    package = torch.load(exp / "band.pth", weights_only=True)
    assert package["model_args"]
    card = (exp / "band.md").read_text()
    assert "FluidR3_GM (MIT) and MuseScore_General_Lite (MIT" in card and "TimGM6mb" not in card
    manifest = Manifest.load(tmp_path / "data" / "prepared")
    assert list(manifest.names) == ["bass", "drums", "guitar", "piano"]
    used = {}
    for path in (tmp_path / "data").glob("**/metadata.yaml"):
        stems = yaml.safe_load(path.read_text())["stems"].values()
        used.setdefault(path.parts[-3], set()).update(stem["plugin_name"] for stem in stems)
    assert used["train"] <= {"FluidR3_GM.sf2", "MuseScore_General_Lite.sf2"}
    assert used["validation"] == {"TimGM6mb.sf2"}
    # The same command again keeps everything.
    before = (exp / "separator" / "best_model.pth").stat().st_mtime_ns
    shutil.rmtree(tmp_path / "bin")
    status, output = run(*options)
    assert status == 0 and output.count("done before") >= 3, output
    assert (exp / "separator" / "best_model.pth").stat().st_mtime_ns == before
