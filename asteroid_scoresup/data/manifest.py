"""Prepared data: what preparation writes, and training and evaluation read.

A prepared folder contains ``manifest.json`` and one folder per track::

    manifest.json
    report.json
    train/Track00001/mixture.wav        mono float WAV at the working rate
                     notes.csv          onset,offset,pitch,class,velocity,release,bend
                     stems/bass.wav …   only where stems exist

Slakh folders, own (audio, MIDI) pairs and synthesized songs are the same from here on. No stem is
opened here unless it is requested by name.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..score import Notes, steps_of
from ..utils.files import read_audio, read_json, write_json
from ..utils.hashing import audio_probe, file_hash
from .classes import ClassMap
from .note_table import read_notes
from .segment_reader import AudioSource, require_length, require_stems
from .stretches import stretch_table
from .track import PreparedTrack, is_number

FORMAT = 1
#: What a folder of shards has instead of ``manifest.json``.
SHARDS_FILE = "shards.json"
_FIX = "Run `prepare` again: finished tracks are kept."


def folder_to_write(root: Path, split: str, track_id: str) -> Path:
    """Folder of a track in a prepared folder, for writing; see :meth:`Manifest.folder_to_write`.

    Args:
        root (Path): The prepared folder.
        split (str): Split of the track.
        track_id (str): Its name.

    Raises:
        ValueError: if the track's folder is outside of the prepared folder.
    """
    folder = root / split / track_id
    if root.resolve() not in folder.resolve().parents:
        link = folder if folder.is_symlink() else folder.parent
        raise ValueError(
            f"{link} is a link that leads outside of {root}: it is not written to. "
            "Copy the tracks, or link the whole prepared folder."
        )
    return folder


class Manifest:
    """The list of prepared tracks.

    Args:
        root (str or Path): The prepared folder.
        sample_rate (int): Working rate, in Hz.
        classes (ClassMap): The classes, in order.
        mixture (str): ``"submix"`` (sum of the classes) or ``"song"`` (everything; the stems then
            include a ``residual``).
        tracks (iterable of PreparedTrack): The tracks.
    """

    def __init__(
        self,
        root: str | Path,
        sample_rate: int,
        classes: ClassMap,
        mixture: str = "submix",
        tracks: Iterable[PreparedTrack] = (),
    ) -> None:
        self.root = Path(root)
        self.sample_rate = sample_rate
        self.classes = classes
        self.mixture = mixture
        self.tracks: Any = list(tracks)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return self.classes.names

    @classmethod
    def load(cls, root: str | Path) -> Manifest:
        """Reads ``manifest.json``, or ``shards.json`` of a folder of shards.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is of another format or broken.

        Returns:
            Manifest: The list of tracks; for shards a
            :class:`~asteroid_scoresup.data.shards.ShardedManifest`.
        """
        path = Path(root) / "manifest.json"
        is_sharded = (Path(root) / SHARDS_FILE).is_file()
        if is_sharded and path.is_file():
            raise ValueError(
                f"{root} contains manifest.json and {SHARDS_FILE}: a prepared folder and shards "
                "need folders of their own. Delete the one that you do not use."
            )
        if not path.is_file():
            if is_sharded:
                from .shards import ShardedManifest  # it is a subclass of this class

                return ShardedManifest.load(root)
            raise FileNotFoundError(
                f"{path} does not exist: {root} is not a prepared folder. "
                "`asteroid-scoresup prepare` (stage 1 of the recipe) makes one."
            )
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError(f"{path} is not a manifest: expected a mapping. {_FIX}")
        if content.get("format") != FORMAT:
            raise ValueError(
                f"{path} has format {content.get('format')}, this version reads {FORMAT}: "
                "prepare the data again."
            )
        missing = [k for k in ("tracks", "classes", "sample_rate", "mixture") if k not in content]
        if missing:
            raise ValueError(f"{path} is not a manifest: {missing[0]!r} is missing. {_FIX}")
        rate, mixture = content["sample_rate"], content["mixture"]
        good = {
            "tracks": isinstance(content["tracks"], list),
            "classes": isinstance(content["classes"], str),
            "sample_rate": is_number(rate) and 1000 <= rate <= 384000 and rate == int(rate),
            "mixture": mixture in ("submix", "song"),
        }
        wrong = [key for key, value in good.items() if not value]
        if wrong:
            raise ValueError(
                f"{path} is not a manifest: {wrong[0]} is {content[wrong[0]]!r:.60}. {_FIX}"
            )
        try:
            tracks = [PreparedTrack.from_dict(track) for track in content["tracks"]]
        except ValueError as error:
            raise ValueError(f"{path} is not a manifest: {error}. {_FIX}") from None
        names = Counter((track.split, track.id) for track in tracks)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ValueError(f"{path} lists {'/'.join(twice[0])} twice. {_FIX}")
        return cls(root, rate, ClassMap.parse(content["classes"]), mixture, tracks)

    def save(self) -> None:
        """Writes ``manifest.json``, atomically."""
        content = {
            "format": FORMAT,
            "sample_rate": self.sample_rate,
            "classes": str(self.classes),
            "mixture": self.mixture,
            "tracks": [track.to_dict() for track in self.tracks],
        }
        write_json(self.root / "manifest.json", content)

    def fingerprint(self) -> str:
        """Sixteen characters that depend on the tracks, their scores, their audio and classes.

        The note tables are hashed as they are, so that corrected labels change the result; for
        audio see :meth:`audio_identity`. No stem is opened.

        Raises:
            FileNotFoundError: if a track's note table is missing.
            ValueError: if a mixture cannot be read.
        """
        tracks = sorted(self.tracks, key=lambda t: (t.split, t.id))
        return self.hash_of(map(self.identity, tracks))

    def identity(self, track: PreparedTrack) -> list[Any]:
        """What the :meth:`fingerprint` knows about a track."""
        path = self.folder(track) / "notes.csv"
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: prepare the data again.")
        known = [track.split, track.id, self.audio_identity(track), file_hash(path)]
        return [*known, track.uncertain] if track.uncertain else known

    def hash_of(self, identities: Iterable[list[Any]]) -> str:
        """The fingerprint of this data with tracks of the given identities, in order."""
        content = [self.sample_rate, str(self.classes), self.mixture, list(identities)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def audio_identity(self, track: PreparedTrack) -> str:
        """Identifies a track's audio by the hash of its samples and a probe of the mixture.

        The hash was recorded at preparation, because hours of audio are not read again at every
        step of training. The probe (:func:`~asteroid_scoresup.utils.hashing.audio_probe`) detects
        files that were replaced since, and is used for folders of versions without a hash.
        """
        return f"{track.audio}:{audio_probe(self.mixture_path(track))}"

    def splits(self) -> list[str]:
        """Names of the splits that have tracks, sorted."""
        return sorted({track.split for track in self.tracks})

    def in_split(self, split: str) -> Sequence[PreparedTrack]:
        """The tracks of a split, sorted by name; there may be none."""
        return sorted((t for t in self.tracks if t.split == split), key=lambda t: t.id)

    def select(self, split: str, names: Collection[str] | None = None) -> Sequence[PreparedTrack]:
        """The tracks of a split, sorted by name, or those of them that are named.

        Raises:
            ValueError: if there are none, or a name is unknown.
        """
        tracks = self.in_split(split)
        if not tracks:
            raise ValueError(
                f"{self.root} has no tracks in the split {split!r}, only in {self.splits()}."
            )
        if names is None:
            return tracks
        unknown = set(names) - {track.id for track in tracks}
        if unknown or not names:
            raise ValueError(f"{self.root} has no tracks {sorted(unknown)} in the split {split!r}.")
        return [track for track in tracks if track.id in set(names)]

    @staticmethod
    def take(tracks: Sequence[PreparedTrack], places: np.ndarray) -> Sequence[PreparedTrack]:
        """Some of the tracks of a split, by their places in it."""
        chosen: list[int] = places.tolist()
        return [tracks[place] for place in chosen]

    def stretches(self, tracks: Sequence[PreparedTrack]) -> np.ndarray:
        """See :func:`~asteroid_scoresup.data.stretches.stretch_table`."""
        return stretch_table(tracks, self.sample_rate)

    def folder(self, track: PreparedTrack) -> Path:
        """Folder of a track."""
        return self.root / track.split / track.id

    def folder_to_write(self, track: PreparedTrack) -> Path:
        """Folder of a track, for writing.

        Symbolic links inside a prepared folder may be read through, but files are never written
        through a link that leads outside: in a folder of unknown origin it could lead anywhere.

        Raises:
            ValueError: if the track's folder is outside of the prepared folder.
        """
        return folder_to_write(self.root, track.split, track.id)

    def mixture_path(self, track: PreparedTrack) -> Path:
        """Audio file of the mixture."""
        return self.folder(track) / "mixture.wav"

    def stem_path(self, track: PreparedTrack, name: str) -> Path:
        """Audio file of the stem of class `name`; it need not exist."""
        folder = self.folder(track)
        earlier = folder / "references" / f"{name}.wav"  # the name in earlier versions
        return earlier if earlier.is_file() else folder / "stems" / f"{name}.wav"

    def notes(self, track: PreparedTrack) -> Notes:
        """The score of a track."""
        return read_notes(self.folder(track) / "notes.csv", self.names)

    def has_stem(self, track: PreparedTrack, name: str) -> bool:
        """Whether a track has the stem of class `name`."""
        return self.stem_path(track, name).is_file()

    def has_stems(self, track: PreparedTrack) -> bool:
        """Whether a track has the stems of all classes."""
        return all(self.has_stem(track, name) for name in self.names)

    def audio(self, track: PreparedTrack, name: str | None = None) -> AudioSource:
        """What :func:`~asteroid_scoresup.data.segment_reader.read_segment` opens.

        Args:
            track (PreparedTrack): The track.
            name (str, optional): Class of a stem. Default: the mixture.
        """
        return self.mixture_path(track) if name is None else self.stem_path(track, name)

    def audio_at(
        self, tracks: Sequence[PreparedTrack], place: int, name: str | None = None
    ) -> AudioSource:
        """As :meth:`audio`, for a track at a place in a list of tracks."""
        return self.audio(tracks[place], name)

    def sizes(self, tracks: Sequence[PreparedTrack]) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of samples, and root mean squares, of several tracks."""
        return np.array([t.n_samples for t in tracks]), np.array([t.rms for t in tracks])

    def read_mixture(self, track: PreparedTrack) -> np.ndarray:
        r"""The whole mixture, float32, shape :math:`(time,)`."""
        return read_audio(self.mixture_path(track))[0]

    def read_stem(self, track: PreparedTrack, name: str) -> np.ndarray:
        r"""The whole stem of class `name`, float32, shape :math:`(time,)`."""
        return read_audio(self.stem_path(track, name))[0]

    def scores(self, tracks: Sequence[PreparedTrack]) -> tuple[Sequence[Notes], int]:
        """The scores of several tracks, and the rows per semitone that their sounding rolls need.

        See :func:`~asteroid_scoresup.score.rolls.steps_of`.
        """
        notes = [self.notes(track) for track in tracks]
        return notes, max((steps_of(table) for table in notes), default=1)

    def require_audio(
        self, tracks: Sequence[PreparedTrack], with_stems: np.ndarray | None, targets: str
    ) -> None:
        """Checks that audio files exist and are as long as their tracks, by their headers.

        Args:
            tracks (sequence of PreparedTrack): The tracks.
            with_stems (array, optional): Which of them need their stems, bool. None: none does.
            targets (str): What asks for stems, for the message.

        Raises:
            ValueError: if a file is missing, has another length or cannot be read.
        """
        if with_stems is not None:
            require_stems(self, self.take(tracks, np.flatnonzero(with_stems)), targets)
        for track in tracks:
            require_length(self.mixture_path(track), track.n_samples)
