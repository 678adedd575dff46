"""Own songs whose scores are on another clock: aligned in preparation, or left out."""

import numpy as np
import pytest
import soundfile as sf
from slakh_folder import RATE, melody, play, write_midi
from slakh_folder import write_song as write_slakh_song

from asteroid_scoresup.alignment import Alignment, Span, Warp
from asteroid_scoresup.data import Manifest
from asteroid_scoresup.data.pair_alignment import (
    confirms,
    describe_alignments,
    is_off,
    uncertain_stretches,
)
from asteroid_scoresup.data.prepare import prepare, summary
from asteroid_scoresup.data.splits import draw_order
from asteroid_scoresup.score import Notes
from asteroid_scoresup.utils.files import read_json

CLASSES = "bass=32-39;piano=0-7"
SPEED, DELAY = 1.15, 0.8
OPTIONS = dict(jobs=1, progress=False, validation_fraction=0.0)


def alignment(spans, uncertain=(), transposition=0):
    warp = Warp(tuple(Span(*span) for span in spans))
    return Alignment(warp, transposition, 0.0, np.ones(4), 0.9, tuple(uncertain), True)


def write_song(folder, name, seed, score_seed=None, speed=SPEED, delay=DELAY):
    """A recording of one song, slower and later than its score, which may be of another song."""
    low, high = melody(seed, 15.0, 36), melody(seed + 50, 15.0, 60)
    rows = [(a * speed + delay, b * speed + delay, p, v) for a, b, p, v in low + high]
    sf.write(folder / f"{name}.wav", play(rows, 15 * speed + delay + 1), RATE)
    if score_seed is not None:
        low, high = melody(score_seed, 15.0, 36), melody(score_seed + 50, 15.0, 60)
    write_midi(folder / f"{name}.mid", (33, low), (0, high))
    return Notes.concatenate([
        Notes(*np.array([(a, b, p, i, v) for a, b, p, v in part]).T)
        for i, part in enumerate([low, high])
    ])  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Three songs: one that is right, one on another clock, and one with the wrong score."""
    root = tmp_path_factory.mktemp("songs")
    (root / "in").mkdir()
    scores = {
        "right": write_song(root / "in", "right", 1, speed=1.0, delay=0.0),
        "warped": write_song(root / "in", "warped", 2),
    }
    write_song(root / "in", "wrong", 3, score_seed=4)
    report = prepare(root / "in", root / "out", CLASSES, **OPTIONS)
    return root, report, scores


def track_of(root, name, out="out"):
    manifest = Manifest.load(root / out)
    return manifest, next(track for track in manifest.tracks if track.id == name)


@pytest.mark.slow
def test_a_warped_score_is_aligned(prepared):
    root, _, scores = prepared
    manifest, track = track_of(root, "warped")
    true, found = scores["warped"], manifest.notes(track)
    assert found.pitch.tolist() == true.pitch.tolist()
    away = np.abs(found.onset - (true.onset * SPEED + DELAY))
    assert np.median(away) < 0.02 and np.quantile(away, 0.95) < 0.05
    facts = track.facts["alignment"]
    assert facts["confidence"] > 0.5 and facts["transposition"] == 0 and facts["sections"] == 1
    # The label check is that of the aligned notes.
    assert abs(track.facts["check"]["offset_seconds"]) < 0.03


def test_a_right_score_is_kept_as_it_is(prepared):
    root, _, scores = prepared
    manifest, track = track_of(root, "right")
    assert "alignment" not in track.facts and not track.uncertain
    np.testing.assert_allclose(manifest.notes(track).onset, scores["right"].onset, atol=2e-3)


def test_a_wrong_score_drops_the_song_with_its_reason(prepared):
    root, report, _ = prepared
    assert [track.id for track in Manifest.load(root / "out").tracks] == ["right", "warped"]
    (drop,) = report["dropped"]
    assert drop["reason"] == "the score does not belong to the recording" and drop["count"] == 1
    assert "wrong (wrong.mid does not seem to belong to" in drop["where"][0]
    assert "1 song was aligned with its recording" in summary(report)


def test_a_second_run_does_nothing(prepared, monkeypatch):
    root, *_ = prepared
    (root / "in" / "wrong.wav").rename(root / "wrong.wav")
    monkeypatch.setattr(
        "asteroid_scoresup.data.pair_alignment.align", lambda *_: pytest.fail("aligned again")
    )
    try:
        report = prepare(root / "in", root / "out", CLASSES, **OPTIONS)
    finally:
        (root / "wrong.wav").rename(root / "in" / "wrong.wav")
    assert report["kept_from_earlier_run"] == 2


def test_never_keeps_the_clock_of_the_file(tmp_path):
    true = write_song(tmp_path, "warped", 2)
    out = tmp_path.parent / f"{tmp_path.name}_never"
    report = prepare(tmp_path, out, CLASSES, align="never", **OPTIONS)
    manifest, track = track_of(out.parent, "warped", out.name)
    np.testing.assert_allclose(manifest.notes(track).onset, true.onset, atol=2e-3)
    assert report["settings"]["align"] == "never" and not report["alignment"]
    with pytest.raises(ValueError, match="prepared with another align"):
        prepare(tmp_path, out, CLASSES, align="always", **OPTIONS)


def test_always_aligns_right_scores_too(tmp_path):
    write_song(tmp_path, "right", 1, speed=1.0, delay=0.0)
    out = tmp_path.parent / f"{tmp_path.name}_always"
    prepare(tmp_path, out, CLASSES, align="always", check=False, **OPTIONS)
    assert track_of(out.parent, "right", out.name)[1].facts["alignment"]["sections"] == 1


def write_few(folder, name):
    rows = melody(7, 3.0, 60)[:4]
    sf.write(folder / f"{name}.wav", play(rows, 4.0), RATE)
    write_midi(folder / f"{name}.mid", (0, rows))


def test_scores_that_cannot_be_aligned_say_why(tmp_path):
    write_few(tmp_path, "few")
    (tmp_path / "short").mkdir()
    write_song(tmp_path / "short", "short", 1)
    sf.write(tmp_path / "short" / "short.wav", play(melody(9, 3.0, 40), 3.0), RATE)
    out = tmp_path.parent / f"{tmp_path.name}_out"
    with pytest.raises(ValueError, match="None of the songs"):
        prepare(tmp_path, out, CLASSES, align="always", **OPTIONS)
    dropped = {d["reason"]: d["where"][0] for d in read_json(out / "report.json")["dropped"]}
    assert (
        "few.mid has 4 pitched notes, expected at least 8" in dropped["the score cannot be aligned"]
    )
    assert (
        "lasts 3.0 s, too short to tell whether short.mid is its score"
        in dropped["the recording is too short to be aligned"]
    )


def write_short(folder, name, is_good=True):
    """A song of a second, or one whose score has no notes of the classes."""
    rows = melody(1, 1.0, 60)
    sf.write(folder / f"{name}.wav", play(rows, 1.0), RATE)
    write_midi(folder / f"{name}.mid", (0 if is_good else 80, rows))


def test_a_split_without_usable_songs_is_filled_again(tmp_path):
    """Of four songs the one that is drawn for validation is dropped."""
    names = draw_order(["a", "b", "c", "d"], 0)
    for name in names:
        write_short(tmp_path, name, is_good=name != names[0])
    out = tmp_path.parent / f"{tmp_path.name}_out"
    options = {**OPTIONS, "check": False, "validation_fraction": 0.25}
    report = prepare(tmp_path, out, CLASSES, **options)
    splits = {track.id: track.split for track in Manifest.load(out).tracks}
    assert splits == {names[1]: "validation", names[2]: "train", names[3]: "train"}
    assert report["warnings"] == [
        "validation has no songs, since its only song was dropped: 1 of train replaced them "
        f"({names[1]})."
    ]
    assert (out / "validation" / names[1] / "mixture.wav").is_file()
    assert not (out / "train" / names[1]).exists()
    manifest = (out / "manifest.json").read_bytes()
    again = prepare(tmp_path, out, CLASSES, **options)
    assert again["kept_from_earlier_run"] == 3 and not again["warnings"]
    assert (out / "manifest.json").read_bytes() == manifest
    # Another draw takes no notice of the replacement.
    other = prepare(tmp_path, out, CLASSES, **{**options, "validation_fraction": 0.0})
    assert other["splits"].keys() == {"train"} and other["kept_from_earlier_run"] == 2


def test_a_split_that_nothing_can_fill_is_said(tmp_path):
    write_short(tmp_path, "good")
    (tmp_path / "validation").mkdir()
    write_short(tmp_path / "validation", "bad", is_good=False)
    out = tmp_path.parent / f"{tmp_path.name}_out"
    report = prepare(tmp_path, out, CLASSES, check=False, **OPTIONS)
    assert report["warnings"] == [
        "validation has no songs, since its only song was dropped: add songs, or repair those that "
        "were dropped."
    ]


def test_unknown_modes_and_slakh_layouts_are_refused(tmp_path):
    write_song(tmp_path, "right", 1)
    with pytest.raises(ValueError, match=r"align must be one of \['auto', 'always', 'never'\]"):
        prepare(tmp_path, tmp_path.parent / "out", CLASSES, align="maybe", **OPTIONS)
    slakh = tmp_path / "slakh"
    write_slakh_song(slakh / "train" / "Track00001", seed=0)
    with pytest.raises(ValueError, match="has Slakh's layout.*Use 'auto' or 'never'"):
        prepare(slakh, tmp_path.parent / "out2", align="always", **OPTIONS)


@pytest.mark.parametrize(
    "offset, silent, off",
    [(0.01, 0.0, False), (None, 0.0, True), (0.2, 0.0, True), (0.0, 0.4, True), (0.0, None, False)],
)
def test_off_is_an_unclear_or_large_offset_or_silence(offset, silent, off):
    assert is_off({"offset_seconds": offset, "bass": {"silent_notes": silent}}, ["bass"]) == off


def test_notes_are_confirmed_where_most_lie_where_they_sound():
    notes = Notes(np.arange(10.0), np.arange(10.0) + 1, [60] * 10, [0] * 10, [90] * 10)
    assert confirms(alignment([([0, 20], [0.01, 20.02])]), notes)
    assert not confirms(alignment([([0, 20], [0.06, 20.06])]), notes)
    assert not confirms(alignment([([0, 20], [0, 20])], transposition=1), notes)
    assert not confirms(alignment([([0, 6], [0, 6])]), notes)
    assert not confirms(alignment([([0, 20], [0, 20])]), Notes.empty())


def test_uncertain_is_what_the_alignment_doubts_and_what_has_no_score():
    one = alignment([([0, 5], [2, 8]), ([5, 9], [8.5, 14])], [(4.0, 5.0), (13.5, 20.0)])
    # Half a second between the sections is no gap.
    assert uncertain_stretches(one, 19.0) == [[0.0, 2.0], [4.0, 5.0], [13.5, 19.0]]
    assert uncertain_stretches(alignment([([0, 5], [0.5, 9.5])]), 10.0) == []
    assert uncertain_stretches(alignment([]), 10.0) == [[0.0, 10.0]]
    # A stretch shorter than the rounding would be malformed in the manifest.
    end = alignment([([0, 5], [0.5, 10.0002])], [(10.0, 10.0002)])
    assert uncertain_stretches(end, 10.0002) == []


def test_the_report_counts_aligned_songs():
    assert describe_alignments([{}, {}]) == ""
    facts = [{"alignment": {"confidence": c, "uncertain_seconds": 5.0}} for c in (0.9, 0.7)]
    text = describe_alignments([*facts, {}])
    assert "2 songs were aligned" in text and "0.70" in text and "10 s of them" in text
