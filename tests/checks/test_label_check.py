"""The label check finds the errors that were put in, and none in correct songs."""

import numpy as np
import pytest
from slakh_folder import LOWEST, RATE, melody, play

from asteroid_scoresup.checks import time as check_time
from asteroid_scoresup.checks.corrections import correct_notes, correction_of, summarize_checks
from asteroid_scoresup.checks.label_check import check_song
from asteroid_scoresup.checks.spectra import ANALYZED_SECONDS, find_excerpts
from asteroid_scoresup.data.classes import DEFAULT_CLASSES, ClassMap
from asteroid_scoresup.data.discovery import find_songs
from asteroid_scoresup.data.reader import read_song
from asteroid_scoresup.data.settings import Settings
from asteroid_scoresup.score import Notes

NAMES = ("bass", "guitar", "piano")
SECONDS = 12.0


def to_notes(rows, class_index):
    table = np.array(rows).reshape(-1, 4).T
    return Notes(table[0], table[1], table[2], np.full(len(rows), class_index), table[3])


def make_song(seed, shift=0.0, transpose=0, seconds=SECONDS, rate=RATE, chords=(1, 2, 3)):
    """Notes, mixture and stems of three plucked lines that sound later and higher than labeled."""
    tables, stems = [], {}
    for index, name in enumerate(NAMES):
        rows = melody([seed, index], seconds, LOWEST[name], chord=chords[index])
        tables.append(to_notes(rows, index))
        stems[name] = play(rows, seconds, rate, shift, transpose)
    return Notes.concatenate(tables), sum(stems.values()), stems


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_correct_songs_give_no_warning(seed):
    notes, mixture, stems = make_song(seed)
    for known in (stems, None):
        found = check_song(notes, NAMES, RATE, mixture, known)
        assert not found["warnings"] and abs(found["offset_seconds"]) < 0.01
        assert all(found[name]["semitones"] in (0, None) for name in NAMES)
        assert all(found[name]["silent_notes"] == 0 for name in NAMES)
    assert correction_of(found, summarize_checks({"a": found}, NAMES)) is None


@pytest.mark.parametrize("transpose", [-12, 12])
def test_wrong_octaves_are_found(transpose):
    notes, mixture, stems = make_song(1, transpose=transpose)
    found = check_song(notes, NAMES, RATE, mixture, stems)
    # The chords of three random semitones cover each other's partials.
    assert [found[name]["semitones"] for name in NAMES[:2]] == [transpose] * 2
    assert found["piano"]["semitones"] in (transpose, None)
    assert all("an octave" in warning for warning in found["warnings"])


@pytest.mark.parametrize("seed", [4, 5, 6])
@pytest.mark.slow
def test_one_wrong_octave_is_found_in_a_mixture(seed):
    notes, _, stems = make_song(seed, chords=(1, 1, 1))
    low = play(melody([seed, 0], SECONDS, LOWEST["bass"] + 12), SECONDS, transpose=-12)
    bass = notes.class_index == 0
    notes = notes.replace(pitch=notes.pitch + 12 * bass)
    found = check_song(notes, NAMES, RATE, low + stems["guitar"] + stems["piano"])
    assert found["bass"]["semitones"] == -12
    assert found["guitar"]["semitones"] != -12 and found["piano"]["semitones"] != -12


@pytest.mark.parametrize("shift", [-0.7, -0.05, 0.05, 0.7])
@pytest.mark.parametrize("stems", [True, False])
@pytest.mark.slow
def test_offsets_are_found(shift, stems):
    notes, mixture, stems = make_song(3, shift=shift)
    found = check_song(notes, NAMES, RATE, mixture, stems if stems else None)
    assert found["offset_seconds"] == pytest.approx(shift, abs=0.01)
    assert found["offset_confidence"] > 0.6
    assert ("later" if shift > 0 else "earlier") in found["warnings"][-1]


@pytest.mark.slow
@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_any_sample_rate(rate):
    notes, mixture, stems = make_song(4, shift=0.1, rate=rate)
    found = check_song(notes, NAMES, rate, mixture, stems)
    assert found["offset_seconds"] == pytest.approx(0.1, abs=0.01)
    assert all(found[name]["semitones"] in (0, None) for name in NAMES)


def test_a_drift_is_not_an_offset():
    notes, mixture, _ = make_song(5)
    slow = notes.replace(onset=notes.onset * 1.05, offset=notes.offset * 1.05)
    found = check_song(slow, NAMES, RATE, mixture)
    assert found["offset_seconds"] is None
    assert found["warnings"] == [
        "the notes do not match the audio at any constant offset up to 1 s"
    ]


@pytest.mark.slow
def test_notes_of_another_song_are_noticed():
    _, mixture, stems = make_song(6)
    other, _, _ = make_song(7)
    found = check_song(other, NAMES, RATE, mixture, stems)
    assert found["offset_seconds"] is None and found["offset_confidence"] < 0.5
    assert all(found[name]["semitones"] is None for name in NAMES)


def test_silent_notes_are_counted():
    notes, mixture, stems = make_song(8)
    half = int(SECONDS / 2 * RATE)
    stems["piano"][half:] = 0
    mixture = sum(stems.values())
    found = check_song(notes, NAMES, RATE, mixture, stems)
    late = np.mean(notes.onset[notes.class_index == 2] > SECONDS / 2)
    assert found["piano"]["silent_notes"] == pytest.approx(late, abs=0.1)
    assert found["bass"]["silent_notes"] == 0
    assert any("of the notes of piano are not in the audio" in w for w in found["warnings"])
    mixture = mixture.copy()
    mixture[half:] = 0
    assert check_song(notes, NAMES, RATE, mixture)["guitar"]["silent_notes"] > 0.3


def test_rumble_below_the_notes_is_not_an_octave():
    rows = melody(9, SECONDS, 40)
    rumble = 0.1 * np.sin(2 * np.pi * 41.2 * np.arange(round(SECONDS * RATE)) / RATE)
    audio = (play(rows, SECONDS) + rumble).astype(np.float32)
    found = check_song(to_notes(rows, 0), NAMES, RATE, audio, {"bass": audio})
    assert found["bass"]["semitones"] == 0


@pytest.mark.parametrize(
    "audio", [np.zeros(32000), 0.1 * np.random.default_rng(0).standard_normal(32000)]
)
@pytest.mark.parametrize("count", [0, 1, 5, 60])
def test_nonsense_gives_no_findings(audio, count):
    rows = melody(0, 2.0, gap=(0.02, 0.04))[:count]
    found = check_song(to_notes(rows, 1), NAMES, RATE, audio.astype(np.float32), {"guitar": audio})
    assert found["guitar"]["semitones"] is None and found["offset_seconds"] is None
    assert found["bass"]["silent_notes"] is None


@pytest.mark.parametrize("onsets", [[1.0], [0.0, 299.9], np.linspace(0, 300, 100), [295.0] * 9])
def test_excerpts_lie_in_the_song_and_do_not_overlap(onsets):
    onsets = np.array(onsets)
    notes = Notes(onsets, onsets + 0.1, onsets * 0 + 60, onsets * 0, onsets * 0 + 90)
    spans = find_excerpts(notes, 300.0)
    assert sum(stop - start for start, stop in spans) == pytest.approx(ANALYZED_SECONDS)
    edges = np.array(spans).ravel()
    assert edges[0] >= 0 and edges[-1] <= 300 + 1e-9 and np.all(np.diff(edges) >= -1e-9)
    assert find_excerpts(notes, 10.0) == [(0.0, 10.0)]


def finding(semitones=0, offset=0.0, silent=0.0):
    return {
        "bass": {"semitones": semitones, "semitones_confidence": 1.0, "silent_notes": silent},
        "offset_seconds": offset,
        "offset_confidence": 1.0,
        "warnings": [],
    }


def test_octaves_are_corrected_where_the_tracks_agree():
    tracks = {k: finding(-12) for k in "abcd"} | {"e": finding(0), "f": finding(None, None)}
    aggregate = summarize_checks(tracks, ["bass"])
    assert aggregate["pitch"]["bass"]["consensus"] == -12
    assert "-12" in aggregate["warnings"][0]
    wanted = {"offset_seconds": 0.0, "transpose": {"bass": -12}}
    assert correction_of(tracks["a"], aggregate) == wanted
    assert correction_of(tracks["e"], aggregate) is None, "it has another certain answer"
    assert correction_of(tracks["f"], aggregate) == wanted, "it follows the others"


@pytest.mark.parametrize("octaves", [[-12, 0], [-12, None, None], [-12, 12, -12, 12], [None]])
def test_octaves_stay_where_the_tracks_disagree(octaves):
    tracks = {str(k): finding(octave) for k, octave in enumerate(octaves)}
    aggregate = summarize_checks(tracks, ["bass"])
    assert aggregate["pitch"]["bass"]["consensus"] is None
    assert all(correction_of(found, aggregate) is None for found in tracks.values())


def test_classes_without_notes_do_not_vote():
    tracks = {k: finding(None, silent=None) for k in "abc"} | {"d": finding(0)}
    aggregate = summarize_checks(tracks, ["bass"])
    assert aggregate["pitch"]["bass"] == {
        "as_labeled": 1, "moved": {}, "unclear": 0, "consensus": 0,
    }  # fmt: skip


def test_offsets_are_corrected_per_track():
    tracks = {"a": finding(offset=0.2), "b": finding(offset=0.02), "c": finding(offset=None)}
    aggregate = summarize_checks(tracks, ["bass"])
    assert aggregate["offset"] == {"aligned": 1, "off": 1, "unclear": 1, "median_seconds": 0.11}
    corrections = [correction_of(found, aggregate) for found in tracks.values()]
    assert corrections == [{"offset_seconds": 0.2, "transpose": {}}, None, None]


def test_a_note_that_would_begin_before_the_audio_is_cut():
    notes = Notes([0.1, 0.0], [0.5, 0.1], [60, 62], [0, 0], [90, 90])
    fixed = correct_notes(notes, {"offset_seconds": -0.2, "transpose": {}}, ["bass"])
    assert fixed.onset.tolist() == [0.0] and fixed.offset.tolist() == [0.3]


@pytest.mark.parametrize("layout", ["slakh2100_flac_redux", "babyslakh_16k"])
def test_real_guitar_is_aligned(real_data, layout):
    """Two seconds of a song of four minutes, in which one guitar plays five notes."""
    sources = [s for s in find_songs(real_data / layout)[1] if s.id == "Track00001"]
    song = read_song(sources[0], Settings(ClassMap.parse(DEFAULT_CLASSES)))
    found = check_song(song.notes, NAMES, RATE, song.mixture, song.stems)
    assert abs(found["offset_seconds"]) < 0.02 and found["guitar"]["semitones"] == 0
    assert found["guitar"]["silent_notes"] == 0 and not found["warnings"]
    assert found["bass"]["silent_notes"] is None


@pytest.mark.parametrize("at_zero, found", [(0.98, False), (0.8, True)])
def test_a_beat_of_a_steady_riff_is_not_an_offset(at_zero, found):
    """Partials rise at every beat, slightly more at one 0.45 s off: that is not evidence."""
    rng = np.random.default_rng(0)
    rises = 0.1 * rng.random((80, 201))
    rises[:, 98:103] = at_zero
    rises[:, 143:148] = [0.7, 0.9, 1.0, 0.9, 0.7]
    result = check_time.find_offset([rises], [np.arange(80.0)])
    if found:
        assert result["offset_seconds"] == pytest.approx(0.45, abs=0.03)
    else:
        assert result["offset_seconds"] is None and result["offset_confidence"] < 0.5
