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
from ..utils.audio_streams import Slice
from ..utils.files import read_json
from ..utils.names import why_not_plain
from .classes import ClassMap
from .manifest import SHARDS_FILE
from .note_table import BOUNDS
from .track import is_number

#: Version of the format.
FORMAT = 1
#: Arrays of a split.
INDEX_FILE, STRETCHES_FILE = "index.npy", "stretches.npy"
#: Columns of the array of notes in a shard.
NOTE_COLUMNS = ("onset", "offset", "pitch", "class_index", "velocity", "release")
#: Bytes of the longest name of a track that is packed: that of a file.
LONGEST_NAME = 255
#: What helps if a folder of shards is damaged.
COPY_AGAIN = "Copy the folder again, or write it again with `asteroid-scoresup shard`."


class _Window(Slice):
    """Part of a file that is read, not mapped: if the file is cut short meanwhile, that is an error
    instead of a signal that ends the process."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        super().__init__(b"", offset, offset + size)
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  # closed by close()

    def readinto(self, buffer: Any) -> int:
        n = min(len(buffer), self._size - self._position)
        self._file.seek(self._start + self._position)
        count = self._file.readinto(memoryview(buffer).cast("B")[:n])
        self._position += count
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
        advice (str): What to do if it is damaged.
    """

    path: Path
    name: str
    offset: int
    size: int
    advice: str = COPY_AGAIN

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
            ValueError: if the shard cannot be read, or is shorter than it was.
        """
        try:
            with self.open() as file:
                content = file.read()
        except OSError as error:
            raise ValueError(f"{self} cannot be read: {error}. {self.advice}") from None
        if len(content) != self.size:
            raise ValueError(f"{self} is cut short. {self.advice}")
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
    columns = [("id", f"S{longest}"), ("shard", "<i4"), ("number", "<i8")]
    columns += [("n_samples", "<i8"), ("rms", "<f8")]
    # A size of 0: the track has no such file.
    return np.dtype([*columns, ("offset", "<i8", (n_members,)), ("size", "<i8", (n_members,))])


def encoded(name: str) -> bytes:
    """The name of a track as in the index; names of files need not be UTF-8."""
    return name.encode("utf-8", "surrogateescape")


def decoded(name: bytes) -> str:
    """The inverse of :func:`encoded`."""
    return bytes(name).decode("utf-8", "surrogateescape")


def shard_name(number: int, digest: str) -> str:
    """Name of a shard's file: with its hash, so that a file of this name never changes.

    Args:
        number (int): Number of the shard.
        digest (str): The SHA-256 hash of its content, in hexadecimal digits.
    """
    return f"{number:06d}-{digest[:16]}.tar"


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
    if content.get("unfinished"):
        raise ValueError(
            f"{root} is unfinished: run `asteroid-scoresup shard` again, finished shards are kept."
        )
    rate: Any = content.get("sample_rate")
    splits: Any = content.get("splits")
    good = {
        "sample_rate": is_number(rate) and 1000 <= rate <= 384000 and rate == int(rate),
        "classes": isinstance(content.get("classes"), str),
        "mixture": content.get("mixture") in ("submix", "song"),
        "fingerprint": isinstance(content.get("fingerprint"), str),
        "masks": isinstance(content.get("masks", 0), (str, type(None))),
        "splits": isinstance(splits, dict) and all(map(_is_split, splits.items())),
    }
    wrong = [key for key, value in good.items() if not value]
    if wrong:
        raise ValueError(f"{path} is damaged: {wrong[0]} is missing or wrong. {COPY_AGAIN}")
    try:
        ClassMap.parse(content["classes"])
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error} {COPY_AGAIN}") from None
    for name, split in splits.items():
        for shard, size in split["shards"].items():
            file = root / name / shard
            found = file.stat().st_size if file.is_file() else None
            if found != size:
                what = "is missing" if found is None else f"has {found} bytes, not {size}"
                raise ValueError(f"{file} {what}. {COPY_AGAIN}")
    return content


def _is_split(item: tuple[str, Any]) -> bool:
    """Whether a name and a value describe a split in ``shards.json``."""
    name, value = item
    counts = ("n_tracks", "n_stretches", "longest")
    return (
        not why_not_plain(name)
        and isinstance(value, dict)
        and all(type(value.get(key)) is int and 0 <= value[key] < 2**40 for key in counts)
        and 0 < value["longest"] <= LONGEST_NAME
        and all(type(value.get(key)) is bool for key in ("bends", "stems"))
        and isinstance(value.get("shards"), dict)
        and not any(map(why_not_plain, value["shards"]))
        and all(type(size) is int and size > 0 for size in value["shards"].values())
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


def notes_of(table: bytes, bends: bytes | None, n_src: int, where: object = "The content") -> Notes:
    """The score in files of :func:`note_arrays`.

    Args:
        table (bytes): The notes.
        bends (bytes, optional): The steps of their bends.
        n_src (int): Number of classes.
        where (object): Name of the file, for messages.

    Raises:
        ValueError: if the files contain something else.

    Examples
        >>> notes = Notes([0.0], [0.5], [40], [0], [100], bend=[[(0.0, 0.5)]])
        >>> notes_of(*note_arrays(notes), n_src=1).bend[0].tolist()
        [[0.0, 0.5]]
    """
    try:
        columns = _array_of(table, len(NOTE_COLUMNS))
        known = dict(zip(NOTE_COLUMNS, columns.T, strict=True))
        outside = columns[(known["class_index"] < 0) | (known["class_index"] >= n_src)]
        if len(outside):
            raise ValueError(f"a note has class {outside[0, 3]:g} of {n_src}")
        for name, low, high in BOUNDS:
            if ((known[name] < low) | (known[name] > high)).any():
                raise ValueError(f"the column {name} is not between {low} and {high}")
        if bends is None:
            return Notes(**known)
        steps = _array_of(bends, 3)
        edges = np.searchsorted(steps[:, 0], np.arange(len(columns) + 1))
        pieces = [steps[a:b, 1:] for a, b in zip(edges[:-1], edges[1:])]
        return Notes(**known, bend=[piece if len(piece) else None for piece in pieces])
    except (ValueError, TypeError, IndexError, EOFError, MemoryError) as error:
        raise ValueError(f"{where} is not a table of notes: {error}. {COPY_AGAIN}") from None


def _array_of(content: bytes, n_columns: int) -> np.ndarray:
    """A table of finite numbers from a file of NumPy, which must be as long as it says."""
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype != np.float64 or array.ndim != 2 or array.shape[1] != n_columns:
        raise ValueError(f"it has shape {array.shape} and type {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError("it has NaN or infinite values")
    return np.asarray(array)
