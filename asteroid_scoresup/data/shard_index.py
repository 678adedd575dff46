"""The index of a split in shards: what is read from written shards, and the arrays made of it."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..utils.files import atomic_path
from .manifest import Manifest
from .shard_files import INDEX_FILE, STRETCHES_FILE, encoded, index_dtype, member_names
from .stretches import stretch_table
from .track import PreparedTrack


class ShardJob(NamedTuple):
    """One shard to write: its tracks, and the number of the first of them in the split."""

    split: str
    number: int
    first: int
    tracks: Sequence[PreparedTrack]


class WrittenShard(NamedTuple):
    """A shard that is written: what the index and the list of shards need."""

    job: ShardJob
    kept: bool
    path: Path
    digest: str
    identities: list[list[Any]]
    places: list[dict[str, tuple[int, int]]]


def read_places(path: Path, job: ShardJob) -> list[dict[str, tuple[int, int]]]:
    """Where the files of each track are in a shard.

    Args:
        path (Path): The shard.
        job (ShardJob): Its tracks.

    Returns:
        list of dict: suffix → (offset, size), in bytes.
    """
    places: list[dict[str, tuple[int, int]]] = [{} for _ in job.tracks]
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            number, suffix = member.name.split(".", 1)
            places[int(number) - job.first][suffix] = member.offset_data, member.size
    return places


def write_index(shards: list[WrittenShard], manifest: Manifest, out_dir: Path) -> dict[str, Any]:
    """Writes the arrays of a split.

    Args:
        shards (list of WrittenShard): The shards of the split, in order.
        manifest (Manifest): The prepared folder.
        out_dir (Path): The folder of shards.

    Returns:
        dict: What ``shards.json`` says about the split.
    """
    members = member_names(manifest.classes, manifest.mixture)
    tracks = [track for shard in shards for track in shard.job.tracks]
    longest = max(len(encoded(track.id)) for track in tracks)
    index = np.zeros(len(tracks), index_dtype(len(members), longest))
    index["id"] = [encoded(track.id) for track in tracks]
    index["rms"] = [track.rms for track in tracks]
    index["n_samples"] = [track.n_samples for track in tracks]
    index["number"] = np.arange(len(tracks))
    index["shard"] = [shard.job.number for shard in shards for _ in shard.job.tracks]
    for entry, files in zip(index, (files for shard in shards for files in shard.places)):
        for suffix, place in files.items():
            column = members.index(suffix)
            entry["offset"][column], entry["size"][column] = place
    table = stretch_table(tracks, manifest.sample_rate).astype("<i8")
    folder = out_dir / shards[0].job.split
    for name, array in ((INDEX_FILE, index), (STRETCHES_FILE, table)):
        with atomic_path(folder / name) as temporary:
            np.save(temporary, array, allow_pickle=False)
    stems = [members.index(f"stems.{name}.wav") for name in manifest.names]
    return {
        "n_tracks": len(tracks),
        "n_stretches": len(table),
        "longest": longest,
        "bends": bool(index["size"][:, members.index("bends.npy")].any()),
        "stems": bool(index["size"][:, stems].all()),
        "shards": {shard.path.name: shard.path.stat().st_size for shard in shards},
    }
