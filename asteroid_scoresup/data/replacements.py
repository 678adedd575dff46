"""Songs that take the place of dropped ones in splits that would otherwise be empty.

Splits are drawn before songs are read. If all songs that were drawn for validation (or test) turn
out to be unusable, the next ones of the draw replace them, as long as train keeps one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..utils.files import explained, read_json
from ..utils.partial_files import replace_folder
from .discovery import SongSource
from .manifest import folder_to_write
from .splits import draw_order
from .track import PreparedTrack
from .track_file import TRACK_FILE, update_track_file

#: The fact of a moved track: the draw (seed and fractions) after which it was moved.
_FACT = "replaces_dropped"


def with_earlier_replacements(
    sources: Iterable[SongSource], out_dir: Path, draw: Mapping[str, Any]
) -> list[SongSource]:
    """The songs of a draw, those that an earlier run moved in the split to which they were moved.

    Args:
        sources (iterable of SongSource): The songs.
        out_dir (Path): The prepared folder.
        draw (dict): Seed and fractions of the draw; a replacement after another draw is ignored.
    """
    return [_as_moved(source, out_dir, draw) for source in sources]


def _as_moved(source: SongSource, out_dir: Path, draw: Mapping[str, Any]) -> SongSource:
    if source.is_drawn and source.split == "train":
        for split in ("validation", "test"):
            try:
                content = read_json(out_dir / split / source.id / TRACK_FILE)
                if content["track"]["facts"][_FACT] == dict(draw):
                    return replace(source, split=split)
            except (OSError, ValueError, KeyError, TypeError):
                continue  # not moved, or damaged: then it is prepared again
    return source


def replace_dropped(
    tracks: Sequence[PreparedTrack],
    sources: Sequence[SongSource],
    out_dir: Path,
    draw: Mapping[str, Any],
) -> tuple[list[PreparedTrack], list[str]]:
    """Moves songs from train to splits whose songs were all dropped, in the order of the draw.

    Args:
        tracks (sequence of PreparedTrack): What was prepared.
        sources (sequence of SongSource): All songs of this run.
        out_dir (Path): The prepared folder.
        draw (dict): Seed and fractions of the draw.

    Returns:
        tuple: The tracks, sorted by split and name, and warnings about moved songs and about splits
        that are empty.

    Raises:
        OSError: if a folder cannot be moved.
    """
    tracks, warnings = list(tracks), []
    drawn = {source.id for source in sources if source.is_drawn}
    for split, count in sorted(Counter(source.split for source in sources).items()):
        if any(track.split == split for track in tracks):
            continue
        lost = f"{split} has no songs, since {_all_of(count)} dropped"
        in_train = {track.id: track for track in tracks if track.split == "train"}
        order = draw_order([name for name in in_train if name in drawn], draw["seed"])
        n_moved = min(count, len(in_train) - 1)
        moved = order[:n_moved] if split in ("validation", "test") else []
        for name in moved:
            _move(in_train[name], split, out_dir, draw)
        if moved:
            names = ", ".join(moved[:3]) + (", …" if len(moved) > 3 else "")
            warnings.append(f"{lost}: {len(moved)} of train replaced them ({names}).")
        else:
            warnings.append(f"{lost}: add songs, or repair those that were dropped.")
    return sorted(tracks, key=lambda track: (track.split, track.id)), warnings


def _all_of(count: int) -> str:
    return f"all {count} of them were" if count > 1 else "its only song was"


def _move(track: PreparedTrack, split: str, out_dir: Path, draw: Mapping[str, Any]) -> None:
    """Moves a track to another split, folder and record."""
    old, new = out_dir / track.split / track.id, folder_to_write(out_dir, split, track.id)
    # The old list is wrong from here on, and a record with another split is not that of its folder:
    # after an interruption the song is prepared again.
    (out_dir / "manifest.json").unlink(missing_ok=True)
    track.split, track.facts[_FACT] = split, dict(draw)
    update_track_file(old, track)
    with explained(new):
        new.parent.mkdir(parents=True, exist_ok=True)
        replace_folder(old, new)
