"""Packs a prepared folder into shards, see :mod:`asteroid_scoresup.data.shards`.

Shards are written by several processes, each under a temporary name. A shard whose tracks have not
changed is kept, so that an interrupted run resumes and a later one adds what is new.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..utils.files import atomic_path, read_json, write_json
from ..utils.locks import folder_lock
from ..utils.parallel import run_parallel
from .informed import ScoreInformedMasks
from .manifest import SHARDS_FILE, Manifest
from .segment_reader import require_length
from .shard_files import (
    FORMAT,
    INDEX_FILE,
    STRETCHES_FILE,
    index_dtype,
    member_names,
    note_arrays,
    shard_path,
)
from .shards import ShardedManifest
from .stretches import certain_stretches
from .track import PreparedTrack

#: Hashes of all shards, as ``sha256sum`` writes and checks them.
SUMS_FILE = "SHA256SUMS"
#: Songs per shard: some gigabytes for songs of a few minutes with their stems.
TRACKS_PER_SHARD = 128


class _Job(NamedTuple):
    """One shard to write: its tracks, and the number of the first of them in the split."""

    split: str
    number: int
    first: int
    tracks: Sequence[PreparedTrack]


class _Shard(NamedTuple):
    """A shard that is written: what the index and the list of shards need."""

    job: _Job
    kept: bool
    n_bytes: int
    digest: str
    identities: list[list[Any]]
    places: list[dict[str, tuple[int, int]]]


def write_shards(
    manifest: Manifest,
    out_dir: str | Path,
    *,
    tracks_per_shard: int = TRACKS_PER_SHARD,
    stems: bool = True,
    masks: ScoreInformedMasks | None = None,
    jobs: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Writes prepared tracks as shards.

    Args:
        manifest (Manifest): The prepared folder.
        out_dir (str or Path): The folder of shards. Those of an earlier run are kept where their
            tracks have not changed.
        tracks_per_shard (int): Number of tracks in each tar file.
        stems (bool): Whether stems are packed, where there are any.
        masks (ScoreInformedMasks, optional): Score-informed masks to pack; they are fitted where
            that was not done yet. Shards cannot be added to later.
        jobs (int, optional): Number of processes; default: all cores.
        progress (bool): Whether a progress bar is shown.

    Returns:
        dict: ``tracks``, ``shards``, ``kept`` (shards of an earlier run) and ``bytes``.

    Raises:
        FileNotFoundError: if a file of a track is missing.
        ValueError: if a setting is invalid, a file of a track has another length than the manifest
            says, or `out_dir` is a prepared folder.
    """
    out_dir = Path(out_dir)
    if isinstance(manifest, ShardedManifest):
        raise ValueError(f"{manifest.root} contains shards: name the prepared folder.")
    if tracks_per_shard < 1:
        raise ValueError(f"tracks_per_shard is {tracks_per_shard}, expected at least 1.")
    if (out_dir / "manifest.json").exists():
        raise ValueError(f"{out_dir} is a prepared folder: choose another folder for the shards.")
    if not manifest.tracks:
        raise ValueError(f"{manifest.root} has no tracks.")
    if masks is not None:
        masks.fit_all(manifest.tracks, jobs, progress)
    waiting = [
        _Job(split, first // tracks_per_shard, first, tracks[first : first + tracks_per_shard])
        for split in manifest.splits()
        for tracks in [manifest.in_split(split)]
        for first in range(0, len(tracks), tracks_per_shard)
    ]
    # Without the list of tracks, which would be sent to the workers with every shard.
    empty = Manifest(manifest.root, manifest.sample_rate, manifest.classes, manifest.mixture)
    fitted = copy.copy(masks)
    if fitted is not None:
        fitted.manifest = empty
    with folder_lock(out_dir, "shard"):
        sums = _read_sums(out_dir)
        # The list is wrong as soon as a shard is replaced.
        (out_dir / SHARDS_FILE).unlink(missing_ok=True)
        work = partial(
            _finished, manifest=empty, out_dir=out_dir, stems=stems, masks=fitted, sums=sums
        )
        done = [shard for _, shard in run_parallel(work, waiting, jobs, "shard", progress)]
        done.sort(key=lambda shard: (shard.job.split, shard.job.number))
        splits = {
            split: _write_index([s for s in done if s.job.split == split], manifest, out_dir)
            for split in manifest.splits()
        }
        _sweep(out_dir, done)
        with atomic_path(out_dir / SUMS_FILE) as temporary:
            lines = [f"{s.digest}  {s.job.split}/{s.job.number:06d}.tar\n" for s in done]
            temporary.write_text("".join(lines), encoding="utf-8")
        content = {
            "format": FORMAT,
            "sample_rate": manifest.sample_rate,
            "classes": str(manifest.classes),
            "mixture": manifest.mixture,
            "fingerprint": manifest.hash_of(known for s in done for known in s.identities),
            "masks": None if masks is None else masks.settings.decode(),
            "splits": splits,
        }
        write_json(out_dir / SHARDS_FILE, content)
    return {
        "tracks": len(manifest.tracks),
        "shards": len(done),
        "kept": sum(shard.kept for shard in done),
        "bytes": sum(shard.n_bytes for shard in done),
    }


def _finished(
    job: _Job,
    manifest: Manifest,
    out_dir: Path,
    stems: bool,
    masks: ScoreInformedMasks | None,
    sums: dict[str, str],
) -> _Shard:
    """Writes a shard, or keeps that of an earlier run."""
    path = shard_path(out_dir, job.split, job.number)
    identities = [manifest.identity(track) for track in job.tracks]
    files = [_files(track, manifest, stems, masks) for track in job.tracks]
    expected = [
        {"track": track.to_dict(), "identity": known, "files": {k: p.name for k, p in some.items()}}
        for track, known, some in zip(job.tracks, identities, files)
    ]
    kept = _contents(path) == expected
    if not kept:
        with (
            atomic_path(path) as temporary,
            tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for place, (track, content) in enumerate(zip(job.tracks, expected)):
                for suffix, file in _members(track, content, files[place], manifest):
                    info = tarfile.TarInfo(f"{job.first + place:08d}.{suffix}")
                    with file as stream:
                        info.size = stream.seek(0, io.SEEK_END)
                        stream.seek(0)
                        archive.addfile(info, stream)
    name = f"{job.split}/{path.name}"
    digest = sums.get(name) if kept else None
    return _Shard(
        job, kept, path.stat().st_size, digest or _hash(path), identities, _places(path, job)
    )


def _files(
    track: PreparedTrack, manifest: Manifest, stems: bool, masks: ScoreInformedMasks | None
) -> dict[str, Path]:
    """The files of a track that are packed as they are, by their suffix in the shard."""
    files = {"mixture.wav": manifest.mixture_path(track)}
    if stems:
        for suffix in member_names(manifest.classes, manifest.mixture):
            if suffix.startswith("stems."):
                path = manifest.stem_path(track, suffix.split(".", 1)[1].removesuffix(".wav"))
                files |= {suffix: path} if path.is_file() else {}
    for path in files.values():
        require_length(path, track.n_samples)
    if masks is not None:
        files["informed.npz"] = masks.path(track)
    return files


def _members(
    track: PreparedTrack, content: dict[str, Any], files: dict[str, Path], manifest: Manifest
) -> Iterator[tuple[str, Any]]:
    """Suffixes and streams of the files of a track."""
    yield "json", io.BytesIO(json.dumps(content).encode())
    table, bends = note_arrays(manifest.notes(track))
    yield "notes.npy", io.BytesIO(table)
    if bends is not None:
        yield "bends.npy", io.BytesIO(bends)
    for suffix, path in files.items():
        yield suffix, open(path, "rb")  # noqa: SIM115  # closed by the caller


def _contents(path: Path) -> list[Any] | None:
    """The descriptions of the tracks in a shard; None if there is no whole shard."""
    try:
        with tarfile.open(path, "r:") as archive:
            members = archive.getmembers()
            end = members[-1].offset_data + members[-1].size if members else 0
            size = path.stat().st_size
            if size % tarfile.RECORDSIZE or size < end + 2 * tarfile.BLOCKSIZE:
                return None
            found = [archive.extractfile(m) for m in members if m.name.endswith(".json")]
            return [json.loads(file.read()) for file in found if file is not None]
    except (OSError, ValueError, tarfile.TarError):
        return None


def _places(path: Path, job: _Job) -> list[dict[str, tuple[int, int]]]:
    """Where the files of each track are in a shard, in bytes: suffix → (offset, size)."""
    places: list[dict[str, tuple[int, int]]] = [{} for _ in job.tracks]
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            number, suffix = member.name.split(".", 1)
            places[int(number) - job.first][suffix] = member.offset_data, member.size
    return places


def _write_index(shards: list[_Shard], manifest: Manifest, out_dir: Path) -> dict[str, Any]:
    """Writes the arrays of a split; what the list of shards says about it."""
    members = member_names(manifest.classes, manifest.mixture)
    tracks = [track for shard in shards for track in shard.job.tracks]
    longest = max(len(track.id.encode()) for track in tracks)
    index = np.zeros(len(tracks), index_dtype(len(members), longest))
    index["id"] = [track.id.encode() for track in tracks]
    index["n_samples"] = [track.n_samples for track in tracks]
    index["number"] = np.arange(len(tracks))
    index["shard"] = [shard.job.number for shard in shards for _ in shard.job.tracks]
    for entry, files in zip(index, (files for shard in shards for files in shard.places)):
        for suffix, place in files.items():
            column = members.index(suffix)
            entry["offset"][column], entry["size"][column] = place
    rows = [
        (row, *stretch)
        for row, track in enumerate(tracks)
        for stretch in certain_stretches(track, manifest.sample_rate)
    ]
    table = np.array(rows, dtype="<i8").reshape(-1, 3)
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
        "bytes": [shard.n_bytes for shard in shards],
    }


def _sweep(out_dir: Path, shards: list[_Shard]) -> None:
    """Deletes shards of earlier runs that are in the list no more."""
    listed = {shard_path(out_dir, shard.job.split, shard.job.number) for shard in shards}
    for path in out_dir.glob(f"*/{'[0-9]' * 6}.tar"):
        if path not in listed:
            path.unlink()


def _read_sums(out_dir: Path) -> dict[str, str]:
    """The hashes of an earlier run, by name of the shard; empty unless that run has finished."""
    try:
        read_json(out_dir / SHARDS_FILE)
        lines = (out_dir / SUMS_FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    pairs = (line.partition("  ") for line in lines)
    return {name: digest for digest, _, name in pairs}


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
