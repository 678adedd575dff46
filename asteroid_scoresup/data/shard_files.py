"""The files of a folder of shards: tar files, what they contain, and the index of a split.

A track has the same number in the names of all its files, as WebDataset expects it; a file is read
where it is in the shard.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..score import Notes
from ..utils.files import read_json
from .classes import ClassMap
from .manifest import SHARDS_FILE
from .track import is_number

#: Version of the format.
FORMAT = 1
#: Arrays of a split.
INDEX_FILE, STRETCHES_FILE = "index.npy", "stretches.npy"
#: Columns of the array of notes in a shard.
NOTE_COLUMNS = ("onset", "offset", "pitch", "class_index", "velocity", "release")
#: What helps if a folder of shards is damaged.
COPY_AGAIN = "Copy the folder again, or write it again with `asteroid-scoresup shard`."


class _Window(io.RawIOBase):
    """Part of a file, as a file."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  # closed by close()
        self._offset, self._size, self._place = offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(base + offset, 0)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        left = max(self._size - self._place, 0)
        self._file.seek(self._offset + self._place)
        count = self._file.readinto(memoryview(buffer).cast("B")[:left])
        self._place += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class ShardMember(NamedTuple):
    """A file in a shard.

    Args:
        path (Path): The shard.
        name (str): Name of the file in it.
        offset (int): Where its content begins in the shard, in bytes.
        size (int): Length of its content, in bytes.
    """

    path: Path
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.path} ({self.name})"

    def open(self) -> BinaryIO:
        """Opens the file for reading.

        Raises:
            FileNotFoundError: if there is no such shard.
        """
        return io.BufferedReader(_Window(self.path, self.offset, self.size))

    def read(self) -> bytes:
        """The content of the file.

        Raises:
            FileNotFoundError: if there is no such shard.
            ValueError: if the shard is shorter than it was.
        """
        with self.open() as file:
            content = file.read()
        if len(content) != self.size:
            raise ValueError(f"{self} is cut short. {COPY_AGAIN}")
        return content


def member_names(classes: ClassMap, mixture: str) -> list[str]:
    """Suffixes of the files of a track in a shard, in the order of the columns of the index.

    Args:
        classes (ClassMap): The classes.
        mixture (str): See :class:`~asteroid_scoresup.data.manifest.Manifest`.
    """
    stems = [*classes.names, *(["residual"] if mixture == "song" else [])]
    return [
        *("json", "notes.npy", "bends.npy", "mixture.wav"),
        *(f"stems.{name}.wav" for name in stems),
        "informed.npz",
    ]


def index_dtype(n_members: int, longest: int) -> np.dtype:
    """Type of a row of the index.

    Args:
        n_members (int): Number of files that a track can have.
        longest (int): Bytes of the longest name of a track.
    """
    columns = [("id", f"S{longest}"), ("shard", "<i4"), ("number", "<i8"), ("n_samples", "<i8")]
    # A size of 0: the track has no such file.
    return np.dtype([*columns, ("offset", "<i8", (n_members,)), ("size", "<i8", (n_members,))])


def shard_path(root: Path, split: str, number: int) -> Path:
    """File of a shard.

    Args:
        root (Path): The folder of shards.
        split (str): The split.
        number (int): Number of the shard.
    """
    return root / split / f"{number:06d}.tar"


def read_shards_file(root: Path) -> dict[str, Any]:
    """Reads ``shards.json``, and compares the sizes of the shards with it.

    Args:
        root (Path): The folder of shards.

    Returns:
        dict: Its content.

    Raises:
        ValueError: if it is of another format or broken, or a shard is missing or has another size.
    """
    path = root / SHARDS_FILE
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise ValueError(
            f"{path} has format {found!r:.20}, this version reads {FORMAT}: write the shards "
            "again with `asteroid-scoresup shard`."
        )
    rate: Any = content.get("sample_rate")
    splits: Any = content.get("splits")
    good = {
        "sample_rate": is_number(rate) and 1000 <= rate <= 384000 and rate == int(rate),
        "classes": isinstance(content.get("classes"), str),
        "mixture": content.get("mixture") in ("submix", "song"),
        "fingerprint": isinstance(content.get("fingerprint"), str),
        "masks": isinstance(content.get("masks", 0), (str, type(None))),
        "splits": isinstance(splits, dict) and all(map(_is_split, splits.values())),
    }
    wrong = [key for key, value in good.items() if not value]
    if wrong:
        raise ValueError(f"{path} is damaged: {wrong[0]} is missing or wrong. {COPY_AGAIN}")
    for name, split in splits.items():
        for number, size in enumerate(split["bytes"]):
            shard = shard_path(root, name, number)
            found = shard.stat().st_size if shard.is_file() else None
            if found != size:
                what = "is missing" if found is None else f"has {found} bytes, not {size}"
                raise ValueError(f"{shard} {what}. {COPY_AGAIN}")
    return content


def _is_split(value: Any) -> bool:
    """Whether a value describes a split in ``shards.json``."""
    counts = ("n_tracks", "n_stretches", "longest")
    return (
        isinstance(value, dict)
        and all(type(value.get(key)) is int and value[key] >= 0 for key in counts)
        and all(type(value.get(key)) is bool for key in ("bends", "stems"))
        and isinstance(value.get("bytes"), list)
        and all(type(size) is int and size > 0 for size in value["bytes"])
    )


def _saved(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def note_arrays(notes: Notes) -> tuple[bytes, bytes | None]:
    r"""A score as files of NumPy.

    Args:
        notes (Notes): The score.

    Returns:
        tuple: The notes, float64, shape :math:`(n\_notes, 6)` with :data:`NOTE_COLUMNS`; and if any
        note bends, the steps, shape :math:`(n\_steps, 3)`: number of the note, seconds, semitones.
    """
    table = np.column_stack([getattr(notes, name) for name in NOTE_COLUMNS]).astype(np.float64)
    if notes.bend is None:
        return _saved(table), None
    steps = [
        np.column_stack([np.full(len(bend), row), bend])
        for row, bend in enumerate(notes.bend)
        if bend is not None
    ]
    return _saved(table), _saved(np.concatenate(steps))


def notes_of(table: bytes, bends: bytes | None, where: object = "The content") -> Notes:
    """The score in files of :func:`note_arrays`.

    Args:
        table (bytes): The notes.
        bends (bytes, optional): The steps of their bends.
        where (object): Name of the file, for messages.

    Raises:
        ValueError: if the files contain something else.

    Examples
        >>> notes = Notes([0.0], [0.5], [40], [0], [100], bend=[[(0.0, 0.5)]])
        >>> notes_of(*note_arrays(notes)).bend[0].tolist()
        [[0.0, 0.5]]
    """
    try:
        columns = np.load(io.BytesIO(table), allow_pickle=False)
        known = dict(zip(NOTE_COLUMNS, columns.T, strict=True))
        if bends is None:
            return Notes(**known)
        steps = np.load(io.BytesIO(bends), allow_pickle=False)
        edges = np.searchsorted(steps[:, 0], np.arange(len(columns) + 1))
        pieces = [steps[a:b, 1:] for a, b in zip(edges[:-1], edges[1:])]
        return Notes(**known, bend=[piece if len(piece) else None for piece in pieces])
    except (ValueError, TypeError, IndexError, EOFError) as error:
        raise ValueError(f"{where} is not a table of notes: {error}. {COPY_AGAIN}") from None
