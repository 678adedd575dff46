"""Whether a file or a recording is still what it was.

Sizes tell too little: a corrected MIDI file, or a WAV file of another take of the same length, has
the size of the one it replaces. Modification times tell too much: they change when a folder is
copied. Hashing everything is right, but Slakh2100 is 100 GB. Hence:

- When a song is prepared, the whole content of its files is hashed (:func:`file_record`). That
  takes a small part of the time that decoding takes.
- Later, a file of another size has changed. A file that was touched since is hashed again, so that
  a copied folder is not prepared again. Small files (MIDI, metadata) are always hashed again.
- An audio file of the same size and time is probed: short blocks from its inside are hashed. Two
  recordings differ in every such block; it costs a read of some kilobytes a file.
- Prepared audio, of which a model's training depends, is probed in the same way on top of the hash
  that preparation recorded (:func:`audio_probe`). The samples are read, not the bytes: libsndfile
  writes the time of day into the header of float WAV files.

What escapes is an edit in place of a large file that restores its modification time and spares the
probed blocks: no tool does this by accident.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import soundfile as sf

#: Files up to this size, in bytes, are always read as a whole.
SMALL = 1 << 18
#: Blocks that are probed in a larger file, and their size in bytes.
PROBES = 4
PROBE_SIZE = 4096


def file_hash(path):
    """SHA-256 of a file's content, 32 hexadecimal digits of it."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()[:32]


def _probe(path, size):
    """Hash of short blocks that lie evenly in a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for number in range(PROBES):
            stream.seek(size * (2 * number + 1) // (2 * PROBES))
            digest.update(stream.read(PROBE_SIZE))
    return digest.hexdigest()[:16]


def file_record(path, name=None):
    """What identifies a file: plain values, for :func:`is_same_file`.

    Args:
        path (str or Path): The file.
        name (str, optional): Name to record instead of the file's own.

    Returns:
        dict: ``name``, ``size`` (bytes), ``mtime_ns``, ``sha256``, and ``probe`` of large files.
    """
    path = Path(path)
    # Before the content: a file that is written meanwhile will be found to be newer.
    stat = path.stat()
    record = {"name": name or path.name, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    if stat.st_size > SMALL:
        record["probe"] = _probe(path, stat.st_size)
    record["sha256"] = file_hash(path)
    return record


def is_same_file(path, record):
    """Whether a file holds what it held when :func:`file_record` was made of it.

    Args:
        path (str or Path): The file.
        record (dict): The record.
    """
    stat = Path(path).stat()
    if stat.st_size != record["size"]:
        return False
    if stat.st_size > SMALL and stat.st_mtime_ns == record["mtime_ns"]:
        return _probe(path, stat.st_size) == record["probe"]
    return file_hash(path) == record["sha256"]


def same_files(paths, records):
    """Whether files, by name, are those of the records, all of them and no others.

    Args:
        paths (dict): Paths by name.
        records (list of dict): From :func:`file_record`. Anything else, such as the names and
            sizes that earlier versions wrote, counts as another set of files.
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


def with_times_of(paths, records):
    """The records of files that are the same, with the modification times that they have now."""
    return [{**r, "mtime_ns": Path(paths[r["name"]]).stat().st_mtime_ns} for r in records]


def samples_hash(*signals):
    """Hash of signals, 32 hexadecimal digits: of their samples as float32, and their lengths."""
    digest = hashlib.sha256()
    for signal in signals:
        samples = np.ascontiguousarray(signal, dtype="<f4")
        digest.update(f"{samples.shape}".encode())
        digest.update(samples.tobytes())
    return digest.hexdigest()[:32]


def audio_probe(path):
    """Hash of the length, the rate and some thousand samples of an audio file.

    Args:
        path (str or Path): The file.

    Returns:
        str: 16 hexadecimal digits.

    Raises:
        ValueError: if the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with sf.SoundFile(path) as file:
            digest.update(f"{file.frames} {file.samplerate} {file.channels}".encode())
            for number in range(PROBES):
                file.seek(file.frames * (2 * number + 1) // (2 * PROBES))
                digest.update(file.read(PROBE_SIZE, dtype="float32").astype("<f4").tobytes())
    except (sf.LibsndfileError, OSError) as error:
        raise ValueError(f"{path} cannot be read as audio: {error}") from None
    return digest.hexdigest()[:16]
