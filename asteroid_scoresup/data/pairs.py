"""Own songs: a folder with pairs of an audio file and a MIDI file of the same name.

There are no stems and none are needed. The classes of the notes come from the General MIDI
programs of the instruments; the audio must be the performance that the MIDI describes, on the
same clock (the label check says when it is not).
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from ..utils.audio import AUDIO_SUFFIXES, FFMPEG_SUFFIXES, ffmpeg
from ..utils.files import short_name
from .slakh import MIDI_SUFFIXES
from .splits import split_of_folder


@dataclass(frozen=True)
class Pair:
    """An audio file and its MIDI file.

    Args:
        id (str): Name of the track: the path from the root, folders joined by ``__``.
        audio, midi (Path): The files.
        split (str or None): The split that a folder on the way stands for.
    """

    id: str
    audio: Path
    midi: Path
    split: str | None


def _identify(root, path):
    parts = path.relative_to(root).with_suffix("").parts
    splits = [split_of_folder(part) for part in parts[:-1]]
    split = next((name for name in splits if name), None)
    kept = [part for part, name in zip(parts, [*splits, None]) if name is None]
    # Names become folders and columns of tables: no spaces, no leading dots.
    name = re.sub(r"[^\w.-]+", "_", "__".join(kept)).lstrip(".") or "song"
    # Temporary files put some letters round it.
    return short_name(name), split


def find_pairs(root):
    """Finds the pairs under a folder, at any depth.

    Files belong together when they have the same name up to the suffix (case does not count) and
    lie in the same folder; if not there, then in the same split, where only one can be meant.

    Args:
        root (str or Path): The folder.

    Returns:
        tuple: list of :class:`Pair`, sorted by name, and a list of ``(file, reason)`` for audio
        and MIDI files that found no partner.
    """
    root = Path(root)
    audio, midi = defaultdict(list), defaultdict(list)
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if any(part.startswith(".") for part in relative.parts) or not path.is_file():
            continue
        if path.suffix.lower() in AUDIO_SUFFIXES:
            audio[path.stem.lower()].append(path)
        elif path.suffix.lower() in MIDI_SUFFIXES:
            midi[path.stem.lower()].append(path)

    pairs, unpaired, taken = {}, [], set()
    for stem, files in sorted(audio.items()):
        # Lossless first, in the order of AUDIO_SUFFIXES.
        files = sorted(files, key=lambda p: (p.parent, AUDIO_SUFFIXES.index(p.suffix.lower())))
        for path in files:
            candidates = [other for other in midi[stem] if other.parent == path.parent]
            if not candidates:
                split = _identify(root, path)[1]
                rivals = [other for other in files if _identify(root, other)[1] == split]
                if len({other.parent for other in rivals}) == 1:
                    candidates = [p for p in midi[stem] if _identify(root, p)[1] == split]
            if len(candidates) == 1 and path.suffix.lower() in FFMPEG_SUFFIXES and not ffmpeg():
                taken.add(candidates[0])
                reason = "needs ffmpeg, which is not installed: install it, or convert to FLAC"
                unpaired.append((str(path.relative_to(root)), reason))
                continue
            if len(candidates) != 1:
                reason = "audio without MIDI" if not candidates else "more than one MIDI file fits"
                unpaired.append((str(path.relative_to(root)), reason))
                continue
            if candidates[0] in taken:
                unpaired.append((str(path.relative_to(root)), "another audio file was taken"))
                continue
            taken.add(candidates[0])
            name, split = _identify(root, path)
            while (name, split) in pairs:
                name += "_"
            pairs[name, split] = Pair(name, path, candidates[0], split)
    for files in midi.values():
        unpaired += [
            (str(path.relative_to(root)), "MIDI without audio")
            for path in files
            if path not in taken
        ]
    return sorted(pairs.values(), key=lambda pair: (pair.id, pair.split or "")), sorted(unpaired)
