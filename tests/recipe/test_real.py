"""egs/real: fabricated folders in the shape of published data sets, prepared and scored."""

import json
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import yaml
from slakh_folder import play, write_midi

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.utils.ffmpeg import ffmpeg
from asteroid_scoresup.utils.files import read_audio

REAL = Path(__file__).parents[2] / "egs" / "real"
RATE, SECONDS = 8000, 3.0
#: Notes of two parts: onset, offset, pitch, velocity.
HIGH = [(0.2, 0.7, 69, 80), (0.9, 1.6, 72, 80), (1.8, 2.4, 71, 80)]
LOW = [(0.2, 1.0, 45, 80), (1.1, 2.5, 48, 80)]


@pytest.fixture(scope="module")
def run(fast_python):
    """Runs a script of egs/real; returns its exit status and output."""

    def run(script, *options):
        done = subprocess.run(
            [fast_python, REAL / script, *map(str, options)],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def prepared(run, tmp_path):
    """Prepares a data set; returns its manifest and what was printed."""

    def prepared(name, *options):
        status, text = run(
            "prepare.py", name, tmp_path / "in", tmp_path / "out", "--sample_rate", RATE,
            "--jobs", 1, "--quiet", *options,
        )  # fmt: skip
        assert status == 0, text
        return Manifest.load(tmp_path / "out"), text

    return prepared


def write(path, rows, gain=1.0, seconds=SECONDS):
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, gain * play(rows, seconds, RATE), RATE, subtype="FLOAT")


def write_text(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def notes_of(manifest, track):
    """Onset, offset and pitch of the notes of a track, by class."""
    notes = manifest.notes(track)
    rows = zip(notes.onset.round(2), notes.offset.round(2), notes.pitch, notes.class_index)
    by_class = {}
    for onset, offset, pitch, index in rows:
        row = (float(onset), float(offset), int(pitch))
        by_class.setdefault(manifest.names[index], []).append(row)
    return by_class


def times(rows):
    return [row[:3] for row in rows]


def hertz(pitch):
    return 440 * 2 ** ((pitch - 69) / 12)


def urmp(root, high=HIGH, low=LOW, late=0.0, seconds=SECONDS):
    """The piece 01_Jupiter_vn_vc, whose written score is `late` by so many seconds."""
    folder = root / "Dataset" / "01_Jupiter_vn_vc"
    for number, short, rows in ((1, "vn", high), (2, "vc", low)):
        name = f"{number}_{short}_01_Jupiter"
        write(folder / f"AuSep_{name}.wav", rows, seconds=seconds)
        lines = [f"{on}\t{hertz(p + 0.2):.3f}\t{off - on:.3f}" for on, off, p, _ in rows]
        write_text(folder / f"Notes_{name}.txt", lines)
    moved = [[(on + late, off + late, p, v) for on, off, p, v in rows] for rows in (high, low)]
    write_midi(folder / "Sco_01_Jupiter_vn_vc.mid", (40, moved[0]), (42, moved[1]))


def test_urmp(prepared, tmp_path):
    urmp(tmp_path / "in")
    write(tmp_path / "in" / "02_Sonata_vn_vn" / "AuSep_1_vn_02_Sonata.wav", HIGH)
    manifest, text = prepared("urmp")
    assert "left out: 02_Sonata_vn_vn: 02_Sonata_vn_vn/Notes_1_vn_02_Sonata.txt is mis" in text
    (track,) = manifest.select("test")
    assert track.id == "01_Jupiter_vn_vc"
    assert notes_of(manifest, track) == {"violin": times(HIGH), "cello": times(LOW)}
    stem = read_audio(manifest.stem_path(track, "cello"))[0]
    np.testing.assert_allclose(stem, play(LOW, SECONDS, RATE), atol=1e-6)
    whole = play(HIGH, SECONDS, RATE) + play(LOW, SECONDS, RATE)
    np.testing.assert_allclose(manifest.read_mixture(track), whole, atol=1e-6)
    assert (tmp_path / "out_tracks/test/01_Jupiter_vn_vc/stems/S00.wav").is_symlink()


def test_the_written_score_is_aligned(prepared, tmp_path):
    """The written score begins 0.4 s later than the recording."""
    rng = np.random.default_rng(0)
    onsets = np.cumsum(rng.uniform(0.25, 0.5, 30))
    high = [(t, t + 0.2, int(60 + rng.integers(14)), 80) for t in onsets]
    urmp(tmp_path / "in", high, [(a, b, p - 19, v) for a, b, p, v in high], 0.4, 14.0)
    manifest, _ = prepared("urmp", "--align")
    (track,) = manifest.select("test")
    for name in ("violin", "cello"):
        found = [row[0] for row in notes_of(manifest, track)[name]]
        assert len(found) >= 28
        nearest = np.abs(np.array(found)[:, None] - onsets).min(1)
        assert np.median(nearest) < 0.05 and found[0] < onsets[0] + 0.1


def test_phenicx(prepared, tmp_path):
    names = {69: "A4", 72: "C5", 71: "B4"}
    audio, tables = (tmp_path / "in" / part / "mozart" for part in ("audio", "annotations"))
    write(audio / "violin1.wav", HIGH)
    write(audio / "violin2.wav", HIGH, 0.5)
    write(audio / "cello1.wav", LOW)
    write_text(tables / "violin.txt", [f"{a},{b},{names[p]}" for a, b, p, _ in HIGH])
    write_text(tables / "cello.txt", ["0.2,1.0,A2", "1.1,2.5,C3"])
    manifest, _ = prepared("phenicx")
    (track,) = manifest.select("test")
    assert notes_of(manifest, track) == {"violin": times(HIGH), "cello": times(LOW)}
    stem = read_audio(manifest.stem_path(track, "violin"))[0]
    np.testing.assert_allclose(stem, 1.5 * play(HIGH, SECONDS, RATE), atol=1e-6)


def jams(path, strings):
    """The annotations of an excerpt: notes per string, and a kind that is not of notes."""
    made = [{"namespace": "beat_position", "data": [{"time": 0, "value": {"position": 1}}]}]
    for number in range(6):
        data = [
            {"time": a, "duration": b - a, "value": p + 0.12, "confidence": None}
            for a, b, p, _ in strings.get(number, [])
        ]
        about = {"data_source": str(number)}
        made.append({"namespace": "note_midi", "annotation_metadata": about, "data": data})
    write_text(path, [json.dumps({"annotations": made, "file_metadata": {}})])


@pytest.mark.parametrize("strings", [False, True])
def test_guitarset(prepared, tmp_path, strings):
    root, name = tmp_path / "in", "00_BN1-129-Eb_comp"
    jams(root / "annotation" / f"{name}.jams", {0: LOW, 4: HIGH})
    write_text(root / "annotation" / "01_damaged.jams", ["{}"])
    low, high = play(LOW, SECONDS, RATE), play(HIGH, SECONDS, RATE)
    quiet = np.zeros_like(low)
    if strings:
        path = root / "audio_hex-pickup_debleeded" / f"{name}_hex_cln.wav"
        path.parent.mkdir()
        channels = np.stack([low, quiet, quiet, quiet, high, quiet], 1)
        sf.write(path, channels, RATE, subtype="FLOAT")
    else:
        write(root / "audio_mono-mic" / f"{name}_mic.wav", LOW + HIGH)
    manifest, text = prepared("guitarset_strings" if strings else "guitarset")
    assert "left out: annotation/01_damaged.jams is not a JAMS file of GuitarSet" in text
    (track,) = manifest.select("test")
    if not strings:
        assert sorted(notes_of(manifest, track)["guitar"]) == sorted(times(HIGH + LOW))
        return
    assert notes_of(manifest, track) == {"e2": times(LOW), "b3": times(HIGH)}
    stem = read_audio(manifest.stem_path(track, "b3"))[0]
    np.testing.assert_allclose(stem, high, atol=1e-6)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_choralebricks(prepared, tmp_path, version):
    song = tmp_path / "in" / "01_AudioAndAnnotations" / "Bach_Chorale"
    for name, rows in (("01_tp", HIGH), ("01_cl", HIGH), ("04_tba", LOW)):
        write(song / "tracks_normalized" / f"{name}.wav", rows)
        if version == "1.0":
            lines = [f"{a};{hertz(p):.2f};{b - a};1.0;{p}" for a, b, p, _ in rows]
            lines.insert(0, "TIME;VALUE;DURATION;LEVEL;LABEL")
        else:
            lines = [f"{a};{b};{b - a};{p};A4" for a, b, p, _ in rows]
            lines.insert(0, "start_sec;end_sec;dur_sec;pitch;pitch_name")
        write_text(song / "annotations" / f"{name}_notes.csv", lines)
    manifest, _ = prepared("choralebricks")
    tracks = manifest.select("test")
    assert [track.id for track in tracks] == ["Bach_Chorale_1", "Bach_Chorale_2"]
    for track in tracks:
        assert notes_of(manifest, track) == {"soprano": times(HIGH), "bass": times(LOW)}
    parts = [
        yaml.safe_load((tmp_path / f"out_tracks/test/{t.id}/metadata.yaml").read_text())["stems"]
        for t in tracks
    ]
    names = [[stem["midi_program_name"] for stem in stems.values()] for stems in parts]
    assert names == [["soprano clarinet", "bass tuba"], ["soprano trumpet", "bass tuba"]]


def musdb(root):
    song = root / "test" / "Some Band - Song #1"
    for name, rows in (("bass", LOW), ("drums", LOW), ("vocals", HIGH), ("other", HIGH)):
        write(song / f"{name}.wav", rows, 0.5)
    write(root / "test" / "Incomplete" / "bass.wav", LOW)


def test_musdb18_hq(prepared, tmp_path):
    musdb(tmp_path / "in")
    write(tmp_path / "in" / "train" / "A - B" / "bass.wav", LOW)
    manifest, text = prepared("musdb18")
    assert "left out: Incomplete lacks drums.wav, other.wav, vocals.wav" in text
    (track,) = manifest.tracks
    assert (track.id, track.split) == ("Some_Band_-_Song_1", "test")
    assert track.stems == ["vocals", "drums", "bass", "other"] and not sum(track.n_notes.values())
    stems = [read_audio(manifest.stem_path(track, name))[0] for name in manifest.names]
    np.testing.assert_allclose(manifest.read_mixture(track), sum(stems), atol=1e-6)


@pytest.mark.skipif(ffmpeg() is None, reason="needs ffmpeg")
def test_musdb18_of_containers(prepared, tmp_path):
    """Tracks of a .stem.mp4 are the mixture, drums, bass, other and vocals."""
    files = []
    for number, rows in enumerate((HIGH + LOW, [], LOW, [], HIGH)):
        files += ["-i", str(tmp_path / f"{number}.wav")]
        write(tmp_path / f"{number}.wav", rows)
    out = tmp_path / "in" / "test" / "Band - Song.stem.mp4"
    out.parent.mkdir(parents=True)
    maps = [word for number in range(5) for word in ("-map", f"{number}:a")]
    subprocess.run([ffmpeg(), "-v", "error", *files, *maps, "-c:a", "aac", str(out)], check=True)
    (out.parent / "Broken.stem.mp4").write_bytes(b"no container")
    manifest, text = prepared("musdb18")
    assert "left out: Broken: " in text and "no audio track 1 that ffmpeg can decode" in text
    (track,) = manifest.tracks
    bass = read_audio(manifest.stem_path(track, "bass"))[0]
    true = play(LOW, SECONDS, RATE)
    n = min(len(bass), len(true))
    assert np.corrcoef(bass[:n], true[:n])[0, 1] > 0.95


def test_moisesdb(prepared, tmp_path):
    song = tmp_path / "in" / "moisesdb_v0.1" / "0a1b"
    stems = []
    parts = {"bass": LOW, "bowed_strings": HIGH, "guitar": HIGH}
    for number, (name, rows) in enumerate(parts.items()):
        write(song / name / f"{number}.wav", rows)
        track = {"id": str(number), "extension": "wav", "trackType": f"{name}_x"}
        stems.append({"stemName": name, "tracks": [track]})
    write_text(song / "data.json", [json.dumps({"song": "X", "stems": stems})])
    evil = {"stemName": "..", "tracks": [{"id": "x", "extension": "wav", "trackType": "y"}]}
    write_text(song.with_name("2c") / "data.json", [json.dumps({"stems": [evil]})])
    manifest, text = prepared("moisesdb")
    assert "2c/data.json is not of MoisesDB: it names the file '..'" in text
    (track,) = manifest.tracks
    assert manifest.mixture == "song" and "residual" in track.stems
    rest = read_audio(manifest.stem_path(track, "residual"))[0]
    np.testing.assert_allclose(rest, play(HIGH, SECONDS, RATE), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("urmp", "AuSep_1_vn_01_Jupiter.wav"),
        ("phenicx", "annotations/beethoven/violin.txt"),
        ("guitarset", "annotation/00_BN1-129-Eb_comp.jams"),
        ("choralebricks", "tracks_normalized/01_tp.wav"),
        ("musdb18", "MUSDB18-HQ"),
        ("moisesdb", "data.json"),
    ],
)
def test_another_folder(run, tmp_path, name, expected):
    write(tmp_path / "in" / "songs" / "a.wav", LOW)
    status, text = run("prepare.py", name, tmp_path / "in", tmp_path / "out")
    assert status == 1 and "Traceback" not in text
    assert f"{tmp_path / 'in'} is not laid out like" in text and expected in text
    assert "found songs. Name the folder of the unpacked data set." in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("urmp", "missing", "out"), "missing: no such folder"),
        (("guitarset", ".", "out", "--align"), "--align: GuitarSet has no score besides its notes"),
        (("urmp", ".", "prepared"), "prepared is inside the input ."),
    ],
)
def test_invalid_options(run, options, message):
    status, text = run("prepare.py", *options)
    assert status == 1 and "Traceback" not in text and message in text


def test_tracks_of_another_data_set_are_not_mixed_in(run, prepared, tmp_path):
    urmp(tmp_path / "in")
    (tmp_path / "out_tracks" / "test" / "Other").mkdir(parents=True)
    status, text = run("prepare.py", "urmp", tmp_path / "in", tmp_path / "out")
    assert status == 1 and "contains Other, which is not a piece of URMP" in text


def test_a_piece_that_fails_later_is_no_track_any_more(prepared, run, tmp_path):
    """The written score is of another length and cannot be aligned."""
    urmp(tmp_path / "in")
    manifest, _ = prepared("urmp")
    places = [tmp_path / "in", tmp_path / "out"]
    status, text = run("prepare.py", "urmp", *places, "--align", "--sample_rate", RATE)
    assert status == 1 and "none of the 1 pieces" in text
    assert not list((tmp_path / "out_tracks").rglob("metadata.yaml"))


def test_rows(run, prepared, tmp_path):
    """All rows on a song with stems and score; the external separator knows one class only."""
    urmp(tmp_path / "in")
    prepared("urmp", "--classes", "bass=42;piano=40")
    half = tmp_path / "half.sh"
    half.write_text("mkdir -p $2/model && cp $1 $2/model/low.wav\n")
    command = f"Halved tool=sh {shlex.quote(str(half))} {{input}} {{output}}"
    status, text = run(
        "evaluate.py", tmp_path / "out", "--out", tmp_path / "results", "--quiet",
        "--external", command, "--external_stems", "Halved tool:bass=low",
    )  # fmt: skip
    assert status == 0, text
    metrics = pd.read_csv(tmp_path / "results" / "all_metrics.csv").set_index(["row", "instrument"])
    rows = ["input mixture", "ideal ratio mask", "score-informed", "network", "Halved tool"]
    assert list(dict.fromkeys(metrics.index.get_level_values("row"))) == rows
    assert list(metrics.loc["Halved tool"].index) == ["bass"]
    same = metrics.loc[[("input mixture", "bass"), ("Halved tool", "bass")]]
    kept = ["si_sdr", "note_f1", "note_leakage"]
    np.testing.assert_allclose(same[kept].iloc[0], same[kept].iloc[1], atol=1e-4)
    si_sdr = metrics.si_sdr.groupby("row").mean()
    assert si_sdr["input mixture"] < si_sdr["score-informed"] < si_sdr["ideal ratio mask"]
    table = (tmp_path / "results" / "tables.md").read_text()
    line = next(line for line in table.splitlines() if line.startswith("| Halved tool "))
    assert [cell.strip() for cell in line.split("|")[3:-1]] == ["—"] * 3  # piano, and the means
    assert "**Scores without stems, out**" in table


@pytest.fixture(scope="module")
def without_score(run, tmp_path_factory):
    """A prepared song of MUSDB18-HQ."""
    folder = tmp_path_factory.mktemp("musdb")
    musdb(folder / "in")
    places = [folder / "in", folder / "out"]
    status, text = run("prepare.py", "musdb18", *places, "--sample_rate", RATE, "--jobs", 1)
    assert status == 0, text
    return folder / "out"


def test_rows_without_a_score(run, without_score, tmp_path):
    options = ("--out", tmp_path / "results", "--quiet", "--reader", "none")
    status, text = run("evaluate.py", without_score, *options)
    assert status == 0, text
    metrics = pd.read_csv(tmp_path / "results" / "all_metrics.csv")
    assert set(metrics.row) == {"input mixture", "ideal ratio mask", "network"}
    assert set(metrics.instrument[metrics.row == "network"]) == {"bass"}
    assert "Scores without stems" not in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--external", "X=true {input}"), "lacks {output}"),
        (("--external", "X=true {input} {output}"), "X wrote no file named vocals, drums, bass"),
        (("--model", "x.pth"), "--model 'x.pth' is not of the form NAME=FILE"),
        (("--split", "train"), "has no tracks in the split 'train'"),
    ],
)
def test_errors_of_rows(run, without_score, tmp_path, options, message):
    given = ("--out", tmp_path / "r", "--quiet", "--reader", "none", *options)
    status, text = run("evaluate.py", without_score, *given)
    assert status == 1 and "Traceback" not in text and message in text
