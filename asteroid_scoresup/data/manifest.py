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
import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..score import Notes
from ..utils.files import read_audio, read_json, write_json
from ..utils.hashing import audio_probe, file_hash
from ..utils.names import why_not_plain
from .classes import ClassMap
from .note_table import read_notes

FORMAT = 1
_FIX = "Run `prepare` again: finished tracks are kept."


@dataclass
class PreparedTrack:
    """One track of a prepared folder.

    Args:
        id (str): Name of the track, unique within its split.
        split (str): ``train``, ``validation``, ``test`` or any other.
        n_samples (int): Length of the mixture, in samples.
        rms (float): Root mean square of the mixture, without its silences
            (:func:`~asteroid_scoresup.dsp.level.gated_rms`).
        n_notes (dict): Number of notes by class name.
        stems (list of str): Names of the files under ``stems/`` when the track was prepared.
        facts (dict): What preparation found out about the track (label check, drops).
        audio (str): Hash of the samples of mixture and stems at preparation; empty in folders of
            earlier versions.
        uncertain (list): Stretches (start, stop) of the audio, in seconds and in order, where the
            alignment of the score is not certain. They are left out of training and metrics.
    """

    id: str
    split: str
    n_samples: int
    rms: float
    n_notes: dict[str, int] = field(default_factory=dict)
    stems: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    audio: str = ""
    uncertain: list[list[float]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The fields for a file; `uncertain` only where there is anything uncertain."""
        content = asdict(self)
        if not self.uncertain:
            del content["uncertain"]
        return content

    @classmethod
    def from_dict(cls, content: Any) -> PreparedTrack:
        """A track from the content of a file, with every field validated.

        Args:
            content (dict): The fields.

        Raises:
            ValueError: if a field is missing, unknown, of the wrong type or out of range, or if
                the name or the split is not a plain folder name.
        """
        if not isinstance(content, dict):
            raise ValueError(f"a track is {content!r:.40}, expected a mapping")
        if "references" in content and "stems" not in content:  # the name in earlier versions
            content = dict(content)
            content["stems"] = content.pop("references")
        wanted = {f.name for f in fields(cls)}
        missing = {"id", "split", "n_samples", "rms"} - set(content)
        if missing or set(content) - wanted:
            odd = sorted(map(str, missing or set(content) - wanted))
            what = "lacks" if missing else "has the unknown"
            raise ValueError(f"a track {what} {', '.join(odd)}")
        track = cls(**content)
        for key in ("id", "split"):
            why = why_not_plain(getattr(track, key))
            if why:
                name = getattr(track, key)
                raise ValueError(f"the {key} {name!r:.60} of a track {why}; it names a folder")
        counts = track.n_notes if isinstance(track.n_notes, dict) else {"": None}
        good = {
            "n_samples": _is_count(track.n_samples) and track.n_samples < 2**48,
            "rms": _is_number(track.rms) and 0 <= track.rms < math.inf,
            "n_notes": all(_is_count(count) for count in counts.values()),
            "stems": isinstance(track.stems, list)
            and not any(why_not_plain(name) for name in track.stems),
            "facts": isinstance(track.facts, dict),
            "audio": isinstance(track.audio, str),
            "uncertain": _are_stretches(track.uncertain),
        }
        wrong = [key for key, value in good.items() if not value]
        if wrong:
            raise ValueError(
                f"{wrong[0]} of the track {track.split}/{track.id} is "
                f"{getattr(track, wrong[0])!r:.60}"
            )
        return track


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_stretches(value: Any) -> bool:
    """Whether a value is a list of pairs (start, stop) in order, without overlap."""
    if not isinstance(value, list):
        return False
    pairs = [pair for pair in value if isinstance(pair, list) and len(pair) == 2]
    edges = [0, *(edge for pair in pairs for edge in pair)]
    return (
        len(pairs) == len(value)
        and all(_is_number(edge) and edge < 2**48 for edge in edges)
        and all(start < stop for start, stop in pairs)
        and edges == sorted(edges)
    )


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
        self.tracks = list(tracks)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return self.classes.names

    @classmethod
    def load(cls, root: str | Path) -> Manifest:
        """Reads ``manifest.json``.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is of another format or broken.
        """
        path = Path(root) / "manifest.json"
        if not path.is_file():
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
            "sample_rate": _is_number(rate) and 1000 <= rate <= 384000 and rate == int(rate),
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
        facts = []
        for track in sorted(self.tracks, key=lambda t: (t.split, t.id)):
            path = self.folder(track) / "notes.csv"
            if not path.is_file():
                raise FileNotFoundError(f"{path} does not exist: prepare the data again.")
            known = [track.split, track.id, self.audio_identity(track), file_hash(path)]
            facts.append([*known, track.uncertain] if track.uncertain else known)
        content = [self.sample_rate, str(self.classes), self.mixture, facts]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def audio_identity(self, track: PreparedTrack) -> str:
        """Identifies a track's audio by the hash of its samples and a probe of the mixture.

        The hash was recorded at preparation, because hours of audio are not read again at every
        step of training. The probe (:func:`~asteroid_scoresup.utils.hashing.audio_probe`) detects
        files that were replaced since, and is used for folders of versions without a hash.
        """
        return f"{track.audio}:{audio_probe(self.mixture_path(track))}"

    def select(self, split: str, names: Collection[str] | None = None) -> list[PreparedTrack]:
        """The tracks of a split, sorted by name, or those of them that are named.

        Raises:
            ValueError: if there are none, or a name is unknown.
        """
        tracks = sorted((t for t in self.tracks if t.split == split), key=lambda t: t.id)
        if not tracks:
            found = sorted({t.split for t in self.tracks})
            raise ValueError(f"{self.root} has no tracks in the split {split!r}, only in {found}.")
        if names is None:
            return tracks
        unknown = set(names) - {track.id for track in tracks}
        if unknown or not names:
            raise ValueError(f"{self.root} has no tracks {sorted(unknown)} in the split {split!r}.")
        return [track for track in tracks if track.id in set(names)]

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

    def read_mixture(self, track: PreparedTrack) -> np.ndarray:
        r"""The whole mixture, float32, shape :math:`(time,)`."""
        return read_audio(self.mixture_path(track))[0]
