"""Which track belongs to which split: by folder, by a file of splits, or at random."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..utils.files import read_json

#: Names of the usual splits in folders and files.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
}

#: The split of the tracks that slakh-utils removes because their MIDI is duplicated.
OMITTED = "omitted"


def split_of_folder(name: str) -> str | None:
    """The split that a folder of this name contains, or None.

    Examples
        >>> split_of_folder("Val"), split_of_folder("test_unseen"), split_of_folder("My songs")
        ('validation', 'test_unseen', None)
    """
    name = name.lower()
    if name in SPLIT_NAMES or name == OMITTED:
        return SPLIT_NAMES.get(name, name)
    return name if re.fullmatch(r"(train|validation|test)_[a-z0-9_]+", name) else None


def original_slakh_split(track_id: str) -> str | None:
    """The split of a track in Slakh2100 as first published, from its number; None for others.

    Examples
        >>> original_slakh_split("Track01501"), original_slakh_split("Track02101")
        ('validation', None)
    """
    match = re.fullmatch(r"Track(\d{5})", track_id)
    number = int(match[1]) if match else 0
    if not 1 <= number <= 2100:
        return None
    return "train" if number <= 1500 else "validation" if number <= 1875 else "test"


class Splits:
    """A file of splits.

    Three forms are supported: that of slakh-utils, where every entry says what to do with a track
    of the *original* Slakh split (``{"Track00049": {"action": "omit", …}, "Track00003":
    {"action": "move", "destination_split": "test"}, "Track00001": {"action": null}}``); a split
    for each track (``{"Track00001": "train"}``); tracks for each split (``{"train": ["Track…"]}``).

    Args:
        content (dict): The content.
        where (str): Its name in error messages.

    Raises:
        ValueError: if it has none of these forms.

    Examples
        >>> splits = Splits({"train": ["a", "b"], "test": ["c"]})
        >>> splits.of("c"), splits.of("d", folder_split="train") is None
        ('test', True)
        >>> moved = Splits({"Track00003": {"action": "move", "destination_split": "test"}})
        >>> moved.of("Track00003", "train"), moved.of("Track00004", "train")
        ('test', 'train')
    """

    def __init__(self, content: Mapping[str, Any], where: str = "splits") -> None:
        if not isinstance(content, dict) or not content:
            raise ValueError(f"{where} must contain a mapping of tracks to splits.")
        self.where = where
        self.partial = False
        self._split: dict[str, str | None] = {}
        for key, value in content.items():
            if isinstance(value, str):
                self._add(key, value)
            elif isinstance(value, list) and all(isinstance(name, str) for name in value):
                for name in value:
                    self._add(name, key)
            elif isinstance(value, dict) and "action" in value:
                self.partial = True
                self._add(key, self._after_action(key, value))
            else:
                raise ValueError(
                    f"{where}: cannot read the entry {key!r}. Expected a split's name, a list of "
                    "tracks, or an action of slakh-utils (null, 'move' or 'omit')."
                )

    @classmethod
    def load(cls, source: Splits | Mapping[str, Any] | str | Path | None) -> Splits | None:
        """Reads splits from a dict or a JSON file; None stays None.

        Raises:
            FileNotFoundError: if the file does not exist.
            ValueError: if the content has none of the forms.
        """
        if source is None or isinstance(source, Splits):
            return source
        if isinstance(source, Mapping):
            return cls(source)
        if not Path(source).is_file():
            raise FileNotFoundError(f"{source}: no such file of splits.")
        return cls(read_json(source), str(source))

    def _add(self, track_id: str, split: str | None) -> None:
        # A split is a folder name; ../x would lead out of the data.
        if split is not None and (not split or split.startswith(".") or re.search(r"[/\\]", split)):
            raise ValueError(f"{self.where}: {split!r} is not the name of a split.")
        if track_id in self._split and self._split[track_id] != split:
            raise ValueError(f"{self.where} puts {track_id} into two splits.")
        self._split[track_id] = split

    def _after_action(self, track_id: str, entry: Mapping[str, Any]) -> str | None:
        action = entry["action"]
        if action is None:
            return original_slakh_split(track_id)
        if action == "omit":
            return OMITTED
        if action == "move" and isinstance(entry.get("destination_split"), str):
            return entry["destination_split"]
        raise ValueError(f"{self.where}: {track_id} has the unknown action {action!r}.")

    def names(self, track_id: str) -> bool:
        """Whether the file names this track."""
        return track_id in self._split

    def of(self, track_id: str, folder_split: str | None = None) -> str | None:
        """The split of a track, or None if the file does not name it.

        A file of slakh-utils lists changes only: a track that it does not name stays in the split
        of its folder.

        Args:
            track_id (str): Name of the track.
            folder_split (str, optional): The split of its folder.
        """
        split = self._split.get(track_id)
        return folder_split if split is None and self.partial else split


def draw_order(ids: Sequence[str], seed: int) -> list[str]:
    """The order in which tracks are drawn for validation and test, by a hash of seed and name.

    Args:
        ids (sequence of str): Names of the tracks.
        seed (int): Seed.
    """
    return sorted(ids, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).hexdigest())


def assign_splits(
    ids: Sequence[str],
    validation_fraction: float = 0.1,
    test_fraction: float = 0.0,
    seed: int = 0,
) -> dict[str, str]:
    """Assigns random fractions of the tracks to validation and test, the rest to train.

    Tracks are ordered by a hash of seed and name: the result does not depend on the machine or the
    order of the files, and adding songs moves few of the others. A fraction above 0 gets at least
    one track if train keeps at least one.

    Args:
        ids (sequence of str): Names of the tracks.
        validation_fraction (float): Fraction of the tracks for validation, 0 to 1.
        test_fraction (float): Fraction of the tracks for test, 0 to 1.
        seed (int): Seed.

    Returns:
        dict: Split of each name.

    Raises:
        ValueError: if a fraction is negative or nothing is left to train.

    Examples
        >>> assign_splits(["a", "b", "c", "d"], validation_fraction=0.25)
        {'c': 'validation', 'b': 'train', 'd': 'train', 'a': 'train'}
    """
    if min(validation_fraction, test_fraction) < 0 or validation_fraction + test_fraction >= 1:
        raise ValueError(
            "validation_fraction and test_fraction must not be negative and must leave something "
            f"to train, found {validation_fraction} and {test_fraction}."
        )
    order = draw_order(ids, seed)
    result: dict[str, str] = {}
    position = 0
    for split, fraction in (("validation", validation_fraction), ("test", test_fraction)):
        count = max(round(fraction * len(order)), 1) if fraction else 0
        count = min(count, max(len(order) - 1 - position, 0))
        result.update(dict.fromkeys(order[position : position + count], split))
        position += count
    result.update(dict.fromkeys(order[position:], "train"))
    return result
