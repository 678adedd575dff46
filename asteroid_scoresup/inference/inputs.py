"""The songs that a command line names, and names for the folders of their results."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from ..notation.reader import SCORE_SUFFIXES
from ..utils.audio import AUDIO_SUFFIXES
from ..utils.files import short_name
from ..utils.names import is_hidden


def find_audio_files(
    arguments: Sequence[str | Path], out_dir: str | Path | None = None
) -> list[tuple[Path, str]]:
    """Finds the audio files that a command line names.

    Args:
        arguments (sequence of str or Path): Files, taken as they are, and folders, searched at any
            depth for the suffixes in ``utils.audio.AUDIO_SUFFIXES``, without hidden files.
        out_dir (str or Path, optional): Folder of the results; files in it are not songs.

    Returns:
        list of tuple: path of each song, and a unique name that is fit for a folder: the file name
        without its suffix, plus the suffix and then the parent folder where songs would share a
        name. A folder without songs is listed itself, so that it is reported.

    Raises:
        ValueError: if an argument is empty, which would mean the current folder.
    """
    if not all(map(str, arguments)):
        raise ValueError("A song has an empty name: name a file or folder ('.' is this folder).")
    paths: list[Path] = []
    results = None if out_dir is None else Path(out_dir).resolve()
    for argument in map(Path, arguments):
        paths += _songs_in(argument, results) or [argument]
    paths = list(dict.fromkeys(paths))
    names = [folder_name(path.stem) for path in paths]
    for longer in (lambda p: p.name, lambda p: f"{p.parent.name}_{p.name}"):
        # Some file systems ignore case.
        counts = Counter(name.casefold() for name in names)
        names = [
            folder_name(longer(path)) if counts[name.casefold()] > 1 else name
            for path, name in zip(paths, names)
        ]
    used: set[str] = set()
    for i, name in enumerate(names):
        number = 1
        while names[i].casefold() in used:
            number += 1
            names[i] = f"{name}_{number}"
        used.add(names[i].casefold())
    return list(zip(paths, names))


def _songs_in(folder: Path, results: Path | None) -> list[Path]:
    """The songs in a folder; none if it is not a folder."""
    try:
        if not folder.is_dir():
            return []
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
        # A link that leads nowhere is kept, so that it is reported as a song that cannot be read.
        found = [p for p in found if not p.is_dir() and not is_hidden(p.name)]
        # By its folder, since a loop of links cannot be resolved.
        places = {p: p.parent.resolve() for p in found}
        return [p for p in found if results not in (places[p], *places[p].parents)]
    except OSError:  # for example a name that is too long, which is reported with the song
        return []


class SongScores:
    """The scores of songs: one file for one song, or a folder in which they are found by name.

    Args:
        path (str or Path): A score; or a folder, searched at any depth. A song's score has its
            name up to the suffix, ignoring case; of several, the one in a folder with the name of
            the song's folder.

    Raises:
        ValueError: if there is no such file, or no score in the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.is_folder = self.path.is_dir()
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        if not self.is_folder:
            if not self.path.is_file():
                raise ValueError(f"{self.path}: there is no such score.")
            return
        for found in sorted(self.path.rglob("*")):
            is_hidden = any(part.startswith(".") for part in found.relative_to(self.path).parts)
            if found.suffix.lower() in SCORE_SUFFIXES and found.is_file() and not is_hidden:
                self._by_name[found.stem.casefold()].append(found)
        if not self._by_name:
            expected = ", ".join(SCORE_SUFFIXES)
            raise ValueError(f"{self.path} contains no scores: expected {expected}.")

    def of(self, song: Path) -> Path:
        """The score of a song.

        Args:
            song (Path): Its audio file.

        Raises:
            ValueError: if there is none, or more than one fits.
        """
        if not self.is_folder:
            return self.path
        found = self._by_name.get(song.stem.casefold(), [])
        if len(found) > 1:
            folder = song.absolute().parent
            near = [score for score in found if score.absolute().parent == folder]
            found = near or [score for score in found if score.parent.name == folder.name] or found
        if len(found) != 1:
            names = ", ".join(str(score) for score in found)
            what = f"more than one score fits ({names})" if found else "there is no score"
            raise ValueError(f"{song}: {what} of this name in {self.path}.")
        return found[0]


def folder_name(stem: str) -> str:
    """A valid folder name for a song: inside its parent folder, and not too long.

    Args:
        stem (str): Name of the song.

    Examples
        >>> folder_name("Song no. 1"), folder_name(".."), folder_name("a/b")
        ('Song no. 1', '__', 'a_b')
    """
    name = re.sub(r"[/\\\0-\x1f]", "_", stem)
    # "." and ".." are folders themselves; Windows drops dots and spaces at the end.
    end = len(name.rstrip(". "))
    return short_name(name[:end] + "_" * (len(name) - end) or "song")
