"""Data sets of stems without a score: MUSDB18 and MoisesDB.

Layouts: https://sigsep.github.io/datasets/musdb.html (Rafii et al. 2017) and
https://github.com/moises-ai/moises-db (Pereira et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asteroid_scoresup.utils.files import read_json

from .pieces import DRUMS, Part, Piece, plain_name

#: The stems of MUSDB18, and their audio tracks in a .stem.mp4, whose track 0 is the mixture.
MUSDB_STEMS = {"drums": 1, "bass": 2, "other": 3, "vocals": 4}
#: General MIDI programs of the stems of both data sets, by the first word of their names. Only
#: classes without patterns of names use them.
PROGRAMS = {
    "drums": DRUMS, "percussion": DRUMS, "bass": 33, "guitar": 26, "piano": 0, "vocals": 54,
    "bowed_strings": 48, "wind": 61, "other_keys": 16, "other_plucked": 105, "other": 88,
}  # fmt: skip


def musdb18(root: Path, left_out: list[str]) -> Iterator[Piece]:
    """The test songs of MUSDB18-HQ (folders of WAV files) or MUSDB18 (.stem.mp4).

    Args:
        root (Path): The folder, which contains ``test``.
        left_out (list of str): Receives the songs that lack a stem.
    """
    test = root / "test"
    if not test.is_dir():
        return
    for place in sorted(test.iterdir()):
        if place.is_dir():
            files = {name: place / f"{name}.wav" for name in MUSDB_STEMS}
            if missing := [path.name for path in files.values() if not path.is_file()]:
                left_out.append(f"{place.name} lacks {', '.join(missing)}")
                continue
            parts = (Part(name, (path,), PROGRAMS[name]) for name, path in files.items())
            yield Piece(plain_name(place.name), tuple(parts))
        elif place.name.endswith(".stem.mp4"):
            tracks = MUSDB_STEMS.items()
            parts = (Part(name, (place,), PROGRAMS[name], track=track) for name, track in tracks)
            yield Piece(plain_name(place.name.removesuffix(".stem.mp4")), tuple(parts))


def moisesdb(root: Path, left_out: list[str]) -> Iterator[Piece]:
    """The songs of MoisesDB, each with the recordings of its stems.

    Args:
        root (Path): Any folder above the songs.
        left_out (list of str): Receives the songs that lack a file or have other metadata.
    """
    for path in sorted(root.rglob("data.json")):
        song = path.parent
        try:
            parts = list(_moisesdb_parts(song, read_json(path)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            left_out.append(f"{path} is not of MoisesDB: {error}")
            continue
        if missing := [part.audio[0] for part in parts if not part.audio[0].is_file()]:
            left_out.append(f"{song.name} lacks {missing[0].relative_to(song)}")
        elif parts:
            yield Piece(plain_name(song.name), tuple(parts))


def _moisesdb_parts(song: Path, content: Any) -> Iterator[Part]:
    for stem in content["stems"]:
        name = stem["stemName"]
        for track in stem["tracks"]:
            for text in (name, track["id"], track["extension"]):
                if not isinstance(text, str) or "/" in text or "\\" in text or text == "..":
                    raise ValueError(f"it names the file {text!r}")
            path = song / name / f"{track['id']}.{track['extension']}"
            yield Part(f"{name} {track['trackType']}", (path,), PROGRAMS.get(name, 88))
