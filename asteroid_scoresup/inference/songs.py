"""Song files in; folders with stems, score and page out. Nothing is half written, nothing lost."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import soundfile as sf

from ..report.page import write_page
from ..utils.files import atomic_path, audio_writers
from ..utils.stream import Recording
from .collector import NoteCollector
from .naming import find_songs
from .provenance import RECORD, Record, describe_song

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


@dataclass(frozen=True)
class OutputOptions:
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
class SongResult:
    """What became of one song.

    Args:
        folder (Path): Where its files are.
        written (list of Path): Files written by this call.
        kept (list of Path): Files that were there before and were left alone.
        warnings (list of str): What the user should know of them.
    """

    folder: Path
    written: list = field(default_factory=list)
    kept: list = field(default_factory=list)
    warnings: list = field(default_factory=list)


def process_songs(separator, arguments, out_dir, request, progress=None):
    """Makes of many songs what is wanted; one that fails does not stop the others.

    Args:
        separator (Separator): The models.
        arguments (sequence of str or Path): Files and folders, see :func:`find_songs`.
        out_dir (str or Path): Results go to ``out_dir/<name of the song>/``.
        request (OutputOptions): What is wanted of each.
        progress (callable, optional): Called with the name of the song, the seconds done and those
            there are.

    Yields:
        tuple: path of the song, and :class:`SongResult` or the error, one sentence, that it met.
    """
    for path, name in find_songs(arguments, out_dir):
        told = None if progress is None else partial(progress, name)
        try:
            yield path, process_song(separator, path, Path(out_dir) / name, request, told)
        except ValueError as error:
            yield path, error
        except Exception as error:  # whatever one song meets, the others go on
            reason = getattr(error, "strerror", None) or (str(error).splitlines() or [""])[0]
            kind = "" if isinstance(error, (RuntimeError, OSError)) else type(error).__name__
            told = ": ".join(part for part in (str(path), kind, reason) if part)
            yield path, ValueError(f"{told.rstrip('.')}.")


def process_song(separator, path, folder, request, progress=None):
    """Makes of one song file what is wanted.

    Args:
        separator (Separator): The models.
        path (str or Path): The song.
        folder (str or Path): Folder of its results.
        request (OutputOptions): What is wanted.
        progress (callable, optional): Called with the seconds done and those there are.

    Returns:
        SongResult: What was written and what was there already.

    Raises:
        ValueError: if the song cannot be read or its results cannot be written: one sentence that
            names the file.
    """
    path, made = Path(path), SongResult(Path(folder))
    suffix = FORMATS[request.file_format][0]
    names = list(separator.names) if request.stems or request.page else []
    names += [RESIDUAL] if request.residual else []
    audio = {name: made.folder / f"{name}{suffix}" for name in names}
    score, page = made.folder / SCORE, made.folder / PAGE / "index.html"
    wanted = list(audio.values())
    wanted += [score] if request.midi else []
    wanted += [page] if request.page else []
    song, record = describe_song(path), Record.read(made.folder)
    of_stems, of_notes = separator.identity(), separator.identity(notes=True)
    made_by = {t: of_notes if t in (score, page) else of_stems for t in wanted}
    for target in wanted:
        kept = target.exists() and not request.overwrite
        kept = kept and not record.unfinished(_name_in(made.folder, target))
        (made.kept if kept else made.written).append(target)
    if not request.overwrite:
        _require_same_song(path, song, record, made, made_by)
    if record.found and not made.written:
        return made

    recording = Recording(path)
    made.warnings += recording.remarks
    _check(recording, path, wanted, request)
    if not record.found:  # an older version wrote the folder: its stems tell the song
        for target in made.kept:
            _check_kept(target, Recording(target), recording)
    if not made.written:
        return made
    stale = [] if record.is_of(song) else list(record.files)
    try:
        with record.writing(song, [_name_in(made.folder, t) for t in made.written]) as done:
            for target in _write(separator, recording, audio, made, request, progress):
                done({_name_in(made.folder, target): made_by[target]})
        _remove(made.folder, [name for name in stale if name not in record.files])
    except (sf.LibsndfileError, OSError) as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise ValueError(
            f"{path}: {made.folder} cannot be written: {reason}{_space_left(made.folder)}."
        ) from None
    return made


def _write(separator, recording, audio, made, request, progress):
    """Writes what is to be written, and yields each file when it is there."""
    score, page = made.folder / SCORE, made.folder / PAGE / "index.html"
    todo = {name: target for name, target in audio.items() if target in made.written}
    listens = request.midi or (request.page and separator.transcriptor is not None)
    collected = NoteCollector(separator) if listens else None
    if todo:
        kept = {name: audio[name] for name in separator.names if audio.get(name) in made.kept}
        clips = _write_stems(separator, recording, todo, kept, request, collected, progress)
        made.warnings += clips
        yield from todo.values()
    elif collected is not None:
        pieces = separator.pieces(recording, stems=False, notes=True, progress=progress)
        for piece in pieces:
            collected.add(piece)
    if score in made.written:
        with atomic_path(score) as temporary:
            collected.midi().write(str(temporary))
        yield score
    if page in made.written:
        notes = None if collected is None else collected.notes()
        write_page(page.parent, recording.path.name, recording.path, audio, notes=notes)
        yield page


def _name_in(folder, target):
    return target.relative_to(folder).as_posix()


def _require_same_song(path, song, record, made, made_by):
    """Refuses to add to the results of another song, or to keep those of another model."""
    advice = "Use --overwrite or another --out_dir."
    if record.found and not record.is_of(song):
        raise ValueError(
            f"{path}: {made.folder} holds the results of another song "
            f"({record.song.get('name')}). {advice}"
        )
    for target in made.kept:
        if record.found:
            complaint = record.complaint(_name_in(made.folder, target), made_by[target])
            if complaint:
                raise ValueError(f"{path}: {target} is there and {complaint}. {advice}")
        elif target.suffix not in (".wav", ".flac"):
            raise ValueError(
                f"{path}: {target} is there, and no {RECORD} says which song it is of. {advice}"
            )


def _remove(folder, names):
    """Removes results of the song that was here before; only names that a result can have."""
    for name in names:
        path = folder / name
        if name == f"{PAGE}/index.html" and not (folder / PAGE).is_symlink():
            shutil.rmtree(folder / PAGE, ignore_errors=True)
        elif name == SCORE or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*\.(wav|flac)", name):
            path.unlink(missing_ok=True)


def _check(recording, path, targets, request):
    """Refuses what would fail after the work, or destroy the song."""
    for target in targets:
        if target.exists() and target.samefile(path):
            raise ValueError(
                f"{path} is the song and would be overwritten by a result of its own: choose "
                "another --out_dir."
            )
    channels, rate = recording.n_channels, recording.sample_rate
    # FLAC writes rates in Hz up to 16 bits, and in tens of Hz above.
    fits = channels <= 8 and (rate < 1 << 16 or (rate % 10 == 0 and rate < 10 << 16))
    if not fits and (request.file_format == "flac" or request.page):
        what = "choose a WAV format" if request.file_format == "flac" else "leave out --report"
        raise ValueError(
            f"{path} has {channels} channels at {rate} Hz. FLAC, of which the page to listen to is "
            "made, too, holds at most 8 channels, and above 65535 Hz only multiples of 10 Hz: "
            f"{what}."
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
    shape = (recording.sample_rate, recording.n_channels)
    clips = _Clips(subtype)
    with audio_writers(targets.values(), *shape, subtype, container) as writers:
        files = dict(zip(targets, writers))
        for block in separator.stem_blocks(recording, progress, listen):
            signals = {name: block[:, source] for source, name in enumerate(separator.names)}
            if RESIDUAL in files:
                n_samples = len(block)
                total = sum(
                    readers[name].read(n_samples) if name in readers else signal
                    for name, signal in signals.items()
                )
                signals[RESIDUAL] = mixture.read(n_samples) - total
            for name, write in files.items():
                clips.count(targets[name].name, signals[name])
                write(signals[name])
    return clips.warnings()


class _Clips:
    """Counts the samples that a format of fixed-point numbers cannot hold."""

    def __init__(self, subtype):
        self.counts, self.peak = Counter(), 0.0
        self.clips = subtype != "FLOAT"

    def count(self, name, samples):
        """Counts in a block of a file."""
        if self.clips and len(samples) and (peak := float(np.abs(samples).max())) > 1:
            self.counts[name] += int((np.abs(samples) > 1).sum())
            self.peak = max(self.peak, peak)

    def warnings(self):
        """list of str: one sentence, or none."""
        if not self.counts:
            return []
        counts = ", ".join(f"{count} in {name}" for name, count in self.counts.items())
        return [
            f"samples above full scale are clipped ({counts}; the peak is {self.peak:.3g}, "
            f"{20 * np.log10(self.peak):+.1f} dB): use --format wav32f, or a softer song"
        ]


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
