"""Lists the presets of a SoundFont, and checks its tables for indices out of range.

A SoundFont (SoundFont Technical Specification 2.01, E-mu 1996) is a RIFF file of three lists:
information, samples, and nine tables whose records refer to each other by index. Synthesizers trust
these indices and may crash; here they are compared with the sizes of the tables first.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

# Size of the records of each table, in bytes (sections 7.2 to 7.10).
_RECORD = {
    "phdr": 38,
    "pbag": 4,
    "pmod": 10,
    "pgen": 4,
    "inst": 22,
    "ibag": 4,
    "imod": 10,
    "igen": 4,
    "shdr": 46,
}
_INSTRUMENT, _SAMPLE = 41, 53  # generators that refer to an instrument or a sample (8.1.2)
_ROM, _COMPRESSED = 0x8000, 0x10  # sample types whose addresses are not positions in `smpl`


def soundfont_presets(soundfont: str | os.PathLike[str]) -> frozenset[tuple[int, int]]:
    """Lists the presets of a SoundFont; those of bank 128 are drum kits.

    Args:
        soundfont (str or Path): An ``.sf2`` or ``.sf3`` file.

    Returns:
        frozenset of tuple: (bank, program) of each preset.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not a SoundFont, or is damaged.

    Examples
        >>> from asteroid_scoresup.synthesis.render import default_soundfont
        >>> (0, 33) in soundfont_presets(default_soundfont())
        True
    """
    path = Path(soundfont)
    if not path.is_file():
        raise FileNotFoundError(f"SoundFont not found: {path}.")
    return _read_presets(str(path), path.stat().st_mtime_ns, path.stat().st_size)


def has_preset(soundfont: str | os.PathLike[str], program: int, is_drum: bool) -> bool:
    """Whether a SoundFont can play a program.

    Args:
        soundfont (str or Path): An ``.sf2`` or ``.sf3`` file.
        program (int): General MIDI program.
        is_drum (bool): Whether it is that of a drum kit. As in synthesizers, any drum kit of a
            SoundFont plays all drum programs.

    Returns:
        bool

    Examples
        >>> from asteroid_scoresup.synthesis.render import default_soundfont
        >>> has_preset(default_soundfont(), 33, is_drum=False)
        True
    """
    presets = soundfont_presets(soundfont)
    return any(bank == 128 for bank, _ in presets) if is_drum else (0, program) in presets


@functools.lru_cache(maxsize=16)
def _read_presets(path: str, mtime_ns: int, size: int) -> frozenset[tuple[int, int]]:
    try:
        with open(path, "rb") as file:
            head = file.read(12)
            if head[:4] != b"RIFF" or head[8:] != b"sfbk":
                raise ValueError(f"{path} is not a SoundFont (.sf2 or .sf3).")
            tables, n_samples = _read_tables(file, size)
    except OSError as error:
        raise ValueError(f"{path} cannot be read as a SoundFont: {error}.") from None
    except _Damage as error:
        raise ValueError(f"{path} is a damaged SoundFont: {error}.") from None
    try:
        _check_indices(tables, n_samples)
    except _Damage as error:
        raise ValueError(f"{path} is a damaged SoundFont: {error}.") from None
    headers = tables["phdr"][:-1]  # the last record is a sentinel
    return frozenset((int(bank), int(program)) for program, bank in headers["where"])


class _Damage(Exception):
    """A fault of a SoundFont, as the rest of a sentence."""


_TYPES = {
    "phdr": np.dtype([("name", "S20"), ("where", "<u2", 2), ("bag", "<u2"), ("rest", "V12")]),
    "bag": np.dtype([("generator", "<u2"), ("modulator", "<u2")]),
    "gen": np.dtype([("kind", "<u2"), ("amount", "<u2")]),
    "inst": np.dtype([("name", "S20"), ("bag", "<u2")]),
    "shdr": np.dtype(
        [("name", "S20"), ("place", "<u4", 4), ("rate", "<u4"), ("rest", "V2"), ("kind", "<u2", 2)]
    ),
}


def _read_tables(file: BinaryIO, size: int) -> tuple[dict[str, np.ndarray], int]:
    """The nine tables as arrays, and the number of samples."""
    tables: dict[str, np.ndarray] = {}
    n_samples = 0
    for kind, first, stop in read_chunks(file, 12, size):
        if kind != "LIST":
            continue
        file.seek(first)
        what = file.read(4)
        for name, start, end in read_chunks(file, first + 4, stop) if what != b"INFO" else ():
            if what == b"sdta" and name == "smpl":
                n_samples = (end - start) // 2
            elif what == b"pdta" and name in _RECORD:
                if (end - start) % _RECORD[name] or end - start < _RECORD[name]:
                    raise _Damage(f"its table {name} has {end - start} bytes")
                file.seek(start)
                dtype = _TYPES.get(name) or _TYPES.get(name[1:]) or f"V{_RECORD[name]}"
                tables[name] = np.frombuffer(file.read(end - start), dtype)
    missing = [name for name in _RECORD if name not in tables]
    if "phdr" in missing:
        raise _Damage("it lists no presets")
    if missing:
        raise _Damage(f"the table {missing[0]} is missing")
    return tables, n_samples


def sample_headers(soundfont: str | os.PathLike[str]) -> np.ndarray:
    """Headers of the samples of a SoundFont, without the sentinel.

    Args:
        soundfont (str or Path): A SoundFont that :func:`soundfont_presets` accepts.

    Returns:
        :class:`numpy.ndarray`: Records with the fields ``name``, ``place`` (start, end, and start
        and end of the loop), ``rate`` (Hz), ``rest`` and ``kind`` (link and type).
    """
    with open(soundfont, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        return _read_tables(file, size)[0]["shdr"][:-1]


def read_chunks(file: BinaryIO, first: int, stop: int) -> Iterator[tuple[str, int, int]]:
    """Finds the RIFF chunks between two positions of a file.

    Args:
        file (file): A binary file.
        first (int): Position of the first chunk.
        stop (int): End of the last chunk.

    Yields:
        tuple: Name of a chunk, and start and end of its content.
    """
    while first + 8 <= stop:
        file.seek(first)
        kind, size = struct.unpack("<4sI", file.read(8))
        start, end = first + 8, first + 8 + size
        if end > stop:
            raise _Damage(f"its chunk {kind.decode('latin1')!r} is longer than the file")
        yield kind.decode("latin1"), start, end
        first = end
        # RIFF pads chunks of odd size with a zero; some .sf3 files do not.
        if size % 2 and first < stop:
            file.seek(first)
            first += file.read(1) == b"\0"


def _check_indices(tables: Mapping[str, np.ndarray], n_samples: int) -> None:
    """Compares every index with the size of the table that it refers to."""
    sizes = {name: len(table) for name, table in tables.items()}
    for table, bags, generators in (("phdr", "pbag", "pgen"), ("inst", "ibag", "igen")):
        _check_order(table, tables[table]["bag"], bags, sizes[bags])
        _check_order(bags, tables[bags]["generator"], generators, sizes[generators])
    for generators, kind, table in (("pgen", _INSTRUMENT, "inst"), ("igen", _SAMPLE, "shdr")):
        # The last record of each table is a sentinel.
        used = tables[generators][:-1]
        used = used["amount"][used["kind"] == kind]
        if (used >= max(sizes[table] - 1, 0)).any():
            raise _Damage(f"its table {generators} refers to records beyond the end of {table}")
    headers = tables["shdr"][:-1]
    own = (headers["kind"][:, 1] & (_ROM | _COMPRESSED)) == 0
    start, end = headers["place"][own, 0], headers["place"][own, 1]
    if ((end < start) | (end > n_samples)).any():
        raise _Damage(f"a sample is outside the {n_samples} sample points of the file")


def _check_order(table: str, indices: np.ndarray, into: str, size: int) -> None:
    if (np.diff(indices.astype(np.int64)) < 0).any() or (indices >= size).any():
        raise _Damage(f"the indices of its table {table} do not match {into}")
