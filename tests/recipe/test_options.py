"""The settings of the recipe: losses, presets and what they say of the library."""

import importlib
import shutil
import subprocess
import sys

import pytest
import yaml
from tiny_recipe import RECIPE

from asteroid_scoresup.losses import TERMS, register_term

LOSSES = sorted((RECIPE / "local" / "losses").glob("*.yml"))


@pytest.fixture
def options(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPE))
    return importlib.import_module("local.options")


@pytest.fixture
def commands(options):
    return importlib.import_module("local.commands")


@pytest.mark.parametrize(
    "classes, words, message",
    [
        ("bass=32-39;bass=1", "", "--classes: .*bass"),
        ("", "--classes bass=200", "--prepare_opts: .*200"),
        ("", "--label_shift viola=3", "--prepare_opts: .*viola"),
        ("organ=16-23", "--label_shift bass=3", "--prepare_opts: .*bass"),
        ("", "--sample_rate 3", "--prepare_opts: sample_rate .* found 3"),
        ("", "--splits /no/file.json", "--prepare_opts: /no/file.json: no such file of splits"),
        ("", "--validation_fraction 1", "--prepare_opts: validation_fraction"),
        ("", "--mixture all", "--prepare_opts: argument --mixture: invalid choice: 'all'"),
        ("", "--help", "--prepare_opts: expected options with values, found a request for help"),
        ("", "extra", "--prepare_opts: unrecognized arguments: extra"),
    ],
)
def test_options_of_prepare_are_checked(commands, classes, words, message):
    with pytest.raises(ValueError, match=message):
        commands.check_prepare(classes, words.split())


@pytest.mark.parametrize(
    "classes, words, count",
    [
        ("", "", 3),
        ("organ=16-23;strings=40-51", "", 2),
        ("", "--correct --classes=organ=16-23", 1),
        ("organ=16-23;strings=40-51", "--label_shift organ=12", 2),
    ],
)
def test_good_options_of_prepare_give_the_number_of_classes(commands, classes, words, count):
    assert commands.check_prepare(classes, words.split()) == count


@pytest.mark.parametrize(
    "words, message",
    [
        ("--n_train -1", "n_train is -1"),
        ("--n_train 0 --n_validation 0 --n_test 0 --n_test_unseen 0", "no songs requested"),
        ("--synthetic 2", "synthetic is 2.0, expected a probability"),
        ("--midi_dir x --fractions 0 0 0", "fractions are"),
        ("--midi_dir x --n_train 3", "--n_train is for composed songs"),
        ("--max_seconds 3", "--max_seconds is for the files of --midi_dir"),
        ("--seconds ten", "argument --seconds: invalid float value: 'ten'"),
    ],
)
def test_options_of_synthesize_are_checked(commands, words, message):
    with pytest.raises(ValueError, match=f"--synthesize_opts: {message}"):
        commands.check_synthesize(words.split())
    commands.check_synthesize(["--drums", "--n_train", "3"])


def test_settings_that_may_change_do_not_make_another_command(options):
    job = importlib.import_module("local.jobs").Job
    plain = job._plain(["train.py", "--seed", 0, "--clip=1"])
    for words in (
        ["--num_workers", 4],
        ["--num_workers=4"],
        ["--quiet"],
        ["--precision=32", "--quiet"],
    ):
        assert job._plain(["train.py", *words, "--seed", 0, "--clip=1", *words]) == plain
    assert job._plain(["train.py", "--seed", 1, "--clip=1"]) != plain
    assert job._plain(["train.py", "--seed", 0, "--clip=2"]) != plain


def test_results_of_earlier_versions_are_not_computed_again(options, tmp_path):
    """They list commands with settings that are left out now."""
    jobs = importlib.import_module("local.jobs")
    job = jobs.Job("a", tmp_path, 1.0, ["train.py", "--quiet"], ["score.py", "--num_workers=2"])
    content = '{"training": "train.py --quiet", "scoring": "score.py --num_workers=1"}'
    (tmp_path / "done.json").write_text(content)
    assert job.missing() == {}


def test_every_term_is_a_setting(options):
    assert list(options.read_conf("paper")["loss"]) == list(TERMS)


@pytest.mark.parametrize(
    "reads, needs, supervision, message",
    [
        (["sources"], [], "score", "'new' needs stems"),
        (["sounding"], ["templates"], "activity", "'new' needs more than who plays when"),
        (["soft_masks"], [], "activity", "'new' needs more than who plays when"),
        (["sources"], ["waveforms"], "stems", "'new' needs waveforms"),
        (["sounding"], [], "stems", "no loss term compares with stems; give .* or new a weight"),
        (["sounding"], [], "score", None),
        (["sounding"], [], "activity", None),
    ],
)
def test_what_a_new_term_needs_is_read_from_its_registration(
    options, monkeypatch, reads, needs, supervision, message
):
    monkeypatch.setattr("asteroid_scoresup.losses.terms.TERMS", terms := dict(TERMS))
    monkeypatch.setattr("asteroid_scoresup.losses.TERMS", terms)
    register_term("new", reads, needs)(lambda batch: batch.estimates.mean())
    if message is None:
        options.check_loss({"new": 1.0}, supervision)
        return
    if "give" in message:
        register_term("other", ["sources"])(lambda batch: batch.estimates.mean())
        message = message.replace("new", "other")
    with pytest.raises(options.BadOption, match=message):
        options.check_loss({"new": 1.0}, supervision)


def test_the_default_loss_is_clip_and_informed(options):
    conf = options.read_conf("mini")
    assert options.read_conf("mini", "clip+informed") == conf
    weights = {name: weight for name, weight in conf["loss"].items() if weight}
    assert weights == {"transcription": 0.2, "clip": 0.5, "informed": 3.0}


@pytest.mark.parametrize("path", LOSSES, ids=lambda path: path.stem)
def test_every_loss_suits_a_supervision(options, path):
    weights = options.read_loss(path.stem)
    assert weights == options.read_loss(str(path)) and list(weights) == list(TERMS)
    fitting = []
    for supervision in options.SUPERVISION:
        try:
            model = "pitch" if weights["notes"] else "ConvTasNet"
            options.check_loss(weights, supervision, model)
        except options.BadOption:
            continue
        fitting.append(supervision)
    assert fitting
    if "+" in path.stem:  # the name lists the terms besides transcription
        chosen = [name for name, weight in weights.items() if weight]
        known = [] if weights["notes"] else ["transcription"]
        assert sorted(chosen) == sorted([*known, *path.stem.split("+")])


def test_the_default_loss_of_each_supervision_suits_it_with_every_model(options):
    for supervision, name in options.DEFAULT_LOSS.items():
        for model in options.rules()["model"].words:
            options.check_loss(options.read_conf("paper", name)["loss"], supervision, model)


@pytest.mark.parametrize(
    "content, message",
    [
        ("loss: {sharp: 1}", "has a term 'sharp'; the terms are transcription, notes, clip"),
        ("loss: {clip: -1}", "clip is a number from 0"),
        ("clip: 1", "is damaged"),
        ("loss: {clip: 1}\nmore: {}", "expected `loss:"),
    ],
)
def test_damaged_losses_are_refused(options, tmp_path, content, message):
    path = tmp_path / "own.yml"
    path.write_text(content)
    with pytest.raises(options.BadOption, match=message):
        options.read_loss(str(path))


def test_own_losses_are_read_by_their_path(options, tmp_path):
    path = tmp_path / "own.yml"
    path.write_text("loss: {clip: 0.7}")
    assert options.read_loss(str(path)) == {**dict.fromkeys(TERMS, 0.0), "clip": 0.7}


def test_models_with_masks_refuse_terms_of_waveforms(options):
    with pytest.raises(options.BadOption, match="needs waveforms, and --model tcn returns masks"):
        options.check_loss(options.read_loss("si_sdr"), "stems")
    options.check_loss(options.read_loss("si_sdr"), "stems", "ConvTasNet")


def test_every_preset_counts_its_songs(options):
    assert tuple(options.presets()) == options.PRESETS
    for preset in options.PRESETS:
        assert list(options.song_counts(preset))[:5] == [
            "n_train", "n_validation", "n_test", "n_test_unseen", "seconds"
        ]  # fmt: skip


def test_songs_of_a_preset_become_options_of_the_command(options, commands):
    songs = {"n_train": 3, "drums": True, "soundfont": ["a b.sf2", "c"], "seconds": 2}
    assert commands.song_words(songs) == [
        *("--n_train", "3", "--drums", "--soundfont", "a b.sf2", "--soundfont", "c"),
        *("--seconds", "2"),
    ]
    for preset in options.PRESETS:
        commands.check_synthesize(commands.song_words(options.song_counts(preset)))


def test_the_rows_of_the_tables_choose_losses_and_settings_that_exist(options):
    rows = yaml.safe_load((RECIPE / "local" / "experiments.yml").read_text())
    names = {path.stem for path in LOSSES}
    own = {"loss", "supervision", "adversarial", "adapt_critic"}
    for group in set(rows) - {"critics"}:
        for row in rows[group].values():
            chosen = row["options"]
            assert set(chosen) <= set(options.rules()) | own
            assert chosen.get("adversarial", "none") in options.ADVERSARIAL
            supervision = chosen.get("supervision", "score")
            name = chosen.get("loss", options.DEFAULT_LOSS[supervision])
            assert name in names | {""}
            weights = options.read_conf("small", name)["loss"]
            weights.update({key: chosen[key] for key in chosen if key in weights})
            options.check_loss(weights, supervision, chosen.get("model", "tcn"))


def test_bundled_models_are_found_where_the_package_is_installed(tmp_path):
    """As in a container, which has the recipe in another folder than the package."""
    shutil.copytree(RECIPE / "local", tmp_path / "local")
    package = RECIPE.parents[1]
    code = (
        "import sys\n"
        f"sys.path.append({str(package)!r})\n"
        "from local import options\n"
        f"assert options.__file__.startswith({str(tmp_path)!r})\n"
        "options.check_start('band_drums')\n"
        "options.check_start('nothing')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert "neither a file nor a bundled model (band, band_drums)" in done.stderr
