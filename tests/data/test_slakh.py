"""Slakh's layouts, splits and metadata, with all that is wrong in them."""

import json

import pytest
import yaml
from slakh_folder import melody, write_song, write_stem, write_track

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.data.discovery import find_songs
from asteroid_scoresup.data.prepare import prepare
from asteroid_scoresup.data.slakh import (
    PROBLEM_STEMS,
    Stem,
    find_slakh_tracks,
    parse_label_shift,
    read_slakh_track,
    shift_of_stem,
)
from asteroid_scoresup.data.splits import (
    Splits,
    assign_splits,
    original_slakh_split,
    split_of_folder,
)


def make_tracks(root, *paths):
    for path in paths:
        write_track(root / path, [], generated=False)


def splits_of(root, *args, **kwargs):
    return {source.id: source.split for source in find_songs(root, *args, **kwargs)[1]}


def test_layout_with_a_folder_per_split(tmp_path):
    make_tracks(tmp_path, "train/Track00001", "test/Track01876", "omitted/Track00049")
    make_tracks(tmp_path, "test_unseen/Track00002", "My songs/anything")
    (tmp_path / "train" / ".cache").mkdir()
    layout, sources, drops = find_songs(tmp_path)
    found = {source.id: source.split for source in sources}
    assert layout == "slakh" and found == {
        "Track00001": "train",
        "Track01876": "test",
        "Track00002": "test_unseen",
        "anything": "My songs",
    }
    assert [drop["reason"] for drop in drops] == ["in the split 'omitted'"]
    assert splits_of(tmp_path, include_omitted=True)["Track00049"] == "omitted"


def test_layout_without_splits_is_split_by_seed(tmp_path):
    names = [f"Track{k:05d}" for k in range(1, 21)]
    make_tracks(tmp_path, *names)
    found = splits_of(tmp_path, validation_fraction=0.2, test_fraction=0.1)
    assert sorted(found.values()) == ["test"] * 2 + ["train"] * 14 + ["validation"] * 4
    assert found == splits_of(tmp_path, validation_fraction=0.2, test_fraction=0.1)
    assert found != splits_of(tmp_path, validation_fraction=0.2, test_fraction=0.1, seed=1)


def test_a_split_folder_alone_keeps_its_name(tmp_path):
    make_tracks(tmp_path / "validation", "Track00001", "Track00002")
    assert set(splits_of(tmp_path / "validation").values()) == {"validation"}


def test_splits_of_slakh_utils_start_from_the_original_split(tmp_path):
    make_tracks(tmp_path, "Track00001", "Track00003", "Track00049", "Track01501", "Track02099")
    actions = {
        "Track00001": {"action": None},
        "Track00003": {"action": "move", "source_split": "train", "destination_split": "test"},
        "Track00049": {"action": "omit", "source_split": "train"},
        "Track01501": {"action": None},
    }
    (tmp_path / "splits.json").write_text(json.dumps(actions))
    found = splits_of(tmp_path, tmp_path / "splits.json")
    # The file tells changes only: Track02099, which it does not name, is for training.
    assert found == {
        "Track00001": "train",
        "Track00003": "test",
        "Track01501": "validation",
        "Track02099": "train",
    }


@pytest.mark.parametrize(
    "content", [{"Track00001": "test"}, {"test": ["Track00001"], "train": ["Track00009"]}]
)
def test_plain_splits_leave_out_what_they_do_not_name(tmp_path, content):
    make_tracks(tmp_path, "train/Track00001", "train/Track00002")
    layout, sources, drops = find_songs(tmp_path, content)
    assert [(source.id, source.split) for source in sources] == [("Track00001", "test")]
    assert drops == [
        {"what": "track", "reason": "not in the file of splits", "where": "Track00002", "notes": 0}
    ]


def test_a_track_that_stands_twice_in_a_split_is_used_once(tmp_path):
    make_tracks(tmp_path, "train/Track00001", "test/Track00001")
    _, sources, drops = find_songs(tmp_path, {"Track00001": "test"})
    assert len(sources) == 1 and drops[0]["reason"] == "duplicated in one split"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "must contain a mapping"),
        ({"Track00001": 3}, "cannot read the entry 'Track00001'"),
        ({"Track00001": {"action": "burn"}}, "unknown action 'burn'"),
        ({"a": ["x"], "b": ["x"]}, "puts x into two splits"),
        ({"Track00001": "../elsewhere"}, "'../elsewhere' is not the name of a split"),
    ],
)
def test_bad_splits_say_what_is_wrong(content, message):
    with pytest.raises(ValueError, match=message):
        Splits(content)


def test_missing_things_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        find_songs(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="contains no songs"):
        find_songs(tmp_path)
    make_tracks(tmp_path, "train/Track00001")
    with pytest.raises(FileNotFoundError, match="no such file of splits"):
        find_songs(tmp_path, tmp_path / "no.json")
    with pytest.raises(ValueError, match="names none of the 1 songs"):
        find_songs(tmp_path, {"Track77777": "test"})


@pytest.mark.parametrize("fractions", [(-0.1, 0), (0.5, 0.5), (0, 1)])
def test_fractions_must_leave_something_to_train(fractions):
    with pytest.raises(ValueError, match="must leave something to train"):
        assign_splits(["a", "b"], *fractions)


def test_small_fractions():
    assert assign_splits(["a"], 0.1) == {"a": "train"}
    assert sorted(assign_splits(["a", "b", "c"], 0.01, 0.01).values()) == [
        "test",
        "train",
        "validation",
    ]
    assert set(assign_splits(list("abcdef"), 0.0).values()) == {"train"}


def test_names_of_splits():
    assert [split_of_folder(n) for n in ("VAL", "eval", "omitted", "test_b", "songs")] == [
        "validation", "test", "omitted", "test_b", None,
    ]  # fmt: skip
    assert [original_slakh_split(f"Track{n:05d}") for n in (1, 1500, 1501, 1876, 2100, 2101)] == [
        "train", "train", "validation", "test", "test", None,
    ]  # fmt: skip


def test_files_are_trusted_and_flags_are_not(tmp_path):
    rows = melody(0, 1.0)
    stems = [
        write_stem(tmp_path, 0, "bass", rows, seconds=1.0),
        write_stem(tmp_path, 1, "piano", rows, audio=None, audio_rendered=True),
        write_stem(tmp_path, 2, "guitar", rows, midi=False, seconds=1.0, midi_saved=True),
    ]
    write_track(tmp_path, stems, audio_dir="Track00099/stems", midi_dir="/somewhere/else")
    track = read_slakh_track(tmp_path)
    assert [(s.audio is not None, s.midi is not None) for s in track.stems] == [
        (True, True),
        (False, True),
        (True, False),
    ]
    assert track.generated and track.mix is None


@pytest.mark.parametrize("name", ["../S00", "/etc/passwd", "..", "a/b", ".hidden", "a\\b", ""])
def test_stem_names_that_leave_the_folder_are_refused(tmp_path, name):
    facts = {"inst_class": "Bass", "program_num": 33, "is_drum": False}
    write_song(tmp_path / "S00", seconds=0.5)
    track = read_slakh_track(write_track(tmp_path / "Track00001", {name: facts}))
    assert not track.stems and track.remarks == [f"stem name {name!r} refused"]


def test_odd_metadata_are_read_defensively(tmp_path):
    odd = {
        "S00": None,
        "S01": {"inst_class": 7, "program_num": "33"},
        "S02": {"program_num": True, "is_drum": "yes"},
        "S03": {"program_num": 128},
        5: {"inst_class": "Bass"},
    }
    stems = read_slakh_track(write_track(tmp_path, odd)).stems
    assert [stem.program for stem in stems] == [None, None, None, 128, None]
    assert [stem.is_drum for stem in stems] == [False, False, False, True, False]
    assert [stem.inst_class for stem in stems] == [None, None, None, None, "Bass"]


def test_a_stem_without_metadata_is_found_on_disk(tmp_path):
    stems = [write_stem(tmp_path, k, "bass", melody(0, 1.0), seconds=1.0) for k in range(2)]
    track = read_slakh_track(write_track(tmp_path, stems[:1]))
    assert [stem.name for stem in track.stems] == ["S00", "S01"]
    assert track.remarks == ["no metadata for the stem S01"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no metadata.yaml"),
        ("{", "is not YAML"),
        ("a: !!python/object/apply:os.getcwd []", "is not YAML"),
        ("[1, 2]", "has no mapping 'stems'"),
        ("stems: 3", "has no mapping 'stems'"),
        ("", "has no mapping 'stems'"),
    ],
)
def test_bad_metadata_say_what_is_wrong(tmp_path, text, message):
    if text is not None:
        (tmp_path / "metadata.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_slakh_track(tmp_path)


def test_known_problems_are_those_of_real_slakh_only(tmp_path):
    rows = melody(0, 1.0)
    for folder, generated in (
        (tmp_path / "a" / "Track00357", False),
        (tmp_path / "b" / "Track00357", True),
    ):
        stems = [write_stem(folder, k, "piano", rows, seconds=1.0) for k in (2, 3)]
        track = read_slakh_track(write_track(folder, stems, generated))
        assert [s.problem for s in track.stems] == [None, None if generated else "white noise"]


def test_only_basses_of_real_slakh_are_shifted():
    bass = Stem("S00", None, None, program=33, inst_class="Bass")
    nameless = Stem("S00", None, None, program=39)
    piano = Stem("S01", None, None, program=33, inst_class="Piano")
    shifts = [shift_of_stem(stem, "x", False, "auto") for stem in (bass, nameless, piano)]
    assert shifts == [-12, -12, 0]
    assert shift_of_stem(bass, "x", True, "auto") == 0
    assert shift_of_stem(bass, "x", False, {"x": 5}) == 5


def test_label_shift_settings():
    names = ("bass", "guitar")
    assert parse_label_shift("AUTO", names) == "auto"
    assert parse_label_shift("none", names) == {"bass": 0, "guitar": 0}
    assert parse_label_shift(" bass = -12 , guitar=+1", names) == {"bass": -12, "guitar": 1}
    for text in ("drums=1", "bass", "bass=x", "bass=-1.5", "bass=-120"):
        with pytest.raises(ValueError, match="Cannot read the label shift"):
            parse_label_shift(text, names)


def test_real_layouts(real_data):
    found = splits_of(real_data / "slakh2100_flac_redux")
    assert found == {"Track00001": "train", "Track01501": "validation", "Track01876": "test"}
    for layout in ("slakh2100_flac_redux/train", "babyslakh_16k"):
        track = read_slakh_track(real_data / layout / "Track00001")
        assert len(track.stems) == 11 and not track.generated and not track.remarks
        assert sum(stem.audio is not None and stem.midi is not None for stem in track.stems) == 10


def test_real_splits(real_data):
    tracks = [f"Track{k:05d}" for k in range(1, 2101)]
    for name, sizes in (("redux", (1289, 270, 151)), ("splits_v2", (1500, 375, 225))):
        splits = Splits.load(real_data / "splits" / f"{name}.json")
        found = [splits.of(track) for track in tracks]
        assert tuple(found.count(s) for s in ("train", "validation", "test")) == sizes


def test_the_table_of_problems_is_that_of_its_users(real_data):
    theirs = json.loads((real_data / "splits" / "problem_stems.json").read_text())
    named = {
        (t, s) for t, stems in theirs.items() for s, p in stems.items() if p != "missing-audio"
    }
    ours = {(track, stem) for track, stems in PROBLEM_STEMS.items() for stem in stems}
    assert ours - named == {("Track01500", "S12"), ("Track01500", "S13")} and named <= ours


def test_metadata_are_plain_yaml(tmp_path):
    write_song(tmp_path, seconds=0.5)
    assert set(yaml.safe_load((tmp_path / "metadata.yaml").read_text())) == {"stems", "generator"}


def test_suffixes_in_capitals_are_found(tmp_path):
    write_song(tmp_path / "Track00001")
    for path in sorted((tmp_path / "Track00001").rglob("*")):
        if path.suffix in (".flac", ".wav", ".mid"):
            path.rename(path.with_suffix(path.suffix.upper()))
    track = read_slakh_track(tmp_path / "Track00001")
    assert track.stems and all(stem.audio and stem.midi for stem in track.stems)
    assert {stem.audio.suffix for stem in track.stems} <= {".FLAC", ".WAV"}
    assert track.mix is None or track.mix.suffix.isupper()


def test_a_track_that_lost_its_metadata_is_still_one(tmp_path):
    write_song(tmp_path / "Track00001")
    (tmp_path / "Track00001" / "metadata.yaml").unlink()
    (tmp_path / "Track00002").mkdir()
    assert [track.id for track in find_slakh_tracks(tmp_path)] == ["Track00001", "Track00002"]


@pytest.mark.parametrize("check", [False, True])
def test_songs_without_a_score_are_prepared_for_evaluation(tmp_path, check):
    """Only where the metadata say so: otherwise stems without labels are dropped."""
    kinds = ("bass", "piano")
    for name, facts in (("Track1", {"has_score": False}), ("Track2", {})):
        stems = [
            write_stem(tmp_path / "in" / name, i, kind, melody(i, 2.0), midi=False, seconds=2.0)
            for i, kind in enumerate(kinds)
        ]
        write_track(tmp_path / "in" / name, stems, generated=False, **facts)
    report = prepare(tmp_path / "in", tmp_path / "out", jobs=1, progress=False, check=check)
    (track,) = Manifest.load(tmp_path / "out").tracks
    assert track.id == "Track1" and track.stems == ["bass", "guitar", "piano"]
    assert not any(track.n_notes.values()) and track.facts["has_score"] is False
    assert "Track2" in str(report["dropped"])
