"""Song files in, folders out: formats, levels, names, existing files, failures."""

import contextlib
import json
import re
import resource
import shutil
import signal
import sys

import numpy as np
import pretty_midi
import pytest
import soundfile as sf
import torch
from tiny import NAMES, NET, RATE, transcriptor

from asteroid_scoresup.evaluation import Decoding
from asteroid_scoresup.inference import (
    OutputOptions,
    Separator,
    encoding,
    process_song,
    processing,
)
from asteroid_scoresup.inference.inputs import find_audio_files
from asteroid_scoresup.inference.processing import process_songs
from asteroid_scoresup.inference.record import RECORD, ResultsRecord, describe_song
from asteroid_scoresup.inference.stem_writer import FORMATS
from asteroid_scoresup.models import TCNSeparator
from asteroid_scoresup.utils.locks import folder_lock
from asteroid_scoresup_cli import main


@pytest.fixture
def separator():
    torch.manual_seed(0)
    decoding = Decoding((0.01,) * 3, (0.0,) * 3, (0.0,) * 3)
    return Separator(TCNSeparator(NAMES, **NET), transcriptor(), decoding, core_seconds=1)


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "song.flac"
    rng = np.random.default_rng(0)
    sf.write(path, 0.1 * rng.standard_normal((30000, 2)), 11025)
    return path


def test_stems_and_residual_add_up_sample_for_sample(separator, song, tmp_path):
    result = process_song(separator, song, tmp_path / "out", OutputOptions(residual=True))
    assert [path.name for path in result.written] == [f"{n}.wav" for n in (*NAMES, "residual")]
    mixture, rate = sf.read(song, dtype="float32")
    parts = [sf.read(path, dtype="float32") for path in result.written]
    assert {rate for _, rate in parts} == {11025}
    total = sum(audio for audio, _ in parts)
    np.testing.assert_allclose(total, mixture, atol=2 * np.finfo(np.float32).eps)
    in_memory = separator.separate(mixture.T, rate)
    for path in result.written[:-1]:
        np.testing.assert_array_equal(sf.read(path, dtype="float32")[0].T, in_memory[path.stem])


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_has_its_container_and_sample_type(separator, song, tmp_path, name):
    result = process_song(separator, song, tmp_path / "out", OutputOptions(file_format=name))
    suffix, container, subtype = FORMATS[name]
    for path in result.written:
        info = sf.info(path)
        assert (path.suffix, info.format, info.subtype) == (suffix, container, subtype)
        assert (info.frames, info.channels, info.samplerate) == (30000, 2, 11025)


def test_midi_only_writes_no_stems(separator, song, tmp_path):
    options = OutputOptions(stems=False, midi=True)
    result = process_song(separator, song, tmp_path / "out", options)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"score.mid", RECORD}
    midi = pretty_midi.PrettyMIDI(str(result.written[0]))
    assert [part.name for part in midi.instruments] == list(NAMES)
    notes = [note for part in midi.instruments for note in part.notes]
    assert notes and max(note.end for note in notes) < 30000 / 11025 + 0.1
    assert len({note.velocity for note in notes}) > 1


def test_the_page_holds_the_stems_and_their_notes(separator, song, tmp_path):
    options = OutputOptions(page=True, residual=True)
    result = process_song(separator, song, tmp_path / "out", options)
    assert result.written[-1] == tmp_path / "out" / "page" / "index.html"
    page = result.written[-1].read_text()
    assert "song.flac" in page and all(name in page for name in (*NAMES, "residual"))
    assert len(list((result.written[-1].parent / "audio").glob("*.flac"))) == 5


def test_existing_files_are_kept_unless_overwriting_is_requested(separator, song, tmp_path):
    folder = tmp_path / "out"
    process_song(separator, song, folder, OutputOptions())
    (folder / "bass.wav").write_text("mine")
    (folder / "piano.wav").unlink()
    result = process_song(separator, song, folder, OutputOptions(midi=True))
    assert [path.name for path in result.written] == ["piano.wav", "score.mid"]
    assert [path.name for path in result.kept] == ["bass.wav", "guitar.wav"]
    assert (folder / "bass.wav").read_text() == "mine"
    assert process_song(separator, song, folder, OutputOptions()).written == []
    process_song(separator, song, folder, OutputOptions(overwrite=True))
    assert sf.info(folder / "bass.wav").frames == 30000


def test_a_failed_run_leaves_no_incomplete_file(separator, song, tmp_path, monkeypatch):
    written, write = [], sf.SoundFile.write

    def fails_late(self, data):
        written.append(len(data))
        if len(written) > 4:
            raise sf.LibsndfileError(2, "no space")
        return write(self, data)

    folder = tmp_path / "out"
    process_song(separator, song, folder, OutputOptions())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(sf.SoundFile, "write", fails_late)
    with pytest.raises(ValueError, match=r"song.flac: .*out/.* cannot be written: ") as caught:
        process_song(separator, song, folder, OutputOptions(overwrite=True))
    assert re.search(r"full\? [\d.]+ MB are free there\.$", str(caught.value))
    assert str(caught.value).count("cannot be written") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_that_cannot_be_created_is_named(separator, song, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"song.flac: .*file/out cannot be written"):
        process_song(separator, song, tmp_path / "file" / "out", OutputOptions())


def test_a_song_with_infinite_samples_at_its_end_is_named(separator, tmp_path):
    audio = np.zeros(3 * RATE, dtype=np.float32)
    audio[-1] = np.inf
    sf.write(tmp_path / "song.wav", audio, RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"song.wav contains NaN or infinite samples"):
        process_song(separator, tmp_path / "song.wav", tmp_path / "out", OutputOptions())
    assert not list(tmp_path.glob("out/*"))


def test_two_processes_do_not_write_to_one_folder(separator, song, tmp_path):
    folder = tmp_path / "out"
    with folder_lock(folder, "separate", keep=False):
        with pytest.raises(
            ValueError, match=r"song.flac: .*out is in use by another process \(sep"
        ):
            process_song(separator, song, folder, OutputOptions())
        assert sorted(path.name for path in folder.iterdir()) == [".lock", ".lock.holder"]
    assert not any(folder.iterdir())
    process_song(separator, song, folder, OutputOptions())
    assert not list(folder.glob(".*"))


def test_results_that_another_process_wrote_in_the_meantime_are_not_mixed(
    separator, song, tmp_path, monkeypatch
):
    folder, lock = tmp_path / "out", processing.folder_lock
    other = noise_file(tmp_path / "other.wav", 3)

    @contextlib.contextmanager
    def late(*args, **kwargs):
        monkeypatch.setattr(processing, "folder_lock", lock)
        process_song(separator, other, folder, OutputOptions())
        with lock(*args, **kwargs):
            yield

    monkeypatch.setattr(processing, "folder_lock", late)
    with pytest.raises(ValueError, match="song.flac: another process has written to .*out in the"):
        process_song(separator, song, folder, OutputOptions())
    assert process_song(separator, other, folder, OutputOptions()).written == []


def test_odd_names_and_broken_links_are_not_skipped_silently(separator, tmp_path):
    noise_file(tmp_path / "in" / "...wav", 0)
    for hidden in ("._song.wav", ".trash.wav"):
        (tmp_path / "in" / hidden).touch()
    (tmp_path / "in" / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "in" / "gone.flac").symlink_to("nowhere.flac")
    found = process_songs(separator, [tmp_path / "in"], tmp_path / "out", OutputOptions())
    results = {path.name: result for path, result in found}
    assert sorted(results) == ["...wav", "gone.flac", "loop.wav"]
    assert len(results["...wav"].written) == 3
    assert str(results["gone.flac"]).endswith("gone.flac: no such file.")
    assert "loop.wav cannot be read: Too many levels" in str(results["loop.wav"])


def test_songs_with_equal_names_get_unique_folders(tmp_path):
    for name in ("a/song.wav", "a/song.mp3", "b/song.wav", "other.flac", "a/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = find_audio_files([tmp_path, tmp_path / "other.flac"])
    names = {str(path.relative_to(tmp_path)): name for path, name in found}
    assert names == {
        "a/song.wav": "a_song.wav",
        "a/song.mp3": "song.mp3",
        "b/song.wav": "b_song.wav",
        "other.flac": "other",
    }
    # Results of an earlier run in the same folder are not songs.
    found = find_audio_files([tmp_path], out_dir=tmp_path / "a")
    assert {path.relative_to(tmp_path).as_posix() for path, _ in found} == {
        "b/song.wav",
        "other.flac",
    }


def test_a_song_that_fails_does_not_stop_the_others(separator, song, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.wav").write_text("no audio")
    paths = [tmp_path / "empty", tmp_path / "bad.wav", song]
    results = dict(process_songs(separator, paths, tmp_path / "out", OutputOptions()))
    assert "empty is a folder without audio files" in str(results[tmp_path / "empty"])
    assert "bad.wav cannot be read as audio" in str(results[tmp_path / "bad.wav"])
    assert len(results[song].written) == 3


def test_a_song_is_never_overwritten_by_its_own_stem(separator, tmp_path):
    path = tmp_path / "bass" / "bass.wav"
    path.parent.mkdir()
    sf.write(path, np.zeros(4000), RATE)
    with pytest.raises(ValueError, match="bass.wav is the song and would be overwritten"):
        process_song(separator, path, path.parent, OutputOptions(overwrite=True))
    assert not sf.read(path)[0].any()


def test_a_residual_fits_the_existing_stems(separator, song, tmp_path):
    process_song(separator, song, tmp_path / "out", OutputOptions(file_format="wav16"))
    process_song(separator, song, tmp_path / "out", OutputOptions(residual=True))
    mixture, _ = sf.read(song, dtype="float32")
    parts = [sf.read(path, dtype="float32")[0] for path in (tmp_path / "out").glob("*.wav")]
    np.testing.assert_allclose(sum(parts), mixture, atol=3e-7)
    sf.write(tmp_path / "out" / "bass.wav", np.zeros(100), 11025)
    (tmp_path / "out" / "residual.wav").unlink()
    with pytest.raises(ValueError, match="bass.wav exists and is not a stem of"):
        process_song(separator, song, tmp_path / "out", OutputOptions(residual=True))


def test_large_files_have_64_bit_sizes(separator, song, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "_LARGEST_WAV", 100_000)
    result = process_song(separator, song, tmp_path / "out", OutputOptions())
    assert {sf.info(path).format for path in result.written} == {"RF64"}
    assert sf.read(result.written[0])[0].shape == (30000, 2)


def test_more_channels_than_flac_holds_are_refused_before_the_work(separator, tmp_path):
    sf.write(tmp_path / "nine.wav", np.zeros((400, 9)), RATE)
    with pytest.raises(ValueError, match="nine.wav has 9 channels"):
        process_song(
            separator, tmp_path / "nine.wav", tmp_path / "o", OutputOptions(file_format="flac")
        )


def test_a_page_of_more_channels_than_flac_holds_is_refused_before_the_work(separator, tmp_path):
    sf.write(tmp_path / "nine.wav", np.zeros((400, 9)), RATE)
    with pytest.raises(ValueError, match="nine.wav has 9 channels.*leave out --report"):
        process_song(separator, tmp_path / "nine.wav", tmp_path / "o", OutputOptions(page=True))
    assert not (tmp_path / "o").exists()


def noise_file(path, seed, n_samples=12000, scale=0.1):
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = scale * np.random.default_rng(seed).standard_normal(n_samples)
    sf.write(path, wave, RATE, format="WAV", subtype="FLOAT")
    return path


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_songs_with_equal_names_do_not_mix(separator, tmp_path):
    """Same name, length and folder: the second song gets no result of the first."""
    a, b = (noise_file(tmp_path / name / "01.wav", i) for i, name in enumerate("AB"))
    out = tmp_path / "out" / "01"
    process_song(separator, a, out, OutputOptions())
    before = contents(out)
    for options in (
        OutputOptions(),
        OutputOptions(residual=True),
        OutputOptions(midi=True),
        OutputOptions(stems=False, midi=True),
        OutputOptions(file_format="flac"),
    ):
        with pytest.raises(
            ValueError, match=r"B/01.wav: .*01 contains the results of another song"
        ) as e:
            process_song(separator, b, out, options)
        assert f"({a})" in str(e.value)  # the whole path: the names are equal
        assert contents(out) == before
    process_song(separator, a, out, OutputOptions(residual=True, midi=True))
    result = process_song(separator, b, out, OutputOptions(overwrite=True))
    assert len(result.written) == 3
    # The other results of the first song were removed.
    assert sorted(contents(out)) == ["bass.wav", "guitar.wav", "piano.wav", RECORD]
    process_song(separator, b, out, OutputOptions(residual=True))
    parts = [sf.read(path, dtype="float32")[0] for path in out.glob("*.wav")]
    np.testing.assert_allclose(sum(parts), sf.read(b, dtype="float32")[0], atol=3e-7)


def test_a_song_that_was_moved_or_renamed_keeps_its_results(separator, tmp_path):
    song = noise_file(tmp_path / "a.wav", 0)
    process_song(separator, song, tmp_path / "out", OutputOptions())
    moved = tmp_path / "b.wav"
    song.rename(moved)
    assert process_song(separator, moved, tmp_path / "out", OutputOptions()).written == []


def test_results_of_another_model_are_not_kept(separator, song, tmp_path):
    process_song(separator, song, tmp_path / "out", OutputOptions(midi=True))
    torch.manual_seed(1)
    other = Separator(TCNSeparator(NAMES, **NET), separator.transcriptor, separator.decoding)
    with pytest.raises(ValueError, match="bass.wav exists and was made with another model"):
        process_song(other, song, tmp_path / "out", OutputOptions())
    coarse = Separator(separator.model, separator.transcriptor, precision="bfloat16")
    with pytest.raises(ValueError, match="was made with another precision"):
        process_song(coarse, song, tmp_path / "out", OutputOptions(residual=True))
    other_transcriptor = Separator(separator.model, transcriptor(seed=3), separator.decoding)
    assert process_song(other_transcriptor, song, tmp_path / "out", OutputOptions()).written == []
    with pytest.raises(ValueError, match="score.mid exists and was made with another transc"):
        process_song(other_transcriptor, song, tmp_path / "out", OutputOptions(midi=True))


def test_a_folder_of_an_older_version_is_identified_by_its_stems(separator, tmp_path):
    song = noise_file(tmp_path / "a.wav", 0)
    process_song(separator, song, tmp_path / "out", OutputOptions(midi=True))
    (tmp_path / "out" / RECORD).unlink()
    assert len(process_song(separator, song, tmp_path / "out", OutputOptions()).kept) == 3
    with pytest.raises(ValueError, match="score.mid exists, and there is no separation.json"):
        process_song(separator, song, tmp_path / "out", OutputOptions(stems=False, midi=True))
    longer = noise_file(tmp_path / "b.wav", 0, 12001)
    with pytest.raises(ValueError, match="bass.wav exists and is not a stem of"):
        process_song(separator, longer, tmp_path / "out", OutputOptions())


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 1, "song": {}, "files": 3}', '{"version": 1, "song": 1}']
)
def test_a_damaged_record_is_ignored(separator, song, tmp_path, text):
    process_song(separator, song, tmp_path / "out", OutputOptions())
    (tmp_path / "out" / RECORD).write_text(text)
    assert len(process_song(separator, song, tmp_path / "out", OutputOptions()).kept) == 3


def test_files_outside_the_folder_are_never_removed(separator, song, tmp_path):
    (tmp_path / "mine.wav").write_text("mine")
    (tmp_path / "out").mkdir()
    names = ["../mine.wav", str(tmp_path / "mine.wav"), "..", "sub/../../mine.wav"]
    record = {
        "version": 1,
        "song": {"name": "x", "size": 1, "sha256": "0"},
        "files": dict.fromkeys(names, {}),
    }
    (tmp_path / "out" / RECORD).write_text(json.dumps(record))
    process_song(separator, song, tmp_path / "out", OutputOptions(overwrite=True))
    assert (tmp_path / "mine.wav").read_text() == "mine"


def test_files_of_an_interrupted_run_are_written_again(separator, song, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_, **__):
        raise Killed

    folder = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(processing, "open_stem_writer", killed)
        patch.setattr(ResultsRecord, "_write", lambda self: None)
        with pytest.raises(Killed):
            process_song(separator, song, folder, OutputOptions())
    # As if killed after the stems were renamed and before the record was updated.
    record = ResultsRecord.read(folder)
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        (folder / f"{name}.wav").write_text("of an unknown song")
    with pytest.raises(Killed), record.writing(describe_song(song), ["bass.wav"]) as done:
        done({})
        shutil.copy(folder / RECORD, tmp_path / "kept.json")
        raise Killed
    names = {f"{name}.wav": None for name in NAMES}
    content = json.loads((tmp_path / "kept.json").read_text())
    content["files"] = names
    (folder / RECORD).write_text(json.dumps(content))
    assert len(process_song(separator, song, folder, OutputOptions()).written) == 3


@pytest.mark.parametrize("name", ["flac", "wav32f"])
def test_a_full_disk_leaves_no_truncated_stem(separator, song, tmp_path, name):
    whole = process_song(separator, song, tmp_path / "whole", OutputOptions(file_format=name))
    sizes = [path.stat().st_size for path in whole.written]
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for left_out in (1, 500, 5000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (max(sizes) - left_out, limits[1]))
            with pytest.raises(ValueError, match="song.flac: .*(cannot be|was not) written"):
                process_song(separator, song, tmp_path / "out", OutputOptions(file_format=name))
            assert not (tmp_path / "out").exists() or not contents(tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    result = process_song(separator, song, tmp_path / "out", OutputOptions(file_format=name))
    assert len(result.written) == 3


def test_names_stay_in_the_folder_of_results(separator, tmp_path, monkeypatch):
    for i, name in enumerate(["...wav", "....wav", ". .wav", "..  .wav", "a..wav", "a\\..\\b.wav"]):
        noise_file(tmp_path / "songs" / name, i, 2000)
    monkeypatch.chdir(tmp_path / "songs")
    arguments = [f"./{path.name}" for path in sorted((tmp_path / "songs").iterdir())]
    out = tmp_path / "results" / "inner"
    results = dict(process_songs(separator, arguments, out, OutputOptions()))
    assert len(results) == 6 and not any(isinstance(m, Exception) for m in results.values())
    folders = {result.folder.resolve() for result in results.values()}
    assert len(folders) == 6 and {folder.parent for folder in folders} == {out.resolve()}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results", "songs"]


def test_names_that_are_too_long_fail_alone_or_are_shortened(separator, tmp_path):
    song = noise_file(tmp_path / "song.wav", 0, 2000)
    names = ["x" * 251, "é" * 120, "x" * 245 + "_" + "y" * 5]
    long = [noise_file(tmp_path / f"{name}.wav", i, 2000) for i, name in enumerate(names)]
    impossible = tmp_path / ("z" * 300 + ".wav")
    arguments = [impossible, *long, song]
    results = dict(process_songs(separator, arguments, tmp_path / "out", OutputOptions(midi=True)))
    assert "too long" in str(results.pop(impossible)) and len(results) == 4
    assert all(len(result.written) == 4 for result in results.values())
    assert len({result.folder for result in results.values()}) == 4


def test_unexpected_errors_do_not_stop_the_other_songs(separator, song, tmp_path, monkeypatch):
    sf.write(tmp_path / "odd.wav", np.zeros(1000), 500)
    other = noise_file(tmp_path / "other.wav", 0)
    process = processing.process_song

    def fails(separator, path, *args):
        if path == other:
            raise ZeroDivisionError("division by zero")
        return process(separator, path, *args)

    monkeypatch.setattr(processing, "process_song", fails)
    arguments = [tmp_path / "odd.wav", other, song]
    results = dict(process_songs(separator, arguments, tmp_path / "out", OutputOptions(page=True)))
    assert "odd.wav has a sample rate of 500 Hz" in str(results[tmp_path / "odd.wav"])
    assert str(results[other]) == f"{other}: ZeroDivisionError: division by zero."
    assert len(results[song].written) == 4


@pytest.mark.parametrize("rate", [4000, 44101, 192001])
@pytest.mark.slow
def test_odd_rates_are_separated_and_shown(separator, tmp_path, rate):
    wave = 0.1 * np.random.default_rng(0).standard_normal((rate, 2))
    sf.write(tmp_path / "song.wav", wave, rate)
    if rate == 192001:
        for refused in (OutputOptions(page=True), OutputOptions(file_format="flac")):
            with pytest.raises(ValueError, match="at 192001 Hz. FLAC.* only multiples of 10 Hz"):
                process_song(separator, tmp_path / "song.wav", tmp_path / "out", refused)
    options = OutputOptions(residual=True, midi=True, page=rate < 1 << 16)
    result = process_song(separator, tmp_path / "song.wav", tmp_path / "out", options)
    assert {sf.info(path).frames for path in result.written[:4]} == {rate}


def test_clipping_is_reported(separator, tmp_path):
    loud = noise_file(tmp_path / "loud.wav", 0, scale=3)
    for name in ("wav16", "flac"):
        result = process_song(separator, loud, tmp_path / name, OutputOptions(file_format=name))
        (warning,) = result.warnings
        stems = separator.separate(loud)
        for path in result.written:
            n_clipped = int((np.abs(stems[path.stem]) > 1).sum())
            assert n_clipped and f"{n_clipped} in {path.name}" in warning
            assert np.abs(sf.read(path)[0]).max() <= 1
        peak = max(np.abs(stem).max() for stem in stems.values())
        assert f"the peak is {peak:.3g}, " in warning and "--format wav32f" in warning
    assert process_song(separator, loud, tmp_path / "o", OutputOptions()).warnings == []
    quiet = noise_file(tmp_path / "quiet.wav", 0)
    quiet_options = OutputOptions(file_format="wav16")
    assert process_song(separator, quiet, tmp_path / "s", quiet_options).warnings == []


@pytest.mark.parametrize(
    "options_", [OutputOptions(), OutputOptions(stems=False, midi=True), OutputOptions(page=True)]
)
def test_nan_and_infinite_results_are_not_written(separator, song, tmp_path, options_):
    loud = noise_file(tmp_path / "loud.wav", 0, scale=1e20)
    with pytest.raises(ValueError, match=r"loud.wav: the model gives NaN.*scale it down"):
        process_song(separator, loud, tmp_path / "out", options_)
    for models in ([separator.model], [separator.model, separator.transcriptor]):
        for parameter in models[-1].parameters():
            parameter.data.fill_(torch.nan)
        with pytest.raises(ValueError, match=r"song.flac: the model gives NaN.*model file"):
            process_song(separator, song, tmp_path / "out", options_)
    assert not (tmp_path / "out").exists() or not contents(tmp_path / "out")


def test_contradictory_options_are_refused():
    with pytest.raises(ValueError, match="format is 'mp4', expected one of"):
        OutputOptions(file_format="mp4")
    with pytest.raises(ValueError, match="No output is requested"):
        OutputOptions(stems=False)


@pytest.mark.parametrize("missing", ["matplotlib", "PIL"])
def test_a_page_without_matplotlib_is_refused_before_the_work(
    separator, song, tmp_path, monkeypatch, missing
):
    for name in [name for name in sys.modules if name.split(".")[0] in ("matplotlib", "PIL")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("asteroid_scoresup.report")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    options = OutputOptions(page=True)
    for process in (
        lambda: process_song(separator, song, tmp_path / "out", options),
        lambda: list(process_songs(separator, [song], tmp_path / "out", options)),
    ):
        with pytest.raises(ImportError, match="needs matplotlib and Pillow: pip install"):
            process()
    assert not (tmp_path / "out").exists()
    assert len(process_song(separator, song, tmp_path / "out", OutputOptions()).written) == 3


def test_a_record_does_not_claim_stems_that_were_replaced_before_an_interruption(
    separator, song, tmp_path, monkeypatch
):
    """The stems of another song are in place, and their record is not yet complete."""
    out, other = tmp_path / "out", tmp_path / "other" / song.name
    other.parent.mkdir()
    sf.write(other, 0.3 * np.random.default_rng(5).standard_normal((2 * RATE, 2)), RATE)
    process_song(separator, song, out, OutputOptions())
    original = ResultsRecord.writing

    @contextlib.contextmanager
    def interrupted(self, *args):
        def stop(made_by):
            raise KeyboardInterrupt

        with original(self, *args):
            yield stop

    with monkeypatch.context() as patch:
        patch.setattr(ResultsRecord, "writing", interrupted)
        with pytest.raises(KeyboardInterrupt):
            process_song(separator, other, out, OutputOptions(overwrite=True))
    with pytest.raises(ValueError, match="another song"):
        process_song(separator, song, out, OutputOptions())


def test_empty_names_do_not_stand_for_the_current_folder():
    with pytest.raises(ValueError, match="A song has an empty name"):
        find_audio_files(["a.wav", ""])


@pytest.mark.parametrize("arguments", [["prepare", "", "out"], ["prepare", "a", ""], ["check", ""]])
def test_commands_refuse_empty_folders(arguments, capsys):
    assert main(arguments) == 1
    assert "A folder has an empty name" in capsys.readouterr().err
