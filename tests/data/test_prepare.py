"""Preparation: what comes out, every trap of the data, restarts, corrections, the commands."""

import argparse
import json
import re
import shutil
import sys
from unittest.mock import ANY

import numpy as np
import pytest
import soundfile as sf
from slakh_folder import (
    LOWEST,
    RATE,
    melody,
    play,
    write_midi,
    write_song,
    write_stem,
    write_track,
)

from asteroid_scoresup.data import labels
from asteroid_scoresup.data.labels import check_folder
from asteroid_scoresup.data.manifest import Manifest
from asteroid_scoresup.data.note_table import read_notes
from asteroid_scoresup.data.prepare import prepare, summary
from asteroid_scoresup.scripts import check as check_script
from asteroid_scoresup.scripts import prepare as prepare_script
from asteroid_scoresup.utils.files import read_json

prepare_module = sys.modules[prepare.__module__]
QUIET = {"jobs": 1, "progress": False}
NAMES = ("bass", "guitar", "piano")


def run(tmp_path, **options):
    """Prepares tmp_path/in into tmp_path/out; returns the report and the only track."""
    report = prepare(tmp_path / "in", tmp_path / "out", **{**QUIET, **options})
    manifest = Manifest.load(tmp_path / "out")
    return report, manifest, manifest.tracks[0]


def reasons(report):
    return {(group["what"], group["reason"]): group["notes"] for group in report["dropped"]}


def read(path):
    return sf.read(path, dtype="float32")[0]


def read_references(manifest, track):
    return {name: read(manifest.stem_path(track, name)) for name in track.stems}


@pytest.mark.parametrize("mixture", ["submix", "song"])
def test_remarks_on_the_audio_of_stems_are_collected(tmp_path, mixture):
    folder = tmp_path / "in" / "Track00001"
    write_song(folder)
    for name in ("S00", "S03"):  # the bass and, in whole songs, the drums
        audio, rate = sf.read(folder / "stems" / f"{name}.wav")
        sf.write(folder / "stems" / f"{name}.wav", np.stack([audio, -audio], 1), rate)
    _, _, track = run(tmp_path, mixture=mixture)
    names = ["S00", "S03"] if mixture == "song" else ["S00"]
    assert [remark.partition(": ")[0] for remark in track.facts["remarks"]] == names
    assert all("opposite phase" in remark for remark in track.facts["remarks"])


# ------------------------------------------------------------------------------ what comes out
def test_a_prepared_folder(tmp_path):
    for split in ("train", "test"):
        write_song(tmp_path / "in" / split / "Track00001", seed=len(split))
    report, manifest, _ = run(tmp_path)
    assert [(t.split, t.id) for t in manifest.tracks] == [
        ("test", "Track00001"),
        ("train", "Track00001"),
    ]
    for track in manifest.tracks:
        folder = manifest.folder(track)
        files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        assert files == ["mixture.wav", "notes.csv", "stems/bass.wav"] + [
            "stems/guitar.wav", "stems/piano.wav", "track.json",
        ]  # fmt: skip
        mixture, stems = manifest.read_mixture(track), read_references(manifest, track)
        assert sf.info(manifest.mixture_path(track)).subtype == "FLOAT"
        assert track.n_samples == len(mixture) == 4 * RATE
        assert track.rms == pytest.approx(np.sqrt(np.mean(mixture**2)), rel=1e-5)
        total = np.zeros_like(mixture)
        for name in NAMES:
            total = total + stems[name]
        np.testing.assert_array_equal(total, mixture)
        rows = melody([len(track.split), 1], 4.0, LOWEST["guitar"])
        np.testing.assert_allclose(stems["guitar"], play(rows, 4.0), atol=1e-6)
        notes = manifest.notes(track).select(manifest.notes(track).class_index == 1)
        np.testing.assert_allclose(notes.onset, [row[0] for row in rows], atol=2e-3)
        assert notes.pitch.tolist() == [row[2] for row in rows]
        assert track.n_notes["guitar"] == len(rows) and not track.facts["drops"]
        assert track.facts["programs"] == {"bass": [33], "guitar": [25], "piano": [0]}
        assert abs(track.facts["check"]["offset_seconds"]) < 0.01
    assert report == read_json(tmp_path / "out" / "report.json")
    assert report["splits"]["test"]["tracks"] == 1 and report["tracks"] == 2
    assert "Nothing was dropped." in summary(report) and "Warning" not in summary(report)


def test_the_rate_is_a_setting(tmp_path):
    write_song(tmp_path / "in" / "Track00001")
    _, manifest, track = run(tmp_path, sample_rate=8000)
    assert track.n_samples == 32000 and manifest.sample_rate == 8000
    reference = read(manifest.stem_path(track, "bass"))
    exact = play(melody([0, 0], 4.0, LOWEST["bass"]), 4.0, rate=8000)
    error = np.sum((reference - exact) ** 2) / np.sum(exact**2)
    assert error < 0.01


def test_a_whole_song_has_a_residual(tmp_path):
    write_song(tmp_path / "in" / "Track00001")
    report, manifest, track = run(tmp_path, mixture="song")
    stems = read_references(manifest, track)
    assert track.stems == ["bass", "guitar", "piano", "residual"]
    drums = sf.read(tmp_path / "in" / "Track00001" / "stems" / "S03.wav", dtype="float32")[0]
    np.testing.assert_array_equal(stems["residual"], drums)
    total = np.zeros(4 * RATE, dtype=np.float32)
    for reference in stems.values():
        total = total + reference
    np.testing.assert_array_equal(total, manifest.read_mixture(track))
    assert "whole songs" in summary(report)


def test_classes_are_a_setting(tmp_path):
    write_song(tmp_path / "in" / "Track00001")
    _, manifest, track = run(tmp_path, classes="low=Bass;drums=128,Drums")
    assert manifest.names == ("low", "drums") and track.stems == ["low", "drums"]
    assert track.n_notes["drums"] == 1 and track.facts["programs"]["drums"] == [128]


def test_stems_of_one_class_are_summed(tmp_path):
    folder = tmp_path / "in" / "Track00001"
    lines = [melody(k, 2.0) for k in range(2)]
    stems = [write_stem(folder, 0, "guitar", lines[0], seconds=2.0)]
    stems.append(write_stem(folder, 1, "guitar", lines[1], seconds=2.5, rate=44100))
    write_track(folder, stems)
    _, manifest, track = run(tmp_path)
    reference = read(manifest.stem_path(track, "guitar"))
    exact = play(lines[0], 2.5) + play(lines[1], 2.5)
    exact[2 * RATE :] = play(lines[1], 2.5)[2 * RATE :]
    assert len(reference) == 2.5 * RATE and np.sum((reference - exact) ** 2) < 1e-2 * np.sum(
        exact**2
    )
    assert track.n_notes["guitar"] == len(lines[0]) + len(lines[1])
    assert not read(manifest.stem_path(track, "bass")).any(), "every class has a reference"


# ------------------------------------------------------------------------------------ the traps
def make_defect(tmp_path, name="Track00001", generated=True, **defect):
    """A track whose piano is fine and whose bass, stem S00, is not."""
    folder = tmp_path / "in" / "train" / name
    bass, piano = melody(0, 3.0, LOWEST["bass"]), melody(1, 3.0, LOWEST["piano"])
    broken = write_stem(folder, 0, "bass", bass, seconds=3.0, **defect)
    write_track(folder, [broken, write_stem(folder, 1, "piano", piano, seconds=3.0)], generated)
    return folder, len(bass)


def assert_bass_left_out(tmp_path, reason, notes):
    report, manifest, track = run(tmp_path)
    assert reasons(report) == {("stem", reason): notes}
    assert report["dropped"][0]["where"] == [f"{track.id}/S00"]
    assert track.n_notes["bass"] == 0 and track.n_notes["piano"] > 0
    assert not read(manifest.stem_path(track, "bass")).any()
    assert reason in summary(report) and "1 without bass" in summary(report)


def test_midi_without_audio(tmp_path):
    _, count = make_defect(tmp_path, audio=None)
    assert_bass_left_out(tmp_path, "MIDI without audio", count)
    report, _, track = run(tmp_path, mixture="song", overwrite=True)
    assert track.n_notes["bass"] == 0


def test_audio_without_midi(tmp_path):
    make_defect(tmp_path, midi=False)
    assert_bass_left_out(tmp_path, "audio without MIDI", 0)


def test_unreadable_midi(tmp_path):
    folder, _ = make_defect(tmp_path)
    (folder / "MIDI" / "S00.mid").write_bytes(b"MThd")
    assert_bass_left_out(tmp_path, "MIDI unreadable", 0)


def test_midi_without_notes(tmp_path):
    make_defect(tmp_path, midi=[])
    (tmp_path / "in/train/Track00001/MIDI").mkdir(exist_ok=True)
    write_midi(tmp_path / "in/train/Track00001/MIDI/S00.mid", (33, []))
    assert_bass_left_out(tmp_path, "MIDI without notes", 0)


def test_unreadable_audio(tmp_path):
    folder, count = make_defect(tmp_path)
    (folder / "stems" / "S00.wav").write_bytes(b"RIFF")
    assert_bass_left_out(tmp_path, "audio unreadable", count)


def test_silent_stem(tmp_path):
    _, count = make_defect(tmp_path, audio="silent")
    assert_bass_left_out(tmp_path, "silent stem", count)


def test_neither_audio_nor_midi(tmp_path):
    make_defect(tmp_path, audio=None, midi=False)
    assert_bass_left_out(tmp_path, "neither audio nor MIDI", 0)


def test_known_problems(tmp_path):
    _, count = make_defect(tmp_path, "Track00385", generated=False)
    assert_bass_left_out(tmp_path, "known problem: white noise", count)
    report, manifest, track = run(tmp_path, mixture="song", overwrite=True)
    assert read(manifest.stem_path(track, "residual")).any() and track.n_notes["bass"] == 0


@pytest.mark.parametrize(
    ("name", "defect", "reason"),
    [
        ("Track00001", {"midi": False}, "audio without MIDI"),
        ("Track00496", {}, "known problem"),
    ],
)
def test_a_class_that_plays_without_labels_excludes_a_whole_song(tmp_path, name, defect, reason):
    write_song(tmp_path / "in" / "train" / "Track00099")
    folder, _ = make_defect(tmp_path, name, generated=False, **defect)
    if not defect:  # the known problem of this track is in S01
        shutil.move(folder / "stems" / "S00.wav", folder / "stems" / "S05.wav")
    report, manifest, _ = run(tmp_path, mixture="song")
    assert [track.id for track in manifest.tracks] == ["Track00099"]
    (group,) = [group for group in report["dropped"] if group["what"] == "track"]
    assert group["reason"].startswith(f"a class plays without labels: {reason}")


def test_labels_of_real_basses_go_down_an_octave(tmp_path):
    rows = melody(0, 6.0, 42)
    folder = tmp_path / "in" / "Track00001"
    audio = play(rows, 6.0, transpose=-12)
    write_track(folder, [write_stem(folder, 0, "bass", rows, audio)], generated=False)
    report, manifest, track = run(tmp_path)
    assert manifest.notes(track).pitch.tolist() == [row[2] - 12 for row in rows]
    assert track.facts["label_shift"] == {"bass": [-12]} and not report["warnings"]
    report, manifest, track = run(tmp_path, label_shift="none", overwrite=True)
    assert manifest.notes(track).pitch.tolist() == [row[2] for row in rows]
    assert any("bass sounds an octave below its labels" in w for w in report["warnings"])
    _, manifest, track = run(tmp_path, label_shift="bass=-24", overwrite=True)
    assert manifest.notes(track).pitch.tolist() == [row[2] - 24 for row in rows]


def test_labels_of_generated_basses_stay(tmp_path):
    write_song(tmp_path / "in" / "Track00001")
    _, manifest, track = run(tmp_path)
    assert track.facts["label_shift"]["bass"] == [0] and track.facts["generated"]


def test_notes_beyond_the_audio_are_cut(tmp_path):
    rows = [(0.5, 1.5, 60, 90), (1.8, 2.7, 62, 90), (2.0, 2.5, 64, 90), (3.0, 4.0, 65, 90)]
    folder = tmp_path / "in" / "Track00001"
    write_track(folder, [write_stem(folder, 0, "piano", rows, seconds=2.0)])
    report, manifest, track = run(tmp_path)
    notes = manifest.notes(track)
    assert notes.pitch.tolist() == [60, 62] and notes.offset.tolist() == pytest.approx([1.5, 2.0])
    assert reasons(report) == {("notes", "beyond the end of the audio"): 2}
    assert track.facts["notes_cut"] == 1 and not report["warnings"]


def test_audio_that_ends_early_is_warned_of(tmp_path):
    rows = melody(0, 8.0, LOWEST["piano"])
    folder = tmp_path / "in" / "Track00001"
    write_track(folder, [write_stem(folder, 0, "piano", rows, seconds=1.0)])
    report, _, _ = run(tmp_path)
    assert any("are beyond the end of the audio: is it complete?" in w for w in report["warnings"])


def test_paths_in_the_metadata_lead_nowhere(tmp_path):
    outside = tmp_path / "in" / "Track00002"
    write_song(outside)
    name, facts = write_stem(
        tmp_path / "in" / "Track00001", 1, "piano", melody(0, 2.0), seconds=2.0
    )
    stems = {"../../Track00002/stems/S00": {"inst_class": "Bass", "program_num": 33}, name: facts}
    write_track(tmp_path / "in" / "Track00001", stems)
    _, manifest, _ = run(tmp_path)
    track = next(track for track in manifest.tracks if track.id == "Track00001")
    assert track.n_notes["bass"] == 0 and "refused" in track.facts["remarks"][0]


def test_bad_tracks_are_dropped_and_the_rest_goes_on(tmp_path):
    for number in range(1, 6):
        write_song(tmp_path / "in" / "train" / f"Track{number:05d}", seed=number, seconds=2.0)
    root = tmp_path / "in" / "train"
    (root / "Track00001" / "metadata.yaml").unlink()
    (root / "Track00002" / "metadata.yaml").write_text("stems: [")
    shutil.rmtree(root / "Track00003" / "stems")
    for path in (root / "Track00004" / "stems").iterdir():
        sf.write(path, np.zeros(1000), RATE)
    report, manifest, _ = run(tmp_path)
    assert [track.id for track in manifest.tracks] == ["Track00005"]
    dropped = {group["reason"]: group["count"] for group in report["dropped"]}
    nothing = "no notes of bass, guitar, piano are left"
    assert dropped == {"bad metadata": 2, "no stems on disk": 1, nothing: 1}


def test_unexpected_errors_do_not_end_the_run(tmp_path, monkeypatch):
    for number in (1, 2):
        write_song(tmp_path / "in" / f"Track{number:05d}", seconds=2.0)
    real = prepare_module.read_song

    def faulty(source, settings, **options):
        if source.id == "Track00001":
            raise KeyError("surprise")
        return real(source, settings, **options)

    monkeypatch.setattr(prepare_module, "read_song", faulty)
    report, manifest, _ = run(tmp_path)
    assert len(manifest.tracks) == 1
    assert report["dropped"][0]["reason"] == "unexpected error"
    assert report["dropped"][0]["where"] == ["Track00001 (KeyError: 'surprise')"]


def test_a_full_disk_ends_the_run(tmp_path, monkeypatch):
    write_song(tmp_path / "in" / "Track00001", seconds=1.0)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare_module, "write_audio", full)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path)
    assert not list((tmp_path / "out").rglob("*.wav"))


def test_nothing_left_is_an_error_that_says_why(tmp_path):
    make_defect(tmp_path)
    with pytest.raises(
        ValueError, match=r"None of the songs in .*1 of 1 tracks\): no notes of drums are left"
    ):
        run(tmp_path, classes="drums=128,Drums")
    assert read_json(tmp_path / "out" / "report.json")["tracks"] == 0


def test_a_song_without_stems_can_be_used_whole(tmp_path):
    folder = write_song(tmp_path / "in" / "Track00001")
    stems = [sf.read(path)[0] for path in sorted((folder / "stems").iterdir())]
    sf.write(folder / "mix.wav", sum(stems), RATE)
    shutil.rmtree(folder / "stems")
    with pytest.raises(ValueError, match="no stems on disk"):
        run(tmp_path)
    _, manifest, track = run(tmp_path, mixture="song")
    assert track.stems == [] and all(track.n_notes.values())
    assert not (manifest.folder(track) / "stems").exists()


def test_slakh_with_twins_is_warned_of(tmp_path):
    for name in ("Track00049", "Track00077"):
        write_song(tmp_path / "in" / "train" / name, seconds=1.0, generated=False)
    assert any("are duplicated in train" in warning for warning in run(tmp_path)[0]["warnings"])


# ------------------------------------------------------------------------------------- own songs
def test_own_songs(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(3):
        lines = {33: melody([number, 0], 4.0, 36), 0: melody([number, 1], 4.0, 62)}
        audio = sum(play(rows, 4.0) for rows in lines.values())
        sf.write(tmp_path / "in" / f"song {number}.flac", np.stack([audio, audio], 1), RATE)
        write_midi(tmp_path / "in" / f"song {number}.mid", *lines.items())
    report, manifest, track = run(tmp_path)
    assert report["layout"] == "pairs" and manifest.mixture == "song"
    assert {t.id for t in manifest.tracks} == {"song_0", "song_1", "song_2"}
    assert sorted(t.split for t in manifest.tracks) == ["train", "train", "validation"]
    assert all(t.stems == [] and t.n_notes["guitar"] == 0 for t in manifest.tracks)
    assert report["check"]["offset"]["aligned"] == 3 and not report["warnings"]


def test_the_output_of_own_songs_lies_outside_of_the_input(tmp_path):
    sf.write(tmp_path / "a.wav", play(melody(0, 1.0), 1.0), RATE)
    write_midi(tmp_path / "a.mid", (0, melody(0, 1.0)))
    with pytest.raises(ValueError, match="choose a folder outside of it"):
        prepare(tmp_path, tmp_path / "out", **QUIET)


# -------------------------------------------------------------------------------------- restarts
def stamps(folder):
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("mixture.wav"))}


def test_finished_tracks_are_kept(tmp_path):
    for number in (1, 2):
        write_song(tmp_path / "in" / f"Track{number:05d}", seconds=2.0)
    _, first, _ = run(tmp_path)
    before = stamps(tmp_path / "out")
    # As after a kill: no manifest, half a track under a temporary name, one track missing.
    (tmp_path / "out" / "manifest.json").unlink()
    lost = first.folder(first.tracks[0])
    shutil.rmtree(lost)
    half = lost.with_name(f".{lost.name}.123.part")
    half.mkdir()
    report, manifest, _ = run(tmp_path)
    after = stamps(tmp_path / "out")
    assert manifest.tracks == first.tracks and not half.exists()
    assert report["kept_from_earlier_run"] == 1 and "finished by an earlier run" in summary(report)
    assert sorted(before) == sorted(after)
    assert [after[path] == before[path] for path in sorted(after)] == [
        str(lost) not in path for path in sorted(after)
    ]


def test_a_song_that_changed_is_prepared_again(tmp_path):
    folder = write_song(tmp_path / "in" / "Track00001", seconds=2.0)
    run(tmp_path)
    sf.write(folder / "stems" / "S00.wav", play(melody(5, 2.5, 36), 2.5), RATE)
    assert run(tmp_path)[2].n_samples == 2.5 * RATE


def test_a_check_that_was_not_made_is_made_up_for(tmp_path):
    write_song(tmp_path / "in" / "Track00001", seconds=2.0)
    report, _, track = run(tmp_path, check=False)
    assert report["check"] is None and "check" not in track.facts
    assert "check" in run(tmp_path)[2].facts


def test_other_settings_are_refused_or_overwrite(tmp_path):
    write_song(tmp_path / "in" / "Track00001", seconds=2.0)
    run(tmp_path)
    with pytest.raises(ValueError, match=r"another sample_rate \(16000, now 8000\).*--overwrite"):
        run(tmp_path, sample_rate=8000)
    assert run(tmp_path, sample_rate=8000, overwrite=True)[2].n_samples == 16000


def test_folders_of_other_runs_are_warned_of(tmp_path):
    write_song(tmp_path / "in" / "Track00001", seconds=2.0)
    run(tmp_path, splits={"Track00001": "test"})
    report, manifest, _ = run(tmp_path, splits={"Track00001": "train"})
    assert len(manifest.tracks) == 1
    assert any(
        "belong to no track of this run" in w and "Track00001" in w for w in report["warnings"]
    )


@pytest.mark.slow
def test_several_processes_do_the_same(tmp_path):
    for number in range(1, 5):
        write_song(tmp_path / "in" / f"Track{number:05d}", seed=number, seconds=2.0)
    (tmp_path / "in" / "Track00003" / "metadata.yaml").unlink()
    one = prepare(tmp_path / "in", tmp_path / "one", **QUIET)
    two = prepare(tmp_path / "in", tmp_path / "two", jobs=2, progress=True)
    assert {**one, "output": None} == {**two, "output": None}
    for path in (tmp_path / "one").rglob("*.*"):
        if path.is_file() and path.name != "report.json":
            other = tmp_path / "two" / path.relative_to(tmp_path / "one")
            if path.suffix == ".wav":  # libsndfile writes the time into the header
                np.testing.assert_array_equal(read(path), read(other))
            else:
                assert path.read_bytes() == other.read_bytes()


# ------------------------------------------------------------------------- checks and corrections
def write_late_low_songs(root, count=3):
    """Songs whose bass sounds an octave below its labels; the first is 0.2 s late, too."""
    for number in range(1, count + 1):
        folder, stems = root / "train" / f"Track{number:05d}", []
        for k, kind in enumerate(("bass", "piano")):
            rows = melody([number, k], 8.0, LOWEST[kind] + 12)
            late, low = 0.2 * (number == 1), -12 * (kind == "bass")
            audio = play(rows, 8.0, shift=late, transpose=low)
            stems.append(write_stem(folder, k, kind, rows, audio))
        write_track(folder, stems)


@pytest.mark.slow
def test_constant_errors_are_corrected_when_asked(tmp_path):
    write_late_low_songs(tmp_path / "in")
    report, manifest, track = run(tmp_path)
    assert report["check"]["pitch"]["bass"]["moved"] == {"-12": 3}
    assert report["check"]["pitch"]["bass"]["consensus"] == -12
    assert track.facts["check"]["offset_seconds"] == pytest.approx(0.2, abs=0.01)
    assert any(re.search(r"Track00001: the audio is \d+ ms later", w) for w in report["warnings"])
    assert report["check"]["corrected_tracks"] == 0
    raw = manifest.notes(track)

    report, manifest, track = run(tmp_path, correct=True)
    assert report["check"]["corrected_tracks"] == 3 and report["kept_from_earlier_run"] == 3
    fixed = manifest.notes(track)
    assert fixed.pitch.tolist() == (raw.pitch - 12 * (raw.class_index == 0))[: len(fixed)].tolist()
    np.testing.assert_allclose(fixed.onset, raw.onset[: len(fixed)] + 0.2, atol=0.01)
    assert track.facts["corrected"]["transpose"] == {"bass": -12}
    assert track.n_notes == {"bass": int((fixed.class_index == 0).sum()), "guitar": 0,
                             "piano": int((fixed.class_index == 2).sum())}  # fmt: skip
    found = check_folder(tmp_path / "out", **QUIET)["check"]
    assert found["pitch"]["bass"]["as_labeled"] == 3 and found["offset"]["aligned"] == 3

    # What was corrected is told, and not advised again; neither when it is done again.
    for again in (report, run(tmp_path, correct=True)[0]):
        assert again["check"]["pitch"]["bass"]["as_labeled"] == 3
        assert again["check"]["offset"] == {**found["offset"], "median_seconds": ANY}
        assert again["warnings"] == [] == again["check"]["warnings"]
        assert "corrected: time in 1, bass -12 in 3 of 3 tracks" in again["check"]["lines"]
        assert "--correct" not in summary(again)

    # Correcting again, or preparing again, changes nothing; only correct=False takes it back.
    text = (manifest.folder(track) / "notes.csv").read_text()
    assert run(tmp_path, correct=True)[1].tracks == manifest.tracks
    assert (manifest.folder(track) / "notes.csv").read_text() == text
    report, again, _ = run(tmp_path)
    assert again.tracks == manifest.tracks and report["check"]["corrected_tracks"] == 3
    assert (manifest.folder(track) / "notes.csv").read_text() == text
    _, manifest, track = run(tmp_path, correct=False)
    assert manifest.notes(track).pitch.tolist() == raw.pitch.tolist()
    assert "corrected" not in track.facts


def test_a_kill_during_correction_is_made_good(tmp_path, monkeypatch):
    write_late_low_songs(tmp_path / "in")
    _, manifest, track = run(tmp_path)
    notes = manifest.folder(track) / "notes.csv"
    text = notes.read_text()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(labels, "update_track_file", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, correct=True)
    assert notes.read_text() != text
    run(tmp_path)
    assert notes.read_text() == text and not (notes.parent / labels.RAW_NOTES).exists()


@pytest.mark.slow
def test_a_prepared_folder_can_be_checked_and_corrected_later(tmp_path):
    write_late_low_songs(tmp_path / "in")
    run(tmp_path, check=False)
    report = check_folder(tmp_path / "out", **QUIET)
    assert report["tracks"]["train/Track00002"]["bass"]["semitones"] == -12
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.tracks[1].facts["check"] == report["tracks"]["train/Track00002"]
    fingerprints, before = {manifest.fingerprint()}, None
    for _ in range(2):
        report = check_folder(tmp_path / "out", correct=True, **QUIET)
        assert report["check"]["corrected_tracks"] == 3
        assert report["check"]["warnings"] == [] and "--correct" not in summary(report)
        written = json.loads((tmp_path / "out" / "report.json").read_text())
        assert written["check"] == report["check"] and written["warnings"] == []
        assert before in (None, report), "twice is as good as once"
        before = report
        fingerprints.add(Manifest.load(tmp_path / "out").fingerprint())
    assert len(fingerprints) == 2, "corrected notes are other data, once"
    report = check_folder(tmp_path / "out", **QUIET)
    assert report["check"]["warnings"] == [] and report["check"]["corrected_tracks"] == 3
    manifest = Manifest.load(tmp_path / "out")
    raw = read_notes(manifest.folder(manifest.tracks[1]) / "notes_as_read.csv", NAMES)
    shift = manifest.notes(manifest.tracks[1]).pitch - raw.pitch
    assert shift.tolist() == (-12 * (raw.class_index == 0)).tolist()


def test_songs_can_be_checked_before_they_are_prepared(tmp_path):
    write_song(tmp_path / "in" / "train" / "Track00001")
    make_defect(tmp_path, "Track00002", midi=False)
    (tmp_path / "in" / "train" / "Track00003").mkdir()
    before = sorted(tmp_path.rglob("*"))
    report = check_folder(tmp_path / "in", **QUIET)
    assert sorted(report["tracks"]) == ["train/Track00001", "train/Track00002"]
    assert {group["reason"] for group in report["dropped"]} == {
        "bad metadata",
        "audio without MIDI",
    }
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(ValueError, match="is not a prepared folder"):
        check_folder(tmp_path / "in", correct=True, **QUIET)


# -------------------------------------------------------------------------------------- commands
def call(script, *arguments):
    parser = argparse.ArgumentParser()
    script.add_arguments(parser)
    return script.run(parser.parse_args([str(argument) for argument in arguments]))


def test_commands(tmp_path, capsys):
    write_song(tmp_path / "in" / "Track00001")
    out = tmp_path / "out"
    arguments = ["--quiet", "--jobs", "1", "--label_shift", "none"]
    assert call(prepare_script, tmp_path / "in", out, *arguments, "--mixture", "song") == 0
    text = capsys.readouterr()
    assert (
        "1 track, 4 s" in text.out and "Label check against the audio:" in text.out and not text.err
    )
    assert call(check_script, out, "--quiet", "--jobs", 1, "--out", tmp_path / "f.json") == 0
    assert "bass: as labeled in" in capsys.readouterr().out
    assert "train/Track00001" in json.loads((tmp_path / "f.json").read_text())["tracks"]


# ------------------------------------------------------------------------------------- real Slakh
@pytest.mark.parametrize("layout", ["slakh2100_flac_redux", "babyslakh_16k"])
@pytest.mark.parametrize("mixture", ["submix", "song"])
def test_real_slakh(real_data, tmp_path, layout, mixture):
    report = prepare(real_data / layout, tmp_path, mixture=mixture, **QUIET)
    (track,) = Manifest.load(tmp_path).tracks
    assert track.id == "Track00001" and track.split == "train" and track.n_samples == 32000
    assert track.n_notes == {"bass": 0, "guitar": 5, "piano": 0}
    assert track.facts["programs"] == {"guitar": [30]}
    silent = next(group for group in report["dropped"] if group["reason"] == "silent stem")
    assert silent["where"] == [f"Track00001/S{k:02d}" for k in (2, 3, 7, 8)]
    assert reasons(report)["notes", "beyond the end of the audio"] == 103
    assert report["check"]["offset"]["aligned"] == 1
    assert report["check"]["pitch"]["guitar"]["as_labeled"] == 1
    if layout == "slakh2100_flac_redux":
        assert reasons(report)["track", "in the split 'omitted'"] == 0
