"""Prepared data in shards: tar files instead of a folder per track, for very many songs.

``asteroid-scoresup shard`` (:mod:`~asteroid_scoresup.data.shard_writer`) packs a prepared folder::

    shards.json               sample rate, classes, shards and number of tracks of each split
    SHA256SUMS                for `sha256sum -c`
    train/000000-<hash>.tar … WebDataset files: 00000000.json, 00000000.mixture.wav, …
    train/index.npy           one row per track: name, length, where its files begin
    train/stretches.npy       the certain stretches of all tracks

Nothing is read in advance: the index is mapped into memory, and an item of a data set reads its
segment from the middle of a shard. So the start of a training and its memory hardly grow with the
number of songs (by some dozen bytes each), there are few files for a network disk, and the items
are those of the prepared folder, in the same random order.
"""

from __future__ import annotations

import bisect
import functools
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..score import Notes
from ..score.rolls import BEND_STEPS
from .classes import ClassMap
from .manifest import SHARDS_FILE, Manifest
from .segment_reader import read_segment
from .shard_files import (
    COPY_AGAIN,
    INDEX_FILE,
    STRETCHES_FILE,
    ShardMember,
    decoded,
    encoded,
    index_dtype,
    member_names,
    notes_of,
    read_shards_file,
)
from .shard_lists import ScoreList, TrackList
from .track import PreparedTrack

#: Numbers of tracks whose descriptions, and scores, are kept in memory.
_TRACKS_KEPT, _SCORES_KEPT = 4096, 256


class ShardedManifest(Manifest):
    """The tracks of a folder of shards, as a :class:`~asteroid_scoresup.data.manifest.Manifest`.

    It can be read, for training and evaluation, but not written: preparation, label checks and
    score-informed masks belong to the prepared folder.

    Args:
        root (Path): The folder of shards.
        content (dict): Content of ``shards.json``.

    Examples
        >>> manifest = Manifest.load("sharded")               # doctest: +SKIP
        >>> ScoreDataset(manifest, "train", n_segments=1000)  # doctest: +SKIP
    """

    def __init__(self, root: str | Path, content: dict[str, Any]) -> None:
        # The base class would make a list of tracks.
        self.root, self.sample_rate = Path(root), content["sample_rate"]
        self.classes, self.mixture = ClassMap.parse(content["classes"]), content["mixture"]
        self._content, self.members = content, member_names(self.classes, self.mixture)
        self._shards = {name: list(split["shards"]) for name, split in content["splits"].items()}
        #: Number of tracks of each split.
        self.n_tracks = {name: split["n_tracks"] for name, split in content["splits"].items()}
        #: Settings of the score-informed masks in the shards; None: there are none.
        self.masks: str | None = content["masks"]
        self._arrays: dict[tuple[str, str], np.ndarray] = {}
        # Not decorated methods: those would keep every instance alive.
        self.track = functools.lru_cache(_TRACKS_KEPT)(self._track)
        self.score = functools.lru_cache(_SCORES_KEPT)(self._score)

    def __reduce__(self) -> tuple[Any, ...]:
        # Loader processes map the files themselves.
        return type(self), (self.root, self._content)

    @classmethod
    def load(cls, root: str | Path) -> ShardedManifest:
        """Reads ``shards.json``, and compares the sizes of the shards with it.

        Raises:
            FileNotFoundError: if there is none, or a shard is missing.
            ValueError: if it is of another format or broken, or a shard has another size.
        """
        return cls(root, read_shards_file(Path(root)))

    def index(self, split: str) -> np.ndarray:
        """Rows of a split's index, mapped into memory."""
        n_rows = self.n_tracks[split]
        longest = self._content["splits"][split]["longest"]
        return self._array(split, INDEX_FILE, (n_rows,), index_dtype(len(self.members), longest))

    def _array(self, split: str, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        if (split, name) not in self._arrays:
            path = self.root / split / name
            try:
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise ValueError(f"{path} cannot be read: {error}. {COPY_AGAIN}") from None
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(f"{path} does not belong to {SHARDS_FILE}. {COPY_AGAIN}")
            self._arrays[split, name] = array
        return self._arrays[split, name]

    def member(self, split: str, row: int, suffix: str) -> ShardMember | None:
        """A file of a track; None if the track has no such file."""
        entry, column = self.index(split)[row], self.members.index(suffix)
        offset, size = int(entry["offset"][column]), int(entry["size"][column])
        path = self.root / split / self._shards[split][int(entry["shard"])]
        return ShardMember(path, f"{entry['number']:08d}.{suffix}", offset, size) if size else None

    def _required(self, split: str, row: int, suffix: str) -> ShardMember:
        member = self.member(split, row, suffix)
        if member is None:
            entry: Any = self.index(split)[row]
            name = decoded(entry["id"])
            raise ValueError(f"{self.root} has no {suffix} of {split}/{name}. {COPY_AGAIN}")
        return member

    def _track(self, split: str, row: int) -> PreparedTrack:
        member = self._required(split, row, "json")
        content = member.read()
        try:
            track = PreparedTrack.from_dict(json.loads(content)["track"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{member} is damaged: {error}. {COPY_AGAIN}") from None
        entry = self.index(split)[row]
        found = (track.split, track.id, track.n_samples, track.rms)
        if found != (split, decoded(entry["id"]), int(entry["n_samples"]), float(entry["rms"])):
            raise ValueError(f"{member} is another track than the index says. {COPY_AGAIN}")
        return track

    def _score(self, split: str, row: int) -> Notes:
        notes, bends = self._required(split, row, "notes.npy"), self.member(split, row, "bends.npy")
        table = None if bends is None else bends.read()
        return notes_of(notes.read(), table, len(self.names), notes)

    def _row(self, track: PreparedTrack) -> int:
        """Row of the index of a track: they are sorted by name."""
        ids: Any = self.index(track.split)["id"]
        row = bisect.bisect_left(range(len(ids)), track.id, key=lambda i: decoded(ids[i]))
        if row == len(ids) or decoded(ids[row]) != track.id:
            raise ValueError(f"{self.root} has no track {track.split}/{track.id}.")
        return row

    @property
    def tracks(self) -> list[PreparedTrack]:  # type: ignore[override]
        """All tracks. This reads the description of each; :meth:`in_split` does not."""
        return [track for split in self.splits() for track in self.in_split(split)]

    def splits(self) -> list[str]:
        """See :meth:`.Manifest.splits`."""
        return sorted(self.n_tracks)

    def in_split(self, split: str) -> Sequence[PreparedTrack]:
        """See :meth:`.Manifest.in_split`."""
        return TrackList(self, split) if split in self.n_tracks else []

    def select(self, split: str, names: Collection[str] | None = None) -> Sequence[PreparedTrack]:
        """See :meth:`.Manifest.select`."""
        if names is None or split not in self.n_tracks:
            return super().select(split)
        ids = self.index(split)["id"]
        rows = np.flatnonzero(np.isin(ids, [encoded(name) for name in names]))
        unknown = set(names) - {decoded(ids[row]) for row in rows}
        if unknown or not names:
            raise ValueError(f"{self.root} has no tracks {sorted(unknown)} in the split {split!r}.")
        return TrackList(self, split, rows)

    @staticmethod
    def take(tracks: Any, places: np.ndarray) -> Sequence[PreparedTrack]:
        """Some of the tracks, by their places in the list."""
        return tracks.take(places)

    def stretches(self, tracks: Any) -> np.ndarray:
        """See :meth:`.Manifest.stretches`."""
        split = tracks.split
        shape = self._content["splits"][split]["n_stretches"], 3
        table = self._array(split, STRETCHES_FILE, shape, np.dtype("<i8"))
        track, start, stop = table.T
        inside = not len(table) or (track[0] >= 0 and track[-1] < self.n_tracks[split])
        if not (inside and (np.diff(track) >= 0).all() and ((start >= 0) & (start < stop)).all()):
            raise ValueError(f"{self.root / split / STRETCHES_FILE} is damaged. {COPY_AGAIN}")
        if tracks.rows is None:
            return np.array(table)
        first, last = (
            np.searchsorted(table[:, 0], tracks.rows, side) for side in ("left", "right")
        )
        parts = [table[a:b] for a, b in zip(first, last)]
        places = np.repeat(np.arange(len(parts)), last - first)
        return np.column_stack([places, np.concatenate([table[:0], *parts])[:, 1:]])

    def scores(self, tracks: Any) -> tuple[Sequence[Notes], int]:
        """See :meth:`.Manifest.scores`."""
        column = self.members.index("bends.npy")
        bends = self._content["splits"][tracks.split]["bends"] and (
            tracks.rows is None or (tracks.index()["size"][:, column] > 0).any()
        )
        return ScoreList(tracks), BEND_STEPS if bends else 1

    def require_audio(self, tracks: Any, with_stems: np.ndarray | None, targets: str) -> None:
        """See :meth:`.Manifest.require_audio`."""
        if with_stems is None or self._content["splits"][tracks.split]["stems"]:
            return
        columns = [self.members.index(f"stems.{name}.wav") for name in self.names]
        lacking = (tracks.index()["size"][:, columns] == 0).any(1) & with_stems
        if lacking.any():
            raise ValueError(
                f"{tracks[int(np.argmax(lacking))].id} in {self.root / tracks.split} has not all "
                f"stems, but targets={targets!r} asks for them. Train with targets='score', or "
                "write the shards again, with stems."
            )

    def sizes(self, tracks: Any) -> tuple[np.ndarray, np.ndarray]:
        """See :meth:`.Manifest.sizes`."""
        index = tracks.index()
        return index["n_samples"], index["rms"]

    def audio_at(self, tracks: Any, place: int, name: str | None = None) -> ShardMember:
        """See :meth:`.Manifest.audio_at`."""
        return self._audio(tracks.split, tracks.row(place), name)

    def notes(self, track: PreparedTrack) -> Notes:
        """See :meth:`.Manifest.notes`."""
        return self.score(track.split, self._row(track))

    def has_stem(self, track: PreparedTrack, name: str) -> bool:
        """See :meth:`.Manifest.has_stem`."""
        return self.member(track.split, self._row(track), f"stems.{name}.wav") is not None

    def audio(self, track: PreparedTrack, name: str | None = None) -> ShardMember:
        """See :meth:`.Manifest.audio`."""
        return self._audio(track.split, self._row(track), name)

    def _audio(self, split: str, row: int, name: str | None) -> ShardMember:
        suffix = "mixture.wav" if name is None else f"stems.{name}.wav"
        return self._required(split, row, suffix)

    def read_mixture(self, track: PreparedTrack) -> np.ndarray:
        """See :meth:`.Manifest.read_mixture`."""
        return self._read(track, None)

    def read_stem(self, track: PreparedTrack, name: str) -> np.ndarray:
        """See :meth:`.Manifest.read_stem`."""
        return self._read(track, name)

    def _read(self, track: PreparedTrack, name: str | None) -> np.ndarray:
        n_samples = track.n_samples
        return read_segment(self.audio(track, name), 0, n_samples, n_samples).numpy()

    def require_masks(self, settings: str) -> None:
        """Refuses shards without the score-informed masks of these settings.

        Args:
            settings (str): See ``ScoreInformedMasks.settings``.

        Raises:
            ValueError: if there are none, or those of other settings.
        """
        if self.masks != settings:
            what = "no score-informed masks" if self.masks is None else "masks of other settings"
            raise ValueError(
                f"{self.root} contains {what}: write the shards with "
                "`asteroid-scoresup shard --masks`, or with write_shards(…, masks=…) for settings "
                "that are not the default."
            )

    def factors_file(self, track: PreparedTrack) -> ShardMember:
        """The file of a track's score-informed masks.

        Raises:
            ValueError: if there is none.
        """
        return self._required(track.split, self._row(track), "informed.npz")

    def fingerprint(self) -> str:
        """The fingerprint of the prepared folder of which the shards were made."""
        return str(self._content["fingerprint"])

    def folder(self, track: PreparedTrack) -> Path:
        """See :meth:`.Manifest.folder`."""
        raise ValueError(
            f"{self.root} contains shards, in which {track.id} has no folder: use the prepared "
            "folder of which they were made."
        )

    def folder_to_write(self, track: PreparedTrack) -> Path:
        """See :meth:`.Manifest.folder_to_write`."""
        return self.folder(track)

    def save(self) -> None:
        """See :meth:`.Manifest.save`."""
        raise ValueError(f"{self.root} contains shards: change the prepared folder, not them.")
