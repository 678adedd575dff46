"""Hashes that tell whether a file or a recording has changed.

Sizes are not enough: a corrected MIDI file, or a WAV file of another take of the same length, can
have the size of the file it replaces. Modification times are too much: they change when a folder is
copied. Hashing everything each time is correct, but Slakh2100 is 100 GB. Therefore:

- When a song is prepared, the whole content of its files is hashed (:func:`file_record`), which
  takes a fraction of the time of decoding.
- Later, a file of another size has changed. A file with another modification time is hashed again,
  so that a copied folder need not be prepared again. Small files (MIDI, metadata) always are.
- An audio file of the same size and time is probed: some short blocks of it are hashed. Two
  recordings differ in every such block, and only some kilobytes are read per file.
- Prepared audio, on which training depends, is probed in the same way, in addition to the hash that
  preparation recorded (:func:`audio_probe`). This probe hashes samples rather than bytes, because
  libsndfile writes the time of day to the header of float WAV files.

An edit of a large file that restores its modification time and leaves the probed blocks unchanged
goes unnoticed; no tool does this by accident.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from .audio import sndfile_path

#: Largest size, in bytes, of files that are always hashed as a whole.
SMALL = 1 << 18
#: Number of blocks that are probed in a larger file, and their size in bytes (or samples).
PROBES = 4
PROBE_SIZE = 4096


def file_hash(path: str | os.PathLike[str]) -> str:
    """Hash of the content of a file.

    Args:
        path (str or Path): The file.

    Returns:
        str: The first 32 hexadecimal digits of its SHA-256 hash.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()[:32]


def _probe(path: str | os.PathLike[str], size: int) -> str:
    """Hash of short blocks that are evenly spaced in a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for number in range(PROBES):
            stream.seek(size * (2 * number + 1) // (2 * PROBES))
            digest.update(stream.read(PROBE_SIZE))
    return digest.hexdigest()[:16]


def file_record(path: str | os.PathLike[str], name: str | None = None) -> dict[str, Any]:
    """Describes the content of a file, for :func:`is_same_file`.

    Args:
        path (str or Path): The file.
        name (str, optional): Name to record. Default: that of the file.

    Returns:
        dict: ``name``, ``size`` (bytes), ``mtime_ns``, ``sha256``, and ``probe`` of large files.
    """
    path = Path(path)
    # Before hashing: if the file is written to meanwhile, its time will differ from this one.
    stat = path.stat()
    record = {"name": name or path.name, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    if stat.st_size > SMALL:
        record["probe"] = _probe(path, stat.st_size)
    record["sha256"] = file_hash(path)
    return record


def is_same_file(path: str | os.PathLike[str], record: Mapping[str, Any]) -> bool:
    """Whether a file still has the content that was recorded.

    Args:
        path (str or Path): The file.
        record (dict): Result of :func:`file_record`.

    Returns:
        bool: Whether the content is the same.
    """
    stat = Path(path).stat()
    if stat.st_size != record["size"]:
        return False
    if stat.st_size > SMALL and stat.st_mtime_ns == record["mtime_ns"]:
        return _probe(path, stat.st_size) == record["probe"]
    return file_hash(path) == record["sha256"]


def same_files(paths: Mapping[str, str | os.PathLike[str]], records: Any) -> bool:
    """Whether a set of files is exactly the recorded one.

    Args:
        paths (dict): Paths by name.
        records (list of dict): Results of :func:`file_record`. Anything else, such as the names
            and sizes that earlier versions recorded, never matches.

    Returns:
        bool: Whether names and contents are the same.
    """
    keys = {"name", "size", "mtime_ns", "sha256"}
    if not isinstance(records, list) or not all(
        isinstance(record, dict)
        and keys <= record.keys()
        and isinstance(record["size"], int)
        and (record["size"] <= SMALL or "probe" in record)
        for record in records
    ):
        return False
    known = {record["name"]: record for record in records}
    if known.keys() != paths.keys():
        return False
    return all(is_same_file(path, known[name]) for name, path in paths.items())


def with_times_of(
    paths: Mapping[str, str | os.PathLike[str]], records: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Updates the modification times in the records of unchanged files.

    Args:
        paths (dict): Paths by name.
        records (list of dict): Results of :func:`file_record`.

    Returns:
        list of dict: The records with the current modification times.
    """
    return [{**r, "mtime_ns": Path(paths[r["name"]]).stat().st_mtime_ns} for r in records]


def samples_hash(*signals: np.ndarray) -> str:
    """Hash of the samples of signals, as float32, and of their shapes.

    Args:
        *signals (array): The signals.

    Returns:
        str: 32 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for signal in signals:
        samples = np.ascontiguousarray(signal, dtype="<f4")
        digest.update(f"{samples.shape}".encode())
        digest.update(samples.tobytes())
    return digest.hexdigest()[:32]


def audio_probe(path: str | os.PathLike[str]) -> str:
    """Hash of the length, the sample rate and some thousand samples of an audio file.

    Args:
        path (str or Path): The file.

    Returns:
        str: 16 hexadecimal digits.

    Raises:
        ValueError: if the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with sf.SoundFile(sndfile_path(path)) as file:
            digest.update(f"{file.frames} {file.samplerate} {file.channels}".encode())
            for number in range(PROBES):
                file.seek(file.frames * (2 * number + 1) // (2 * PROBES))
                digest.update(file.read(PROBE_SIZE, dtype="float32").astype("<f4").tobytes())
    except (sf.LibsndfileError, OSError) as error:
        raise ValueError(f"{path} cannot be read as audio: {error}") from None
    return digest.hexdigest()[:16]
