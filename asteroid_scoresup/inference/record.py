"""What the results in a folder were made from: the song, and the models."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..utils.files import read_json, write_json

#: Name of the record in a folder of results.
RECORD = "separation.json"
_VERSION = 1


class ResultsRecord:
    """The record of a folder of results.

    It identifies the song by the hash of its content and, for each result, the models that made it.
    Results that were being written when a run was interrupted are marked; they are written again.

    Args:
        folder (Path): The folder.
        song (dict, optional): The song, see :func:`describe_song`.
        files (dict, optional): Name of each result → what made it; None while it is being written.

    Attributes:
        found (bool): Whether there was a record.
    """

    def __init__(
        self,
        folder: str | Path,
        song: dict[str, Any] | None = None,
        files: dict[str, dict[str, Any] | None] | None = None,
    ) -> None:
        self.folder, self.song, self.files = Path(folder), song or {}, files or {}
        self.found = song is not None

    @classmethod
    def read(cls, folder: str | Path) -> ResultsRecord:
        """Reads the record of a folder; an empty one if it is missing or damaged."""
        try:
            content = read_json(Path(folder) / RECORD)
            song, files = content["song"], content["files"]
            if content["version"] == _VERSION and isinstance(song["sha256"], str):
                known = {
                    name: made_by for name, made_by in files.items() if isinstance(made_by, dict)
                }
                return cls(folder, song, {**dict.fromkeys(files), **known})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        return cls(folder)

    @property
    def song_path(self) -> str:
        """Path of the song; only its name if the record is from an earlier version."""
        return str(self.song.get("path") or self.song.get("name"))

    def is_current(self) -> bool:
        """Whether the record on disk is still as it was read."""
        now = ResultsRecord.read(self.folder)
        return (now.song, now.files, now.found) == (self.song, self.files, self.found)

    def is_of(self, song: Mapping[str, Any]) -> bool:
        """Whether the results are those of a song."""
        return self.found and self.song["sha256"] == song["sha256"]

    def is_unfinished(self, name: str) -> bool:
        """Whether a result was being written when a run was interrupted."""
        return name in self.files and self.files[name] is None

    def difference(self, name: str, made_by: Mapping[str, Any]) -> str | None:
        """How an existing result differs from a new one, or None.

        Args:
            name (str): The result.
            made_by (dict): What would make it now.
        """
        known = self.files.get(name)
        if known is None:
            return f"is not in {RECORD}"
        for key in [*made_by, *known]:
            if known.get(key) != made_by.get(key):
                return f"was made with another {key}"
        return None

    @contextlib.contextmanager
    def writing(
        self, song: dict[str, Any], names: Sequence[str]
    ) -> Iterator[Callable[[Mapping[str, dict[str, Any]]], None]]:
        """Marks results of a song as being written, so that an interruption is noticed later.

        Args:
            song (dict): The song.
            names (sequence of str): Names of the results.

        Yields:
            callable: takes the names of results that are complete, and what made them.
        """
        before = self.song, dict(self.files), self.found
        stamps = {name: self._stamp(name) for name in names}
        self.files = self.files if self.is_of(song) else {}
        self.files.update(dict.fromkeys(names))
        self.song, self.found = song, True
        self._write()

        def mark_complete(made_by: Mapping[str, dict[str, Any]]) -> None:
            self.files.update(made_by)
            self._write()

        try:
            yield mark_complete
        except BaseException:
            unchanged = all(self._stamp(name) == stamp for name, stamp in stamps.items())
            if unchanged and all(self.files[name] is None for name in names):
                self.song, self.files, self.found = before
                with contextlib.suppress(OSError):
                    self._write()
            raise

    def _stamp(self, name: str) -> tuple[int, int, int] | None:
        """What changes when a result is replaced; None if it does not exist."""
        try:
            status = (self.folder / name).stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _write(self) -> None:
        if not self.found:
            (self.folder / RECORD).unlink(missing_ok=True)
            return
        content = {"version": _VERSION, "song": self.song, "files": self.files}
        write_json(self.folder / RECORD, content)


def describe_song(path: str | Path) -> dict[str, Any]:
    """Name, absolute path, size (bytes) and SHA-256 of a file.

    Raises:
        ValueError: if it cannot be read.
    """
    path, digest = Path(path), hashlib.sha256()
    try:
        if path.is_dir():
            raise ValueError(f"{path} is a folder without audio files.")
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        size = path.stat().st_size
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file.") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from None
    name, place = (
        str(text).encode("utf-8", "replace").decode() for text in (path.name, path.absolute())
    )
    return {"name": name, "path": place, "size": size, "sha256": digest.hexdigest()}
