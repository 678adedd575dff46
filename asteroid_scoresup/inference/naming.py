"""Which songs a command line names, and what the folders of their results are called."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from ..utils.audio import AUDIO_SUFFIXES
from ..utils.files import short_name


def find_songs(arguments, out_dir=None):
    """The audio files that a command line names.

    Args:
        arguments (sequence of str or Path): Files, taken as they are, and folders, searched at any
            depth for :data:`~asteroid_scoresup.utils.audio.AUDIO_SUFFIXES`.
        out_dir (str or Path, optional): Folder of the results; what lies in it is no song.

    Returns:
        list of tuple: path of each song and its name, unique among them and fit for a folder: the
        file's name without suffix, with as much of suffix and folder as tells it from the others.
        A folder without songs stands in the list itself, to be reported.
    """
    paths = []
    results = None if out_dir is None else Path(out_dir).resolve()
    for argument in map(Path, arguments):
        paths += _inside(argument, results) or [argument]
    paths = list(dict.fromkeys(paths))
    names = [folder_name(path.stem) for path in paths]
    for longer in (lambda p: p.name, lambda p: f"{p.parent.name}_{p.name}"):
        # Not all file systems tell capitals from small letters.
        counts = Counter(name.casefold() for name in names)
        names = [
            folder_name(longer(path)) if counts[name.casefold()] > 1 else name
            for path, name in zip(paths, names)
        ]
    taken = set()
    for i, name in enumerate(names):
        number = 1
        while names[i].casefold() in taken:
            number += 1
            names[i] = f"{name}_{number}"
        taken.add(names[i].casefold())
    return list(zip(paths, names))


def _inside(folder, results):
    """The songs in a folder; none if it is none."""
    try:
        if not folder.is_dir():
            return []
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
        found = [p for p in found if p.is_file() and not p.name.startswith(".")]
        return [p for p in found if results is None or results not in p.resolve().parents]
    except OSError:  # for example a name that is too long; what is wrong is told with the song
        return []


def folder_name(stem):
    """A folder's name for a song: no way out of the folder it lies in, and not too long.

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
