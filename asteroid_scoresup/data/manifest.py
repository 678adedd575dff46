"""Prepared data: what preparation leaves behind and everything after it reads.

A prepared folder holds ``manifest.json`` and one folder a track::

    manifest.json
    report.json
    train/Track00001/mixture.wav        mono float WAV at the working rate
                     notes.csv          onset,offset,pitch,source,velocity,release,bend
                     references/bass.wav …   only where stems exist

Slakh folders, own (audio, MIDI) pairs and synthesized songs are the same from here on. Nothing
here opens a reference unless it is asked for by name.
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..score import Notes
from .classes import ClassMap
from .files import atomic_path, read_audio, read_json, write_json
from .identity import audio_probe, file_hash

FORMAT = 1
COLUMNS = ("onset", "offset", "pitch", "source", "velocity")
#: Tables without these are those of earlier versions: notes released at their offset, unbent.
SOUND_COLUMNS = ("release", "bend")


def write_notes(path, notes, names):
    """Writes a note table as CSV; times in seconds, classes by name.

    Args:
        path (str or Path): File to write.
        notes (Notes): The score.
        names (sequence of str): Names of the classes.
    """
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*COLUMNS, *SOUND_COLUMNS])
        columns = (notes.onset, notes.offset, notes.pitch, notes.source, notes.velocity)
        sound = (notes.release, notes.bends())
        for onset, offset, pitch, source, velocity, release, bend in zip(*columns, *sound):
            row = (f"{onset:.6f}", f"{offset:.6f}", pitch, names[source], velocity)
            writer.writerow([*row, f"{release:.6f}", _bend_text(bend)])


def _bend_text(bend):
    """Steps of a bend as ``seconds:semitones;…``; empty for a note that keeps its pitch."""
    return "" if bend is None else ";".join(f"{time:.3f}:{shift:.2f}" for time, shift in bend)


def _read_bend(text):
    if not text:
        return None
    return [[float(number) for number in step.split(":")] for step in text.split(";")]


def read_notes(path, names):
    """Reads what :func:`write_notes` wrote; rows of other classes are an error.

    Raises:
        ValueError: if a column is missing, a class is unknown, or a number is not one.
    """
    with open(path, newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows:
        return Notes.empty()
    missing = [column for column in COLUMNS if column not in rows[0]]
    if missing:
        raise ValueError(f"{path} lacks the columns {missing}; expected {list(COLUMNS)}.")
    unknown = {row["source"] for row in rows} - set(names)
    if unknown:
        raise ValueError(
            f"{path} has notes of {sorted(unknown)}, but the classes are {list(names)}."
        )
    index = {name: i for i, name in enumerate(names)}
    try:
        return Notes(
            [float(row["onset"]) for row in rows],
            [float(row["offset"]) for row in rows],
            [int(row["pitch"]) for row in rows],
            [index[row["source"]] for row in rows],
            [int(row["velocity"]) for row in rows],
            [float(row["release"]) for row in rows] if "release" in rows[0] else None,
            [_read_bend(row["bend"]) for row in rows] if "bend" in rows[0] else None,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a note table: {error}.") from None


@dataclass
class PreparedTrack:
    """One track of a prepared folder.

    Args:
        id (str): Name of the track, unique within its split.
        split (str): ``train``, ``validation``, ``test`` or any other.
        n_samples (int): Length of the mixture, in samples.
        rms (float): Root mean square of the mixture.
        n_notes (dict): Notes per class.
        references (list of str): Names under ``references/`` when the track was prepared.
        facts (dict): What preparation found out about the track (label check, drops).
        audio (str): Hash of the samples of mixture and references as they were prepared; empty in
            folders of earlier versions.
    """

    id: str
    split: str
    n_samples: int
    rms: float
    n_notes: dict = field(default_factory=dict)
    references: list = field(default_factory=list)
    facts: dict = field(default_factory=dict)
    audio: str = ""


class Manifest:
    """The list of prepared tracks.

    Args:
        root (str or Path): The prepared folder.
        sample_rate (int): Working rate, in Hz.
        classes (ClassMap): The classes, in order.
        mixture (str): ``"submix"`` (sum of the classes) or ``"song"`` (everything, then
            references have a ``residual`` too).
        tracks (list of PreparedTrack): The tracks.
    """

    def __init__(self, root, sample_rate, classes, mixture="submix", tracks=()):
        self.root = Path(root)
        self.sample_rate = sample_rate
        self.classes = classes
        self.mixture = mixture
        self.tracks = list(tracks)

    @property
    def names(self):
        """tuple of str: names of the classes, in order."""
        return self.classes.names

    @classmethod
    def load(cls, root):
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
            raise ValueError(f"{path} is not a manifest: expected a mapping.")
        if content.get("format") != FORMAT:
            raise ValueError(
                f"{path} has format {content.get('format')}, this version reads {FORMAT}: "
                "prepare the data again."
            )
        try:
            tracks = [PreparedTrack(**track) for track in content["tracks"]]
            classes = ClassMap.parse(content["classes"])
            return cls(root, content["sample_rate"], classes, content["mixture"], tracks)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a manifest: {error}.") from None

    def save(self):
        """Writes ``manifest.json``, atomically."""
        content = {
            "format": FORMAT,
            "sample_rate": self.sample_rate,
            "classes": str(self.classes),
            "mixture": self.mixture,
            "tracks": [asdict(track) for track in self.tracks],
        }
        write_json(self.root / "manifest.json", content)

    def fingerprint(self):
        """Sixteen characters that change with the tracks, their scores, their audio and classes.

        The note tables are hashed as they are, so that a correction of labels counts; for audio see
        :meth:`audio_identity`. No reference is opened.

        Raises:
            FileNotFoundError: if a track's note table is missing.
            ValueError: if a mixture cannot be read.
        """
        facts = []
        for track in sorted(self.tracks, key=lambda t: (t.split, t.id)):
            path = self.folder(track) / "notes.csv"
            if not path.is_file():
                raise FileNotFoundError(f"{path} does not exist: prepare the data again.")
            facts.append([track.split, track.id, self.audio_identity(track), file_hash(path)])
        content = [self.sample_rate, str(self.classes), self.mixture, facts]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def audio_identity(self, track):
        """What identifies a track's audio: the hash of its samples, and a probe of the mixture.

        The hash was recorded at preparation, since hours of audio are not read again at every
        step of training; the probe (:func:`~asteroid_scoresup.data.identity.audio_probe`) finds
        files that were replaced since, and serves folders of versions without a hash.
        """
        return f"{track.audio}:{audio_probe(self.mixture_path(track))}"

    def select(self, split):
        """The tracks of a split, sorted by name.

        Raises:
            ValueError: if there are none.
        """
        tracks = sorted((t for t in self.tracks if t.split == split), key=lambda t: t.id)
        if not tracks:
            found = sorted({t.split for t in self.tracks})
            raise ValueError(f"{self.root} has no tracks in the split {split!r}, only in {found}.")
        return tracks

    def folder(self, track):
        """Folder of a track."""
        return self.root / track.split / track.id

    def mixture_path(self, track):
        """The mixture's file."""
        return self.folder(track) / "mixture.wav"

    def reference_path(self, track, name):
        """Where the reference of class `name` lies, if there is one."""
        return self.folder(track) / "references" / f"{name}.wav"

    def notes(self, track):
        """The score of a track."""
        return read_notes(self.folder(track) / "notes.csv", self.names)

    def read_mixture(self, track):
        r"""The whole mixture, float32, shape :math:`(time,)`."""
        return read_audio(self.mixture_path(track))[0]
