"""Lists of the tracks in shards, and of their scores, which are read when they are used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ..score import Notes
from .track import PreparedTrack

if TYPE_CHECKING:
    from .shards import ShardedManifest


class TrackList(Sequence[PreparedTrack]):
    """The tracks of a split in shards; each is read when it is used.

    Args:
        manifest (ShardedManifest): The shards.
        split (str): Name of the split.
        rows (array, optional): Rows of the index. Default: all.
    """

    def __init__(
        self, manifest: ShardedManifest, split: str, rows: np.ndarray | None = None
    ) -> None:
        self.manifest, self.split, self.rows = manifest, split, rows
        self._length = manifest.n_tracks[split] if rows is None else len(rows)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> PreparedTrack: ...
    @overload
    def __getitem__(self, place: slice) -> TrackList: ...
    def __getitem__(self, place: int | slice) -> PreparedTrack | TrackList:
        if isinstance(place, slice):
            return self.take(np.arange(len(self))[place])
        return self.manifest.track(self.split, self.row(range(len(self))[place]))

    def __iter__(self) -> Iterator[PreparedTrack]:
        return (self[place] for place in range(len(self)))

    def row(self, place: int) -> int:
        """Row of the index of a track."""
        return place if self.rows is None else int(self.rows[place])

    def take(self, places: np.ndarray) -> TrackList:
        """Some of the tracks, by their places in the list."""
        rows = places if self.rows is None else self.rows[places]
        return TrackList(self.manifest, self.split, rows)

    def index(self) -> np.ndarray:  # type: ignore[override]  # tracks are not searched for
        """Rows of the index of these tracks."""
        index = self.manifest.index(self.split)
        return index if self.rows is None else index[self.rows]


class ScoreList(Sequence[Notes]):
    """The scores of a list of tracks; each is read when it is used.

    Args:
        tracks (TrackList): The tracks.
    """

    def __init__(self, tracks: TrackList) -> None:
        self.tracks = tracks

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, place: Any) -> Any:
        return self.tracks.manifest.score(self.tracks.split, self.tracks.row(int(place)))
