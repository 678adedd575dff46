"""Prepared data: what preparation leaves behind and everything after it reads.

A prepared folder holds ``manifest.json`` and one folder a track::

    manifest.json
    report.json
    train/Track00001/mixture.wav        mono float WAV at the working rate
                     notes.csv          onset,offset,pitch,class,velocity,release,bend
                     stems/bass.wav …   only where stems exist

Slakh folders, own (audio, MIDI) pairs and synthesized songs are the same from here on. Nothing
here opens a reference unless it is asked for by name.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from ..score import Notes
from ..utils.files import atomic_path, read_audio, read_json, write_json
from ..utils.hashing import audio_probe, file_hash
from ..utils.names import why_not_plain
from .classes import ClassMap

FORMAT = 1
COLUMNS = ("onset", "offset", "pitch", "class", "velocity")
#: Tables without these are those of earlier versions: notes released at their offset, unbent.
SOUND_COLUMNS = ("release", "bend")
_LONGEST = 10**7  # seconds; no song lasts for four months
#: What the columns of a note table may hold: seconds, MIDI note numbers, MIDI velocities.
_BOUNDS = (("onset", 0, _LONGEST), ("offset", 0, _LONGEST), ("pitch", 0, 127), ("velocity", 0, 127))


_MEND = "Run `prepare` again: finished tracks are kept."


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
        columns = (notes.onset, notes.offset, notes.pitch, notes.class_index, notes.velocity)
        sound = (notes.release, notes.bends())
        for onset, offset, pitch, index, velocity, release, bend in zip(*columns, *sound):
            row = (f"{onset:.6f}", f"{offset:.6f}", pitch, names[index], velocity)
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
    try:
        # A byte order mark, which spreadsheets write, is skipped.
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = list(reader.fieldnames or [])
            if "class" not in columns and "source" in columns:  # the name in earlier versions
                columns[columns.index("source")] = "class"
                reader.fieldnames = columns
            rows = list(reader)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} does not exist: the prepared folder is incomplete, prepare it again."
        ) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a note table: {error}.") from None
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise ValueError(f"{path} lacks the columns {missing}; expected {list(COLUMNS)}.")
    if not rows:
        return Notes.empty()
    unknown = {row["class"] for row in rows} - set(names)
    if unknown:
        raise ValueError(
            f"{path} has notes of {sorted(map(str, unknown))}, but the classes are {list(names)}."
        )
    index = {name: i for i, name in enumerate(names)}
    try:
        notes = Notes(
            [float(row["onset"]) for row in rows],
            [float(row["offset"]) for row in rows],
            [int(row["pitch"]) for row in rows],
            [index[row["class"]] for row in rows],
            [int(row["velocity"]) for row in rows],
            [float(row["release"]) for row in rows] if "release" in rows[0] else None,
            [_read_bend(row["bend"]) for row in rows] if "bend" in rows[0] else None,
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is not a note table: {error}.") from None
    for column, low, high in _BOUNDS:
        values = getattr(notes, column)
        wrong = (values < low) | (values > high)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"{path} has the {column} {values[row]:g} in line {row + 2}, expected {low} to "
                f"{high}."
            )
    return notes


@dataclass
class PreparedTrack:
    """One track of a prepared folder.

    Args:
        id (str): Name of the track, unique within its split.
        split (str): ``train``, ``validation``, ``test`` or any other.
        n_samples (int): Length of the mixture, in samples.
        rms (float): Root mean square of the mixture.
        n_notes (dict): Notes per class.
        stems (list of str): Names under ``stems/`` when the track was prepared.
        facts (dict): What preparation found out about the track (label check, drops).
        audio (str): Hash of the samples of mixture and stems as they were prepared; empty in
            folders of earlier versions.
    """

    id: str
    split: str
    n_samples: int
    rms: float
    n_notes: dict = field(default_factory=dict)
    stems: list = field(default_factory=list)
    facts: dict = field(default_factory=dict)
    audio: str = ""

    @classmethod
    def from_dict(cls, content):
        """A track from what a file says, every field held against what it may be.

        Args:
            content (dict): The fields.

        Raises:
            ValueError: if a field is missing, unknown, of the wrong type or out of range, or if
                the name or the split is no plain name of a folder.
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
        }
        wrong = [key for key, value in good.items() if not value]
        if wrong:
            raise ValueError(
                f"{wrong[0]} of the track {track.split}/{track.id} is "
                f"{getattr(track, wrong[0])!r:.60}"
            )
        return track


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class Manifest:
    """The list of prepared tracks.

    Args:
        root (str or Path): The prepared folder.
        sample_rate (int): Working rate, in Hz.
        classes (ClassMap): The classes, in order.
        mixture (str): ``"submix"`` (sum of the classes) or ``"song"`` (everything, then
            stems have a ``residual`` too).
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
            raise ValueError(f"{path} is not a manifest: expected a mapping. {_MEND}")
        if content.get("format") != FORMAT:
            raise ValueError(
                f"{path} has format {content.get('format')}, this version reads {FORMAT}: "
                "prepare the data again."
            )
        missing = [k for k in ("tracks", "classes", "sample_rate", "mixture") if k not in content]
        if missing:
            raise ValueError(f"{path} is not a manifest: {missing[0]!r} is missing. {_MEND}")
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
                f"{path} is not a manifest: {wrong[0]} is {content[wrong[0]]!r:.60}. {_MEND}"
            )
        try:
            tracks = [PreparedTrack.from_dict(track) for track in content["tracks"]]
        except ValueError as error:
            raise ValueError(f"{path} is not a manifest: {error}. {_MEND}") from None
        names = Counter((track.split, track.id) for track in tracks)
        twice = [name for name, count in names.items() if count > 1]
        if twice:
            raise ValueError(f"{path} lists {'/'.join(twice[0])} twice. {_MEND}")
        return cls(root, rate, ClassMap.parse(content["classes"]), mixture, tracks)

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
        step of training; the probe (:func:`~asteroid_scoresup.utils.hashing.audio_probe`) finds
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

    def folder_to_write(self, track):
        """Folder of a track, to write into.

        Links inside a prepared folder may be read through. Nothing is written through one that
        leads outside: a folder that somebody else made could name any place.

        Raises:
            ValueError: if the track's folder lies outside of the prepared folder.
        """
        folder = self.folder(track)
        if self.root.resolve() not in folder.resolve().parents:
            raise ValueError(
                f"{folder} is a link that leads outside of {self.root}: nothing is written there. "
                "Copy the track, or link the whole prepared folder."
            )
        return folder

    def mixture_path(self, track):
        """The mixture's file."""
        return self.folder(track) / "mixture.wav"

    def stem_path(self, track, name):
        """The stem of class `name`; the file need not exist."""
        folder = self.folder(track)
        earlier = folder / "references" / f"{name}.wav"  # the name in earlier versions
        return earlier if earlier.is_file() else folder / "stems" / f"{name}.wav"

    def notes(self, track):
        """The score of a track."""
        return read_notes(self.folder(track) / "notes.csv", self.names)

    def read_mixture(self, track):
        r"""The whole mixture, float32, shape :math:`(time,)`."""
        return read_audio(self.mixture_path(track))[0]
