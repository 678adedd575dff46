"""Songs by mirdata's index: Slakh's form, pairs, and what cannot be read."""

import json
import sys
import types

import numpy as np
import pretty_midi
import pytest
import soundfile as sf
import yaml

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.data.prepare import prepare
from asteroid_scoresup_cli import main

RATE = 4000


def write_midi(path, program, pitch):
    """A MIDI file of four notes."""
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(pretty_midi.Instrument(program))
    midi.instruments[0].notes = [
        pretty_midi.Note(90, pitch + i, 0.5 * i, 0.5 * i + 0.4) for i in range(4)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    midi.write(str(path))


def write_audio(path, pitch):
    """Four tones at the pitches of `write_midi`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(RATE // 2) / RATE
    steps = [440 * 2 ** ((pitch + i - 69) / 12) for i in range(4)]
    tones = [0.1 * np.sin(2 * np.pi * f * time) * (time < 0.4) for f in steps]
    sf.write(path, np.concatenate(tones), RATE)


def write_slakh_track(folder, stems):
    """A track in Slakh's form; `stems` are (name, program, inst_class, pitch)."""
    metadata = {"audio_dir": "stems", "midi_dir": "MIDI", "stems": {}}
    for name, program, inst_class, pitch in stems:
        write_midi(folder / "MIDI" / f"{name}.mid", program, pitch)
        write_audio(folder / "stems" / f"{name}.wav", pitch)
        metadata["stems"][name] = {
            "program_num": program, "inst_class": inst_class, "is_drum": False,
            "midi_program_name": inst_class, "audio_rendered": True, "midi_saved": True,
        }  # fmt: skip
    write_audio(folder / "mix.wav", 60)
    (folder / "metadata.yaml").write_text(yaml.safe_dump(metadata))


STEMS = [("S00", 33, "Bass", 52), ("S01", 0, "Piano", 72)]


class Dataset:
    """Stub of a data set of mirdata."""

    def __init__(self, items, multitracks=True):
        self._multitrack_class = object if multitracks else None
        self.mtrack_ids = self.track_ids = list(items)
        self.multitrack = self.track = items.__getitem__


@pytest.fixture
def stub(monkeypatch):
    """Replaces mirdata by a module with one data set, and returns what it was opened with."""

    def install(dataset):
        opened = []

        def initialize(name, **options):
            opened.append((name, options))
            return dataset

        module = types.SimpleNamespace(list_datasets=lambda: ["this"], initialize=initialize)
        monkeypatch.setitem(sys.modules, "mirdata", module)
        return opened

    return install


def test_multitracks_in_slakhs_form_are_read_with_their_splits(stub, tmp_path):
    items = {}
    for number, split in enumerate(("train", "validation", "omitted", "train")):
        folder = tmp_path / "home" / "anywhere" / f"T{number}"
        if number != 3:  # in the index only
            write_slakh_track(folder, STEMS)
        path = str(folder / "metadata.yaml")
        items[f"T{number}"] = types.SimpleNamespace(metadata_path=path, split=split)
    opened = stub(Dataset(items))
    options = ["--sample_rate", str(RATE), "--jobs", "1", "--quiet", "--no_check"]
    home, out = str(tmp_path / "home"), str(tmp_path / "out")
    assert main(["prepare", home, out, "--mirdata", "this", *options]) == 0
    assert opened == [("this", {"data_home": home})]
    manifest = Manifest.load(out)
    assert [(t.id, t.split) for t in manifest.tracks] == [("T0", "train"), ("T1", "validation")]
    assert manifest.tracks[0].stems == ["bass", "piano"] or set(manifest.tracks[0].stems) >= {
        "bass", "piano",
    }  # fmt: skip
    # As without mirdata, in a folder of the same tracks.
    plain = prepare(
        tmp_path / "home" / "anywhere", tmp_path / "plain", sample_rate=RATE, jobs=1, check=False,
        progress=False, splits={"train": ["T0"], "validation": ["T1"], "omitted": ["T2"]},
    )  # fmt: skip
    assert plain
    one, other = Manifest.load(tmp_path / "out"), Manifest.load(tmp_path / "plain")
    for track, same in zip(one.tracks, other.tracks):
        np.testing.assert_array_equal(one.read_mixture(track), other.read_mixture(same))
    report = (tmp_path / "out" / "report.json").read_text()
    assert "in mirdata's index, not on disk" in report and "in the split 'omitted'" in report


def test_tracks_with_audio_and_midi_are_pairs(stub, tmp_path):
    items = {}
    for number in range(3):
        audio, midi = tmp_path / f"home/wav/{number}.wav", tmp_path / f"home/mid/x{number}.mid"
        write_audio(audio, 60)
        write_midi(midi, 0, 60)
        items[f"2004/no {number}"] = types.SimpleNamespace(
            audio_path=str(audio), midi_path=str(midi), split="test" if number == 2 else "train"
        )
    opened = stub(Dataset(items, multitracks=False))
    prepare(
        tmp_path / "home", tmp_path / "out", classes="piano=0-7", sample_rate=RATE, jobs=1,
        check=False, align="never", progress=False, mirdata="this", mirdata_version="2",
    )  # fmt: skip
    assert opened[0][1]["version"] == "2"
    found = [(t.id, t.split) for t in Manifest.load(tmp_path / "out").tracks]
    assert found == [("2004_no_2", "test"), ("2004_no_0", "train"), ("2004_no_1", "train")]


def test_what_cannot_be_read_is_a_sentence(stub, tmp_path, capsys, monkeypatch):
    def message(*options, name="this"):
        argv = ["prepare", str(tmp_path), str(tmp_path / "out"), "--mirdata", name, *options]
        assert main(argv) == 1
        return capsys.readouterr().err

    stub(Dataset({"a": types.SimpleNamespace(notes_path="x")}, multitracks=False))
    assert "its songs have neither Slakh's form nor an audio and a MIDI file" in message()
    assert "mirdata has no data set 'other'" in message(name="other")
    gone = types.SimpleNamespace(metadata_path=str(tmp_path / "gone" / "metadata.yaml"))
    stub(Dataset({"a": gone}))
    assert f"none of its 1 songs is in {tmp_path}" in message()

    class WithoutIndex(Dataset):
        @property
        def mtrack_ids(self):
            raise FileNotFoundError("no such file\nrun download")

        @mtrack_ids.setter
        def mtrack_ids(self, value):
            pass

    stub(WithoutIndex({}))
    assert "mirdata has no index of this yet: python -c" in message()
    monkeypatch.setitem(sys.modules, "mirdata", None)
    assert "pip install 'asteroid-scoresup[mirdata]'" in message()
    assert main(["prepare", "a", "b", "--mirdata-version", "baby"]) == 1
    assert "--mirdata-version is for --mirdata" in capsys.readouterr().err


def test_mirdatas_own_loader_of_babyslakh(tmp_path, monkeypatch):
    """With an index in mirdata's form, and fabricated files in its places."""
    mirdata = pytest.importorskip("mirdata")
    index = {"version": "baby", "tracks": {}, "multitracks": {}}
    for track in ("Track00001", "Track00002"):
        folder = f"babyslakh_16k/{track}"
        paths = {"mix": "mix.wav", "midi": "all_src.mid", "metadata": "metadata.yaml"}
        files = {name: [f"{folder}/{path}", "0"] for name, path in paths.items()}
        names = [f"{track}-{stem[0]}" for stem in STEMS]
        index["multitracks"][track] = {**files, "tracks": names}
        for name, (stem, *_) in zip(names, STEMS):
            index["tracks"][name] = {
                "audio": [f"{folder}/stems/{stem}.wav", "0"],
                "midi": [f"{folder}/MIDI/{stem}.mid", "0"],
                "metadata": files["metadata"],
            }
    (tmp_path / "index.json").write_text(json.dumps(index))
    write_slakh_track(tmp_path / "home" / "babyslakh_16k" / "Track00001", STEMS)
    original = mirdata.initialize

    def initialize(*args, **kwargs):
        dataset = original(*args, **kwargs)
        dataset.index_path = str(tmp_path / "index.json")
        return dataset

    monkeypatch.setattr(mirdata, "initialize", initialize)
    report = prepare(
        tmp_path / "home", tmp_path / "out", sample_rate=RATE, jobs=1, check=False,
        progress=False, mirdata="slakh", mirdata_version="baby",
    )  # fmt: skip
    assert [track.id for track in Manifest.load(tmp_path / "out").tracks] == ["Track00001"]
    assert "in mirdata's index, not on disk" in json.dumps(report)


def test_mirdata_without_an_index_says_how_to_get_it(tmp_path):
    pytest.importorskip("mirdata")
    with pytest.raises(ValueError, match="mirdata has no index of slakh yet: python -c"):
        prepare(tmp_path, tmp_path / "out", progress=False, mirdata="slakh")
