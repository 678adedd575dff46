"""Song files in; folders with stems, score and page out. Nothing is half written, nothing lost."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile as sf

from ..data.files import atomic_path
from .page import write_page
from .separator import NoteCollector
from .stream import Recording

RESIDUAL = "residual"
SCORE = "score.mid"
PAGE = "page"
#: Name of a format → suffix, and soundfile's names of container and samples.
FORMATS = {
    "wav16": (".wav", "WAV", "PCM_16"),
    "wav24": (".wav", "WAV", "PCM_24"),
    "wav32f": (".wav", "WAV", "FLOAT"),
    "flac": (".flac", "FLAC", "PCM_24"),
}
#: Suffixes of the files that are taken from a folder.
SUFFIXES = frozenset(
    (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".w64", ".au")
)


@dataclass(frozen=True)
class Request:
    """What is wanted of every song.

    Args:
        stems (bool): One audio file per class, at the song's rate and with its channels.
        residual (bool): What is in no stem: stems and residual add up to the song.
        midi (bool): The score, :data:`SCORE`.
        page (bool): A page to listen to, in the folder :data:`PAGE`.
        file_format (str): One of :data:`FORMATS`. Integer formats clip at full scale.
        overwrite (bool): Whether files that exist are written anew.

    Raises:
        ValueError: on an unknown format, or if nothing is wanted.
    """

    stems: bool = True
    residual: bool = False
    midi: bool = False
    page: bool = False
    file_format: str = "wav32f"
    overwrite: bool = False

    def __post_init__(self):
        if self.file_format not in FORMATS:
            raise ValueError(f"format is {self.file_format!r}, expected one of {list(FORMATS)}.")
        if not (self.stems or self.residual or self.midi or self.page):
            raise ValueError("Nothing is wanted of the songs: neither stems nor score nor page.")


@dataclass
class Made:
    """What became of one song.

    Args:
        folder (Path): Where its files are.
        written (list of Path): Files written by this call.
        kept (list of Path): Files that were there before and were left alone.
    """

    folder: Path
    written: list = field(default_factory=list)
    kept: list = field(default_factory=list)


def find_songs(arguments):
    """The audio files that a command line names.

    Args:
        arguments (sequence of str or Path): Files, taken as they are, and folders, searched at any
            depth for :data:`SUFFIXES`.

    Returns:
        list of tuple: path of each song and its name, unique among them: the file's name without
        suffix, with as much of suffix and folder as tells it from the others.

    Raises:
        ValueError: if a folder holds no audio file.
    """
    paths = []
    for argument in map(Path, arguments):
        if not argument.is_dir():
            paths.append(argument)
            continue
        inside = sorted(p for p in argument.rglob("*") if p.suffix.lower() in SUFFIXES)
        inside = [p for p in inside if p.is_file() and not p.name.startswith(".")]
        if not inside:
            raise ValueError(
                f"{argument} holds no audio file ({', '.join(sorted(SUFFIXES))}), at any depth."
            )
        paths += inside
    paths = list(dict.fromkeys(paths))
    names = [path.stem for path in paths]
    for longer in (lambda p: p.name, lambda p: f"{p.parent.name}_{p.name}"):
        counts = Counter(names)
        names = [longer(p) if counts[name] > 1 else name for p, name in zip(paths, names)]
    seen = Counter()
    for i, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[i] = f"{name}_{seen[name]}"
    return list(zip(paths, names))


def process_song(separator, path, folder, request, progress=None):
    """Makes of one song file what is wanted.

    Args:
        separator (Separator): The models.
        path (str or Path): The song.
        folder (str or Path): Folder of its results.
        request (Request): What is wanted.
        progress (callable, optional): Called with the seconds done and those there are.

    Returns:
        Made: What was written and what was there already.

    Raises:
        ValueError: if the song cannot be read or its results cannot be written: one sentence that
            names the file.
    """
    path, made = Path(path), Made(Path(folder))
    suffix = FORMATS[request.file_format][0]
    names = list(separator.names) if request.stems or request.page else []
    names += [RESIDUAL] if request.residual else []
    audio = {name: made.folder / f"{name}{suffix}" for name in names}
    score, page = made.folder / SCORE, made.folder / PAGE / "index.html"
    wanted = list(audio.values())
    wanted += [score] if request.midi else []
    wanted += [page] if request.page else []
    for target in wanted:
        exists = target.exists() and not request.overwrite
        (made.kept if exists else made.written).append(target)
    if not made.written:
        return made

    recording = _named(path, lambda: Recording(path))
    todo = {name: target for name, target in audio.items() if target in made.written}
    listens = request.midi or (request.page and separator.transcriptor is not None)
    collected = NoteCollector(separator) if listens else None
    try:
        if todo:
            _write_stems(separator, recording, todo, request, collected, progress)
        elif collected is not None:
            pieces = separator.pieces(recording, stems=False, notes=True, progress=progress)
            for piece in pieces:
                collected.add(piece)
        if score in made.written:
            with atomic_path(score) as temporary:
                collected.midi().write(str(temporary))
        if page in made.written:
            write_page(
                page.parent,
                path.name,
                path,
                audio,
                notes=None if collected is None else collected.notes(),
            )
    except (sf.LibsndfileError, OSError) as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise ValueError(
            f"{path}: {made.folder} cannot be written: {reason}{_space_left(made.folder)}."
        ) from None
    return made


def _space_left(folder):
    """How much space there is for a folder: libsndfile calls a full disk a "system error"."""
    there = next((place for place in (folder, *folder.parents) if place.is_dir()), None)
    return f" ({shutil.disk_usage(there).free / 1e6:.1f} MB are free there)" if there else ""


def _named(path, read):
    try:
        return read()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}.") from None


def _write_stems(separator, recording, targets, request, collected, progress):
    """Block by block into temporary files, which get their names when all are whole."""
    _, container, subtype = FORMATS[request.file_format]
    listen = None if collected is None else collected.add
    mixture = _Reader(recording)
    with ExitStack() as renames, ExitStack() as streams:
        files = {}
        for name, target in targets.items():
            temporary = renames.enter_context(atomic_path(target))
            files[name] = streams.enter_context(
                sf.SoundFile(
                    temporary,
                    "w",
                    recording.sample_rate,
                    recording.n_channels,
                    format=container,
                    subtype=subtype,
                )
            )
        for block in separator.stem_blocks(recording, progress, listen):
            for source, name in enumerate(separator.names):
                if name in files:
                    files[name].write(block[:, source])
            if RESIDUAL in files:
                files[RESIDUAL].write(mixture.read(len(block)) - block.sum(1))
        streams.close()  # what was buffered is on the disk, or fails, before anything is renamed


class _Reader:
    """Reads a recording in pieces of the lengths that are asked for."""

    def __init__(self, recording):
        self.blocks = recording.blocks()
        self.rest = np.zeros((0, recording.n_channels), dtype=np.float32)

    def read(self, n_samples):
        parts, found = [self.rest], len(self.rest)
        while found < n_samples:
            parts.append(next(self.blocks))
            found += len(parts[-1])
        joined = np.concatenate(parts)
        self.rest = joined[n_samples:]
        return joined[:n_samples]
