"""Writing shards: later, interrupted and repeated runs, the command."""

import shutil

import numpy as np
import pytest
import torch
from shards import QUIET, STFT_SIZE, masks_of, overwrite
from slakh_folder import write_song
from tiny import NAMES, RATE, write_folder

from asteroid_scoresup.data import (
    Manifest,
    ScoreDataset,
    ScoreInformedMasks,
    shard_writer,
    write_shards,
)
from asteroid_scoresup.data.classes import ClassMap
from asteroid_scoresup.data.note_table import write_notes
from asteroid_scoresup.data.prepare import prepare
from asteroid_scoresup.score import Notes
from asteroid_scoresup.scripts.cli import main
from asteroid_scoresup.utils.files import write_audio


@pytest.fixture
def small(tmp_path):
    """A prepared folder of three tracks that a test may change, and a folder for its shards."""
    return write_folder(tmp_path / "prepared", splits={"train": 3}, seconds=1.0), tmp_path / "out"


def test_a_later_run_keeps_what_has_not_changed(small):
    manifest, out = small
    options = dict(tracks_per_shard=1, **QUIET)
    assert write_shards(manifest, out, **options) == {
        "tracks": 3, "shards": 3, "kept": 0,
        "bytes": sum(path.stat().st_size for path in out.glob("train/*.tar")),
    }  # fmt: skip
    before = {path: path.stat().st_mtime_ns for path in out.glob("train/*.tar")}
    first = Manifest.load(out).fingerprint()
    assert write_shards(manifest, out, **options)["kept"] == 3
    assert {path: path.stat().st_mtime_ns for path in before} == before

    # A corrected label, and another stem.
    track, other = manifest.tracks[1:]
    write_notes(manifest.folder(track) / "notes.csv", Notes([0.0], [0.5], [40], [0], [9]), NAMES)
    manifest.stem_path(other, "bass").unlink()
    assert write_shards(manifest, out, **options)["kept"] == 1
    sharded = Manifest.load(out)
    assert sharded.fingerprint() == manifest.fingerprint() != first
    assert sharded.notes(track).velocity.tolist() == [9]
    assert sharded.has_stems(track) and not sharded.has_stems(other)
    with pytest.raises(ValueError, match="Track00002 in .*train has not all stems"):
        ScoreDataset(sharded, "train", targets="both", **STFT_SIZE)

    # Fewer tracks: shards that are not in the list are deleted.
    del manifest.tracks[1:]
    assert write_shards(manifest, out, **options)["shards"] == 1
    assert [path.name[:6] for path in out.glob("train/*.tar")] == ["000000"]
    assert Manifest.load(out).fingerprint() == manifest.fingerprint()


def test_an_interrupted_run_leaves_no_list_and_resumes(small, monkeypatch):
    manifest, out = small
    write_shards(manifest, out, tracks_per_shard=3, **QUIET)

    def interrupted(array_of):
        calls = []

        def inner(notes):
            calls.append(notes)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return array_of(notes)

        return inner

    with monkeypatch.context() as patch:
        patch.setattr(shard_writer, "note_arrays", interrupted(shard_writer.note_arrays))
        with pytest.raises(KeyboardInterrupt):
            write_shards(manifest, out, tracks_per_shard=1, **QUIET)
    with pytest.raises(ValueError, match="is unfinished: run `asteroid-scoresup shard` again"):
        Manifest.load(out)
    assert write_shards(manifest, out, tracks_per_shard=1, **QUIET)["kept"] == 2
    assert not [path for path in out.rglob(".*.part*")]


def test_files_that_are_not_ours_are_left_alone(small):
    manifest, out = small
    (out / "train").mkdir(parents=True)
    (out / "train" / "000000.tar").write_bytes(b"of somebody else")
    for content in (None, '{"samples": 3}', "nothing"):
        if content:
            (out / "shards.json").write_text(content)
        with pytest.raises(ValueError, match="not shards of this version: choose another folder"):
            write_shards(manifest, out, **QUIET)
    assert (out / "train" / "000000.tar").read_bytes() == b"of somebody else"
    shutil.rmtree(out)
    out.mkdir()
    (out / "train").symlink_to(manifest.root / "train")
    (out / "shards.json").write_text('{"format": 1, "unfinished": true}')
    with pytest.raises(ValueError, match="is a link that leads outside"):
        write_shards(manifest, out, **QUIET)


def contents(folder):
    """The content of every file of a folder of shards, by its path."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder): path.read_bytes() for path in files}


def reverse_classes(manifest):
    notes = [manifest.notes(track) for track in manifest.tracks]
    manifest.classes = ClassMap.parse("piano=0-7;guitar=24-31;bass=32-39")
    for track, table in zip(manifest.tracks, notes):
        table = table.replace(class_index=2 - table.class_index)
        write_notes(manifest.folder(track) / "notes.csv", table, manifest.names)


def replace_stem(manifest):
    track = manifest.tracks[1]
    silence = np.zeros(track.n_samples, np.float32)
    write_audio(manifest.stem_path(track, "bass"), silence, RATE)


def doubt(manifest):
    manifest.tracks[2].uncertain = [[0.0, 0.3]]


def remove_last(manifest):
    del manifest.tracks[-1]


def move_to_validation(manifest):
    track = manifest.tracks[-1]
    folder = manifest.folder(track)
    track.split = "validation"
    manifest.folder(track).parent.mkdir()
    folder.rename(manifest.folder(track))


@pytest.mark.parametrize(
    "change", [reverse_classes, replace_stem, doubt, remove_last, move_to_validation]
)
def test_packing_again_gives_what_packing_anew_gives(small, tmp_path, change):
    manifest, out = small
    options = dict(tracks_per_shard=2, **QUIET)
    write_shards(manifest, out, **options)
    change(manifest)
    write_shards(manifest, out, **options)
    write_shards(manifest, tmp_path / "anew", **options)
    assert contents(out) == contents(tmp_path / "anew")
    assert Manifest.load(out).fingerprint() == manifest.fingerprint()


def test_a_damaged_shard_is_written_again(small, tmp_path):
    manifest, out = small
    write_shards(manifest, out, **QUIET)
    whole = contents(out)
    (shard,) = out.glob("train/*.tar")
    member = Manifest.load(out).member("train", 1, "mixture.wav")
    overwrite(member._replace(offset=member.offset + 4000))
    damaged = shard.read_bytes()
    assert damaged != whole[shard.relative_to(out)] and len(damaged) == shard.stat().st_size
    for interrupted in (False, True):
        shard.write_bytes(damaged)
        if interrupted:
            (out / "shards.json").write_text('{"format": 1, "unfinished": true}')
        assert write_shards(manifest, out, **QUIET)["kept"] == 0
        assert contents(out) == whole


def test_a_reader_never_gets_other_content_under_an_old_name(small):
    manifest, out = small
    write_shards(manifest, out, tracks_per_shard=1, **QUIET)
    reader = Manifest.load(out)
    track = reader.in_split("train")[1]
    replace_stem(manifest)
    write_shards(manifest, out, tracks_per_shard=1, **QUIET)
    with pytest.raises(ValueError, match="bass.wav.* cannot be read as audio: .*Copy the folder"):
        reader.read_stem(track, "bass")
    assert not Manifest.load(out).read_stem(track, "bass").any()


def test_a_change_while_it_is_packed_is_noticed(small, monkeypatch):
    manifest, out = small

    def change(notes, array_of=shard_writer.note_arrays):
        track = manifest.tracks[0]
        write_notes(manifest.folder(track) / "notes.csv", Notes([0], [1], [40], [0], [9]), NAMES)
        return array_of(notes)

    monkeypatch.setattr(shard_writer, "note_arrays", change)
    with pytest.raises(ValueError, match="were changed while they were packed"):
        write_shards(manifest, out, **QUIET)
    assert not list(out.glob("train/*"))


def test_files_of_tracks_that_cannot_be_read_are_named(small, tmp_path):
    manifest, out = small
    masks = masks_of(manifest)
    masks.fit_all = lambda *args: None
    with pytest.raises(ValueError, match=r"informed-\w+\.npz cannot be read: No such file"):
        write_shards(manifest, out, masks=masks, **QUIET)
    other = write_folder(tmp_path / "other", splits={"train": 1}, seconds=1.0)
    with pytest.raises(ValueError, match="The masks are those of .*other, not of"):
        write_shards(manifest, out, masks=masks_of(other), **QUIET)
    manifest.mixture_path(manifest.tracks[1]).unlink()
    with pytest.raises(ValueError, match=r"mixture\.wav cannot be read as audio"):
        write_shards(manifest, out, **QUIET)


def test_a_folder_is_either_prepared_or_shards(small):
    manifest, out = small
    write_shards(manifest, out, **QUIET)
    with pytest.raises(ValueError, match="contains shards: choose another folder"):
        prepare(write_song_folder(out.parent), out, progress=False)
    shutil.copy(manifest.root / "manifest.json", out)
    with pytest.raises(ValueError, match=r"manifest\.json and shards\.json"):
        Manifest.load(out)


def write_song_folder(folder):
    """A folder of one song in Slakh's format."""
    write_song(folder / "in" / "train" / "Track00001", seed=0)
    return folder / "in"


@pytest.mark.slow
def test_the_command_packs_and_tells_what_it_wrote(small, capsys):
    manifest, out = small
    arguments = ["shard", str(manifest.root), str(out), "--tracks_per_shard", "2", "--quiet"]
    assert main([*arguments, "--jobs", "1"]) == 0
    size = sum(path.stat().st_size for path in out.glob("train/*.tar")) / 1e9
    assert capsys.readouterr().out == f"3 tracks in 2 shards: {size:.3g} GB in {out}.\n"
    assert main([*arguments, "--jobs", "2", "--no_stems"]) == 0
    assert Manifest.load(out).n_tracks == {"train": 3}
    assert main([*arguments, "--jobs", "2", "--no_stems"]) == 0
    assert "2 shards, 2 of them kept from an earlier run: " in capsys.readouterr().out
    assert main(["check", str(out), "--quiet"]) == 1
    assert "contains shards: check the prepared folder" in capsys.readouterr().err
    assert main(["shard", str(out / "nothing"), str(out)]) == 1
    assert "is not a prepared folder" in capsys.readouterr().err


def test_masks_of_the_command_have_the_settings_of_the_recipe(tmp_path):
    # In the rate of the recipe: the default STFT has 128 ms.
    manifest = write_folder(tmp_path / "p", splits={"train": 1}, seconds=1.0, rate=16000)
    assert main(["shard", str(manifest.root), str(tmp_path / "s"), "--masks", "--quiet"]) == 0
    sharded = Manifest.load(tmp_path / "s")
    masks = ScoreInformedMasks(sharded)
    track = sharded.in_split("train")[0]
    expected = ScoreInformedMasks(manifest).read(track)
    assert torch.equal(masks.read(track), expected) and expected.amax() > 0.5
