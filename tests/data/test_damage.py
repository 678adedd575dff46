"""Damaged and hostile folders, full disks and bounds: a sentence, or what is broken is mended."""

import errno
import json
import os
import shutil
import struct

import numpy as np
import pretty_midi
import pytest
import soundfile as sf
from slakh_folder import write_song
from tiny import HOP, N_FFT, write_folder

from asteroid_scoresup.data import ScoreInformedMasks
from asteroid_scoresup.data.labels import check_folder
from asteroid_scoresup.data.manifest import Manifest
from asteroid_scoresup.data.note_table import read_notes
from asteroid_scoresup.data.prepare import prepare
from asteroid_scoresup.data.slakh import read_slakh_track
from asteroid_scoresup.synthesis import render, soundfont_reader
from asteroid_scoresup.synthesis import tinysoundfont_player as player
from asteroid_scoresup.synthesis.render import default_soundfont, render_notes
from asteroid_scoresup.synthesis.soundfont import Preset, Tone, write_soundfont
from asteroid_scoresup.synthesis.synthesize import synthesize
from asteroid_scoresup.utils import files
from asteroid_scoresup.utils.files import WriteError, atomic_path, read_json, write_audio
from asteroid_scoresup.utils.names import why_not_plain

QUIET = {"jobs": 1, "progress": False}
HEAD = "onset,offset,pitch,source,velocity\n"


# ---------------------------------------------------------------------------------- manifests
def edited(root, **changes):
    """Changes fields of the first track of a manifest."""
    path = root / "manifest.json"
    content = json.loads(path.read_text())
    content["tracks"][0].update(changes)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("id", "../../x/Track1", "contains a '/'"),
        ("id", "..\\Track1", r"contains a '\\\\'"),
        ("id", "..", "begins with a dot"),
        ("id", "/etc", "contains a '/'"),
        ("id", "C:x", "drive letter"),
        ("id", "a\0b", "control character"),
        ("id", "", "is empty"),
        ("id", 5, "is int, not text"),
        ("id", "x" * 300, "longer than 220 bytes"),
        ("split", "../train", "contains a '/'"),
        ("split", ".", "begins with a dot"),
        ("split", None, "is NoneType, not text"),
        ("n_samples", -1, "n_samples of the track .* is -1"),
        ("n_samples", 1e6, "n_samples"),
        ("n_samples", 10**30, "n_samples"),
        ("n_samples", "16000", "n_samples"),
        ("rms", float("nan"), "rms of the track .* is nan"),
        ("rms", -0.1, "rms"),
        ("rms", None, "rms"),
        ("n_notes", [], "n_notes"),
        ("n_notes", {"bass": -1}, "n_notes"),
        ("stems", ["../bass"], "stems"),
        ("stems", "bass", "stems"),
        ("facts", [], "facts"),
        ("color", "red", "has the unknown color"),
    ],
)
def test_tracks_of_a_manifest_are_held_against_what_they_may_be(tmp_path, field, value, message):
    write_folder(tmp_path, splits={"train": 1}, seconds=0.5)
    edited(tmp_path, **{field: value})
    with pytest.raises(ValueError, match=message) as error:
        Manifest.load(tmp_path)
    assert "manifest.json is not a manifest" in str(error.value)
    assert "Run `prepare` again" in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sample_rate", 0),
        ("sample_rate", "16000"),
        ("sample_rate", 1e12),
        ("sample_rate", float("nan")),
        ("mixture", "stems"),
        ("mixture", []),
        ("tracks", {}),
        ("tracks", ["a"]),
        ("classes", 3),
    ],
)
def test_fields_of_a_manifest_are_held_against_what_they_may_be(tmp_path, field, value):
    write_folder(tmp_path, splits={"train": 1}, seconds=0.5)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(ValueError, match="manifest.json is not a manifest: "):
        Manifest.load(tmp_path)


def test_a_track_that_is_listed_twice_is_named(tmp_path):
    manifest = write_folder(tmp_path, splits={"train": 1}, seconds=0.5)
    manifest.tracks *= 2
    manifest.save()
    with pytest.raises(ValueError, match="lists train/Track00000 twice"):
        Manifest.load(tmp_path)


def test_ordinary_names_are_plain():
    for name in ("Track00001", "My song - take 2 (live)", "Für Elise", "AC:DC", "a..b", "aux"):
        assert why_not_plain(name) is None or os.name == "nt"


def test_nothing_outside_is_touched(tmp_path):
    """A manifest that names a folder outside: neither the correction nor the cache reach it."""
    root, victim = tmp_path / "data", tmp_path / "x" / "Track1"
    manifest = write_folder(root, splits={"train": 1}, seconds=1.0)
    shutil.copytree(manifest.folder(manifest.tracks[0]), victim)
    before = {p: p.read_bytes() for p in victim.rglob("*") if p.is_file()}
    edited(root, id="../../x/Track1")
    with pytest.raises(ValueError, match="contains a '/'"):
        check_folder(root, correct=True, **QUIET)
    assert {p: p.read_bytes() for p in victim.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("place", ["train", "train/Track00001"])
def test_preparation_writes_through_no_link_that_leads_outside(tmp_path, place):
    outside = tmp_path / "outside"
    outside.mkdir()
    write_song(tmp_path / "in" / "train" / "Track00001", seconds=2.0)
    link = tmp_path / "out" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(ValueError, match=f"{link} is a link that leads outside of"):
        prepare(tmp_path / "in", tmp_path / "out", **QUIET)
    assert not any(outside.iterdir())


def test_nothing_is_written_through_a_link_that_leads_outside(tmp_path):
    root, outside = tmp_path / "data", tmp_path / "outside"
    manifest = write_folder(root, splits={"train": 1}, seconds=1.0)
    track = manifest.tracks[0]
    shutil.move(manifest.folder(track), outside)
    manifest.folder(track).symlink_to(outside)
    before = sorted(outside.iterdir())
    shares = ScoreInformedMasks(manifest, N_FFT, HOP, 1, 6)
    with pytest.raises(ValueError, match="is a link that leads outside"):
        shares.fit(track)
    with pytest.raises(ValueError, match="is a link that leads outside"):
        check_folder(root, correct=True, **QUIET)
    assert sorted(outside.iterdir()) == before
    assert len(manifest.notes(track))  # reading is another matter
    (tmp_path / "linked").symlink_to(root)  # and so is a link to the whole folder
    manifest.folder(track).unlink()
    shutil.move(outside, manifest.folder(track))
    linked = Manifest.load(tmp_path / "linked")
    ScoreInformedMasks(linked, N_FFT, HOP, 1, 6).fit(linked.tracks[0])


# -------------------------------------------------------------------------------- note tables
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "nan,1,60,bass,90\n", "must be finite"),
        (HEAD + "0,inf,60,bass,90\n", "must be finite"),
        (HEAD + "0,1e300,60,bass,90\n", "offset 1e.300 in line 2, expected 0 to"),
        (HEAD + "0,1,60,bass,90\n-1,1,60,bass,90\n", "onset -1 in line 3"),
        (HEAD + "0,1,128,bass,90\n", "pitch 128 in line 2, expected 0 to 127"),
        (HEAD + "0,1,-5,bass,90\n", "pitch -5"),
        (HEAD + "0,1,60,bass,900\n", "velocity 900"),
        (HEAD + f"0,1,{10**30},bass,90\n", "is not a note table"),
        (HEAD + "0,1,60,,90\n", r"has notes of \[''\]"),
        (HEAD + "0,1\n", r"has notes of \['None'\]"),
        ("", "lacks the columns"),
        ("a,b\n", "lacks the columns"),
        (HEAD + '0,1,60,"bass,90\n', "is not a note table"),
        ((HEAD + "0,1,60,bass,90\n").encode("utf-16"), "is not a note table"),
        (b"\xff\xfe\x00" * 9, "is not a note table"),
        (HEAD + "0,1,60," + "x" * 200_000 + ",90\n", "is not a note table"),
    ],
)
def test_damaged_note_tables_are_named(tmp_path, text, message):
    path = tmp_path / "notes.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as error:
        read_notes(path, ("bass",))
    assert str(path) in str(error.value) or "finite" in message


def test_a_byte_order_mark_is_skipped(tmp_path):
    (tmp_path / "notes.csv").write_bytes(b"\xef\xbb\xbf" + (HEAD + "0,1,60,bass,90\n").encode())
    assert read_notes(tmp_path / "notes.csv", ("bass",)).pitch.tolist() == [60]
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, b"\xff\xfe{", "{'a': 1}", ""])
def test_damaged_json_is_named(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=r"a\.json is not a JSON file"):
        read_json(path)


# ----------------------------------------------------------------- finished tracks of `prepare`
@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("finished")
    write_song(root / "in" / "Track00001", seconds=1.5)
    prepare(root / "in", root / "out", **QUIET)
    return root


def change_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


DAMAGES = {
    "no JSON": lambda f: (f / "track.json").write_text("{"),
    "a list": lambda f: (f / "track.json").write_text("[]"),
    "no track": lambda f: change_json(f / "track.json", lambda c: c.pop("track")),
    "no settings": lambda f: change_json(f / "track.json", lambda c: c.pop("settings")),
    "NaN": lambda f: change_json(f / "track.json", lambda c: c["track"].update(rms=float("nan"))),
    "a name": lambda f: change_json(f / "track.json", lambda c: c["track"].update(id="../x")),
    "facts": lambda f: change_json(f / "track.json", lambda c: c["track"]["facts"].update(check=5)),
    "short audio": lambda f: write_audio(f / "mixture.wav", np.zeros(10, np.float32), 16000),
    "half a file": lambda f: os.truncate(f / "stems" / "bass.wav", 100),
    "no notes": lambda f: (f / "notes.csv").unlink(),
    "odd notes": lambda f: (f / "notes.csv").write_text("x"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.slow
def test_a_damaged_track_is_prepared_again(finished, tmp_path, damage):
    shutil.copytree(finished / "out", tmp_path / "out")
    folder = tmp_path / "out" / "train" / "Track00001"
    DAMAGES[damage](folder)
    report = prepare(finished / "in", tmp_path / "out", **QUIET)
    assert report["kept_from_earlier_run"] == 0
    for path in (finished / "out" / "train" / "Track00001").rglob("*"):
        if path.is_file():
            again = folder / path.relative_to(finished / "out" / "train" / "Track00001")
            if path.suffix == ".wav":  # their header contains the time of writing
                np.testing.assert_array_equal(sf.read(again)[0], sf.read(path)[0])
            else:
                assert again.read_bytes() == path.read_bytes(), path.name
    assert prepare(finished / "in", tmp_path / "out", **QUIET)["kept_from_earlier_run"] == 1


def test_a_list_of_tracks_that_are_being_replaced_does_not_stay(finished, tmp_path, monkeypatch):
    shutil.copytree(finished / "out", tmp_path / "out")

    def die(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("asteroid_scoresup.data.prepare._write_track", die)
    with pytest.raises(KeyboardInterrupt):
        prepare(finished / "in", tmp_path / "out", sample_rate=8000, overwrite=True, **QUIET)
    assert not (tmp_path / "out" / "manifest.json").exists()


# ------------------------------------------------------------------------------ data sets
@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset") / "data"
    synthesize(folder, **SMALL)
    return folder


SMALL = dict(n_train=2, n_validation=0, n_test=0, n_test_unseen=0, seconds=1.0, sample_rate=8000)
SMALL = {**SMALL, "jobs": 1, "quiet": True, "synthetic": 0.0, "varispeed": 0.0}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"settings": 3}'])
@pytest.mark.slow
def test_a_damaged_record_asks_for_overwrite(dataset, tmp_path, text):
    copy = shutil.copytree(dataset, tmp_path / "d")
    (copy / "synthesis.json").write_text(text)
    with pytest.raises(ValueError, match="synthesis.json .* --overwrite, or choose another"):
        synthesize(copy, **SMALL)
    assert synthesize(copy, overwrite=True, **SMALL)["made"] == 2
    assert read_json(copy / "synthesis.json") == read_json(dataset / "synthesis.json")


@pytest.mark.slow
def test_overwrite_goes_on_after_a_kill_at_any_deletion(dataset, tmp_path, monkeypatch):
    """Killed at the n-th rename or deletion: the next call with --overwrite ends as an unkilled."""
    changed = {**SMALL, "seconds": 1.2}
    whole = tmp_path / "whole"
    synthesize(whole, **changed)
    wanted = {p.relative_to(whole): p.read_bytes() for p in whole.rglob("*.flac")}
    real, count = os.replace, [0]
    for n in (1, 2, 3, 5):
        copy = shutil.copytree(dataset, tmp_path / f"d{n}")
        count[0] = 0

        def dying(source, target, n=n):
            count[0] += 1
            if count[0] == n:
                raise KeyboardInterrupt
            return real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dying)
            with pytest.raises(KeyboardInterrupt):
                synthesize(copy, overwrite=True, **changed)
        synthesize(copy, overwrite=True, **changed)
        found = {p.relative_to(copy): p.read_bytes() for p in copy.rglob("*.flac")}
        assert found == wanted, n
        assert {p.name for p in copy.rglob(".*")} <= {".lock"}


def test_what_an_earlier_version_left_half_deleted_is_ours(dataset, tmp_path):
    copy = shutil.copytree(dataset, tmp_path / "d")
    (copy / "train" / "Track00001" / "metadata.yaml").unlink()
    assert synthesize(copy, **SMALL)["made"] == 1
    (copy / "train" / "Track00002" / "metadata.yaml").unlink()
    (copy / "train" / "Track00002" / "my notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="Track00002 was not made by this command"):
        synthesize(copy, overwrite=True, **SMALL)
    assert (copy / "train" / "Track00002" / "my notes.txt").is_file()


# -------------------------------------------------------------------------------- full disks
def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_a_sentence_with_the_file(tmp_path):
    with (
        pytest.raises(WriteError, match="a.json cannot be written: no space left on device. Make"),
        atomic_path(tmp_path / "a.json"),
    ):
        full()
    assert not os.listdir(tmp_path)


def cutting(close, length):
    """Closes a file as libsndfile does on a full disk: what is missing is not mentioned."""

    def cut(writer):
        close(writer)
        os.truncate(writer.temporary, length(writer.temporary.stat().st_size))

    return cut


@pytest.mark.slow
@pytest.mark.parametrize("how", ["refused", "empty", "cut"])
def test_a_song_that_was_not_written_whole_gets_no_name(tmp_path, monkeypatch, how):
    close = files._Writer.close
    closes = {
        "refused": full,
        "empty": cutting(close, lambda size: 44),
        "cut": cutting(close, lambda size: size // 2),
    }
    monkeypatch.setattr(files._Writer, "close", closes[how])
    with pytest.raises(
        OSError, match=r"flac (cannot be written: no space|was not written completely)"
    ):
        synthesize(tmp_path / "d", **SMALL)
    assert not list((tmp_path / "d").rglob("Track*"))
    assert {p.name for p in (tmp_path / "d").rglob(".*")} <= {".lock"}
    monkeypatch.undo()
    assert synthesize(tmp_path / "d", **SMALL)["made"] == 2


@pytest.mark.parametrize("limit", [0, 3_000, 30_000])
@pytest.mark.slow
def test_a_limit_on_file_sizes_leaves_nothing_half_written(finished, tmp_path, limit):
    """The kernel refuses to write on, as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OSError, match="cannot be written: |was not written completely"):
            prepare(finished / "in", tmp_path / "out", **QUIET)
        long = {**SMALL, "seconds": 8.0, "sample_rate": 44100, "renderer": "tinysoundfont"}
        with pytest.raises(OSError, match="cannot be written: |was not written completely"):
            synthesize(tmp_path / "d", **long)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    left = [p for p in tmp_path.rglob("*") if p.is_file() and p.name != ".lock"]
    assert all(p.name == "synthesis.json" and read_json(p) for p in left)
    assert prepare(finished / "in", tmp_path / "out", **QUIET)["tracks"] == 1


# ------------------------------------------------------------------------- the informed cache
@pytest.mark.parametrize(
    "damage",
    ["empty", "cut", "no zip", "other names", "NaN", "shape", "class", "compressed", "pickle"],
)
def test_a_damaged_cache_is_made_again(tmp_path, damage):
    manifest = write_folder(tmp_path, splits={"train": 1}, seconds=1.0)
    track = manifest.tracks[0]
    exact = ScoreInformedMasks(manifest, N_FFT, HOP, 2, 6).read(track)
    path = ScoreInformedMasks(manifest, N_FFT, HOP, 2, 6).path(track)
    whole = path.read_bytes()
    arrays = dict(np.load(path))
    if damage in ("empty", "cut", "no zip"):
        content = {"empty": b"", "cut": whole[: len(whole) // 2], "no zip": b"x" * 999}[damage]
        path.write_bytes(content)
    elif damage == "other names":
        np.savez(path, a=np.zeros(3))
    elif damage == "compressed":
        np.savez_compressed(path, **{**arrays, "activations": np.zeros((9, 10**6), np.float16)})
    elif damage == "pickle":
        np.savez(path, **{**arrays, "class_index": np.array([{}], dtype=object)})
    else:
        key = {"NaN": "templates", "shape": "activations", "class": "class_index"}[damage]
        arrays[key] = arrays[key] * np.nan if damage == "NaN" else arrays[key] + 100
        if damage == "shape":
            arrays[key] = arrays[key][:, :-1]
        np.savez(path, **{k: v.astype(np.load(path)[k].dtype) for k, v in arrays.items()})
    again = ScoreInformedMasks(manifest, N_FFT, HOP, 2, 6).read(track)
    np.testing.assert_array_equal(again.numpy(), exact.numpy())
    assert len(path.read_bytes()) == len(whole)


# -------------------------------------------------------------------------------- SoundFonts
@pytest.fixture
def soundfont(tmp_path):
    path = tmp_path / "tone.sf2"
    tone = Tone(60, 0.1 * np.sin(np.arange(2000)), 8000)
    write_soundfont(path, "tone", [Preset(0, "tone", (tone,))])
    return path


def patch(path, table, offset, value, form="<H"):
    content = bytearray(path.read_bytes())
    place = content.index(table, content.index(b"pdta")) + 8
    struct.pack_into(form, content, place + offset, value)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("table", "offset", "value", "form", "message"),
    [
        (b"phdr", 24, 60000, "<H", "the indices of its table phdr do not match pbag"),
        (b"inst", 20, 60000, "<H", "the indices of its table inst do not match ibag"),
        (b"ibag", 4, 60000, "<H", "the indices of its table ibag do not match igen"),
        (b"pgen", 2, 60000, "<H", "its table pgen refers to records beyond the end of inst"),
        (b"igen", 14, 60000, "<H", "its table igen refers to records beyond the end of shdr"),
        (b"shdr", 24, 2**31, "<I", "a sample is outside the 2046 sample points of the file"),
        (b"shdr", -4, 45, "<I", "its table shdr has 45 bytes"),
        (b"shdr", -4, 2**31, "<I", "its chunk 'shdr' is longer than the file"),
        (b"igen", -8, 0, "<I", "the table igen is missing"),
    ],
)
def test_damaged_soundfonts_are_named(soundfont, table, offset, value, form, message):
    patch(soundfont, table, offset, value, form)
    with pytest.raises(ValueError, match=f"tone.sf2 is a damaged SoundFont: {message}"):
        soundfont_reader.soundfont_presets(soundfont)


def patched_worker(monkeypatch, tmp_path, lines):
    """Lets a script take the worker's place, as a SoundFont would that makes it do this."""
    script = tmp_path / "worker.py"
    script.write_text("import os, signal, sys, time\nsys.stdin.readline()\n" + lines)
    player.Player.stop(player._player)
    monkeypatch.setattr(player, "_WORKER", script)


NOTE = [pretty_midi.Note(100, 60, 0.0, 0.2)]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("said", ["", "null\n", "nu"])
def test_a_soundfont_that_kills_the_renderer_is_named(soundfont, monkeypatch, tmp_path, said):
    pytest.importorskip("tinysoundfont")
    say = f"print({said!r}, end='', flush=True)\n"
    patched_worker(monkeypatch, tmp_path, say + "os.kill(os.getpid(), signal.SIGSEGV)\n")
    for _ in range(2):
        with pytest.raises(ValueError, match="tone.sf2 made tinysoundfont crash .signal 11. at"):
            render_notes(NOTE, 0, 0.5, 8000, soundfont, "tinysoundfont")
    monkeypatch.undo()
    assert render_notes(NOTE, 0, 0.5, 8000, soundfont, "tinysoundfont").any()


def test_the_song_of_a_crash_is_named_too(soundfont, monkeypatch, tmp_path):
    pytest.importorskip("tinysoundfont")
    patched_worker(monkeypatch, tmp_path, "sys.exit(3)\n")
    options = {**SMALL, "renderer": "tinysoundfont", "synthetic": 0.0, "varispeed": 0.0}
    with pytest.raises(ValueError, match="train/Track00001: the SoundFont .* made tinysoundfont"):
        synthesize(tmp_path / "d", **options)


def test_a_renderer_that_does_not_end_is_ended(soundfont, monkeypatch, tmp_path):
    pytest.importorskip("tinysoundfont")
    patched_worker(monkeypatch, tmp_path, "time.sleep(60)\n")
    monkeypatch.setattr(render, "_PATIENCE", -1.0)  # one second for half a second
    with pytest.raises(TimeoutError, match="tinysoundfont with .*tone.sf2 did not end within 1 s"):
        render_notes(NOTE, 0, 0.5, 8000, soundfont, "tinysoundfont")
    monkeypatch.undo()
    assert render_notes(NOTE, 0, 0.5, 8000, soundfont, "tinysoundfont").any()


def test_the_default_soundfont_is_whole():
    assert len(soundfont_reader.soundfont_presets(default_soundfont())) > 128


# -------------------------------------------------------------------------------- bounds
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": float("inf")}, "seconds is inf, expected at least 1, at most 3600"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"seconds": 1e9}, "seconds is 1000000000"),
        ({"max_seconds": float("inf")}, "max_seconds is inf"),
        ({"n_train": 10**12}, "too many tracks for train: there are numbers for 70000"),
        ({"n_train": 1.5}, "n_train is 1.5"),
        ({"n_train": float("inf")}, "n_train is inf"),
        ({"others": 10**9}, "others is 1000000000"),
        ({"sample_rate": float("nan")}, "sample_rate is nan"),
        ({"sample_rate": 10**9}, "sample_rate is 1000000000"),
        ({"varispeed": float("inf")}, "varispeed is inf"),
        ({"level_spread": float("nan")}, "level_spread is nan"),
        ({"fractions": (1, float("inf"), 0)}, "fractions are"),
        ({"fractions": (1, float("nan"), 0)}, "fractions are"),
        ({"jobs": 0}, "jobs is 0"),
        ({"seed": 0.5}, "seed is 0.5"),
    ],
)
def test_counts_and_rates_are_held_against_bounds_before_anything(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        synthesize(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_odd_rates_need_no_gigabytes(soundfont):
    """torchaudio's filter would take 8 GB from 44,100 to 44,101 Hz."""
    note = [pretty_midi.Note(100, 60, 0.0, 0.4)]
    odd, even = (render_notes(note, 0, 0.5, rate, soundfont) for rate in (44101, 44100))
    assert len(odd) == 22050 and np.abs(odd[:20000] - even[:20000]).max() < 0.02


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stems: [" + "1, " * 300_000 + "]", "longer than 200000 bytes"),
        ("stems: " + "[" * 50_000, "lines are too long, or nested"),
        ("stems:" + "\n [" * 50_000, "too long, or nested"),
        ("- " * 90_000, "lines are too long, or nested"),
        # Which one depends on the recursion limit, which other packages raise.
        ("stems: " + "{a: " * 900, "is nested too deeply|is not YAML"),
        ("stems: 2001-99-99", "is not YAML"),
        ("stems: !!int x", "is not YAML"),
        ("stems: !!python/object/apply:os.system [id]", "is not YAML"),
    ],
)
def test_metadata_that_costs_too_much_is_refused(tmp_path, text, message):
    (tmp_path / "metadata.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_slakh_track(tmp_path)
