"""What results were made from: a folder keeps those of one song, and of models it knows."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from ..utils.files import read_json, write_json

#: Name of the record in a folder of results.
RECORD = "separation.json"
_VERSION = 1


class Record:
    """The record of a folder of results.

    It names the song by the hash of its content, and for every result the models it came from.
    Results that were being written when a run was killed are named too: they are written again.

    Args:
        folder (Path): The folder.
        song (dict): The song as :func:`describe_song` gives it.
        files (dict): Name of each result → what made it; None while it is being written.

    Attributes:
        found (bool): Whether there was a record.
    """

    def __init__(self, folder, song=None, files=None):
        self.folder, self.song, self.files = Path(folder), song, files or {}
        self.found = song is not None

    @classmethod
    def read(cls, folder):
        """Reads the record of a folder; an empty one where there is none that can be read."""
        try:
            content = read_json(Path(folder) / RECORD)
            song, files = content["song"], content["files"]
            if content["version"] == _VERSION and isinstance(song["sha256"], str):
                known = {name: made for name, made in files.items() if isinstance(made, dict)}
                return cls(folder, song, {**dict.fromkeys(files), **known})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        return cls(folder)

    def is_of(self, song):
        """Whether the results are those of a song."""
        return self.found and self.song["sha256"] == song["sha256"]

    def unfinished(self, name):
        """Whether a result was being written when a run ended."""
        return name in self.files and self.files[name] is None

    def complaint(self, name, made_by):
        """What speaks against keeping a result, or None.

        Args:
            name (str): The result.
            made_by (dict): What would make it now.
        """
        if self.files.get(name) is None:
            return f"is not known to {RECORD}"
        for key, value in made_by.items():
            if self.files[name].get(key) != value:
                return f"was made with another {key}"
        return None

    @contextlib.contextmanager
    def writing(self, song, names):
        """Notes that results of a song are being written; what a killed run leaves is known so.

        Args:
            song (dict): The song.
            names (sequence of str): Names of the results.

        Yields:
            callable: takes names of results that are there, and what made them.
        """
        before, existed = (self.song, dict(self.files), self.found), self.folder.is_dir()
        self.files = self.files if self.is_of(song) else {}
        self.files.update(dict.fromkeys(names))
        self.song, self.found = song, True
        self._write()

        def done(made_by):
            self.files.update(made_by)
            self._write()

        try:
            yield done
        except BaseException:
            if all(self.files[name] is None for name in names):  # nothing has changed
                self.song, self.files, self.found = before
                with contextlib.suppress(OSError):
                    self._write()
                    if not existed:
                        self.folder.rmdir()
            raise

    def _write(self):
        if not self.found:
            (self.folder / RECORD).unlink(missing_ok=True)
            return
        content = {"version": _VERSION, "song": self.song, "files": self.files}
        write_json(self.folder / RECORD, content)


def describe_song(path):
    """Name, size (bytes) and SHA-256 of a file.

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
    name = path.name.encode("utf-8", "replace").decode()
    return {"name": name, "size": size, "sha256": digest.hexdigest()}
