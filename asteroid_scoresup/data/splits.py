"""Which track belongs to which split: by folder, by a file of splits, or by a seeded share."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ..utils.files import read_json

#: Names under which folders and files call the usual splits.
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

#: The split that holds the tracks that slakh-utils takes out because their MIDI stands twice.
OMITTED = "omitted"


def split_of_folder(name):
    """The split that a folder of this name stands for, or None.

    Examples
        >>> split_of_folder("Val"), split_of_folder("test_unseen"), split_of_folder("My songs")
        ('validation', 'test_unseen', None)
    """
    name = name.lower()
    if name in SPLIT_NAMES or name == OMITTED:
        return SPLIT_NAMES.get(name, name)
    return name if re.fullmatch(r"(train|validation|test)_[a-z0-9_]+", name) else None


def original_slakh_split(track_id):
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

    Three forms are understood: that of slakh-utils, where every entry tells what to do with a
    track of the *original* Slakh split (``{"Track00049": {"action": "omit", …}, "Track00003":
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

    def __init__(self, content, where="splits"):
        if not isinstance(content, dict) or not content:
            raise ValueError(f"{where} must hold a mapping of tracks to splits.")
        self.where = where
        self.partial = False
        self._split = {}
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
    def load(cls, source):
        """Reads splits from a dict, a JSON file, or None (then returns None)."""
        if source is None or isinstance(source, cls):
            return source
        if isinstance(source, dict):
            return cls(source)
        if not Path(source).is_file():
            raise FileNotFoundError(f"{source}: no such file of splits.")
        return cls(read_json(source), str(source))

    def _add(self, track_id, split):
        # A split becomes a folder; a name such as ../x would be one outside of the data.
        if split is not None and (not split or split.startswith(".") or re.search(r"[/\\]", split)):
            raise ValueError(f"{self.where}: {split!r} is no name of a split.")
        if track_id in self._split and self._split[track_id] != split:
            raise ValueError(f"{self.where} puts {track_id} into two splits.")
        self._split[track_id] = split

    def _after_action(self, track_id, entry):
        action = entry["action"]
        if action is None:
            return original_slakh_split(track_id)
        if action == "omit":
            return OMITTED
        if action == "move" and isinstance(entry.get("destination_split"), str):
            return entry["destination_split"]
        raise ValueError(f"{self.where}: {track_id} has the unknown action {action!r}.")

    def names(self, track_id):
        """Whether the file names this track."""
        return track_id in self._split

    def of(self, track_id, folder_split=None):
        """The split of a track, or None if the file leaves it out.

        A file of slakh-utils tells changes only, so a track that it does not name stays where its
        folder puts it.
        """
        split = self._split.get(track_id)
        return folder_split if split is None and self.partial else split


def share_out(ids, validation_share=0.1, test_share=0.0, seed=0):
    """Gives a seeded share of tracks to validation and test, the rest to train.

    The order is by a hash of seed and name: it does not depend on the machine or the order of the
    files, and adding songs moves few of the others. A share above 0 gets at least one track where
    there are enough for train to keep one.

    Args:
        ids (sequence of str): Names of the tracks.
        validation_share (float): Share of validation, 0 to 1.
        test_share (float): Share of test, 0 to 1.
        seed (int): Seed.

    Returns:
        dict: Split of each name.

    Raises:
        ValueError: if the shares are negative or leave nothing to train.

    Examples
        >>> share_out(["a", "b", "c", "d"], validation_share=0.25)
        {'c': 'validation', 'b': 'train', 'd': 'train', 'a': 'train'}
    """
    if min(validation_share, test_share) < 0 or validation_share + test_share >= 1:
        raise ValueError(
            "The shares of validation and test must not be negative and must leave something to "
            f"train, found {validation_share} and {test_share}."
        )
    order = sorted(ids, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).hexdigest())
    result, position = {}, 0
    for split, share in (("validation", validation_share), ("test", test_share)):
        count = max(round(share * len(order)), 1) if share else 0
        count = min(count, max(len(order) - 1 - position, 0))
        result.update(dict.fromkeys(order[position : position + count], split))
        position += count
    result.update(dict.fromkeys(order[position:], "train"))
    return result
