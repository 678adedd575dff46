"""The folder of a synthesized data set: its settings, and the tracks that belong to it.

Tracks that something else made are never deleted; our own are deleted only with ``overwrite``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..data.slakh import GENERATOR
from ..utils.files import read_json, write_json
from ..utils.partial_files import remove_folder
from .track_job import FIRST_NUMBER

#: File in which the settings of a data set and the skipped MIDI files are recorded.
RECORD = "synthesis.json"
_METADATA = "metadata.yaml"
_OWN_FILES = re.compile(r"mix\.flac|all_src\.mid|MIDI/S\d+\.mid|stems/S\d+\.flac")
#: Names that early versions gave to settings.
_EARLY_NAMES = {"colour_db": "color_db", "invented": "synthetic"}


def refuse_foreign_tracks(out_dir: Path) -> None:
    """Checks that this package made all tracks in a folder.

    Args:
        out_dir (Path): The data set.

    Raises:
        ValueError: if something else made one of its tracks.
    """
    foreign = next((path for path in _find_tracks(out_dir) if not _is_ours(path)), None)
    if foreign is not None:
        raise ValueError(f"{foreign} was not made by this command: choose another folder.")


def prepare_folder(
    out_dir: Path, settings: Mapping[str, Any], wanted: Iterable[Path], overwrite: bool
) -> None:
    """Deletes tracks that cannot stay, and records the settings of those to be made.

    Args:
        out_dir (Path): The data set.
        settings (dict): Settings of the tracks to be made.
        wanted (iterable of Path): Folders of these tracks.
        overwrite (bool): Whether tracks with other settings, or not wanted, may be deleted.

    Raises:
        ValueError: if there are such tracks and `overwrite` is false, or the record of their
            settings cannot be read.
    """
    wanted = set(wanted)
    record = out_dir / RECORD
    for path in _find_tracks(out_dir):
        if not (path / _METADATA).is_file():  # half deleted, by an early version that was killed
            remove_folder(path)
    found = _find_tracks(out_dir)
    old = _read_settings(record, overwrite) if record.is_file() else None
    if old is None and found:
        old = {}
    if old is not None and old != settings:
        if not overwrite:
            differ = sorted(k for k in {*old, *settings} if old.get(k) != settings.get(k))
            raise ValueError(
                f"{out_dir} contains tracks made with other settings ({', '.join(differ)}): "
                "use --overwrite or another folder."
            )
        # The old record stays until the last of its tracks has been deleted: if this is
        # interrupted, the next call again finds tracks with other settings.
        for path in found:
            remove_folder(path)
        found = []
    surplus = [path for path in found if path not in wanted]
    if surplus and not overwrite:
        raise ValueError(
            f"{out_dir} contains {len(surplus)} tracks more than requested (such as "
            f"{surplus[0].name}): use --overwrite or another folder."
        )
    for path in surplus:
        remove_folder(path)
    write_json(record, {"settings": settings})


def _find_tracks(out_dir: Path) -> list[Path]:
    return [path for split in FIRST_NUMBER for path in sorted((out_dir / split).glob("Track*"))]


def _read_settings(path: Path, overwrite: bool) -> dict[str, Any]:
    """The settings in a record; empty if they cannot be read and will be replaced anyway."""
    try:
        record = read_json(path)
        if isinstance(record, dict) and isinstance(record.get("settings"), dict):
            settings = record["settings"].items()
            return {_EARLY_NAMES.get(name, name): value for name, value in settings}
        raise ValueError(f"{path} is not a record of `synthesize`: it has no settings.")
    except ValueError as error:
        if overwrite:
            return {}
        raise ValueError(
            f"{error} The settings of the tracks next to it are unknown: replace them with "
            "--overwrite, or choose another folder."
        ) from None


def _is_ours(folder: Path) -> bool:
    """Whether a track has our mark, or is what an interrupted deletion left of one that had it."""
    try:
        with open(folder / _METADATA, encoding="utf-8", errors="replace") as file:
            return any(line.strip() == f"generator: {GENERATOR}" for line in file)
    except FileNotFoundError:
        files = (path for path in folder.rglob("*") if not path.is_dir())
        of_a_track = all(_OWN_FILES.fullmatch(p.relative_to(folder).as_posix()) for p in files)
        return (folder.parent.parent / RECORD).is_file() and folder.is_dir() and of_a_track
    except OSError:
        return False
