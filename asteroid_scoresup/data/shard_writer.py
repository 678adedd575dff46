"""Packs a prepared folder into shards, see :mod:`asteroid_scoresup.data.shards`.

Shards are written by several processes, each under a temporary name. The final name contains the
hash of the content, so that a training that reads the folder never gets other content under an old
name. A shard that has this hash, and whose tracks have not changed, is kept: an interrupted run
resumes, and a later one adds what is new.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..utils.files import atomic_path, explained, read_json, write_json
from ..utils.hashing import audio_probe
from ..utils.locks import HOLDER_FILE, LOCK_FILE, folder_lock
from ..utils.names import why_not_plain
from ..utils.parallel import run_parallel
from ..utils.partial_files import unfinished
from .informed import ScoreInformedMasks
from .manifest import SHARDS_FILE, Manifest
from .segment_reader import require_length
from .shard_files import (
    FORMAT,
    INDEX_FILE,
    STRETCHES_FILE,
    member_names,
    note_arrays,
    shard_name,
)
from .shard_index import ShardJob, WrittenShard, read_places, write_index
from .shards import ShardedManifest
from .track import PreparedTrack

#: A pattern of the hash in the name of a shard.
_HASH = "[0-9a-f]" * 16
#: Hashes of all shards, as ``sha256sum`` writes and checks them.
SUMS_FILE = "SHA256SUMS"
#: Songs per shard: some gigabytes for songs of a few minutes with their stems.
TRACKS_PER_SHARD = 128


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
        FileNotFoundError: if a table of notes is missing.
        ValueError: if a setting is invalid, an audio file is missing or has another length than the
            manifest says, or `out_dir` contains anything else than shards.
    """
    out_dir = Path(out_dir)
    if isinstance(manifest, ShardedManifest):
        raise ValueError(f"{manifest.root} contains shards: name the prepared folder.")
    if tracks_per_shard < 1:
        raise ValueError(f"tracks_per_shard is {tracks_per_shard}, expected at least 1.")
    if not manifest.tracks:
        raise ValueError(f"{manifest.root} has no tracks.")
    if masks is not None and masks.manifest.root != manifest.root:
        raise ValueError(f"The masks are those of {masks.manifest.root}, not of {manifest.root}.")
    before = _earlier(out_dir)
    if masks is not None:
        masks.fit_all(manifest.tracks, jobs, progress)
    waiting = [
        ShardJob(split, first // tracks_per_shard, first, tracks[first : first + tracks_per_shard])
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
        # Whatever is written from here on belongs to shards, and is not whole yet.
        write_json(out_dir / SHARDS_FILE, {"format": FORMAT, "unfinished": True})
        work = partial(_finished, manifest=empty, out_dir=out_dir, stems=stems, masks=fitted)
        done = [shard for _, shard in run_parallel(work, waiting, jobs, "shard", progress)]
        done.sort(key=lambda shard: (shard.job.split, shard.job.number))
        splits = {
            split: write_index([s for s in done if s.job.split == split], manifest, out_dir)
            for split in manifest.splits()
        }
        _sweep(out_dir, done, before)
        _write_sums(out_dir, done)
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
        "bytes": sum(shard.path.stat().st_size for shard in done),
    }


def _earlier(out_dir: Path) -> list[str]:
    """Splits that an earlier run wrote into a folder.

    Raises:
        ValueError: if the folder contains anything else: it could be lost.
    """
    files = [path.name for path in out_dir.iterdir()] if out_dir.is_dir() else []
    if not set(files) - {LOCK_FILE, HOLDER_FILE}:
        return []
    try:
        content = read_json(out_dir / SHARDS_FILE)
        if "manifest.json" in files or content["format"] != FORMAT:
            raise ValueError
        return [split for split in content.get("splits", {}) if not why_not_plain(split)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(
            f"{out_dir} contains files that are not shards of this version: choose another folder."
        ) from None


def _finished(
    job: ShardJob,
    manifest: Manifest,
    out_dir: Path,
    stems: bool,
    masks: ScoreInformedMasks | None,
) -> WrittenShard:
    """Writes a shard, or keeps that of an earlier run."""
    folder = out_dir / job.split
    if out_dir.resolve() not in folder.resolve().parents:
        raise ValueError(f"{folder} is a link that leads outside of {out_dir}: delete it.")
    identities = [manifest.identity(track) for track in job.tracks]
    files = [_files(track, manifest, stems, masks) for track in job.tracks]
    shared = [FORMAT, *manifest.names, manifest.mixture, manifest.sample_rate]
    expected = [
        {
            "track": track.to_dict(),
            "identity": known,
            "data": shared,
            "files": {k: audio_probe(p) if p.suffix == ".wav" else p.name for k, p in some.items()},
        }
        for track, known, some in zip(job.tracks, identities, files)
    ]
    for path in sorted(folder.glob(f"{job.number:06d}-{_HASH}.tar")):
        if _contents(path) == expected:
            digest = _hash(path)
            if path.name == shard_name(job.number, digest):
                return WrittenShard(job, True, path, digest, identities, read_places(path, job))
    temporary = unfinished(folder / f"{job.number:06d}.tar")
    try:
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as archive:
                for place, (track, content) in enumerate(zip(job.tracks, expected)):
                    for suffix, stream in _members(track, content, files[place], manifest):
                        info = tarfile.TarInfo(f"{job.first + place:08d}.{suffix}")
                        with stream:
                            info.size = stream.seek(0, io.SEEK_END)
                            stream.seek(0)
                            archive.addfile(info, stream)
        if [manifest.identity(track) for track in job.tracks] != identities:
            raise ValueError(
                f"Tracks in {manifest.root / job.split} were changed while they were packed: run "
                "`asteroid-scoresup shard` again when that is done."
            )
        digest = _hash(temporary)
        path = folder / shard_name(job.number, digest)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return WrittenShard(job, False, path, digest, identities, read_places(path, job))


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
        try:
            file = open(path, "rb")  # noqa: SIM115  # closed by the caller
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}.") from None
        yield suffix, file


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


def _sweep(out_dir: Path, shards: list[WrittenShard], before: list[str]) -> None:
    """Deletes shards and arrays of earlier runs that are in the list no more."""
    listed = {shard.path for shard in shards}
    splits = {shard.job.split for shard in shards}
    for path in out_dir.glob(f"*/{'[0-9]' * 6}-{_HASH}.tar"):
        if path not in listed:
            path.unlink()
    for split in set(before) - splits:
        for name in (INDEX_FILE, STRETCHES_FILE):
            (out_dir / split / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else is in it
            (out_dir / split).rmdir()


def _write_sums(out_dir: Path, shards: list[WrittenShard]) -> None:
    """Writes the hashes of shards and arrays."""
    arrays = [
        out_dir / split / name
        for split in sorted({shard.job.split for shard in shards})
        for name in (INDEX_FILE, STRETCHES_FILE)
    ]
    digests = [(shard.path, shard.digest) for shard in shards]
    digests += [(path, _hash(path)) for path in arrays]
    with atomic_path(out_dir / SUMS_FILE) as temporary:
        lines = [f"{digest}  {path.relative_to(out_dir).as_posix()}\n" for path, digest in digests]
        temporary.write_text("".join(lines), encoding="utf-8", errors="surrogateescape")


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
