"""Reading shards: the same items as the prepared folder, standard files, damage."""

import hashlib
import io
import json
import pickle
import shutil

import numpy as np
import pytest
import soundfile as sf
import torch
from shards import QUIET, STFT_SIZE, masks_of, overwrite
from tiny import NAMES, RATE, render, write_folder

from asteroid_scoresup.data import (
    Manifest,
    PreparedTrack,
    ScoreDataset,
    ShardedManifest,
    make_loader,
    shard_files,
    write_shards,
)
from asteroid_scoresup.data.classes import ClassMap
from asteroid_scoresup.data.note_table import write_notes
from asteroid_scoresup.engine.callbacks import LogValidationSISDR
from asteroid_scoresup.evaluation.evaluate import TestTrack
from asteroid_scoresup.models import TCNSeparator
from asteroid_scoresup.score import Notes
from asteroid_scoresup.utils.files import write_audio

IDS = ["a.b", "b", "c", "é", "zz"]  # a dot would end WebDataset's key


def write_songs(root):
    """Whole songs with residuals: one bends, one is partly and one wholly uncertain."""
    manifest = Manifest(root, RATE, ClassMap.parse("bass=32-39;guitar=24-31"), "song")
    rng = np.random.default_rng(3)
    for number, name in enumerate([*IDS, "v"]):
        seconds = 3.0 + 0.25 * number
        onset = np.arange(0.1, seconds - 0.5, 0.4)
        bend = [None] * len(onset)
        if number == 1:
            bend[2] = [(0.0, 0.5), (0.1, 1.25)]
        notes = Notes(
            *(onset, onset + 0.31, rng.integers(40, 60, len(onset))),
            *(np.arange(len(onset)) % 2, np.full(len(onset), 90), onset + 0.35, bend),
        )
        stems = [*render(notes, seconds, 2), 0.01 * rng.standard_normal(round(seconds * RATE))]
        mixture = np.sum(stems, 0, dtype=np.float32)
        uncertain = {2: [[0.5, 1.0]], 3: [[0.0, 9.0]]}.get(number, [])
        track = PreparedTrack(
            *(name, "validation" if name == "v" else "train", len(mixture), 0.1),
            {"bass": 3, "guitar": 3}, ["bass", "guitar", "residual"], uncertain=uncertain,
        )  # fmt: skip
        manifest.tracks.append(track)
        write_audio(manifest.mixture_path(track), mixture, RATE)
        write_notes(manifest.folder(track) / "notes.csv", notes, manifest.names)
        for stem, wav in zip(track.stems, stems):
            write_audio(manifest.stem_path(track, stem), wav, RATE)
    manifest.save()
    return manifest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_songs(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="module")
def sharded(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards")
    write_shards(folder, out, tracks_per_shard=2, masks=masks_of(folder), **QUIET)
    return Manifest.load(out)


@pytest.fixture
def small(tmp_path):
    """A prepared folder of three tracks that a test may change, and a folder for its shards."""
    return write_folder(tmp_path / "prepared", splits={"train": 3}, seconds=1.0), tmp_path / "out"


def equal(one, other):
    """Whether two items are equal: (mixture, targets or stems)."""
    pairs = [(one[0], other[0])]
    if isinstance(one[1], dict):
        assert one[1].keys() == other[1].keys()
        pairs += [(one[1][key], other[1][key]) for key in one[1]]
    else:
        pairs.append((one[1], other[1]))
    return all(torch.equal(a, b) for a, b in pairs)


RANDOM = dict(n_segments=8, segment=0.512)


@pytest.mark.parametrize(
    "options",
    [
        {**RANDOM, "gain_db": 3.0, "eq_db": 2.0, "saliency": 1.0, "onsets": True},
        {**RANDOM, "varispeed": 2, "remix": 0.5},
        {**RANDOM, "targets": "both", "informed": True},
        {**RANDOM, "targets": "both", "stem_fraction": 0.5, "stem_draw": 0.7},
        {**RANDOM, "tracks": ["é", "a.b", "zz"]},
        {**RANDOM, "tracks": ["a.b", "zz"]},  # none of these bends
        dict(targets="stems", segment=1.024),
        dict(targets="both", segment=None),
    ],
    ids=lambda options: "-".join(options),
)
def test_items_are_those_of_the_prepared_folder(folder, sharded, options):
    options = dict(options)
    informed = options.pop("informed", False)
    pair = []
    for manifest in (folder, sharded):
        more = {"soft_masks": masks_of(manifest)} if informed else {}
        pair.append(ScoreDataset(manifest, "train", **STFT_SIZE, **options, **more))
    one, other = pair
    assert len(one) == len(other) > 0 and one.n_left_out == other.n_left_out
    assert one.with_stems == other.with_stems
    assert [one.place(i) for i in range(len(one))] == [other.place(i) for i in range(len(one))]
    assert all(equal(*items) for items in zip(one, other))


def test_everything_that_is_known_of_a_track_is_in_the_shards(folder, sharded):
    assert isinstance(sharded, ShardedManifest)
    assert sharded.splits() == ["train", "validation"]
    assert sharded.fingerprint() == folder.fingerprint()
    assert (sharded.names, sharded.mixture) == (folder.names, folder.mixture)
    for split in folder.splits():
        assert list(sharded.in_split(split)) == list(folder.in_split(split))
    assert sharded.tracks == [t for split in folder.splits() for t in folder.in_split(split)]
    assert not sharded.in_split("test")
    for track in folder.tracks:
        song, other = TestTrack(folder, track), TestTrack(sharded, track)
        assert torch.equal(song.mixture, other.mixture) and song.level == other.level
        assert all(torch.equal(song.stems[name], other.stems[name]) for name in folder.names)
        known, read = folder.notes(track), sharded.notes(track)
        for column in ("onset", "offset", "pitch", "class_index", "velocity", "release"):
            np.testing.assert_array_equal(getattr(known, column), getattr(read, column))
        assert sharded.has_stem(track, "residual") and sharded.has_stems(track)
        np.testing.assert_array_equal(
            folder.read_stem(track, "residual"), sharded.read_stem(track, "residual")
        )


def test_validation_by_true_stems_reads_them_from_shards(folder, sharded):
    model = TCNSeparator(folder.names, **STFT_SIZE, sample_rate=RATE, n_blocks=1, n_repeats=1,
                         bn_chan=8, hid_chan=8)  # fmt: skip
    pair = [LogValidationSISDR(model, manifest, seconds=1.0) for manifest in (folder, sharded)]
    assert len(pair[0].segments) == len(pair[1].segments) == 1
    for one, other in zip(*(callback.segments[0] for callback in pair)):
        np.testing.assert_array_equal(one, other)


def test_loader_processes_read_shards(sharded):
    data = ScoreDataset(sharded, "train", **STFT_SIZE, **RANDOM)
    alone, workers = (list(make_loader(data, 2, n)) for n in (0, 1))
    assert all(equal(*batches) for batches in zip(alone, workers, strict=True))
    # As processes that are not forked get it; the arrays of the index are not sent along.
    assert sharded.index("train").tobytes() not in pickle.dumps(data)
    copied = pickle.loads(pickle.dumps(data))
    assert equal(copied[3], data[3])


def test_nothing_is_read_before_an_item_is(sharded, monkeypatch):
    manifest = Manifest.load(sharded.root)

    def fail(*args):
        raise AssertionError("a shard was read")

    with monkeypatch.context() as patch:
        patch.setattr(shard_files.ShardMember, "open", fail)
        manifest.fingerprint()
        options = dict(targets="both", stem_fraction=0.5)
        data = ScoreDataset(manifest, "train", **STFT_SIZE, **RANDOM, **options)
        # As the recipe gives them: nothing asks for the tracks themselves.
        masks_of(manifest).fit_all(track for track in manifest.in_split("train"))
    data[0]
    # What was read is forgotten in time.
    assert manifest.track.cache_info().maxsize and manifest.score.cache_info().maxsize


def test_shards_are_files_of_webdataset(folder, sharded):
    wds = pytest.importorskip("webdataset")
    tracks = list(folder.in_split("train"))
    urls = sorted(str(path) for path in (sharded.root / "train").glob("*.tar"))
    assert len(urls) == 3
    samples = list(wds.WebDataset(urls, shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == [f"{i:08d}" for i in range(len(tracks))]
    for track, sample in zip(tracks, samples):
        assert json.loads(sample["json"])["track"] == track.to_dict()
        wav, rate = sf.read(io.BytesIO(sample["mixture.wav"]), dtype="float32")
        assert rate == RATE
        np.testing.assert_array_equal(wav, folder.read_mixture(track))
        stem, _ = sf.read(io.BytesIO(sample["stems.guitar.wav"]), dtype="float32")
        np.testing.assert_array_equal(stem, folder.read_stem(track, "guitar"))
        notes = np.load(io.BytesIO(sample["notes.npy"]))
        np.testing.assert_array_equal(notes[:, 0], folder.notes(track).onset)
        assert ("bends.npy" in sample) == (track.id == "b")
        assert "informed.npz" in sample


def test_the_sums_are_those_of_sha256sum(sharded):
    lines = (sharded.root / "SHA256SUMS").read_text().splitlines()
    assert len(lines) == 4 + 4  # shards, and two arrays of each split
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((sharded.root / name).read_bytes()).hexdigest() == digest


def test_stems_may_be_left_out(small):
    manifest, out = small
    sizes = [write_shards(manifest, out, stems=on, **QUIET)["bytes"] for on in (True, False)]
    assert sizes[1] < sizes[0] / 2
    sharded = Manifest.load(out)
    assert not sharded.has_stem(sharded.in_split("train")[0], "bass")
    assert TestTrack(sharded, sharded.in_split("train")[0]).stems == {}
    assert len(ScoreDataset(sharded, "train", **STFT_SIZE, segment=0.512)) > 0
    with pytest.raises(ValueError, match="targets='both' asks for them"):
        ScoreDataset(sharded, "train", targets="both", **STFT_SIZE)


def test_masks_of_other_settings_are_refused(folder, sharded, small):
    with pytest.raises(ValueError, match="masks of other settings: write the shards with"):
        masks_of(sharded, iterations=3).fit_all(sharded.in_split("train"))
    manifest, out = small
    write_shards(manifest, out, **QUIET)
    without = Manifest.load(out)
    data = ScoreDataset(without, "train", **STFT_SIZE, **RANDOM, soft_masks=masks_of(without))
    with pytest.raises(ValueError, match=r"no score-informed masks: write .*`.* --masks`"):
        data[0]


@pytest.mark.parametrize(
    "suffix, use, message",
    [
        ("json", lambda m, t: m.in_split("train")[1], r"00000001\.json\) is damaged"),
        ("notes.npy", lambda m, t: m.notes(t), "is not a table of notes"),
        ("mixture.wav", lambda m, t: m.read_mixture(t), r"mixture\.wav\) cannot be read as audio"),
        ("informed.npz", lambda m, t: masks_of(m).read(t), r"informed\.npz\) is damaged"),
    ],
)
def test_damaged_files_in_a_shard_are_named(sharded, tmp_path, suffix, use, message):
    shutil.copytree(sharded.root, tmp_path / "copy")
    copied = Manifest.load(tmp_path / "copy")
    overwrite(copied.member("train", 1, suffix))
    with pytest.raises(ValueError, match=message):
        use(copied, sharded.in_split("train")[1])


def test_missing_and_cut_shards_are_refused(small):
    manifest, out = small
    write_shards(manifest, out, tracks_per_shard=1, **QUIET)
    (shard,) = (out / "train").glob("000001-*.tar")
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"000001-.*tar has \d+ bytes, not \d+\. Copy the folder"):
        Manifest.load(out)
    assert write_shards(manifest, out, tracks_per_shard=1, **QUIET)["kept"] == 2
    assert shard.read_bytes() == content
    shard.unlink()
    with pytest.raises(ValueError, match=r"000001-.*tar is missing"):
        Manifest.load(out)


SPLIT = dict(n_tracks=1, n_stretches=1, longest=1, bends=False, stems=True, shards={})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"format": 2}, "has format 2, this version reads 1"),
        ({"sample_rate": "fast"}, "sample_rate is missing or wrong"),
        ({"fingerprint": None}, "fingerprint is missing or wrong"),
        ({"masks": 3}, "masks is missing or wrong"),
        ({"splits": {"train": {"n_tracks": -1}}}, "splits is missing or wrong"),
        ({"splits": {"../x": SPLIT}}, "splits is missing or wrong"),
        ({"splits": {"x" * 300: SPLIT}}, "splits is missing or wrong"),
        ({"splits": {"train": {**SPLIT, "longest": 10**12}}}, "splits is missing or wrong"),
        ({"splits": {"train": {**SPLIT, "shards": {"../a": 1}}}}, "splits is missing or wrong"),
        ({"classes": "bass=9-3"}, r"shards\.json is damaged"),
    ],
)
def test_damaged_lists_are_refused(sharded, tmp_path, change, message):
    content = json.loads((sharded.root / "shards.json").read_text())
    (tmp_path / "shards.json").write_text(json.dumps({**content, **change}))
    with pytest.raises(ValueError, match=message):
        Manifest.load(tmp_path)


@pytest.mark.parametrize("name", ["index.npy", "stretches.npy"])
def test_arrays_of_another_folder_are_refused(sharded, tmp_path, name):
    shutil.copytree(sharded.root, tmp_path / "copy")
    file = tmp_path / "copy" / "train" / name
    np.save(file, np.load(file)[:-1])
    with pytest.raises(ValueError, match=f"{name} does not belong to shards.json"):
        ScoreDataset(tmp_path / "copy", "train", **STFT_SIZE)[0]
    if name == "stretches.npy":
        for row in ([99, 0, 5], [0, 5, 5], [0, -1, 5]):
            table = np.array([row] * len(np.load(sharded.root / "train" / name)))
            np.save(file, table.astype("<i8"))
            with pytest.raises(ValueError, match=r"stretches\.npy is damaged"):
                ScoreDataset(tmp_path / "copy", "train", **STFT_SIZE)
    file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=f"{name} cannot be read"):
        ScoreDataset(tmp_path / "copy", "train", **STFT_SIZE)[0]


def test_shards_are_not_written_to(folder, sharded):
    track = sharded.in_split("train")[0]
    with pytest.raises(ValueError, match="a.b has no folder: use the prepared folder"):
        sharded.folder_to_write(track)
    with pytest.raises(ValueError, match="change the prepared folder"):
        sharded.save()
    with pytest.raises(ValueError, match="name the prepared folder"):
        write_shards(sharded, sharded.root / "again")
    with pytest.raises(ValueError, match="not shards of this version: choose another folder"):
        write_shards(folder, folder.root)
    with pytest.raises(ValueError, match="tracks_per_shard is 0"):
        write_shards(folder, sharded.root / "again", tracks_per_shard=0)
    with pytest.raises(ValueError, match=r"has no tracks \['x'\] in the split 'train'"):
        ScoreDataset(sharded, "train", tracks=["b", "x"])
    with pytest.raises(ValueError, match="has no tracks in the split 'test', only in"):
        ScoreDataset(sharded, "test")
    with pytest.raises(ValueError, match="has no track train/x"):
        sharded.notes(PreparedTrack("x", "train", 9, 0.1))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_errors_of_a_disk_are_not_silence(small, monkeypatch):
    manifest, out = small
    write_shards(manifest, out, **QUIET)
    sharded = Manifest.load(out)
    last = sharded.in_split("train")[2]
    member = sharded.audio(last)
    with open(member.path, "r+b") as file:
        file.truncate(member.offset + member.size // 2)
    with pytest.raises(
        ValueError, match=r"mixture\.wav\) cannot be read as audio: it is cut short"
    ):
        sharded.read_mixture(last)

    class Broken(shard_files._Window):
        def readinto(self, buffer):
            if self._position > 2000:
                raise OSError(5, "Input/output error")
            return super().readinto(buffer)

    monkeypatch.setattr(shard_files, "_Window", Broken)
    with pytest.raises(ValueError, match=r"mixture\.wav\) cannot be read as audio"):
        sharded.read_mixture(sharded.in_split("train")[0])


def test_names_that_are_not_utf_8_are_kept(tmp_path):
    manifest = write_folder(tmp_path / "prepared", splits={"train": 3}, seconds=1.0)
    for track, name in zip(manifest.tracks, ("caf\udce9", "\U0001d11e", "z")):
        folder, track.id = manifest.folder(track), name
        folder.rename(manifest.folder(track))
    write_shards(manifest, tmp_path / "out", **QUIET)
    sharded = Manifest.load(tmp_path / "out")
    assert list(sharded.in_split("train")) == list(manifest.in_split("train"))
    for track in manifest.tracks:
        np.testing.assert_array_equal(sharded.read_mixture(track), manifest.read_mixture(track))
    assert sharded.select("train", ["caf\udce9"])[0].id == "caf\udce9"


def saved(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


GOOD = [[0.0, 0.5, 40, 0, 100, 0.5]]


@pytest.mark.parametrize(
    "table, message",
    [
        ([[0.0, 0.5, 40, 3, 100, 0.5]], "a note has class 3 of 3"),
        ([[0.0, 0.5, 40, -1, 100, 0.5]], "a note has class -1 of 3"),
        ([[0.0, 0.5, 400, 0, 100, 0.5]], "the column pitch is not between 0 and 127"),
        ([[0.0, np.nan, 40, 0, 100, 0.5]], "it has NaN or infinite values"),
        ([[0.5, 0.0, 40, 0, 100, 0.5]], "ends"),
        (np.array(GOOD, dtype=complex), "type complex128"),
        (np.array(GOOD)[:, :5], r"shape \(1, 5\)"),
        (np.array([{}, 1], dtype=object), "allow_pickle"),
    ],
)
def test_tables_that_are_no_scores_are_refused(table, message):
    stream = io.BytesIO()
    np.save(stream, np.asarray(table), allow_pickle=True)
    with pytest.raises(ValueError, match=f"The content is not a table of notes: .*{message}"):
        shard_files.notes_of(stream.getvalue(), None, 3)


def test_a_table_that_claims_to_be_huge_is_refused():
    content = saved(np.array(GOOD))
    huge = content.replace(b"(1, 6), }" + b" " * 13, b"(99999999999999, 6), }")
    assert len(huge) == len(content) and huge != content
    with pytest.raises(ValueError, match="is not a table of notes"):
        shard_files.notes_of(huge, None, 3)


def test_tracks_without_notes_and_shorter_than_a_segment(tmp_path):
    manifest = write_folder(tmp_path / "prepared", splits={"train": 2}, seconds=0.5)
    empty = manifest.folder(manifest.tracks[0]) / "notes.csv"
    write_notes(empty, Notes.empty(), NAMES)
    write_shards(manifest, tmp_path / "out", **QUIET)
    pair = [
        ScoreDataset(folder, "train", **STFT_SIZE, n_segments=6, segment=1.024)
        for folder in (manifest, tmp_path / "out")
    ]
    assert all(equal(*items) for items in zip(*pair))
