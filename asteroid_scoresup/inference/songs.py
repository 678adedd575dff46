"""Song files in; folders with stems, score and page out. Nothing is half written, nothing lost."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
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
_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}
#: Sizes in a WAV header have 32 bits.
_LARGEST_WAV = 4_000_000_000
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


def find_songs(arguments, out_dir=None):
    """The audio files that a command line names.

    Args:
        arguments (sequence of str or Path): Files, taken as they are, and folders, searched at any
            depth for :data:`SUFFIXES`.
        out_dir (str or Path, optional): Folder of the results; what lies in it is no song.

    Returns:
        list of tuple: path of each song and its name, unique among them: the file's name without
        suffix, with as much of suffix and folder as tells it from the others. A folder without
        songs stands in the list itself, to be reported.
    """
    paths = []
    results = None if out_dir is None else Path(out_dir).resolve()
    for argument in map(Path, arguments):
        if not argument.is_dir():
            paths.append(argument)
            continue
        inside = sorted(p for p in argument.rglob("*") if p.suffix.lower() in SUFFIXES)
        inside = [p for p in inside if p.is_file() and not p.name.startswith(".")]
        inside = [p for p in inside if results is None or results not in p.resolve().parents]
        paths += inside or [argument]
    paths = list(dict.fromkeys(paths))
    names = [path.stem for path in paths]
    for longer in (lambda p: p.name, lambda p: f"{p.parent.name}_{p.name}"):
        # Not all file systems tell capitals from small letters.
        counts = Counter(name.casefold() for name in names)
        names = [longer(p) if counts[n.casefold()] > 1 else n for p, n in zip(paths, names)]
    seen = Counter()
    for i, name in enumerate(names):
        seen[name.casefold()] += 1
        if seen[name.casefold()] > 1:
            names[i] = f"{name}_{seen[name.casefold()]}"
    return list(zip(paths, names))


def process_songs(separator, arguments, out_dir, request, progress=None):
    """Makes of many songs what is wanted; one that fails does not stop the others.

    Args:
        separator (Separator): The models.
        arguments (sequence of str or Path): Files and folders, see :func:`find_songs`.
        out_dir (str or Path): Results go to ``out_dir/<name of the song>/``.
        request (Request): What is wanted of each.
        progress (callable, optional): Called with the name of the song, the seconds done and those
            there are.

    Yields:
        tuple: path of the song, and :class:`Made` or the error, one sentence, that it met.
    """
    for path, name in find_songs(arguments, out_dir):
        told = None if progress is None else partial(progress, name)
        try:
            yield path, process_song(separator, path, Path(out_dir) / name, request, told)
        except ValueError as error:
            yield path, error
        except (RuntimeError, MemoryError, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            yield path, ValueError(f"{path}: {reason}")


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

    recording = Recording(path)
    _check(recording, path, wanted, request)
    todo = {name: target for name, target in audio.items() if target in made.written}
    listens = request.midi or (request.page and separator.transcriptor is not None)
    collected = NoteCollector(separator) if listens else None
    try:
        if todo:
            kept = {name: audio[name] for name in separator.names if audio.get(name) in made.kept}
            _write_stems(separator, recording, todo, kept, request, collected, progress)
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


def _check(recording, path, targets, request):
    """Refuses what would fail after the work, or destroy the song."""
    for target in targets:
        if target.exists() and target.samefile(path):
            raise ValueError(
                f"{path} is the song and would be overwritten by a result of its own: choose "
                "another --out_dir."
            )
    channels, rate = recording.n_channels, recording.sample_rate
    if request.file_format == "flac" and (channels > 8 or rate > 655350):
        raise ValueError(
            f"{path} has {channels} channels at {rate} Hz, FLAC holds at most 8 at 655350 Hz: "
            "choose a WAV format."
        )


def _space_left(folder):
    """How much space there is for a folder: libsndfile calls a full disk a "system error"."""
    there = next((place for place in (folder, *folder.parents) if place.is_dir()), None)
    return f" ({shutil.disk_usage(there).free / 1e6:.1f} MB are free there)" if there else ""


def _write_stems(separator, recording, targets, kept, request, collected, progress):
    """Block by block into temporary files, which get their names when all are whole."""
    _, container, subtype = FORMATS[request.file_format]
    size = recording.n_samples * recording.n_channels * _BYTES[subtype]
    if container == "WAV" and size > _LARGEST_WAV:
        container = "RF64"  # WAV with 64-bit sizes; libsndfile cuts a larger WAV without a word
    listen = None if collected is None else collected.add
    mixture = _Reader(recording)
    readers = {}
    if RESIDUAL in targets:  # it fits the stems also where they were there before
        for name, path in kept.items():
            readers[name] = _Reader(Recording(path))
            _check_kept(path, readers[name].recording, recording)
    with ExitStack() as renames, ExitStack() as streams:
        files = {}
        for name, target in targets.items():
            temporary = renames.enter_context(atomic_path(target))
            shape = (recording.sample_rate, recording.n_channels)
            stream = sf.SoundFile(temporary, "w", *shape, format=container, subtype=subtype)
            files[name] = streams.enter_context(stream)
        for block in separator.stem_blocks(recording, progress, listen):
            for source, name in enumerate(separator.names):
                if name in files:
                    files[name].write(block[:, source])
            if RESIDUAL in files:
                n_samples, total = len(block), 0
                for source, name in enumerate(separator.names):
                    old = readers.get(name)
                    total = total + (block[:, source] if old is None else old.read(n_samples))
                files[RESIDUAL].write(mixture.read(n_samples) - total)
        streams.close()  # what was buffered is on the disk, or fails, before anything is renamed


def _check_kept(path, old, recording):
    """A stem that was there before must be one of this song for a residual to fit it."""
    shapes = [(r.n_samples, r.n_channels, r.sample_rate) for r in (old, recording)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{path} was there before and is no stem of {recording.name}: it has (samples, "
            f"channels, Hz) = {shapes[0]}, the song {shapes[1]}. Use --overwrite or another "
            "--out_dir."
        )


class _Reader:
    """Reads a recording in pieces of the lengths that are asked for."""

    def __init__(self, recording):
        self.recording = recording
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
