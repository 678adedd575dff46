"""Replaced files and recordings are detected; copies are not mistaken for changes."""

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
import soundfile as sf
from slakh_folder import RATE, melody, play, write_midi, write_song

from asteroid_scoresup.data import Manifest, ScoreInformedMasks
from asteroid_scoresup.data.labels import check_folder
from asteroid_scoresup.data.manifest import read_notes, write_notes
from asteroid_scoresup.data.prepare import prepare
from asteroid_scoresup.synthesis.synthesize import synthesize
from asteroid_scoresup.utils.files import read_json, write_audio, write_json
from asteroid_scoresup.utils.hashing import (
    SMALL,
    audio_probe,
    file_record,
    is_same_file,
    same_files,
    samples_hash,
)

QUIET = {"jobs": 1, "progress": False}
CLASSES = "bass=32-39,Bass;guitar=24-31,Guitar;piano=0-7,Piano"


def replace_unseen(path, content):
    """Replaces a file by one of the same size and time."""
    stat = path.stat()
    assert len(content) == stat.st_size, "the test needs a file of the same size"
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("size", [0, 10, SMALL, SMALL + 1, 3 * SMALL])
def test_a_file_is_the_same_until_its_content_changes(tmp_path, size):
    rng = np.random.default_rng(size)
    path = tmp_path / "file"
    path.write_bytes(rng.bytes(size))
    record = file_record(path)
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()[:32]
    assert is_same_file(path, record)
    os.utime(path, (1, 1))
    assert is_same_file(path, record), "touched"
    os.utime(path, ns=(1, record["mtime_ns"]))
    if size:
        replace_unseen(path, rng.bytes(size))
        assert not is_same_file(path, record), "other content, same size and time"
        os.utime(path, (1, 1))
        assert not is_same_file(path, record), "other content, same size"
    path.write_bytes(rng.bytes(size + 1))
    assert not is_same_file(path, record)


def test_one_changed_byte_counts_where_the_time_tells_of_a_change(tmp_path):
    content = bytearray(np.random.default_rng(0).bytes(2 * SMALL))
    path = tmp_path / "file"
    path.write_bytes(content)
    record = file_record(path)
    content[1] ^= 1
    path.write_bytes(content)
    os.utime(path, (1, 1))
    assert not is_same_file(path, record)


@pytest.mark.parametrize(
    "records", [None, [], ["a:1"], [{"name": "a"}], [{"name": "a", "size": 9**9}], {"a": 1}]
)
def test_records_of_other_versions_fit_no_file(tmp_path, records):
    (tmp_path / "a").write_bytes(b"x")
    assert not same_files({"a": tmp_path / "a"}, records)


def test_audio_is_identified_by_its_samples(tmp_path):
    audio = np.random.default_rng(0).standard_normal(50000).astype(np.float32)
    write_audio(tmp_path / "a.wav", audio, 8000)
    sf.write(tmp_path / "b.wav", audio[:, None], 8000, format="W64", subtype="FLOAT")
    assert audio_probe(tmp_path / "a.wav") == audio_probe(tmp_path / "b.wav")
    for other in (audio[::-1], audio[:-1], 0.5 * audio):
        write_audio(tmp_path / "c.wav", other, 8000)
        assert audio_probe(tmp_path / "a.wav") != audio_probe(tmp_path / "c.wav")
        assert samples_hash(audio) != samples_hash(other)
    assert samples_hash(audio, audio) != samples_hash(np.concatenate([audio, audio]))
    (tmp_path / "d.wav").write_text("no audio")
    with pytest.raises(ValueError, match=r"d\.wav cannot be read as audio"):
        audio_probe(tmp_path / "d.wav")


# ------------------------------------------------------------------------------- prepared folders
@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepared")
    write_song(root / "in" / "Track00001", seconds=3.0)
    prepare(root / "in", root / "out", CLASSES, **QUIET)
    return root


@pytest.fixture
def copy(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "copy")  # keeps the times
    return tmp_path / "copy"


def again(root, **options):
    report = prepare(root / "in", root / "out", CLASSES, **QUIET, **options)
    return report, Manifest.load(root / "out")


def test_mended_labels_change_the_fingerprint(copy):
    manifest = Manifest.load(copy / "out")
    before, (track,) = manifest.fingerprint(), manifest.tracks
    path = manifest.folder(track) / "notes.csv"
    notes = read_notes(path, manifest.names)
    seen = {before}
    for mended in (
        notes.replace(pitch=notes.pitch - 12 * (notes.class_index == 0)),
        notes.replace(onset=notes.onset + 0.01, offset=notes.offset + 0.01),
        notes.replace(velocity=notes.velocity - 1),
        notes.replace(class_index=(notes.class_index + 1) % 3),
    ):
        write_notes(path, mended, manifest.names)
        seen.add(manifest.fingerprint())
    assert len(seen) == 5, "counts and levels are the same, the notes are not"
    write_notes(path, notes, manifest.names)
    assert Manifest.load(copy / "out").fingerprint() == before
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"notes\.csv does not exist"):
        manifest.fingerprint()


def test_a_moved_folder_has_the_same_fingerprint(copy, tmp_path):
    before = Manifest.load(copy / "out").fingerprint()
    shutil.copytree(copy / "out", tmp_path / "moved", copy_function=shutil.copyfile)
    assert Manifest.load(tmp_path / "moved").fingerprint() == before


def test_other_audio_changes_fingerprint_and_informed_factors(copy):
    manifest = Manifest.load(copy / "out")
    (track,) = manifest.tracks
    before = manifest.fingerprint()
    factors = ScoreInformedMasks(manifest, 512, 128, iterations=1, n_partials=4).path(track)
    audio = manifest.read_mixture(track)[::-1]  # of the same length and level
    write_audio(manifest.mixture_path(track), audio, manifest.sample_rate)
    assert manifest.fingerprint() != before
    assert ScoreInformedMasks(manifest, 512, 128, iterations=1, n_partials=4).path(track) != factors


def test_other_stems_change_the_fingerprint_without_being_opened(copy):
    """The same mixture of other stems: what supervised training learns from."""
    before = Manifest.load(copy / "out").fingerprint()
    (stem, _), (other, _) = (
        sf.read(copy / "in" / "Track00001" / "stems" / f"S0{k}.wav", dtype="float32")
        for k in (0, 1)
    )
    for k, audio in ((0, other), (1, stem)):
        path = copy / "in" / "Track00001" / "stems" / f"S0{k}.wav"
        sf.write(path, audio, RATE, subtype="FLOAT")
    _, manifest = again(copy)
    assert manifest.fingerprint() != before
    shutil.rmtree(manifest.folder(manifest.tracks[0]) / "stems")
    manifest.fingerprint()


def test_a_stem_of_the_same_size_and_time_is_read_again(copy):
    path = copy / "in" / "Track00001" / "stems" / "S01.wav"
    sf.write(copy / "other.wav", play(melody(77, 3.0, 50), 3.0), RATE, subtype="FLOAT")
    (before,) = Manifest.load(copy / "out").tracks
    replace_unseen(path, (copy / "other.wav").read_bytes())
    report, manifest = again(copy)
    assert report["kept_from_earlier_run"] == 0 and manifest.tracks[0].audio != before.audio


def test_a_mended_midi_file_is_read_again(copy):
    """Transposed by a semitone: as many bytes as before."""
    rows = melody([0, 1], 3.0, 48)
    path = copy / "in" / "Track00001" / "MIDI" / "S01.mid"
    mended = [(on, off, pitch + 1, velocity) for on, off, pitch, velocity in rows]
    write_midi(copy / "mended.mid", (25, mended))
    manifest = Manifest.load(copy / "out")
    before, fingerprint = manifest.notes(manifest.tracks[0]), manifest.fingerprint()
    replace_unseen(path, (copy / "mended.mid").read_bytes())
    report, manifest = again(copy)
    assert report["kept_from_earlier_run"] == 0
    notes = manifest.notes(manifest.tracks[0])
    np.testing.assert_array_equal(notes.pitch, before.pitch + (before.class_index == 1))
    assert manifest.fingerprint() != fingerprint


def test_a_copied_song_is_not_prepared_again(copy):
    for path in (copy / "in").rglob("*.*"):
        if path.is_file():
            os.utime(path, (1e9, 1e9))
    (copy / "in" / "Track00001" / ".DS_Store").write_text("a file of the desktop")
    track_file = copy / "out" / "train" / "Track00001" / "track.json"
    report, manifest = again(copy)
    assert report["kept_from_earlier_run"] == 1
    times = {record["mtime_ns"] for record in read_json(track_file)["source"]}
    assert times == {10**18}, "and the new times are known from now on"


def test_a_folder_of_an_earlier_version_is_prepared_again(copy):
    """Earlier versions recorded names and sizes of files, and no hash of the audio."""
    path = copy / "out" / "train" / "Track00001" / "track.json"
    content = read_json(path)
    content["source"] = [f"{r['name'].split('/')[-1]}:{r['size']}" for r in content["source"]]
    del content["track"]["audio"]
    write_json(path, content)
    index = read_json(copy / "out" / "manifest.json")
    for track in index["tracks"]:
        del track["audio"]
    write_json(copy / "out" / "manifest.json", index)

    old = Manifest.load(copy / "out")
    assert old.tracks[0].audio == "" and len(old.fingerprint()) == 16
    assert check_folder(copy / "out", **QUIET)["tracks"]
    report, manifest = again(copy)
    assert report["kept_from_earlier_run"] == 0 and manifest.tracks[0].audio


# ------------------------------------------------------------------------------------- synthesize
def test_a_mended_midi_file_is_not_taken_for_the_old_one(tmp_path):
    options = {"jobs": 1, "quiet": True, "fractions": (1, 0, 0), "renderer": "tinysoundfont"}
    options |= {"sample_rate": 8000, "midi_dir": tmp_path / "in"}
    path, out = tmp_path / "in" / "a.mid", tmp_path / "out"
    write_midi(path, (0, [(0.1, 0.4, 60, 90)]))
    synthesize(out, **options)
    assert synthesize(out, **options)["kept"] == 1
    os.utime(path, (1, 1))
    assert synthesize(out, **options)["kept"] == 1

    # A record of an earlier version, which knew names and sizes only, is completed.
    record = read_json(out / "synthesis.json")
    listing = f"a.mid {path.stat().st_size}"
    digest = record["settings"]["files_digest"]
    record["settings"]["files_digest"] = hashlib.sha256(listing.encode()).hexdigest()[:16]
    write_json(out / "synthesis.json", record)
    assert synthesize(out, **options)["kept"] == 1
    assert json.loads((out / "synthesis.json").read_text())["settings"]["files_digest"] == digest

    write_midi(tmp_path / "mended.mid", (0, [(0.1, 0.4, 61, 90)]))
    replace_unseen(path, (tmp_path / "mended.mid").read_bytes())
    with pytest.raises(ValueError, match=r"other settings \(files_digest\): use --overwrite"):
        synthesize(out, **options)
    assert synthesize(out, overwrite=True, **options)["made"] == 1
