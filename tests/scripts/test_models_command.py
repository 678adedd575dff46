"""``asteroid-scoresup models`` and ``export``."""

import json

import pytest
import torch
from tiny import NAMES, RATE, separator, transcriptor

from asteroid_scoresup.models import (
    MaskRefiner,
    TCNSeparator,
    model_hash,
    pack,
    save_folder,
    save_model,
    unpack,
)
from asteroid_scoresup.models.card import read_card
from asteroid_scoresup.scripts.cli import main


@pytest.fixture
def model(tmp_path):
    """A model file with facts."""
    package = {**pack(separator(), transcriptor(), half=True), "dataset": "slakh-score"}
    facts = {"license": "cc-by-4.0", "final_metrics": {"si_sdr_imp": 6.54, "n_counted": 12}}
    save_model(package, tmp_path / "mine.pth", **facts)
    return tmp_path / "mine.pth"


def printed(capsys, *arguments):
    assert main(list(map(str, arguments))) == 0
    return capsys.readouterr().out


def test_list_shows_the_bundled_models(capsys):
    header, _, *rows = printed(capsys, "models", "list").splitlines()
    titles = [cell.strip() for cell in header.split("|")[1:5]]
    assert titles == ["model", "license", "classes", "MIDI"]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    three, four = "bass, guitar, piano", "bass, drums, guitar, piano"
    assert [row[0] for row in cells] == ["band", "band_drums", "guided", "refiner"]
    assert [row[1] for row in cells[1:]] == ["mit", "mit", "mit"]
    expected = [[three, "yes", "16000"], [four, "yes", "16000"], [four, "no", "16000"]]
    assert [row[2:5] for row in cells[:3]] == expected
    assert cells[3][2] == "any, with their score"


def test_list_shows_the_facts_of_files_and_folders(model, tmp_path, capsys):
    assert main(["export", str(model), str(tmp_path / "folder")]) == 0
    capsys.readouterr()
    lines = printed(capsys, "models", "list", model, tmp_path / "folder").splitlines()[2:]
    for line in lines:
        assert "cc-by-4.0" in line and "bass, guitar, piano" in line and line.endswith(" 6.5 |")
    facts = json.loads(printed(capsys, "models", "list", model, "--json"))[str(model)]
    assert facts["kind"] == "TCNSeparator" and facts["classes"] == list(NAMES)
    assert facts["sample_rate"] == RATE and facts["n_bytes"] == 2 * facts["n_weights"]
    assert facts["numbers"] == {"si_sdr_imp": 6.54, "n_counted": 12}
    assert facts["provenance"] == "Data: slakh-score."


def test_card_shows_the_card_of_a_model(model, tmp_path, capsys):
    text = printed(capsys, "models", "card")
    assert text.startswith("band: TCNSeparator of bass, guitar, piano; 16000 Hz")
    assert "**No stem was used to train the separator**" in text and "## Limits" in text
    text = printed(capsys, "models", "card", model)
    assert "license: cc-by-4.0" in text and "| si_sdr_imp | 6.54 |" in text
    assert "Data: slakh-score." in text
    save_model(MaskRefiner(channels=4, n_blocks=1), tmp_path / "refiner.pth")
    text = printed(capsys, "models", "card", tmp_path / "refiner.pth")
    assert "for any classes. MaskRefiner" in text and "--score song.mid --refiner" in text
    assert "refiner: MaskRefiner of any classes" in printed(capsys, "models", "card", "refiner")
    save_folder(pack(separator()), tmp_path / "m", limits="It leaks.")
    text = printed(capsys, "models", "card", tmp_path / "m")
    assert "license of the weights: not stated" in text and "It leaks." in text


def test_what_is_no_model_is_refused(tmp_path, capsys):
    (tmp_path / "x.pth").write_text("none")
    for name, message in (("x.pth", "is not a model file"), ("y.pth", "There is no model file")):
        assert main(["models", "list", str(tmp_path / name)]) == 1
        assert message in capsys.readouterr().err


def test_export_converts_without_a_change_of_the_model(model, tmp_path, capsys):
    assert main(["export", str(model), str(tmp_path / "m")]) == 0
    assert main(["export", str(tmp_path / "m"), str(tmp_path / "back.pth")]) == 0
    assert model_hash(tmp_path / "m") == model_hash(tmp_path / "back.pth") == model_hash(model)
    assert unpack(tmp_path / "back.pth").transcriptor is not None
    assert isinstance(TCNSeparator.from_pretrained(str(tmp_path / "back.pth")), TCNSeparator)
    assert "back.pth: 0.1 MB" in capsys.readouterr().out


@pytest.mark.slow
def test_export_overwrites_only_if_told_to(model, tmp_path, capsys):
    for name in ("m", "m.pth", "m.onnx"):
        out = str(tmp_path / name)
        assert main(["export", str(model), out]) == 0
        assert main(["export", str(model), out]) == 1
        assert "exists: name another file, or add --overwrite" in capsys.readouterr().err
        assert main(["export", str(model), out, "--overwrite", "--license", "mit"]) == 0
    assert read_card(tmp_path / "m")[0]["license"] == "mit"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transcriptor": "x"}, "it contains a str"),
        ({"transcriptor": {**separator().serialize(), "state_dict": 3}}, "its state_dict is a int"),
        ({"transcriptor": {"transcriptor": {}}}, "lacks"),
        ({"model_args": {}}, "sources"),
        ({"infos": "x"}, None),
        ({"infos": {"final_metrics": 3, "license": 3, "provenance": ["x"]}}, None),
        ({"dataset": 3, "licenses": [3, {"title": 3}, None]}, None),
    ],
)
def test_odd_packages_are_shown_or_refused(changes, message, tmp_path, capsys):
    path = tmp_path / "odd.pth"
    torch.save({**pack(separator(), transcriptor()), **changes}, path)
    commands = [["models", "list"], ["models", "card"], ["export"]]
    for command, rest in zip(commands, ([], [], [str(tmp_path / "out")])):
        assert main([*command, str(path), *rest]) == (0 if message is None else 1)
        error = capsys.readouterr().err
        assert error.count("\n") == (message is not None) and (message or "") in error, error
