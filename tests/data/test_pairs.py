"""Own songs: which audio file belongs to which MIDI file."""

import musicxml
import numpy as np
import pretty_midi
import pytest
import soundfile as sf
from slakh_folder import RATE, melody, play, write_midi

from asteroid_scoresup.data import pairs as pairs_module
from asteroid_scoresup.data.classes import ClassMap
from asteroid_scoresup.data.discovery import find_songs
from asteroid_scoresup.data.drops import UnusableSongError, drop_record, group_drops, group_remarks
from asteroid_scoresup.data.pairs import find_pairs
from asteroid_scoresup.data.prepare import prepare, summary
from asteroid_scoresup.data.reader import read_song
from asteroid_scoresup.data.settings import Settings
from asteroid_scoresup.utils.audio import AUDIO_SUFFIXES, FFMPEG_SUFFIXES

CLASSES = ClassMap.parse("bass=32-39,Bass;guitar=24-31,Guitar;piano=0-7,Piano")


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def test_pairs_of_one_folder(tmp_path):
    touch(
        tmp_path,
        "a.wav",
        "a.mid",
        "B.FLAC",
        "b.MIDI",
        "notes.txt",
        ".hidden.wav",
        "sub/a.mp3",
        "sub/a.mid",
    )
    pairs, unpaired = find_pairs(tmp_path)
    assert [pair.id for pair in pairs] == ["B", "a", "sub__a"] and not unpaired
    assert pairs[2].audio == tmp_path / "sub/a.mp3" and pairs[2].midi == tmp_path / "sub/a.mid"


def test_pairs_of_two_folders(tmp_path):
    touch(tmp_path, "train/audio/a.wav", "train/midi/a.mid", "val/audio/a.wav", "val/midi/a.mid")
    pairs, unpaired = find_pairs(tmp_path)
    assert [(pair.id, pair.split) for pair in pairs] == [
        ("audio__a", "train"),
        ("audio__a", "validation"),
    ]
    assert (
        all(pair.audio.parent.parent == pair.midi.parent.parent for pair in pairs) and not unpaired
    )


def test_musicxml_makes_pairs_and_midi_comes_first(tmp_path):
    touch(
        tmp_path,
        *("a.wav", "a.musicxml", "b.wav", "b.mxl", "b.mid", "c.flac", "C.XML"),
        *("notes.xml", "d.wav", "d.mxl", "d.xml", "e.musicxml"),
    )
    pairs, unpaired = find_pairs(tmp_path)
    assert [pair.midi.name for pair in pairs] == ["a.musicxml", "b.mid", "C.XML"]
    assert unpaired == [
        ("d.mxl", "score without audio"),
        ("d.wav", "more than one score fits"),
        ("e.musicxml", "score without audio"),
    ]


def test_a_pair_with_musicxml_is_read(tmp_path):
    sf.write(tmp_path / "a.wav", play([(0.0, 2.0, 40, 90)], 4.0), RATE)
    bars = ["".join(musicxml.note("E2") for _ in range(4))]
    text = musicxml.score({"Kontrabass": bars, "Drums": bars, "Klavier": bars})
    (tmp_path / "a.musicxml").write_text(text)
    _, sources, _ = find_songs(tmp_path)
    song = read_song(sources[0], Settings(CLASSES, RATE, "song"))
    assert song.facts["programs"] == {"piano": [0]}
    assert song.facts["other_programs"] == [43]
    assert song.facts["drops"] == [{"what": "notes", "reason": "drums", "where": "", "notes": 4}]
    assert song.notes.pitch.tolist() == [40] * 4
    assert song.notes.onset.tolist() == [0.0, 0.5, 1.0, 1.5]


def test_what_has_no_partner_is_told(tmp_path):
    touch(tmp_path, "a.wav", "b.mid", "c.wav", "c.mp3", "c.mid", "d.wav", "d.mid", "d.midi")
    pairs, unpaired = find_pairs(tmp_path)
    assert [pair.audio.name for pair in pairs] == ["c.wav"]
    assert unpaired == [
        ("a.wav", "audio without score"),
        ("b.mid", "score without audio"),
        ("c.mp3", "another audio file was taken"),
        ("d.mid", "score without audio"),
        ("d.midi", "score without audio"),
        ("d.wav", "more than one score fits"),
    ]


@pytest.mark.parametrize("suffix", AUDIO_SUFFIXES)
def test_every_container_makes_pairs(tmp_path, suffix, monkeypatch):
    touch(tmp_path, f"a{suffix}", "a.mid", f"b{suffix.upper()}", "b.mid")
    monkeypatch.setattr(pairs_module, "ffmpeg", lambda: "/usr/bin/ffmpeg")
    pairs, unpaired = find_pairs(tmp_path)
    assert [pair.id for pair in pairs] == ["a", "b"] and not unpaired
    monkeypatch.setattr(pairs_module, "ffmpeg", lambda: None)
    pairs, unpaired = find_pairs(tmp_path)
    if suffix in FFMPEG_SUFFIXES:
        assert not pairs and len(unpaired) == 2
        assert all("needs ffmpeg" in reason and "install it" in reason for _, reason in unpaired)
    else:
        assert len(pairs) == 2 and not unpaired


def test_names_that_are_too_long_for_a_folder_are_shortened(tmp_path):
    names = ["x" * 240, "x" * 239 + "y"]
    touch(tmp_path, *(f"{name}.{suffix}" for name in names for suffix in ("wav", "mid")))
    deep = "/".join(["folder" * 10] * 5)
    touch(tmp_path, f"{deep}/a.wav", f"{deep}/a.mid")
    pairs, unpaired = find_pairs(tmp_path)
    assert len({pair.id for pair in pairs}) == 3 and not unpaired
    assert max(len(pair.id.encode()) for pair in pairs) <= 180


@pytest.mark.parametrize("folder", ["Track1", "Track00001", "train/Track2"])
def test_pairs_in_a_folder_named_like_a_track_are_pairs(tmp_path, folder):
    touch(tmp_path, f"{folder}/song.wav", f"{folder}/song.mid")
    layout, sources, _ = find_songs(tmp_path)
    assert layout == "pairs" and len(sources) == 1


def test_odd_names_are_pairs_and_broken_links_are_reported(tmp_path):
    touch(tmp_path, "...wav", "...mid", "._a.wav", "._a.mid")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "gone.mid").symlink_to("nowhere.mid")
    pairs, unpaired = find_pairs(tmp_path)
    assert [(pair.id, pair.audio.name) for pair in pairs] == [("song", "...wav")]
    assert unpaired == [(name, "a link that leads nowhere") for name in ("gone.mid", "loop.wav")]


def test_an_inverted_part_is_prepared_and_said(tmp_path):
    bass, keys = melody(0, 3.0, 36), melody(1, 3.0, 72)
    source = write_pair(tmp_path, (35, bass), (4, keys))
    low, high = play(bass, 3.0), play(keys, 3.0)
    settings = Settings(CLASSES, mixture="song")
    sf.write(tmp_path / "song.wav", np.stack([low + high, low - high], 1), RATE, subtype="FLOAT")
    song = read_song(source, settings)
    assert "opposite phase" in song.facts["remarks"][0]
    error = song.mixture - (low + high)[: len(song.mixture)]
    assert np.sum(error**2) < 0.01 * np.sum((low + high) ** 2)
    # A song of which all is inverted is no silence.
    sf.write(tmp_path / "song.wav", np.stack([low, -low], 1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(read_song(source, settings).mixture, low, atol=1e-4)
    sf.write(tmp_path / "song.wav", np.stack([low, low], 1), RATE, subtype="FLOAT")
    assert "remarks" not in read_song(source, settings).facts


def test_a_partner_elsewhere_must_be_the_only_one(tmp_path):
    touch(tmp_path, "x/a.wav", "y/a.wav", "z/a.mid")
    pairs, unpaired = find_pairs(tmp_path)
    assert not pairs and len(unpaired) == 3


def test_odd_names_become_folder_names(tmp_path):
    touch(
        tmp_path, "My songs/.../x", "My songs/Für Elise (live).wav", "My songs/Für Elise (live).mid"
    )
    pairs, _ = find_pairs(tmp_path)
    assert pairs[0].id == "My_songs__Für_Elise_live_"


def test_splits(tmp_path):
    touch(tmp_path, *(f"s{k}.{suffix}" for k in range(10) for suffix in ("wav", "mid")))
    layout, sources, _ = find_songs(tmp_path)
    assert layout == "pairs" and [s.split for s in sources].count("validation") == 1
    touch(tmp_path, "valid/v.wav", "valid/v.mid")
    found = {source.id: source.split for source in find_songs(tmp_path)[1]}
    assert found.pop("v") == "validation" and set(found.values()) == {"train"}
    found = {source.id: source.split for source in find_songs(tmp_path, {"test": ["s1"]})[1]}
    assert found == {"s1": "test"}


def write_pair(root, *instruments, seconds=3.0):
    rows = [row for _, part in instruments for row in part]
    sf.write(root / "song.wav", play(rows, seconds), RATE)
    write_midi(root / "song.mid", *instruments)
    return find_songs(root)[1][0]


def test_classes_come_from_the_programs(tmp_path):
    bass, keys, strings = melody(0, 3.0, 36), melody(1, 3.0, 60), melody(2, 3.0, 70)
    source = write_pair(tmp_path, (35, bass), (4, keys), (48, strings), (128, [(0.0, 0.1, 36, 90)]))
    song = read_song(source, Settings(CLASSES, mixture="song"))
    assert song.stems == {} and song.mixture.dtype == "float32" and len(song.mixture) == 48000
    assert [int((song.notes.class_index == k).sum()) for k in range(3)] == [len(bass), 0, len(keys)]
    assert song.facts["programs"] == {"bass": [35], "piano": [4]}
    assert song.facts["other_programs"] == [48]
    assert song.facts["drops"] == [{"what": "notes", "reason": "drums", "where": "", "notes": 1}]


def test_classes_come_from_track_names(tmp_path):
    """In a file in which all tracks have program 0."""
    midi = pretty_midi.PrettyMIDI()
    for name, pitch in [("E-Bass", 40), ("Solo", 64), ("Drum Kit", 36)]:
        part = pretty_midi.Instrument(0, name=name)
        part.notes = [pretty_midi.Note(90, pitch, 0.5, 1.5)]
        midi.instruments.append(part)
    midi.write(str(tmp_path / "song.mid"))
    sf.write(tmp_path / "song.wav", play([(0.5, 1.5, 40, 90)], 3.0), RATE)
    classes = ClassMap.parse("bass=32-39,@*bass*;piano=0-7;drums=drums,@drum*")
    song = read_song(find_songs(tmp_path)[1][0], Settings(classes, mixture="song"))
    assert song.notes.pitch[np.argsort(song.notes.class_index)].tolist() == [40, 64, 36]
    assert song.facts["programs"] == {"bass": [0], "piano": [0], "drums": [0]}


def test_remarks_are_not_listed_as_dropped(tmp_path):
    """A MIDI file with fewer tracks than its header says has all of its notes."""
    (tmp_path / "in").mkdir()
    rows = [(0.5 * k, 0.5 * k + 0.45, 60 + k, 90) for k in range(4)]
    sf.write(tmp_path / "in" / "a.wav", play(rows, 3.0), RATE)
    write_midi(tmp_path / "in" / "a.mid", (0, rows))
    content = (tmp_path / "in" / "a.mid").read_bytes()
    (tmp_path / "in" / "a.mid").write_bytes(content[:11] + b"\x09" + content[12:])
    report = prepare(tmp_path / "in", tmp_path / "out", CLASSES, jobs=1, progress=False)
    [remark] = report["remarks"]
    assert not report["dropped"] and remark["what"] == "score" and remark["where"] == ["a"]
    text = summary(report)
    assert f"Nothing was dropped.\nRemarks:\n  1 score: {remark['reason']} [a]" in text
    earlier = [{**drop_record("MIDI file", "odd", "b")}, drop_record("notes", "lost", "b", 2)]
    assert group_remarks(earlier)[0]["what"] == "score"
    assert [group["what"] for group in group_drops(earlier)] == ["notes"]


def test_labels_are_shifted_only_when_asked(tmp_path):
    source = write_pair(tmp_path, (33, [(0.0, 1.0, 40, 90)]))
    assert read_song(source, Settings(CLASSES, mixture="song")).notes.pitch.tolist() == [40]
    shifted = Settings(CLASSES, mixture="song", label_shift="bass=-12")
    assert read_song(source, shifted).notes.pitch.tolist() == [28]


def test_a_song_without_notes_of_the_classes_says_what_it_has(tmp_path):
    source = write_pair(tmp_path, (48, melody(0, 3.0)))
    with pytest.raises(
        UnusableSongError, match="no notes of bass, guitar, piano are left"
    ) as error:
        read_song(source, Settings(CLASSES, mixture="song"))
    assert error.value.detail == "programs of no class: 48"


def test_drums_can_be_a_class(tmp_path):
    source = write_pair(tmp_path, (128, melody(0, 3.0)), (0, melody(1, 3.0)))
    song = read_song(source, Settings(ClassMap.parse("drums=128,Drums;piano=0-7"), mixture="song"))
    assert set(song.notes.class_index.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mixture": "all"}, "mixture must be one of"),
        ({"sample_rate": 10}, "sample_rate must be"),
        ({"label_shift": "drums=1"}, "Cannot read the label shift"),
    ],
)
def test_bad_settings_say_what_is_wrong(settings, message):
    with pytest.raises(ValueError, match=message):
        Settings(**{"classes": CLASSES, **settings})
