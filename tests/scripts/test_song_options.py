"""Options of `separate` and `transcribe`, as people know them from demucs and basic-pitch."""

import csv
import shutil
import subprocess
import threading

import numpy as np
import pretty_midi
import pytest
import soundfile as sf
import torch
from tiny import NAMES, NET, transcriptor

from asteroid_scoresup.engine import save_model
from asteroid_scoresup.inference import OutputOptions, Separator, process_songs
from asteroid_scoresup.inference.threads import map_in_threads
from asteroid_scoresup.models import PitchTranscriptor, TCNSeparator, pack
from asteroid_scoresup_cli import VERBS, main


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    decoding = {
        "threshold": [0.01] * 3,
        "min_seconds": [0.0] * 3,
        "max_gap_seconds": [0.0] * 3,
    }
    save_model(pack(TCNSeparator(NAMES, **NET), transcriptor(), decoding), tmp_path / "pair.pth")
    return str(tmp_path / "pair.pth")


@pytest.fixture
def songs(tmp_path):
    paths = []
    for number in range(3):
        paths.append(str(tmp_path / "album" / f"song{number}.wav"))
        (tmp_path / "album").mkdir(exist_ok=True)
        noise = 0.1 * np.random.default_rng(number).standard_normal((4000, 2))
        sf.write(paths[-1], noise, 4000, "FLOAT")
    return paths


def audio_in(folder):
    """Samples of the audio files below a folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): sf.read(path)[0]
        for path in folder.rglob("*.*")
        if path.suffix in (".wav", ".flac", ".mp3")
    }


def test_a_template_names_the_stems(model, songs, tmp_path, capsys):
    out, template = tmp_path / "out", "{stem}/{track}-{trackext}.{ext}"
    arguments = ["separate", *songs[:2], "-n", model, "-o", str(out), "--filename", template]
    assert main([*arguments, "--flac"]) == 0
    expected = {f"{name}/song{i}-wav.flac" for name in NAMES for i in range(2)}
    assert set(audio_in(out)) == expected
    capsys.readouterr()
    assert main([*arguments, "--flac"]) == 0
    assert capsys.readouterr().out.count("0 written (3 kept") == 2
    # Another song of the same name does not replace them.
    sf.write(songs[0], np.ones(4000), 4000)
    assert main([*arguments, "--flac"]) == 1
    assert "contains the results of another song" in capsys.readouterr().err
    assert main([*arguments[:-1], "../{track}{stem}.{ext}"]) == 1
    assert "leaves the folder of the results" in capsys.readouterr().err


def test_songs_side_by_side_have_the_same_stems(model, songs, tmp_path, capsys):
    for jobs in ("1", "3"):
        out = ["-o", str(tmp_path / jobs), "-j", jobs, "--csv"]
        assert main(["separate", *songs, "no.wav", "-n", model, *out]) == 1
        printed = capsys.readouterr()
        assert "no.wav" in printed.err and printed.out.count("4 written") == 3
    one, three = audio_in(tmp_path / "1"), audio_in(tmp_path / "3")
    assert one.keys() == three.keys() and len(one) == 9
    for name in one:
        np.testing.assert_allclose(three[name], one[name], atol=1e-6)
    assert main(["separate", *songs, "-n", model, "-j", "0"]) == 1
    assert "--jobs is 0, expected 1 or more" in capsys.readouterr().err


def test_an_interruption_stops_the_other_songs(songs, tmp_path):
    separator = Separator(TCNSeparator(NAMES, **NET), core_seconds=0.1)
    reached, n_reports = threading.Event(), []

    def progress(name, done, total):
        n_reports.append(name)
        reached.set()
        threading.Event().wait(0.02)

    results = process_songs(separator, songs, tmp_path / "o", OutputOptions(), progress, jobs=2)

    def interrupt():
        assert reached.wait(20)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for number, _ in enumerate(results):
            if number == 0:
                interrupt()
    results.close()
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPool"):
            thread.join(20)
    assert len(n_reports) < 30  # three songs of ten chunks
    assert not list((tmp_path / "o").rglob(".*.part*"))


def test_threads_return_results_in_order_and_share_the_cores():
    available, seen = torch.get_num_threads(), []

    def work(item, check):
        check()
        seen.append(torch.get_num_threads())
        return -item

    assert list(map_in_threads(work, [3, 1, 2], jobs=2)) == [-3, -1, -2]
    assert set(seen) == {max(available // 2, 1)} and torch.get_num_threads() == available


def test_models_are_listed(capsys):
    assert main(["separate", "--list-models"]) == 0
    assert "band" in capsys.readouterr().out
    for verb in ("separate", "transcribe"):
        with pytest.raises(SystemExit) as stop:
            main([verb])
        assert stop.value.code == 2
        assert "the following arguments are required: songs" in capsys.readouterr().err


def notes_in(path):
    """Rows of a table of notes, as (class, pitch, start, end, velocity)."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        (r["class"], int(r["pitch_midi"]), float(r["start_time_s"]), float(r["end_time_s"]),
         int(r["velocity"]))
        for r in rows
    ]  # fmt: skip


def test_the_table_of_notes_is_that_of_the_midi_file(model, songs, tmp_path):
    out = tmp_path / "out"
    assert main(["transcribe", songs[0], "-n", model, "-o", str(out), "--csv"]) == 0
    midi = pretty_midi.PrettyMIDI(str(out / "song0" / "score.mid"))
    expected = sorted(
        (part.name, note.pitch, note.start, note.end, note.velocity)
        for part in midi.instruments
        for note in part.notes
    )
    found = notes_in(out / "song0" / "score.csv")
    assert [row[2] for row in found] == sorted(row[2] for row in found) and len(found) > 10
    assert [row[:2] for row in sorted(found)] == [row[:2] for row in expected]
    # A tick of the MIDI file is half a millisecond.
    np.testing.assert_allclose(
        [row[2:] for row in sorted(found)], [row[2:] for row in expected], atol=1e-3
    )


def test_the_table_of_a_score_has_its_notes(songs, tmp_path):
    midi = pretty_midi.PrettyMIDI()
    for program, pitch in ((33, 40), (0, 60), (73, 72)):  # no class has flutes
        midi.instruments.append(pretty_midi.Instrument(program))
        midi.instruments[-1].notes.append(pretty_midi.Note(90, pitch, 0.25, 0.75))
    midi.write(str(tmp_path / "score.mid"))
    out = ["-o", str(tmp_path / "out"), "--score", str(tmp_path / "score.mid")]
    assert main(["separate", songs[0], *out, "--align", "never", "--csv", "--only", "bass"]) == 0
    found = notes_in(tmp_path / "out" / "song0" / "score.csv")
    assert found == [("bass", 40, 0.25, 0.75, 90), ("piano", 60, 0.25, 0.75, 90)]


def test_thresholds_select_notes_by_class(model, songs, tmp_path, capsys):
    def run(name, *options):
        out = ["-o", str(tmp_path / name), "-n", model, "--csv", *options]
        assert main(["transcribe", songs[0], *out]) == 0
        return notes_in(tmp_path / name / "song0" / "score.csv")

    plain, none = run("plain"), run("none", "--threshold", "1")
    bass = run("bass", "--threshold", "bass=1")
    short = run("short", "--min-note", "guitar=60")
    assert {row[0] for row in plain} == set(NAMES) and not none
    assert {row[0] for row in bass} == set(NAMES[1:])
    assert {row[0] for row in short} == {"bass", "piano"}
    for option, value, message in (
        ("--threshold", "2", "--threshold has the value '2', expected a number from 0 to 1"),
        ("--threshold", "flute=0.3", "--threshold names 'flute', but the classes are bass, "),
        ("--onset-threshold", "0.5", "the transcriptor of this model predicts no onsets"),
        ("--min-note", "x", "--min-note has the value 'x', expected a number from 0 to 60"),
    ):
        assert main(["transcribe", songs[0], "-n", model, option, value]) == 1
        assert message in capsys.readouterr().err


def test_onsets_have_a_threshold_of_their_own(songs, tmp_path):
    torch.manual_seed(0)
    pair = pack(TCNSeparator(NAMES, **NET), PitchTranscriptor(NAMES, **NET))
    save_model(pair, tmp_path / "pair.pth")
    counts = []
    for onset in ("0.001", "1"):
        out = ["-o", str(tmp_path / onset), "-n", str(tmp_path / "pair.pth"), "--csv"]
        thresholds = ["--threshold", "0.001", "--onset-threshold", onset, "--min-note", "0"]
        assert main(["transcribe", songs[0], *out, *thresholds]) == 0
        counts.append(len(notes_in(tmp_path / onset / "song0" / "score.csv")))
    assert counts[0] > 3 and counts[1] == 0


@pytest.mark.parametrize(
    "options, message",
    [
        (["--mp3-bitrate", "128"], "--mp3-bitrate is for --mp3, and the format is wav32f"),
        (["--threshold", "0.5"], "--threshold is for notes: add --midi, --csv or --report"),
        (["--min-note", "0.1"], "--min-note is for notes: add --midi, --csv or --report"),
        (["--score", "x.mid", "--csv", "--threshold", "0.5"], "--threshold is for models"),
        (["--filename", "{stem}.{ext}"], "would give several stems one name"),
    ],
)
def test_options_that_would_do_nothing_are_refused(songs, options, message, capsys):
    assert main(["separate", songs[0], *options]) == 1
    assert message in capsys.readouterr().err


def test_mp3_on_the_command_line(model, songs, tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    sf.write(songs[0], noise, 16000)
    out = ["-o", str(tmp_path / "out"), "--two-stems", "bass", "--mp3", "--mp3-bitrate", "96"]
    assert main(["separate", songs[0], "-n", model, *out, "--clip-mode", "clamp"]) == 0
    found = audio_in(tmp_path / "out")
    assert set(found) == {"song0/bass.mp3", "song0/without_bass.mp3"}
    assert {len(samples) for samples in found.values()} == {16000}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_scripts_know_every_command(shell, capsys):
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(verb in script for verb in VERBS)
    assert "--clip-mode" in script and "--two-stems" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_completion_without_shtab_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "pip install 'asteroid-scoresup[completion]'" in capsys.readouterr().err
