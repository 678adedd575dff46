"""The prepared form: note tables, atomic files, the manifest and its complaints."""

import json
import os
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid_scoresup.data import Manifest, PreparedTrack
from asteroid_scoresup.data.classes import ClassMap
from asteroid_scoresup.data.note_table import read_notes, write_notes
from asteroid_scoresup.score import Notes
from asteroid_scoresup.utils.files import (
    atomic_path,
    read_audio,
    read_json,
    write_audio,
    write_json,
)

NAMES = ("bass", "guitar", "piano")
rows = st.tuples(
    st.integers(0, 10**9),  # onset, microseconds
    st.integers(0, 10**8),  # length
    st.integers(0, 127),
    st.integers(0, 2),
    st.integers(1, 127),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(rows, max_size=20))
def test_notes_round_trip(tmp_path_factory, table):
    table = np.array(table, dtype=np.int64).reshape(-1, 5)
    onset = table[:, 0] / 1e6
    notes = Notes(onset, (table[:, 0] + table[:, 1]) / 1e6, *table[:, 2:].T)
    path = tmp_path_factory.mktemp("notes") / "notes.csv"
    write_notes(path, notes, NAMES)
    again = read_notes(path, NAMES)
    for column in ("onset", "offset", "pitch", "class_index", "velocity"):
        np.testing.assert_array_equal(getattr(again, column), getattr(notes, column))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("onset,offset,pitch\n1,2,3\n", r"lacks the columns \['class', 'velocity'\]"),
        ("onset,offset,pitch,source,velocity\n0,1,60,drums,90\n", r"has notes of \['drums'\]"),
        ("onset,offset,pitch,source,velocity\n0,1,sixty,bass,90\n", "is not a note table"),
        ("onset,offset,pitch,source,velocity\n0,1,60,bass\n", "is not a note table"),
        ("onset,offset,pitch,source,velocity\n2,1,60,bass,9\n", "ends .* before it begins"),
    ],
)
def test_bad_note_tables_are_named(tmp_path, text, message):
    (tmp_path / "notes.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_notes(tmp_path / "notes.csv", NAMES)
    assert "notes.csv" in str(error.value)


def test_an_error_midway_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half of")
        raise RuntimeError
    assert read_json(path) == {"old": 1} and os.listdir(tmp_path) == ["file.json"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_midway_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"old": 1})
    child = os.fork()
    if child == 0:
        with atomic_path(path) as temporary:
            temporary.write_text("half of")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert read_json(path) == {"old": 1}
    write_json(path, {"new": 2})
    assert read_json(path) == {"new": 2}


def test_audio_is_read_as_mono_at_the_rate_that_is_asked_for(tmp_path):
    stereo = np.zeros((8000, 2), dtype=np.float32)
    stereo[:, 0] = np.sin(np.arange(8000) * 0.1)
    write_audio(tmp_path / "a.wav", stereo, 8000)
    audio, rate = read_audio(tmp_path / "a.wav")
    np.testing.assert_allclose(audio, stereo[:, 0] / 2, atol=1e-7)
    assert rate == 8000 and len(read_audio(tmp_path / "a.wav", 16000)[0]) == 16000


def test_bad_audio_is_named(tmp_path):
    (tmp_path / "a.wav").write_text("no audio")
    with pytest.raises(ValueError, match=r"a\.wav cannot be read as audio"):
        read_audio(tmp_path / "a.wav")
    write_audio(tmp_path / "b.wav", np.zeros(0, dtype=np.float32), 8000)
    with pytest.raises(ValueError, match=r"b\.wav contains no samples"):
        read_audio(tmp_path / "b.wav")
    write_audio(tmp_path / "c.wav", np.full(9, np.nan, dtype=np.float32), 8000)
    with pytest.raises(ValueError, match=r"c\.wav contains NaN"):
        read_audio(tmp_path / "c.wav")


def make_manifest(root):
    classes = ClassMap.parse("bass=32-39,Bass;piano=0-7")
    track = PreparedTrack("a", "train", 8, 0.1, {"bass": 1, "piano": 0}, ["bass"], {"x": [1]})
    other = PreparedTrack("b", "test", 9, 0.2)
    return Manifest(root, 8000, classes, "song", [other, track])


def test_manifest_round_trip(tmp_path):
    manifest = make_manifest(tmp_path)
    manifest.save()
    again = Manifest.load(tmp_path)
    assert again.tracks == manifest.tracks and again.names == ("bass", "piano")
    assert again.sample_rate == 8000 and again.mixture == "song"
    assert [track.id for track in again.select("train")] == ["a"]


def test_an_unknown_split_is_named_with_those_there_are(tmp_path):
    with pytest.raises(ValueError, match=r"no tracks in the split 'val', only in \['test', 'train"):
        make_manifest(tmp_path).select("val")


def test_a_folder_that_is_not_prepared_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a prepared folder.*prepare"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: "{", "is not a JSON file"),
        (lambda c: {**c, "format": 99}, "has format 99, this version reads 1"),
        (lambda c: {k: v for k, v in c.items() if k != "classes"}, "is not a manifest: 'classes'"),
        (lambda c: {**c, "tracks": [{"id": "a"}]}, "is not a manifest"),
        (lambda c: {**c, "classes": "bass"}, "Cannot read the class"),
        (lambda c: [], "is not a manifest"),
    ],
)
def test_bad_manifests_say_what_is_wrong(tmp_path, change, message):
    make_manifest(tmp_path).save()
    path = tmp_path / "manifest.json"
    content = change(json.loads(path.read_text()))
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=message):
        Manifest.load(tmp_path)
