"""SoundFonts are found by name, and those with a restrictive license are known."""

import shutil
from pathlib import Path

import pytest

from asteroid_scoresup.synthesis import soundfont_catalog
from asteroid_scoresup.synthesis.render import default_soundfont
from asteroid_scoresup.synthesis.soundfont_catalog import CATALOG, find_soundfont, installed, table


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch):
    monkeypatch.setattr(soundfont_catalog, "FOLDERS", ())
    monkeypatch.delenv("SOUNDFONT_PATH", raising=False)


def test_names_are_looked_up_and_paths_are_not(tmp_path, monkeypatch):
    assert find_soundfont("TimGM6mb") == default_soundfont()
    assert str(find_soundfont("some/file.sf2")) == "some/file.sf2"
    message = r"SoundFont FluidR3_GM is not installed \(Debian: apt install fluid-soundfont-gm\)"
    with pytest.raises(FileNotFoundError, match=message):
        find_soundfont("FluidR3_GM")
    monkeypatch.setenv("SOUNDFONT_PATH", f":/nowhere:{tmp_path}")
    font = shutil.copy(default_soundfont(), tmp_path / "FluidR3_GM.sf3")
    assert find_soundfont("FluidR3_GM") == font == installed("FluidR3_GM")
    assert installed("MuseScore_General_Lite") is None


def test_the_catalog_names_a_license_for_each():
    names = [font.name for font in CATALOG]
    assert len(set(names)) == len(names)
    for font in CATALOG:
        assert font.package and font.contents
        assert font.free == (not font.license.startswith(("GPL", "CC-BY")))


def test_the_table_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("SOUNDFONT_PATH", str(tmp_path))
    shutil.copy(default_soundfont(), tmp_path / "sf_GMbank.sf2")
    lines = {line.split()[0]: line for line in table().splitlines()}
    assert set(lines) == {"name", *(font.name for font in CATALOG)}
    assert lines["sf_GMbank"].endswith(str(tmp_path / "sf_GMbank.sf2"))
    assert lines["FluidR3_GM"].endswith(
        "yes           missing (Debian: apt install fluid-soundfont-gm)"
    )
    assert " no " in lines["TimGM6mb"]


def test_the_documentation_lists_the_catalog():
    text = (Path(__file__).parents[2] / "docs" / "models.rst").read_text()
    for font in CATALOG:
        assert f"``{font.name}``" in text and font.package in text and font.license in text
