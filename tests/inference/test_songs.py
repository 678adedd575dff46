"""Song files in, folders out: formats, levels, names, what is kept and what goes wrong."""

import numpy as np
import pretty_midi
import pytest
import soundfile as sf
import torch
from tiny import NAMES, NET, RATE, transcriptor

from asteroid_scoresup.inference import Decoding, Request, Separator, process_song, songs
from asteroid_scoresup.inference.naming import find_songs
from asteroid_scoresup.inference.provenance import RECORD
from asteroid_scoresup.inference.songs import FORMATS, process_songs
from asteroid_scoresup.models import TCNSeparator


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
    made = process_song(separator, song, tmp_path / "out", Request(residual=True))
    assert [path.name for path in made.written] == [f"{n}.wav" for n in (*NAMES, "residual")]
    heard, rate = sf.read(song, dtype="float32")
    parts = [sf.read(path, dtype="float32") for path in made.written]
    assert {rate for _, rate in parts} == {11025}
    total = sum(audio for audio, _ in parts)
    np.testing.assert_allclose(total, heard, atol=2 * np.finfo(np.float32).eps)
    in_memory = separator.separate(heard.T, rate)
    for path in made.written[:-1]:
        np.testing.assert_array_equal(sf.read(path, dtype="float32")[0].T, in_memory[path.stem])


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_what_it_says(separator, song, tmp_path, name):
    made = process_song(separator, song, tmp_path / "out", Request(file_format=name))
    suffix, container, subtype = FORMATS[name]
    for path in made.written:
        info = sf.info(path)
        assert (path.suffix, info.format, info.subtype) == (suffix, container, subtype)
        assert (info.frames, info.channels, info.samplerate) == (30000, 2, 11025)


def test_midi_only_writes_no_stems(separator, song, tmp_path):
    request = Request(stems=False, midi=True)
    made = process_song(separator, song, tmp_path / "out", request)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"score.mid", RECORD}
    midi = pretty_midi.PrettyMIDI(str(made.written[0]))
    assert [part.name for part in midi.instruments] == list(NAMES)
    notes = [note for part in midi.instruments for note in part.notes]
    assert notes and max(note.end for note in notes) < 30000 / 11025 + 0.1
    assert len({note.velocity for note in notes}) > 1


def test_the_page_has_the_stems_and_their_notes(separator, song, tmp_path):
    request = Request(page=True, residual=True)
    made = process_song(separator, song, tmp_path / "out", request)
    assert made.written[-1] == tmp_path / "out" / "page" / "index.html"
    page = made.written[-1].read_text()
    assert "song.flac" in page and all(name in page for name in (*NAMES, "residual"))
    assert len(list((made.written[-1].parent / "audio").glob("*.flac"))) == 5


def test_what_exists_is_kept_unless_it_is_to_be_overwritten(separator, song, tmp_path):
    folder = tmp_path / "out"
    process_song(separator, song, folder, Request())
    (folder / "bass.wav").write_text("mine")
    (folder / "piano.wav").unlink()
    made = process_song(separator, song, folder, Request(midi=True))
    assert [path.name for path in made.written] == ["piano.wav", "score.mid"]
    assert [path.name for path in made.kept] == ["bass.wav", "guitar.wav"]
    assert (folder / "bass.wav").read_text() == "mine"
    assert process_song(separator, song, folder, Request()).written == []
    process_song(separator, song, folder, Request(overwrite=True))
    assert sf.info(folder / "bass.wav").frames == 30000


def test_a_failure_leaves_nothing_half_written(separator, song, tmp_path, monkeypatch):
    written, write = [], sf.SoundFile.write

    def fails_late(self, data):
        written.append(len(data))
        if len(written) > 4:
            raise sf.LibsndfileError(2, "no space")
        return write(self, data)

    folder = tmp_path / "out"
    process_song(separator, song, folder, Request())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(sf.SoundFile, "write", fails_late)
    with pytest.raises(ValueError, match=r"song.flac: .*out cannot be written: .*MB are free"):
        process_song(separator, song, folder, Request(overwrite=True))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_named(separator, song, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"song.flac: .*file/out cannot be written"):
        process_song(separator, song, tmp_path / "file" / "out", Request())


def test_a_song_that_turns_bad_on_the_way_is_named(separator, tmp_path):
    audio = np.zeros(3 * RATE, dtype=np.float32)
    audio[-1] = np.inf
    sf.write(tmp_path / "song.wav", audio, RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"song.wav holds NaN or infinite samples"):
        process_song(separator, tmp_path / "song.wav", tmp_path / "out", Request())
    assert not list(tmp_path.glob("out/*"))


def test_songs_of_one_name_get_names_of_their_own(tmp_path):
    for name in ("a/song.wav", "a/song.mp3", "b/song.wav", "other.flac", "a/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = find_songs([tmp_path, tmp_path / "other.flac"])
    names = {str(path.relative_to(tmp_path)): name for path, name in found}
    assert names == {
        "a/song.wav": "a_song.wav",
        "a/song.mp3": "song.mp3",
        "b/song.wav": "b_song.wav",
        "other.flac": "other",
    }
    # Results of an earlier run in the same folder are no songs.
    found = find_songs([tmp_path], out_dir=tmp_path / "a")
    assert {path.relative_to(tmp_path).as_posix() for path, _ in found} == {
        "b/song.wav",
        "other.flac",
    }


def test_songs_that_fail_do_not_stop_the_others(separator, song, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.wav").write_text("no audio")
    paths = [tmp_path / "empty", tmp_path / "bad.wav", song]
    results = dict(process_songs(separator, paths, tmp_path / "out", Request()))
    assert "empty is a folder without audio files" in str(results[tmp_path / "empty"])
    assert "bad.wav cannot be read as audio" in str(results[tmp_path / "bad.wav"])
    assert len(results[song].written) == 3


def test_a_song_is_never_overwritten_by_its_own_stem(separator, tmp_path):
    path = tmp_path / "bass" / "bass.wav"
    path.parent.mkdir()
    sf.write(path, np.zeros(4000), RATE)
    with pytest.raises(ValueError, match="bass.wav is the song and would be overwritten"):
        process_song(separator, path, path.parent, Request(overwrite=True))
    assert not sf.read(path)[0].any()


def test_a_residual_fits_the_stems_that_were_kept(separator, song, tmp_path):
    process_song(separator, song, tmp_path / "out", Request(file_format="wav16"))
    process_song(separator, song, tmp_path / "out", Request(residual=True))
    heard, _ = sf.read(song, dtype="float32")
    parts = [sf.read(path, dtype="float32")[0] for path in (tmp_path / "out").glob("*.wav")]
    np.testing.assert_allclose(sum(parts), heard, atol=3e-7)
    sf.write(tmp_path / "out" / "bass.wav", np.zeros(100), 11025)
    (tmp_path / "out" / "residual.wav").unlink()
    with pytest.raises(ValueError, match="bass.wav was there before and is no stem of"):
        process_song(separator, song, tmp_path / "out", Request(residual=True))


def test_large_files_get_sizes_of_64_bits(separator, song, tmp_path, monkeypatch):
    monkeypatch.setattr(songs, "_LARGEST_WAV", 100_000)
    made = process_song(separator, song, tmp_path / "out", Request())
    assert {sf.info(path).format for path in made.written} == {"RF64"}
    assert sf.read(made.written[0])[0].shape == (30000, 2)


def test_more_channels_than_flac_holds_are_refused_at_once(separator, tmp_path):
    sf.write(tmp_path / "nine.wav", np.zeros((400, 9)), RATE)
    with pytest.raises(ValueError, match="nine.wav has 9 channels"):
        process_song(separator, tmp_path / "nine.wav", tmp_path / "o", Request(file_format="flac"))


def test_requests_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="format is 'mp4', expected one of"):
        Request(file_format="mp4")
    with pytest.raises(ValueError, match="Nothing is wanted"):
        Request(stems=False)
