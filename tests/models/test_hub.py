"""Models as folders and on the Hugging Face Hub: the same model, and the same protections."""

import json
import socket
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import HfApi
from huggingface_hub.utils import RepositoryNotFoundError
from safetensors.torch import load_file, save_file
from tiny import NAMES, RATE, differing, separator, transcriptor

from asteroid_scoresup.inference import Separator
from asteroid_scoresup.models import (
    ScoreTranscriptor,
    SourceModel,
    TCNSeparator,
    WaveformSeparator,
    model_hash,
    pack,
    read_package,
    save_folder,
    save_model,
    unpack,
)
from asteroid_scoresup.models.card import model_facts, read_card
from asteroid_scoresup.models.hub import is_hub_name
from asteroid_scoresup.scripts.cli import main

DECODING = {
    "threshold": [0.2, 0.3, 0.4],
    "min_seconds": [0.05, 0.06, 0.1],
    "max_gap_seconds": [0.0, 0.02, 0.1],
}
PROGRAMS = {"bass": 33, "guitar": 25, "piano": 0}


def convtasnet():
    small = dict(n_filters=16, n_blocks=1, n_repeats=1, bn_chan=8, hid_chan=8)
    return WaveformSeparator(NAMES, "ConvTasNet", small, RATE)


@pytest.fixture
def folder(tmp_path):
    """A folder with a separator and its transcriptor."""
    save_folder(pack(separator(), transcriptor(), DECODING, PROGRAMS), tmp_path / "band")
    return tmp_path / "band"


def edit(folder, **changes):
    """Changes the configuration; None removes an entry."""
    config = json.loads((folder / "config.json").read_text())
    config = {k: v for k, v in {**config, **changes}.items() if v is not None}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("build", [separator, transcriptor, convtasnet])
def test_a_model_is_restored_from_its_folder(build, tmp_path):
    model = build()
    assert model.save_pretrained(tmp_path / "m") is None
    names = {path.name for path in (tmp_path / "m").iterdir()}
    assert names == {"config.json", "model.safetensors", "README.md"}
    for cls, path in ((SourceModel, tmp_path / "m"), (type(model), str(tmp_path / "m"))):
        restored = cls.from_pretrained(path)
        assert not differing(model.state_dict(), restored.state_dict())
        assert restored.get_model_args() == model.get_model_args() and not restored.training


@pytest.mark.parametrize("half", [False, True])
def test_a_folder_holds_what_the_file_holds(half, tmp_path):
    package = pack(separator(), transcriptor(), DECODING, PROGRAMS, half=half)
    save_model(package, tmp_path / "band.pth")
    save_folder(package, tmp_path / "band")
    assert model_hash(tmp_path / "band") == model_hash(tmp_path / "band.pth")
    one, other = unpack(tmp_path / "band"), unpack(tmp_path / "band.pth")
    assert one[2:] == other[2:] == (DECODING, PROGRAMS)
    for index in (0, 1):
        assert not differing(one[index].state_dict(), other[index].state_dict())
    stored = load_file(tmp_path / "band" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16 if half else torch.float32}


def test_a_separator_is_saved_with_all_that_belongs_to_it(tmp_path):
    package = pack(separator(), transcriptor(), DECODING, PROGRAMS)
    save_model(package, tmp_path / "band.pth", license="cc-by-4.0")
    first = Separator.from_pretrained(tmp_path / "band.pth")
    first.save_pretrained(tmp_path / "one")
    second = Separator.from_pretrained(str(tmp_path / "one"))
    assert (second.decoding, second.programs) == (first.decoding, PROGRAMS)
    assert second.identity(notes=True) == first.identity(notes=True)
    assert read_card(tmp_path / "one")[0]["license"] == "cc-by-4.0"
    song = np.random.default_rng(0).standard_normal(3000).astype(np.float32)
    for name, stem in second.separate(song, RATE).items():
        np.testing.assert_array_equal(stem, first.separate(song, RATE)[name])
    Separator(separator()).save_pretrained(tmp_path / "alone")
    assert unpack(tmp_path / "alone")[1:] == (None, None, None)


def test_the_card_has_metadata_for_the_hub(tmp_path):
    facts = dict(
        license="cc-by-4.0", numbers={"si_sdr_imp": 2.8, "x": float("nan")}, provenance="My songs."
    )
    package = {**pack(separator(), transcriptor()), "dataset": "slakh-score"}
    save_folder(package, tmp_path / "band", "user/band", **facts)
    text = (tmp_path / "band" / "README.md").read_text()
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert metadata["license"] == "cc-by-4.0" and metadata["library_name"] == "asteroid-scoresup"
    assert {"asteroid", "music-source-separation"} <= set(metadata["tags"])
    assert metadata["classes"] == list(NAMES) and metadata["sample_rate"] == RATE
    (result,) = metadata["model-index"][0]["results"]
    assert result["dataset"]["name"] == "slakh-score"
    assert result["metrics"] == [{"type": "si_sdr_imp", "value": 2.8}]
    assert "--model user/band" in text and "My songs." in text and "| si_sdr_imp | 2.8 |" in text
    # The hub's own reader.
    assert huggingface_hub.ModelCard(text).data.license == "cc-by-4.0"
    json.loads((tmp_path / "band" / "config.json").read_text(), parse_constant=pytest.fail)


def test_a_card_changed_by_hand_is_kept_and_counts(tmp_path):
    model = separator()
    model.save_pretrained(tmp_path, model_card_kwargs={"license": "mit"})
    card = tmp_path / "README.md"
    card.write_text(card.read_text().replace("license: mit", "license: cc0-1.0") + "By hand.\n")
    model.save_pretrained(tmp_path)
    metadata, text = read_card(tmp_path)
    assert text.endswith("By hand.\n")
    assert model_facts(read_package(tmp_path), metadata).license == "cc0-1.0"
    model.save_pretrained(tmp_path, model_card_kwargs={"license": "mit"})
    assert read_card(tmp_path)[0]["license"] == "mit"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"author": "x"}, "has no 'author': expected license"),
        ({"numbers": 3}, "is a int, expected"),
    ],
)
def test_wrong_facts_of_a_card_are_named(facts, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        separator().save_pretrained(tmp_path / "m", model_card_kwargs=facts)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("text", ["", "---\n{", "---\n{\n---\n", "---\n- 1\n---\nx", "\x00"])
def test_a_damaged_card_has_no_metadata(text, tmp_path):
    (tmp_path / "README.md").write_text(text)
    assert read_card(tmp_path)[0] == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("---\n" + "a: [b, c]\n" * 10000 + "---\nx", "has 99999 characters of metadata .* 32768"),
        ("x" * (1 << 21), "has 2097152 bytes, expected at most 1048576: shorten it."),
    ],
)
def test_a_card_that_takes_seconds_to_read_is_refused(text, message, tmp_path):
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(ValueError, match=rf"README.md {message}"):
        read_card(tmp_path)


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    model = separator()
    next(model.parameters()).data[0] = float("nan")
    with pytest.raises(ValueError, match="is not written.*NaN or infinite"):
        model.save_pretrained(tmp_path / "m")
    assert not (tmp_path / "m").exists()


CONFIGS = [
    ({"library_name": "timm"}, "band is not a model of asteroid-scoresup"),
    ({"format_version": 2}, "format_version 2, expected 1: update"),
    ({"model_name": None}, r"band is not a model package: it lacks \['model_name'\]"),
    ({"model_name": "save_publishable"}, "band contains a save_publishable, which is not"),
    ({"model_args": [1]}, "model_args is a list, expected a dict"),
    ({"transcriptor": None}, "a transcriptor that config.json does not describe"),
    ({"transcriptor": {"model_name": "ScoreTranscriptor"}}, r"band \(its transcriptor\).*lacks"),
    ({"programs": {"bass": 1000}}, "programs are damaged"),
    ({"decoding": {"threshold": "0.3"}}, "decoding is damaged"),
    ({"weights_sha256": "0" * 64}, "is not the file that config.json was written with"),
]


@pytest.mark.parametrize(("changes", "message"), CONFIGS)
def test_a_wrong_configuration_is_refused(changes, message, folder):
    edit(folder, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        unpack(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [{"n_blocks": 10**9}, {"hid_chan": 10**9}, {"n_fft": 4_000_000}, {"hid_chan": 60000}],
)
def test_arguments_that_ask_for_more_weights_are_refused(arguments, folder):
    config = json.loads((folder / "config.json").read_text())
    edit(folder, model_args={**config["model_args"], **arguments})
    with pytest.raises(ValueError, match=str(folder)):
        unpack(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a JSON file"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "is not a model of asteroid-scoresup"),
        ('{"library_name": ' + "9" * 5000 + "}", "is not a JSON file"),
    ],
)
def test_a_configuration_that_is_none_is_refused(text, message, folder):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        unpack(folder)


def test_missing_files_are_named(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty is not a model .*it has no config.json. Expected"):
        unpack(tmp_path / "empty")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="band is not complete: it has no model.safetensors"):
        unpack(folder)


def test_damaged_weights_are_refused_with_and_without_a_hash(folder):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(30):
        changed = np.frombuffer(content, np.uint8).copy()
        changed[rng.integers(0, 3000, 3)] ^= rng.integers(1, 256, 3).astype(np.uint8)
        path.write_bytes(changed[: len(changed) if rng.random() < 0.7 else 2000].tobytes())
        with pytest.raises(ValueError, match="SHA-256"):
            unpack(folder)
    edit(folder, weights_sha256=None)
    for _ in range(60):
        changed = np.frombuffer(content, np.uint8).copy()
        changed[rng.integers(0, 3000, 3)] ^= rng.integers(1, 256, 3).astype(np.uint8)
        path.write_bytes(changed[: len(changed) if rng.random() < 0.7 else 2000].tobytes())
        try:
            unpack(folder)
        except ValueError as error:
            assert str(folder) in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w[:3], "size mismatch|Error"),
        (lambda w: w.new_full(w.shape, float("inf")), "NaN or infinite"),
        (lambda w: w.to(torch.complex64), "of type torch.complex64, expected"),
        (lambda w: w.to(torch.float8_e5m2), "of type torch.float8_e5m2, expected"),
    ],
)
def test_wrong_weights_are_refused(change, message, folder):
    edit(folder, weights_sha256=None)
    path = folder / "model.safetensors"
    weights = load_file(path)
    key = "trunk.mask_net.1.weight"
    try:
        save_file({**weights, key: change(weights[key]).contiguous()}, path)
    except KeyError as error:
        pytest.skip(f"this version of safetensors writes no {error}")
    with pytest.raises(ValueError, match=message):
        unpack(folder)


def test_a_folder_in_which_a_kill_left_two_models_is_refused(folder, tmp_path):
    save_folder(pack(separator(1), transcriptor(1)), tmp_path / "new")
    (folder / "model.safetensors").write_bytes(
        (tmp_path / "new" / "model.safetensors").read_bytes()
    )
    with pytest.raises(ValueError, match="is damaged or from another model"):
        unpack(folder)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("user/name", True),
        ("user/name@v1.2", True),
        ("https://huggingface.co/user/name", True),
        ("name", False),
        ("a/b/c", False),
        ("./user/name", False),
        ("../name", False),
        ("/user/name", False),
        ("exp/model.pth", False),
        ("user/name\n", False),
        (Path("user/name"), False),
    ],
)
def test_names_of_the_hub(name, expected):
    assert is_hub_name(name) == expected


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Fails on any connection, and gives huggingface_hub an empty cache."""

    def refuse(*args, **kwargs):
        raise AssertionError("a test connects to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_existing_files_and_folders_and_bundled_models_come_first(
    folder, tmp_path, monkeypatch, no_network
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "user").mkdir()
    folder.rename(tmp_path / "user" / "name")
    assert unpack("user/name").programs == PROGRAMS
    assert read_package("band")["model_name"] == "TCNSeparator"  # the bundled one
    save_model(transcriptor(), tmp_path / "band")
    assert read_package("band")["model_name"] == "ScoreTranscriptor"
    with pytest.raises(FileNotFoundError, match="There is no model file exp/best_model.pth"):
        unpack("exp/best_model.pth")
    with pytest.raises(FileNotFoundError, match="There is no model file none"):
        unpack("none")


def cached(folder, cache, name="user--band", revision="main"):
    """Puts a model into the cache of huggingface_hub, in the hub's own layout."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = cache / f"models--{name}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / revision).write_text(commit)
    (repository / "snapshots").mkdir()
    folder.rename(repository / "snapshots" / commit)


def test_the_client_of_the_hub_loads_a_model_from_its_cache(folder, tmp_path, no_network):
    cached(folder, tmp_path / "cache")
    options = dict(cache_dir=tmp_path / "cache", local_files_only=True)
    assert isinstance(TCNSeparator.from_pretrained("user/band", **options), TCNSeparator)
    loaded = Separator.from_pretrained("user/band", **options)
    assert loaded.programs == PROGRAMS
    with pytest.raises(OSError, match="cannot be reached"):
        Separator.from_pretrained("user/band@v2", **options)


def test_a_model_that_is_nowhere_offline_is_explained(tmp_path, no_network, monkeypatch, capsys):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConnectionError, match="no file or folder user/none here, and the Hugging"):
        Separator.from_pretrained("user/none", cache_dir=tmp_path / "cache")
    assert main(["separate", "x.wav", "--model", "user/none-zz"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "check the name and the network" in error


def answered(status, kind):
    """An error of the hub with the response that it was raised for."""
    try:
        from httpx2 import Request, Response
    except ImportError:
        try:
            from httpx import Request, Response
        except ImportError:
            import requests

            response = requests.Response()
            response.status_code = status
            return kind("no", response=response)
    return kind("no", response=Response(status, request=Request("GET", "https://huggingface.co")))


ERRORS = [
    (404, RepositoryNotFoundError, FileNotFoundError, "no such model on the Hugging Face Hub"),
    (404, huggingface_hub.utils.RevisionNotFoundError, FileNotFoundError, "has no such revision"),
    (403, huggingface_hub.utils.GatedRepoError, FileNotFoundError, "ask for access"),
    (401, huggingface_hub.utils.HfHubHTTPError, PermissionError, "hf auth login"),
    (500, huggingface_hub.utils.HfHubHTTPError, ConnectionError, "the Hugging Face Hub answers"),
]


@pytest.mark.parametrize(("status", "kind", "expected", "message"), ERRORS)
def test_answers_of_the_hub_are_explained(status, kind, expected, message, monkeypatch):
    def refuse(*args, **kwargs):
        raise answered(status, kind)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(expected, match=message) as caught:
        unpack("user/none")
    assert "\n" not in str(caught.value) and "user/none" in str(caught.value)


def test_only_the_files_of_a_model_are_downloaded(folder, monkeypatch):
    calls = {}

    def download(repo_id, **options):
        calls.update(options, repo_id=repo_id)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert isinstance(ScoreTranscriptor.from_pretrained, object)
    package = read_package("https://huggingface.co/user/band@v1", token="t")
    assert package["programs"] == PROGRAMS
    assert (calls["repo_id"], calls["revision"], calls["token"]) == ("user/band", "v1", "t")
    assert calls["allow_patterns"] == ["config.json", "model.safetensors", "README.md"]
    edit(folder, library_name="timm")
    with pytest.raises(ValueError, match="user/band is not a model of asteroid-scoresup"):
        read_package("user/band")


def test_push_to_hub_uploads_the_folder(tmp_path, monkeypatch):
    uploaded = {}

    class Created:
        repo_id = "user/band"

    def create_repo(self, repo_id, private=None, exist_ok=False):
        assert (repo_id, private, exist_ok) == ("user/band", True, True)
        return Created

    def upload_folder(self, folder_path, **options):
        uploaded.update(options)
        uploaded["model"] = unpack(folder_path)
        uploaded["card"] = (Path(folder_path) / "README.md").read_text()
        return "https://huggingface.co/user/band/commit/1"

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    model = Separator(separator(), transcriptor(), programs=PROGRAMS)
    options = dict(private=True, branch="dev", commit_message="New", create_pr=True)
    facts = {"license": "mit"}
    url = model.push_to_hub("user/band", model_card_kwargs=facts, **options)
    assert url.endswith("/commit/1")
    assert (uploaded["repo_id"], uploaded["revision"]) == ("user/band", "dev")
    assert uploaded["commit_message"] == "New" and uploaded["create_pr"] is True
    assert uploaded["model"].programs == PROGRAMS and "license: mit" in uploaded["card"]
    url = separator().save_pretrained(
        tmp_path / "band", repo_id="user/band", push_to_hub=True, private=True
    )
    assert url.endswith("/commit/1") and (tmp_path / "band" / "config.json").is_file()


def test_an_upload_without_permission_is_explained(monkeypatch):
    def refuse(*args, **kwargs):
        raise answered(401, huggingface_hub.utils.HfHubHTTPError)

    monkeypatch.setattr(HfApi, "create_repo", refuse)
    with pytest.raises(PermissionError, match="user/band is not uploaded.*hf auth login"):
        separator().push_to_hub("user/band")
