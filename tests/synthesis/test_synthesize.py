"""Synthesized data sets: format, levels, labels, restarts."""

import argparse
import importlib
import json
import os
import shutil

import numpy as np
import pretty_midi
import pytest
import soundfile
import torch
import yaml
from torchaudio.functional import loudness

from asteroid_scoresup.data.slakh import find_slakh_tracks, read_slakh_track
from asteroid_scoresup.scripts import synthesize as command
from asteroid_scoresup.synthesis import slakh_writer
from asteroid_scoresup.synthesis.composer import ALL_PALETTE, TRAIN_PALETTE, UNSEEN_PALETTE
from asteroid_scoresup.synthesis.midi_folder import find_midi, split_files
from asteroid_scoresup.synthesis.mixing import measure_loudness, mix_stems
from asteroid_scoresup.synthesis.render import default_soundfont
from asteroid_scoresup.synthesis.slakh_writer import read_song
from asteroid_scoresup.synthesis.soundfont import Preset, Tone, write_soundfont
from asteroid_scoresup.synthesis.synthesize import synthesize

# The package exports the function of the same name.
synthesis = importlib.import_module("asteroid_scoresup.synthesis.synthesize")

SMALL = {
    "n_train": 2,
    "n_validation": 1,
    "n_test": 0,
    "n_test_unseen": 1,
    "seconds": 4.0,
    "sample_rate": 8000,
    "quiet": True,
}


def contents(folder):
    """Bytes of every file of a data set but the record of the call."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if path.name != "synthesis.json"
    }


def metadata(track):
    return yaml.safe_load((track / "metadata.yaml").read_text())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthesized") / "data"
    summary = synthesize(folder, jobs=1, **SMALL)
    assert summary["tracks"] == {"train": 2, "validation": 1, "test_unseen": 1}
    assert (summary["made"], summary["kept"], summary["skipped"]) == (4, 0, {})
    return folder


@pytest.fixture(scope="module")
def tracks(dataset):
    return [folder.path for folder in find_slakh_tracks(dataset)]


@pytest.fixture
def copy(dataset, tmp_path):
    return shutil.copytree(dataset, tmp_path / "copy")


@pytest.mark.slow
def test_the_format_is_that_of_slakh(dataset, tracks):
    assert [(t.parent.name, t.name) for t in tracks] == [
        ("test_unseen", "Track90001"),
        ("train", "Track00001"),
        ("train", "Track00002"),
        ("validation", "Track70001"),
    ]
    for track in tracks:
        facts = metadata(track)
        assert set(facts) == {
            *("UUID", "audio_dir", "generator", "lmd_midi_dir", "midi_dir", "overall_gain"),
            *("normalization_factor", "normalized", "stems", "target_peak"),
        }
        assert facts["generator"] == "asteroid_scoresup"
        assert facts["audio_dir"] == f"{track.name}/stems" and len(facts["UUID"]) == 32
        names = sorted(facts["stems"])
        assert names == [f"S{k:02d}" for k in range(len(names))]
        assert sorted(p.name for p in track.iterdir()) == [
            *("MIDI", "all_src.mid", "metadata.yaml", "mix.flac", "stems")
        ]
        assert sorted(p.stem for p in (track / "stems").iterdir()) == names
        assert sorted(p.stem for p in (track / "MIDI").iterdir()) == names
        for stem in facts["stems"].values():
            assert (
                stem["inst_class"] == ("Piano", "", "", "Guitar", "Bass")[stem["program_num"] // 8]
            )
            assert stem["plugin_name"] == "TimGM6mb.sf2" and stem["is_drum"] is False
        read = read_slakh_track(track)
        assert read.generated and not read.remarks
        for path in (track / "mix.flac", *(track / "stems").iterdir()):
            info = soundfile.info(path)
            assert (info.samplerate, info.channels, info.frames) == (8000, 1, 32000)
            assert info.subtype == "PCM_16"
    assert not list(dataset.rglob("*.partial"))


def test_unseen_programs_are_unseen(tracks):
    programs = {True: set(), False: set()}
    for track in tracks:
        unseen = track.parent.name == "test_unseen"
        programs[unseen] |= {s["program_num"] for s in metadata(track)["stems"].values()}
    every = [{*p.piano, *p.guitar, *p.bass} for p in (TRAIN_PALETTE, UNSEEN_PALETTE)]
    assert programs[False] <= every[0] and programs[True] <= every[1]


def test_the_mixture_is_the_sum_of_the_stems_and_peaks_at_minus_one(tracks):
    for track in tracks:
        mixture, _ = soundfile.read(track / "mix.flac")
        stems = [soundfile.read(path)[0] for path in (track / "stems").iterdir()]
        # Every file is rounded to 16 bits.
        assert (
            np.abs(np.sum(stems, axis=0) - mixture).max() <= (len(stems) + 1) * 0.5 / 32768 + 1e-9
        )
        peak = max(np.abs(signal).max() for signal in (mixture, *stems))
        assert 20 * np.log10(peak) == pytest.approx(-1.0, abs=0.01)


@pytest.mark.slow
def test_loudness_of_the_stems_is_minus_13_before_the_gains(tmp_path):
    synthesize(tmp_path / "d", **{**SMALL, "n_train": 1, "n_validation": 0}, level_spread=0.0)
    for folder in find_slakh_tracks(tmp_path / "d"):
        facts = metadata(folder.path)
        shared = 20 * np.log10(facts["overall_gain"])
        for name, stem in facts["stems"].items():
            audio, rate = soundfile.read(folder.path / "stems" / f"{name}.flac", dtype="float32")
            level = float(loudness(torch.from_numpy(audio)[None], rate))
            assert level - shared == pytest.approx(-13.0, abs=0.1)
            assert stem["integrated_loudness"] == pytest.approx(level, abs=0.1)


@pytest.mark.slow
def test_random_gains_have_the_requested_spread():
    rng, levels = np.random.default_rng(0), []
    noise = [rng.normal(size=8000).astype(np.float32) for _ in range(2)]
    for _ in range(150):
        stems = [noise[0].copy(), noise[1].copy()]
        mix_stems(stems, 8000, 3.0, rng)
        levels.append(np.subtract(*(measure_loudness(stem, 8000) for stem in stems)))
    assert np.std(levels) == pytest.approx(3.0 * np.sqrt(2), rel=0.2)
    assert np.abs(levels).max() < 15.01


def test_silent_and_very_short_stems():
    rng = np.random.default_rng(0)
    assert measure_loudness(np.zeros(8000, np.float32), 8000) == -np.inf
    assert measure_loudness(np.zeros(0, np.float32), 8000) == -np.inf
    short = np.full(100, 0.1, np.float32)  # shorter than a block of the measure
    assert measure_loudness(short, 8000) == pytest.approx(-20, abs=1e-3)
    faint = 1e-5 * rng.normal(size=16000).astype(np.float32)  # below its gate
    assert measure_loudness(faint, 8000) == pytest.approx(-100, abs=0.5)
    stems = [np.zeros(8000, np.float32), rng.normal(size=8000).astype(np.float32)]
    mixture, gain = mix_stems(stems, 8000, 2.5, rng)
    assert np.isfinite(mixture).all() and not stems[0].any() and gain > 0
    mixture, gain = mix_stems([np.zeros(8000, np.float32)], 8000, 2.5, rng)
    assert not mixture.any() and gain == 1.0


def test_midi_files_match_the_audio(tracks):
    """Programs and notes of the MIDI files are those of the stems, and onsets match the audio."""
    for track in tracks:
        everything = pretty_midi.PrettyMIDI(str(track / "all_src.mid"))
        stems = metadata(track)["stems"]
        assert [i.program for i in everything.instruments] == [
            stem["program_num"] for stem in stems.values()
        ]
        for index, (name, stem) in enumerate(stems.items()):
            (instrument,) = pretty_midi.PrettyMIDI(str(track / "MIDI" / f"{name}.mid")).instruments
            assert instrument.program == stem["program_num"]
            same = everything.instruments[index].notes
            assert [(n.pitch, n.start) for n in instrument.notes] == [
                (n.pitch, n.start) for n in same
            ]
            audio, rate = soundfile.read(track / "stems" / f"{name}.flac")
            first = min(note.start for note in instrument.notes)
            onset = np.argmax(np.abs(audio) > 0.02 * np.abs(audio).max()) / rate
            assert -0.002 < onset - first < 0.06, (track.name, name)


def test_bass_labels_are_at_the_sounding_octave(tracks):
    """Odd partials of the labels have energy, too. The basses of Slakh2100 are labeled an octave
    higher than they sound, so that theirs have none."""
    for track in tracks:
        name = next(n for n, s in metadata(track)["stems"].items() if s["inst_class"] == "Bass")
        audio, rate = soundfile.read(track / "stems" / f"{name}.flac")
        (bass,) = pretty_midi.PrettyMIDI(str(track / "MIDI" / f"{name}.mid")).instruments
        note = max(bass.notes, key=lambda note: note.end - note.start)
        tone = audio[int((note.start + 0.03) * rate) : int(note.end * rate)]
        power = np.abs(np.fft.rfft(tone * np.hanning(len(tone)), 2**16)) ** 2
        freqs = np.fft.rfftfreq(2**16, 1 / rate)
        f0 = pretty_midi.note_number_to_hz(note.pitch)
        width = 2 * rate / len(tone)
        odd, even = (
            sum(power[np.abs(freqs - k * f0) < min(width, 0.45 * f0)].sum() for k in ks)
            for ks in ((1, 3, 5), (2, 4, 6))
        )
        assert odd > 0.3 * even, track


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(dataset, tmp_path):
    synthesize(tmp_path / "parallel", jobs=2, **SMALL)
    assert contents(tmp_path / "parallel") == contents(dataset)


def test_another_seed_gives_other_songs(dataset, tmp_path):
    one = {**SMALL, "n_train": 1, "n_validation": 0, "n_test_unseen": 0}
    synthesize(tmp_path / "other", seed=1, jobs=1, **one)
    path = "train/Track00001/mix.flac"
    assert (tmp_path / "other" / path).read_bytes() != (dataset / path).read_bytes()


@pytest.mark.slow
def test_an_interrupted_call_is_resumed(dataset, copy, monkeypatch):
    whole = contents(copy)
    shutil.rmtree(copy / "train" / "Track00002")
    leftover = copy / "train" / ".Track00002.partial"
    (leftover / "stems").mkdir(parents=True)
    (leftover / "stems" / "S09.flac").write_bytes(b"half a fi")
    kept = (copy / "train" / "Track00001" / "mix.flac").stat().st_mtime_ns
    summary = synthesize(copy, jobs=1, **SMALL)
    assert (summary["made"], summary["kept"]) == (1, 3)
    assert contents(copy) == whole
    assert (copy / "train" / "Track00001" / "mix.flac").stat().st_mtime_ns == kept

    # Interrupted in the middle of a track: the track has not got its name.
    shutil.rmtree(copy / "train" / "Track00002")

    def die(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(slakh_writer, "write_midi", die)
    with pytest.raises(KeyboardInterrupt):
        synthesize(copy, jobs=1, **SMALL)
    assert not (copy / "train" / "Track00002").exists()


def test_a_data_set_grows_without_changing(copy):
    before = contents(copy)
    summary = synthesize(copy, jobs=1, **{**SMALL, "n_train": 3})
    assert (summary["made"], summary["kept"]) == (1, 4)
    after = contents(copy)
    assert {name: after[name] for name in before} == before
    with pytest.raises(ValueError, match="contains 1 tracks more than requested .such as Track0"):
        synthesize(copy, jobs=1, **SMALL)


@pytest.mark.slow
def test_other_settings_are_refused_without_overwrite(copy):
    changed = {**SMALL, "seconds": 3.0}
    with pytest.raises(ValueError, match=r"other settings \(seconds\): use --overwrite or another"):
        synthesize(copy, jobs=1, **changed)
    summary = synthesize(copy, jobs=1, overwrite=True, **changed)
    assert (summary["made"], summary["kept"]) == (4, 0)
    assert soundfile.info(copy / "train" / "Track00001" / "mix.flac").frames == 24000
    assert json.loads((copy / "synthesis.json").read_text())["settings"]["seconds"] == 3.0


def test_settings_with_the_names_of_earlier_versions_are_the_same(copy):
    record = json.loads((copy / "synthesis.json").read_text())
    settings = record["settings"]
    for name, earlier in (("color_db", "colour_db"), ("synthetic", "invented")):
        settings[earlier] = settings.pop(name)
    (copy / "synthesis.json").write_text(json.dumps(record))
    summary = synthesize(copy, jobs=1, **SMALL)
    assert (summary["made"], summary["kept"]) == (0, 4)
    assert {"color_db", "synthetic"} <= set(
        json.loads((copy / "synthesis.json").read_text())["settings"]
    )


def test_tracks_of_another_origin_are_never_touched(copy):
    path = copy / "train" / "Track00001" / "metadata.yaml"
    path.write_text(path.read_text().replace("generator: asteroid_scoresup\n", ""))
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="Track00001 was not made by this command"):
            synthesize(copy, jobs=1, overwrite=overwrite, **{**SMALL, "seconds": 3.0})
    assert path.exists()


@pytest.mark.slow
def test_songs_use_several_soundfonts(tmp_path):
    second = shutil.copy(default_soundfont(), tmp_path / "second.sf2")
    fonts = [default_soundfont(), second]
    many = {**SMALL, "n_train": 6, "n_validation": 0, "seconds": 1.0}
    synthesize(tmp_path / "d", jobs=1, soundfonts=fonts, unseen_soundfonts=second, **many)
    used = {"train": set(), "test_unseen": set()}
    for folder in find_slakh_tracks(tmp_path / "d"):
        used[folder.split] |= {s["plugin_name"] for s in metadata(folder.path)["stems"].values()}
    assert used == {"train": {"TimGM6mb.sf2", "second.sf2"}, "test_unseen": {"second.sf2"}}


def _small_font(path, programs):
    time = np.arange(4000) / 8000
    tone = Tone(60, 0.3 * np.sin(2 * np.pi * 261.6 * time), 8000)
    write_soundfont(path, path.stem, [Preset(program, "sine", (tone,)) for program in programs])
    return path


#: No effects on the sound, which take time.
DRY = {"synthetic": 0.0, "varispeed": 0.0, "color_db": 0.0}


@pytest.mark.slow
def test_parts_of_a_song_are_played_by_several_soundfonts(tmp_path):
    whole = _small_font(tmp_path / "whole.sf2", range(128))
    bass = _small_font(tmp_path / "bass.sf2", TRAIN_PALETTE.bass)
    other = _small_font(tmp_path / "other.sf2", UNSEEN_PALETTE.bass)
    fonts = {"soundfonts": [whole, bass, other], "mix_soundfonts": True}
    few = {**SMALL, **DRY, "n_train": 4, "seconds": 1.0, "validation_soundfonts": whole}
    synthesize(tmp_path / "d", jobs=1, **fonts, **few)
    used = {"train": set(), "validation": set(), "test_unseen": set()}
    for folder in find_slakh_tracks(tmp_path / "d"):
        facts = metadata(folder.path)["stems"].values()
        used[folder.split] |= {(s["inst_class"] == "Bass", s["plugin_name"]) for s in facts}
    # Only SoundFonts that have the program are drawn.
    assert used["train"] == {(False, "whole.sf2"), (True, "whole.sf2"), (True, "bass.sf2")}
    assert used["validation"] == {(False, "whole.sf2"), (True, "whole.sf2")}
    assert (True, "bass.sf2") not in used["test_unseen"]
    record = json.loads((tmp_path / "d" / "synthesis.json").read_text())["settings"]
    assert record["mix_soundfonts"] is True and len(record["validation_soundfonts"]) == 1
    with pytest.raises(ValueError, match=r"Track\d+ uses program .* bass.sf2 and other.sf2 lack: "):
        synthesize(tmp_path / "e", jobs=1, **{**fonts, "soundfonts": [bass, other]}, **few)


@pytest.mark.slow
def test_all_programs_may_be_in_all_splits(tmp_path):
    font = _small_font(tmp_path / "whole.sf2", range(128))
    many = {**SMALL, **DRY, "n_train": 12, "n_validation": 0, "seconds": 1.0, "soundfonts": font}
    synthesize(tmp_path / "d", jobs=1, programs="all", **many)
    tracks = [folder.path for folder in find_slakh_tracks(tmp_path / "d")]
    used = {s["program_num"] for track in tracks for s in metadata(track)["stems"].values()}
    for palette in (TRAIN_PALETTE, UNSEEN_PALETTE):
        assert used & {*palette.piano, *palette.guitar, *palette.bass}
    assert used <= {*ALL_PALETTE.piano, *ALL_PALETTE.guitar, *ALL_PALETTE.bass}


@pytest.mark.slow
def test_compressed_soundfonts_are_decoded_once(tmp_path, monkeypatch):
    calls = []

    def decode(font, target):
        calls.append(str(font))
        shutil.copy(default_soundfont(), target)

    monkeypatch.setattr(synthesis, "is_compressed", lambda font: font.suffix == ".sf3")
    monkeypatch.setattr(synthesis, "decode_soundfont", decode)
    font = shutil.copy(default_soundfont(), tmp_path / "a.sf3")
    few = {**SMALL, "n_validation": 0, "seconds": 1.0, "soundfonts": font}
    synthesize(tmp_path / "d", jobs=1, **few)
    assert calls == [str(font)]
    for folder in find_slakh_tracks(tmp_path / "d"):
        facts = metadata(folder.path)["stems"].values()
        assert {s["plugin_name"] for s in facts} == {"a.sf3"}
    assert synthesize(tmp_path / "d", jobs=1, **few)["kept"] == 3 and len(calls) == 1


# ------------------------------------------------------------------------------ folders of MIDI


def write_midi(path, *instruments, end=1.5):
    song = pretty_midi.PrettyMIDI()
    for program, pitch in instruments:
        part = pretty_midi.Instrument(max(program, 0), is_drum=program < 0, name=f"part {program}")
        part.notes = [pretty_midi.Note(100, pitch, 0.2, end)]
        song.instruments.append(part)
    path.parent.mkdir(parents=True, exist_ok=True)
    song.write(str(path))


@pytest.fixture
def midi_folder(tmp_path):
    folder = tmp_path / "songs"
    write_midi(folder / "a.mid", (33, 40), (25, 60), (0, 64), (-1, 36))
    write_midi(folder / "deep" / "b.MIDI", (48, 60))
    write_midi(folder / "empty.mid")
    (folder / "broken.mid").write_bytes(b"MThd\x00\x00\x00\x06\x00\x01")
    (folder / "notes.txt").write_text("no MIDI")
    return folder


def test_a_folder_of_midi_becomes_tracks(midi_folder, tmp_path):
    options = {"jobs": 1, "sample_rate": 8000, "quiet": True, "fractions": (1, 0, 0)}
    summary = synthesize(tmp_path / "out", midi_dir=midi_folder, **options)
    assert summary["tracks"] == {"train": 2}
    assert set(summary["skipped"]) == {"broken.mid", "empty.mid"}
    assert summary["skipped"]["empty.mid"] == "has no notes"
    assert "cannot be read as MIDI" in summary["skipped"]["broken.mid"]
    record = json.loads((tmp_path / "out" / "synthesis.json").read_text())
    assert record["skipped"] == summary["skipped"]
    found = {metadata(f.path)["lmd_midi_dir"]: f.path for f in find_slakh_tracks(tmp_path / "out")}
    assert set(found) == {"a.mid", "deep/b.MIDI"}
    stems = metadata(found["a.mid"])["stems"]
    assert [(s["program_num"], s["inst_class"], s["is_drum"]) for s in stems.values()] == [
        (33, "Bass", False),
        (25, "Guitar", False),
        (0, "Piano", False),
        (128, "Drums", True),
    ]
    (strings,) = metadata(found["deep/b.MIDI"])["stems"].values()
    assert strings["inst_class"] == "Strings (continued)"
    assert soundfile.info(found["a.mid"] / "mix.flac").duration == pytest.approx(2.5, abs=0.01)
    drums = pretty_midi.PrettyMIDI(str(found["a.mid"] / "MIDI" / "S03.mid")).instruments[0]
    assert drums.is_drum and drums.notes[0].pitch == 36
    again = synthesize(tmp_path / "out", midi_dir=midi_folder, **options)
    assert (again["made"], again["kept"]) == (0, 2)
    write_midi(midi_folder / "c.mid", (0, 60))
    with pytest.raises(ValueError, match=r"other settings \(files, files_digest\)"):
        synthesize(tmp_path / "out", midi_dir=midi_folder, **options)


def test_split_of_midi_files_is_seeded_and_complete(tmp_path):
    for k in range(20):
        (tmp_path / f"{k:02d}.mid").touch()
    files = find_midi(tmp_path)
    first = split_files(files, (0.7, 0.2, 0.1), seed=3)
    assert first == split_files(files, (0.7, 0.2, 0.1), seed=3)
    assert first != split_files(files, (0.7, 0.2, 0.1), seed=4)
    assert sorted(song[3] for song in first) == [name for name, _ in files]
    sizes = [sum(song[0] == split for song in first) for split in ("train", "validation", "test")]
    assert sizes == [14, 4, 2]


def test_long_files_are_cut(tmp_path):
    write_midi(tmp_path / "long.mid", (0, 60), end=50.0)
    song, seconds = read_song(tmp_path / "long.mid", max_seconds=2.0)
    assert seconds == 2.0 and song.instruments[0].notes[0].end == 2.0
    write_midi(tmp_path / "endless.mid", (0, 60), end=4000.0)
    with pytest.raises(ValueError, match="lasts 4001 s: set max_seconds"):
        read_song(tmp_path / "endless.mid")
    with pytest.raises(ValueError, match="no notes in its first 0.1 s"):
        read_song(tmp_path / "long.mid", max_seconds=0.1)


def test_a_folder_without_usable_midi_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="MIDI folder not found"):
        synthesize(tmp_path / "out", midi_dir=tmp_path / "nowhere")
    (tmp_path / "songs").mkdir()
    with pytest.raises(ValueError, match="no .mid or .midi file below"):
        synthesize(tmp_path / "out", midi_dir=tmp_path / "songs")
    (tmp_path / "songs" / "x.mid").write_bytes(b"no")
    with pytest.raises(ValueError, match="none of the 1 MIDI files .* x.mid cannot be read"):
        synthesize(tmp_path / "out", midi_dir=tmp_path / "songs", jobs=1, quiet=True)


# ------------------------------------------------------------------------------ options, command


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_train": -1}, "n_train is -1"),
        ({"n_train": 0, "n_validation": 0, "n_test": 0, "n_test_unseen": 0}, "no songs requested"),
        ({"n_test": 10001}, "too many tracks for test"),
        ({"seconds": 0.5}, "seconds is 0.5, expected at least 1"),
        ({"seed": -3}, "seed is -3"),
        ({"sample_rate": 10}, "sample_rate is 10, expected 4000 to 192000 Hz"),
        ({"jobs": 0}, "jobs is 0"),
        ({"level_spread": -1.0}, "level_spread is -1.0"),
        ({"max_seconds": 0.1}, "max_seconds is 0.1"),
        ({"fractions": (1, 0)}, "fractions are"),
        ({"renderer": "timidity"}, "unknown renderer"),
        ({"programs": "some"}, "programs is 'some', expected split or all"),
        ({"mixing": "loud"}, "mixing is 'loud', expected plain or produced"),
        ({"mixing": "produced", "sample_rate": 9000}, "no sample rate of 9000 Hz: use one of 8000"),
    ],
)
def test_bad_options_are_named_and_nothing_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        synthesize(tmp_path / "out", **options)
    with pytest.raises(FileNotFoundError, match="SoundFont not found"):
        synthesize(tmp_path / "out", soundfonts=[tmp_path / "missing.sf2"])
    assert not (tmp_path / "out").exists()


def parse(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_the_command_writes_a_data_set(tmp_path, capsys):
    flags = "--n_train 1 --n_validation 0 --n_test 0 --n_test_unseen 0 --seconds 1 --drums"
    args = parse(tmp_path / "d", *flags.split(), "--sample_rate", 8000, "--jobs", 1)
    assert command.run(args) == 0
    assert "train 1 (1 made, 0 kept)" in capsys.readouterr().out
    (track,) = find_slakh_tracks(tmp_path / "d")
    assert "Drums" in {s["inst_class"] for s in metadata(track.path)["stems"].values()}


def test_the_command_refuses_flags_that_contradict(tmp_path):
    with pytest.raises(ValueError, match="--n_test is for composed songs"):
        command.run(parse(tmp_path / "d", "--midi_dir", tmp_path, "--n_test", 3))
    with pytest.raises(ValueError, match="--max_seconds is for the files of --midi_dir"):
        command.run(parse(tmp_path / "d", "--max_seconds", 3))
    assert not os.listdir(tmp_path)
