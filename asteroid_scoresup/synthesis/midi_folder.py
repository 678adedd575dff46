"""The MIDI files below a folder: which there are, how they are split, and a digest of all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..notation.reader import MIDI_SUFFIXES
from ..utils.files import read_json, write_json
from ..utils.hashing import file_hash


def find_midi(folder: str | os.PathLike[str]) -> list[tuple[str, Path]]:
    """Finds the MIDI files below a folder, at any depth.

    Args:
        folder (str or Path): Where to look.

    Returns:
        list of tuple: (name relative to the folder, with ``/``, path), sorted.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it contains no MIDI file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"MIDI folder not found: {folder}.")
    found = [p for p in folder.rglob("*") if p.suffix.lower() in MIDI_SUFFIXES and p.is_file()]
    if not found:
        raise ValueError(f"no .mid or .midi file below {folder}.")
    return sorted((path.relative_to(folder).as_posix(), path) for path in found)


def split_files(
    files: Sequence[tuple[str, Path]], fractions: Sequence[float], seed: int
) -> list[tuple[str, int, Path, str]]:
    """Shuffles files and assigns them to training, validation and test.

    Args:
        files (list of tuple): See :func:`find_midi`.
        fractions (sequence of float): Fractions of training, validation and test files; they are
            divided by their sum.
        seed (int): Seed of the shuffle.

    Returns:
        list of tuple: (split, index within the split, path, name) of every file.
    """
    order = np.random.default_rng([int(seed), 99]).permutation(len(files))
    parts = np.asarray(fractions, dtype=float) / sum(fractions)
    n_validation, n_test = (int(round(part * len(files))) for part in parts[1:])
    sizes = {"train": len(files) - n_validation - n_test, "validation": n_validation}
    songs, start = [], 0
    for split in ("train", "validation", "test"):
        size = sizes.get(split, len(files) - start)
        for index, place in enumerate(order[start : start + size]):
            name, path = files[place]
            songs.append((split, index, path, name))
        start += size
    return songs


def files_digest(files: Sequence[tuple[str, Path]], record: Path) -> str:
    """Hash of the names and contents of MIDI files.

    Early versions recorded names and sizes only. If such a record matches the files, it is updated
    in place, so that the data sets of those versions can still be completed.

    Args:
        files (list of tuple): See :func:`find_midi`.
        record (Path): ``synthesis.json`` of the data set, which may not exist yet.

    Returns:
        str: 24 hexadecimal digits.
    """

    def content_hash(path: Path) -> str:
        try:
            return file_hash(path)
        except OSError:
            return "unreadable"  # it will be skipped and reported

    listing = "\n".join(f"{name} {content_hash(path)}" for name, path in files)
    digest = hashlib.sha256(listing.encode()).hexdigest()[:24]
    if record.is_file():
        content = read_json(record)
        settings = content.get("settings") if isinstance(content, dict) else None
        sizes = "\n".join(f"{name} {path.stat().st_size}" for name, path in files)
        early = hashlib.sha256(sizes.encode()).hexdigest()[:16]
        if isinstance(settings, dict) and settings.get("files_digest") == early:
            settings["files_digest"] = digest
            write_json(record, content)
    return digest
