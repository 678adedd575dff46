"""Slakh2100 and folders of the same form: where the tracks are, and what their stems are.

Layouts: ``slakh2100_flac_redux`` and ``slakh2100_flac`` (one folder per split), ``babyslakh_16k``
(no split folders), and the output of :mod:`asteroid_scoresup.synthesis.synthesize`. Files on disk
are trusted, flags in the metadata are not: according to babyslakh's no stem was rendered. Paths in
the metadata are sometimes wrong and are ignored; files are searched in the track's folder only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from ..notation.reader import MIDI_SUFFIXES
from ..utils.audio import AUDIO_SUFFIXES
from .splits import OMITTED, SPLIT_NAMES, split_of_folder

#: Generator named in the metadata of songs synthesized by this package.
GENERATOR = "asteroid_scoresup"

#: Semitones by which the labels of each class are wrong, or ``"auto"``.
LabelShift = Literal["auto"] | dict[str, int]

#: Stems of Slakh2100 that do not match their metadata. Collected by users of Slakh (the list of
#: slakh-pytorch-dataset, MIT) and by our own inspection. Stems without audio are not listed: their
#: files are missing or silent, which is detected.
PROBLEM_STEMS = {
    "Track00262": {"S01": "labels too short"},
    "Track00357": {"S03": "white noise"},
    "Track00377": {"S07": "white noise"},
    "Track00385": {"S00": "white noise"},
    "Track00398": {"S00": "white noise"},
    "Track00400": {"S00": "white noise"},
    "Track00404": {"S03": "labels too long"},
    "Track00496": {"S01": "labels of wrong pitch"},
    "Track00629": {"S01": "white noise"},
    "Track00633": {"S01": "white noise"},
    "Track00737": {"S01": "labels too long"},
    "Track00749": {"S01": "white noise"},
    "Track00893": {"S01": "labels too long"},
    "Track01500": {"S12": "single tone", "S13": "single tone"},
    "Track01629": {"S00": "white noise"},
    "Track01918": {"S10": "labels of wrong pitch"},
    "Track01929": {"S04": "labels of wrong octave"},
    "Track01931": {"S01": "labels of wrong pitch"},
    "Track01937": {"S03": "labels of wrong pitch"},
}

#: Largest metadata.yaml, in bytes; PyYAML needs a kilobyte of memory for every few of them.
LARGEST_METADATA = 200_000


@dataclass(frozen=True)
class TrackFolder:
    """A track that was found and is not read yet.

    Args:
        id (str): Name of the folder.
        path (Path): The folder.
        split (str or None): The split of its parent folder.
    """

    id: str
    path: Path
    split: str | None


@dataclass
class Stem:
    """One stem of a track.

    Args:
        name (str): Its name, for example ``S03``.
        audio (Path or None): Its audio file, if there is one.
        midi (Path or None): Its MIDI file, if there is one.
        program (int or None): General MIDI program; 128 for drums.
        inst_class (str or None): Slakh's name of its class.
        is_drum (bool): Whether it is a drum kit.
        problem (str or None): Its known problem.
        label (str or None): Name of its track, or else of its program.
    """

    name: str
    audio: Path | None
    midi: Path | None
    program: int | None = None
    inst_class: str | None = None
    is_drum: bool = False
    problem: str | None = None
    label: str | None = None

    @property
    def is_bass(self) -> bool:
        """Whether Slakh's generator treated it as a bass and wrote its labels an octave up."""
        if self.inst_class is not None:
            return self.inst_class.lower() == "bass"
        return self.program is not None and 32 <= self.program <= 39


@dataclass
class SlakhTrack:
    """A track whose metadata have been read.

    Args:
        id (str): Its name.
        folder (Path): Its folder.
        generated (bool): Whether it was synthesized by this package.
        stems (list of Stem): All stems of the metadata and of the folder.
        mix (Path or None): The file of the whole song.
        remarks (list of str): Oddities found while reading.
        has_score (bool): Whether there are notes of the stems; False in the metadata of songs that
            are for evaluation only.
    """

    id: str
    folder: Path
    generated: bool
    stems: list[Stem]
    mix: Path | None = None
    remarks: list[str] = field(default_factory=list)
    has_score: bool = True


def _is_track(path: Path) -> bool:
    if not path.is_dir():
        return False
    if (path / "metadata.yaml").is_file():
        return True
    # The name alone is not enough: own pairs may be in a folder "Track1". A track of Slakh without
    # metadata still has its subfolders.
    if re.fullmatch(r"Track\d+", path.name) is None:
        return False
    return (path / "stems").is_dir() or (path / "MIDI").is_dir() or not _has_pairs(path)


def _has_pairs(folder: Path) -> bool:
    """Whether a folder has an audio and a MIDI file of the same name."""
    files = [path for path in folder.iterdir() if path.is_file()]
    audio = {p.stem.lower() for p in files if p.suffix.lower() in AUDIO_SUFFIXES}
    return any(p.stem.lower() in audio for p in files if p.suffix.lower() in MIDI_SUFFIXES)


def find_slakh_tracks(root: str | Path) -> list[TrackFolder]:
    """Finds the tracks of a Slakh-like folder.

    Args:
        root (str or Path): Folder with one folder per split, or with the tracks themselves.

    Returns:
        list of TrackFolder: Sorted by split and name; empty if the folder has another layout. The
        split is None where there are no split folders (babyslakh).
    """
    root = Path(root)
    visible = [path for path in sorted(root.iterdir()) if not path.name.startswith(".")]
    flat = [path for path in visible if _is_track(path)]
    # Only the usual names: a folder "test_songs" with tracks is a data set, not a split.
    own_split = SPLIT_NAMES.get(root.name.lower(), OMITTED if root.name == OMITTED else None)
    tracks = [TrackFolder(path.name, path, own_split) for path in flat]
    for folder in visible:
        if folder.is_dir() and folder not in flat:
            split = split_of_folder(folder.name) or folder.name
            inside = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
            tracks += [TrackFolder(p.name, p, split) for p in inside if _is_track(p)]
    return tracks


def _as_program(value: Any) -> int | None:
    """An int from 0 to 128, or None for any other value."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value <= 128 else None


def _find(folder: Path, name: str, suffixes: Sequence[str]) -> Path | None:
    """The file of a name with the first of the suffixes that exists, ignoring their case."""
    for suffix in suffixes:
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return path
    if not folder.is_dir():
        return None
    named = [path for path in sorted(folder.iterdir()) if path.stem == name and path.is_file()]
    order = [suffix.lower() for suffix in suffixes]
    named = [path for path in named if path.suffix.lower() in order]
    return min(named, key=lambda path: order.index(path.suffix.lower()), default=None)


def _names_on_disk(folder: Path, suffixes: Sequence[str]) -> set[str]:
    if not folder.is_dir():
        return set()
    files = (path for path in folder.iterdir() if not path.name.startswith("."))
    return {path.stem for path in files if path.suffix.lower() in suffixes}


def read_slakh_track(folder: str | Path) -> SlakhTrack:
    """Reads the metadata of a track and finds its files.

    Args:
        folder (str or Path): The track's folder.

    Returns:
        SlakhTrack: The track; no audio and no MIDI is opened.

    Raises:
        ValueError: if ``metadata.yaml`` is missing or is not a mapping with stems.
    """
    folder = Path(folder)
    metadata = _read_metadata(folder)
    entries = metadata.get("stems") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(entries, dict):
        raise ValueError(f"{folder / 'metadata.yaml'} has no mapping 'stems'.")

    track = SlakhTrack(folder.name, folder, metadata.get("generator") == GENERATOR, [])
    known = {} if track.generated else PROBLEM_STEMS.get(folder.name, {})
    found = _names_on_disk(folder / "stems", AUDIO_SUFFIXES)
    for name in [*entries, *sorted(found - {str(key) for key in entries})]:
        name, entry = str(name), entries.get(name)
        # A name such as ../../x would lead out of the track.
        if not re.fullmatch(r"\w[\w.-]*", name):
            track.remarks.append(f"stem name {name!r} refused")
            continue
        if not isinstance(entry, dict):
            track.remarks.append(f"no metadata for the stem {name}")
            entry = {}
        inst_class = entry.get("inst_class")
        program = _as_program(entry.get("program_num"))
        is_drum = entry.get("is_drum") is True or program == 128
        track.stems.append(
            Stem(
                name,
                _find(folder / "stems", name, AUDIO_SUFFIXES),
                _find(folder / "MIDI", name, MIDI_SUFFIXES),
                128 if is_drum else program,
                inst_class if isinstance(inst_class, str) else None,
                is_drum,
                known.get(name),
                _label(entry),
            )
        )
    track.mix = _find(folder, "mix", AUDIO_SUFFIXES)
    track.has_score = metadata.get("has_score") is not False
    return track


def _label(entry: dict[str, Any]) -> str | None:
    """The name that patterns of track names are compared with."""
    names = (entry.get("track_name"), entry.get("midi_program_name"))
    return next((name for name in names if isinstance(name, str) and name), None)


def _read_metadata(folder: Path) -> Any:
    """Content of a track's metadata.yaml."""
    path = folder / "metadata.yaml"
    try:
        if path.stat().st_size > LARGEST_METADATA:
            raise ValueError(
                f"{path} is longer than {LARGEST_METADATA} bytes; those of 42 stems take 20,000."
            )
        text = path.read_text(encoding="utf-8-sig")
        # PyYAML takes minutes for ten thousand levels of nesting.
        if (
            max(map(len, text.splitlines()), default=0) > 4096
            or len(re.findall(r"[\[{]", text)) > 999
        ):
            raise ValueError(f"{path} is not metadata of Slakh: its lines are too long, or nested.")
        return yaml.safe_load(text)
    except FileNotFoundError:
        raise ValueError(f"{folder} has no metadata.yaml.") from None
    except RecursionError:
        raise ValueError(f"{path} is not metadata of Slakh: it is nested too deeply.") from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        detail = " ".join(str(error).split())
        raise ValueError(f"{path} is not YAML: {detail}") from None
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        if str(path) in str(error):
            raise
        # PyYAML raises many kinds of errors on malformed dates and numbers.
        raise ValueError(f"{path} is not YAML: {error}") from None


def parse_label_shift(text: str, names: Sequence[str]) -> LabelShift:
    """Parses the setting that says by how much the labels of each class are wrong.

    Args:
        text (str): ``"auto"``, ``"none"``, or semitones per class such as ``"bass=-12,guitar=0"``.
        names (sequence of str): Names of the classes.

    Returns:
        str or dict: ``"auto"``, or semitones per class (classes that are not named get 0).

    Raises:
        ValueError: on an unknown class or a malformed number.

    Examples
        >>> parse_label_shift("bass=-12", ["bass", "piano"])
        {'bass': -12, 'piano': 0}
    """
    text = str(text).strip()
    if text.lower() == "auto":
        return "auto"
    shifts = dict.fromkeys(names, 0)
    if text.lower() in ("none", ""):
        return shifts
    for item in text.split(","):
        name, _, value = (part.strip() for part in item.partition("="))
        if name not in shifts or not re.fullmatch(r"[+-]?\d{1,2}", value):
            raise ValueError(
                f"Cannot read the label shift {item!r}: expected 'auto', 'none', or semitones of "
                f"classes of {list(names)}, for example '{names[0]}=-12'."
            )
        shifts[name] = int(value)
    return shifts


def shift_of_stem(stem: Stem, name: str, generated: bool, label_shift: LabelShift) -> int:
    """Semitones by which the notes of a stem must be transposed to match its sound.

    With ``"auto"``, -12 for a bass of real Slakh: its generator writes the MIDI of basses an
    octave above the sound (-12 in 37 of 37 stems inspected; 0 for guitars and pianos).

    Args:
        stem (Stem): The stem.
        name (str): Name of its class.
        generated (bool): Whether the track was synthesized by this package (its labels are exact).
        label_shift (str or dict): From :func:`parse_label_shift`.
    """
    if isinstance(label_shift, str):
        return -12 if stem.is_bass and not generated else 0
    return label_shift[name]
