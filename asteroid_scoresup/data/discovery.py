"""Finding the songs of a folder, whatever its layout, and assigning them to splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils.hashing import file_record, same_files
from .drops import drop_record
from .mirdata_index import find_mirdata_songs
from .pairs import Pair, find_pairs
from .slakh import TrackFolder, find_slakh_tracks
from .splits import OMITTED, Splits, assign_splits


@dataclass(frozen=True)
class SongSource:
    """A song that was found and is not read yet.

    Args:
        id (str): Name, unique within the split.
        split (str): The split.
        files (TrackFolder or Pair): Its files.
        is_drawn (bool): Whether the split was drawn at random.
    """

    id: str
    split: str
    files: TrackFolder | Pair
    is_drawn: bool = False

    def paths(self) -> dict[str, Path]:
        """Files of the song by name (path from the track's folder), without hidden files."""
        if isinstance(self.files, Pair):
            return {path.name: path for path in (self.files.audio, self.files.midi)}
        folder = self.files.path
        found = {p.relative_to(folder): p for p in folder.rglob("*") if p.is_file()}
        return {
            name.as_posix(): path
            for name, path in sorted(found.items())
            if not any(part.startswith(".") for part in name.parts)
        }

    def fingerprint(self) -> list[dict[str, Any]]:
        """A :func:`~asteroid_scoresup.utils.hashing.file_record` of each of the song's files."""
        return [file_record(path, name) for name, path in self.paths().items()]

    def is_unchanged(self, fingerprint: Any) -> bool:
        """Whether the files still have this :meth:`fingerprint`."""
        return same_files(self.paths(), fingerprint)


def find_songs(
    root: str | Path,
    splits: Splits | Mapping[str, Any] | str | Path | None = None,
    include_omitted: bool = False,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.0,
    seed: int = 0,
    mirdata: tuple[str, str | None] | None = None,
) -> tuple[str, list[SongSource], list[dict[str, Any]]]:
    """Finds the songs of a folder of any known layout and assigns each to a split.

    Args:
        root (str or Path): Slakh2100, a folder of the same form, or a folder of own songs.
        splits (dict or path, optional): See :class:`~asteroid_scoresup.data.splits.Splits`.
        include_omitted (bool): Whether tracks of the split ``omitted`` are used.
        validation_fraction (float): Fraction of the songs for validation, where neither folders nor
            `splits` assign any; see :func:`~asteroid_scoresup.data.splits.assign_splits`.
        test_fraction (float): The same for test.
        seed (int): Seed of that choice.
        mirdata (tuple, optional): Name and version of a data set that mirdata knows, see
            :func:`~asteroid_scoresup.data.mirdata_index.find_mirdata_songs`; `root` then contains
            it. Default: the layout is detected.

    Returns:
        tuple: name of the layout (``"slakh"`` or ``"pairs"``), list of :class:`SongSource`, and
        list of dicts that say what was dropped and why.

    Raises:
        FileNotFoundError: if the folder or the file of splits does not exist.
        ValueError: if the folder contains no songs, or the splits name none of them.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder.")
    splits = Splits.load(splits)
    if mirdata is not None:
        layout, found, drops = find_mirdata_songs(mirdata[0], root, mirdata[1])
    else:
        layout, found, drops = _find_files(root)
    if splits is not None and not any(splits.names(item.id) for item in found):
        raise ValueError(f"{splits.where} names none of the {len(found)} songs in {root}.")

    placed = {item: splits.of(item.id, item.split) if splits else item.split for item in found}
    if splits is not None and not splits.partial:
        for item in [item for item in found if placed[item] is None]:
            drops.append(drop_record("track", "not in the file of splits", item.id))
            del placed[item]
    # Where folders give some songs a split, the others are for training.
    is_drawn = not any(placed.values())
    if not is_drawn:
        assigned = {item: split or "train" for item, split in placed.items()}
    else:
        ids = [item.id for item in placed]
        by_id = assign_splits(ids, validation_fraction, test_fraction, seed)
        assigned = {item: by_id[item.id] for item in placed}

    sources, seen = [], set()
    for item, split in assigned.items():
        if split == OMITTED and not include_omitted:
            drops.append(drop_record("track", "in the split 'omitted'", item.id))
        elif (split, item.id) in seen:
            drops.append(drop_record("track", "duplicated in one split", item.id))
        else:
            seen.add((split, item.id))
            sources.append(SongSource(item.id, split, item, is_drawn))
    if not sources:
        raise ValueError(f"{root}: all {len(drops)} tracks were dropped: {drops[0]['reason']}.")
    return layout, sorted(sources, key=lambda s: (s.split, s.id)), drops


def _find_files(root: Path) -> tuple[str, list[TrackFolder] | list[Pair], list[dict[str, Any]]]:
    """Layout, songs, and records of the files that belong to no song."""
    tracks = find_slakh_tracks(root)
    if tracks:
        return "slakh", tracks, []
    pairs, unpaired = find_pairs(root)
    if not pairs:
        raise ValueError(
            f"{root} contains no songs: expected Slakh's tracks (TrackNNNNN/metadata.yaml, with or "
            "without folders of splits) or pairs of an audio file and a score (MIDI or MusicXML) "
            "of one name."
        )
    return "pairs", pairs, [drop_record("file", reason, where) for where, reason in unpaired]
