"""Own songs: a folder with pairs of an audio file and a score of the same name.

There are no stems, and none are needed. The audio must be the performance that the score
describes, on the same clock (the label check reports where it is not).
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from ..notation.reader import MIDI_SUFFIXES, SCORE_SUFFIXES
from ..utils.audio import AUDIO_SUFFIXES, FFMPEG_SUFFIXES, ffmpeg
from ..utils.files import short_name
from ..utils.names import is_hidden
from .splits import split_of_folder


@dataclass(frozen=True)
class Pair:
    """An audio file and its score.

    Args:
        id (str): Name of the track: the path from the root, folders joined by ``__``.
        audio (Path): The audio file.
        midi (Path): The score, a MIDI or MusicXML file.
        split (str or None): The split named by one of the folders in its path.
    """

    id: str
    audio: Path
    midi: Path
    split: str | None


def _identify(root: Path, path: Path) -> tuple[str, str | None]:
    """Name and split of the song in a file."""
    parts = path.relative_to(root).with_suffix("").parts
    splits = [split_of_folder(part) for part in parts[:-1]]
    split = next((name for name in splits if name), None)
    kept = [part for part, name in zip(parts, [*splits, None]) if name is None]
    # Names become folders and columns of tables: no spaces, no leading dots.
    name = re.sub(r"[^\w.-]+", "_", "__".join(kept)).lstrip(".") or "song"
    # Temporary files add a few characters to it.
    return short_name(name), split


def find_pairs(root: str | Path) -> tuple[list[Pair], list[tuple[str, str]]]:
    """Finds the pairs under a folder, at any depth.

    Files form a pair if they have the same name up to the suffix (ignoring case) and are in the
    same folder, or else in the same split, if it has only one file of that name. A MIDI file is
    preferred to MusicXML, since a rendered or recorded one shares the clock of the audio.

    Args:
        root (str or Path): The folder.

    Returns:
        tuple: list of :class:`Pair`, sorted by name, and list of ``(file, reason)`` for audio
        files and scores without a partner (but not for ``.xml``, which may be anything).
    """
    root = Path(root)
    audio, midi, unpaired = _files_by_name(root)
    pairs: dict[tuple[str, str | None], Pair] = {}
    taken: set[Path] = set()
    for stem, files in sorted(audio.items()):
        # Lossless first, in the order of AUDIO_SUFFIXES.
        files = sorted(files, key=lambda p: (p.parent, AUDIO_SUFFIXES.index(p.suffix.lower())))
        for path in files:
            candidates = _partners(root, path, files, midi[stem])
            reason = None
            if len(candidates) == 1 and path.suffix.lower() in FFMPEG_SUFFIXES and not ffmpeg():
                taken.add(candidates[0])
                reason = "needs ffmpeg, which is not installed: install it, or convert to FLAC"
            elif len(candidates) != 1:
                reason = "audio without score" if not candidates else "more than one score fits"
            elif candidates[0] in taken:
                reason = "another audio file was taken"
            if reason:
                unpaired.append((str(path.relative_to(root)), reason))
                continue
            taken.add(candidates[0])
            name, split = _identify(root, path)
            while (name, split) in pairs:
                name += "_"
            pairs[name, split] = Pair(name, path, candidates[0], split)
    paired = {path.with_suffix("") for path in taken}
    for files in midi.values():
        unpaired += [
            (str(path.relative_to(root)), "score without audio")
            for path in files
            if path not in taken and path.with_suffix("") not in paired
            if path.suffix.lower() != ".xml"
        ]
    return sorted(pairs.values(), key=lambda pair: (pair.id, pair.split or "")), sorted(unpaired)


def _files_by_name(
    root: Path,
) -> tuple[dict[str, list[Path]], dict[str, list[Path]], list[tuple[str, str]]]:
    """Audio files and scores under a folder, by name without suffix in lower case; and files
    that cannot be opened, with the reason."""
    audio: dict[str, list[Path]] = defaultdict(list)
    midi: dict[str, list[Path]] = defaultdict(list)
    broken: list[tuple[str, str]] = []
    for path in sorted(root.rglob("*")):
        relative, suffix = path.relative_to(root), path.suffix.lower()
        kind = audio if suffix in AUDIO_SUFFIXES else midi if suffix in SCORE_SUFFIXES else None
        if kind is None or any(map(is_hidden, relative.parts)):
            continue
        if path.is_file():
            kind[path.stem.lower()].append(path)
        elif path.is_symlink() and not path.is_dir() and suffix != ".xml":
            broken.append((str(relative), "a link that leads nowhere"))
    return audio, midi, broken


def _partners(root: Path, path: Path, audio: list[Path], midi: list[Path]) -> list[Path]:
    """Scores that may belong to an audio file, of all `audio` files and scores of its name."""
    found = [other for other in midi if other.parent == path.parent]
    if not found:
        split = _identify(root, path)[1]
        rivals = [other for other in audio if _identify(root, other)[1] == split]
        if len({other.parent for other in rivals}) == 1:
            found = [other for other in midi if _identify(root, other)[1] == split]
    performed = [other for other in found if other.suffix.lower() in MIDI_SUFFIXES]
    return performed or found
