"""Song files in; folders with stems, score and page out. A file appears only when it is complete.

The way of a song: :func:`process_song` → :meth:`Separator.chunks
<asteroid_scoresup.inference.separator.Separator.chunks>` or, with a score,
:meth:`ScoreInformedSeparator.chunks
<asteroid_scoresup.inference.score_informed.ScoreInformedSeparator.chunks>` → stems written by
:class:`~asteroid_scoresup.inference.stem_writer.StemWriter`, notes collected by
:class:`~asteroid_scoresup.inference.transcription.TranscriptionBuilder`.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import soundfile as sf

from ..utils.files import atomic_path
from ..utils.locks import InUseError, folder_lock
from ..utils.stream import Recording
from .chunk import Progress, SeparatedChunk
from .encoding import FLAC_LIMITS, fits_flac
from .inputs import find_audio_files
from .outputs import NOTES, PAGE, SCORE, OutputOptions, Outputs, SongResult
from .record import RECORD, ResultsRecord, describe_song
from .score_informed import ScoreInformedSeparator
from .separator import Separator
from .stem_writer import open_stem_writer, require_stem_of
from .threads import map_in_threads
from .transcription import TranscriptionBuilder, write_note_events

#: matplotlib draws for one thread at a time.
_PLOTTING = threading.Lock()
#: Names of audio files in the folder of a song.
_AUDIO_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\.(wav|flac|mp3)")


def process_songs(
    separator: Separator | Callable[[Path], ScoreInformedSeparator],
    arguments: Sequence[str | Path],
    out_dir: str | Path,
    options: OutputOptions,
    progress: Callable[[str, float, float], object] | None = None,
    jobs: int = 1,
) -> Iterator[tuple[Path, SongResult | ValueError]]:
    """Processes many songs; one that fails does not stop the others.

    Args:
        separator (Separator or callable): The models; or a function that returns what separates a
            song with its score.
        arguments (sequence of str or Path): Files and folders, see
            :func:`~asteroid_scoresup.inference.inputs.find_audio_files`.
        out_dir (str or Path): The results are written to ``out_dir/<name of the song>/``.
        options (OutputOptions): What to write for each song.
        progress (callable, optional): Called with the name of the song, the seconds processed and
            the seconds in all; of several songs at a time, from several threads.
        jobs (int): Number of songs that are processed at a time, in threads that share the models
            and the cores. Each needs its own memory.

    Yields:
        tuple: path of the song, and its :class:`SongResult` or its error, in the order of the
        songs.

    Raises:
        ImportError: if the page is requested and matplotlib is missing.
        ValueError: if `jobs` is below 1.
    """
    if options.page:
        _import_write_page()

    def process(song: tuple[Path, str], check: Callable[[], None]) -> SongResult | ValueError:
        path, name = song

        def report(done: float, total: float) -> None:
            check()
            if progress is not None:
                progress(name, done, total)

        try:
            of_song = separator if isinstance(separator, Separator) else separator(path)
            return process_song(of_song, path, Path(out_dir) / name, options, report)
        except ValueError as error:
            return error
        except Exception as error:  # whatever happens to one song, the others are processed
            reason = getattr(error, "strerror", None) or (str(error).splitlines() or [""])[0]
            kind = "" if isinstance(error, (RuntimeError, OSError)) else type(error).__name__
            message = ": ".join(part for part in (str(path), kind, reason) if part)
            return ValueError(f"{message.rstrip('.')}.")

    songs = find_audio_files(arguments, out_dir)
    for (path, _), result in zip(songs, map_in_threads(process, songs, jobs)):
        yield path, result


def process_song(
    separator: Separator | ScoreInformedSeparator,
    path: str | Path,
    folder: str | Path,
    options: OutputOptions,
    progress: Progress | None = None,
) -> SongResult:
    """Writes the requested files of one song.

    Args:
        separator (Separator or ScoreInformedSeparator): The models, or what separates the song with
            its score.
        path (str or Path): The song.
        folder (str or Path): Folder of its results.
        options (OutputOptions): What to write.
        progress (callable, optional): Called with the seconds processed and the seconds in all.

    Returns:
        SongResult: The files that were written, and those that existed.

    Raises:
        ImportError: if the page is requested and matplotlib is missing.
        ValueError: if the song cannot be read or its results cannot be written; the message
            names the file.
    """
    if options.page:
        _import_write_page()
    path, result = Path(path), SongResult(Path(folder))
    outputs = Outputs.of(result.folder, separator, options, path)
    song, record = describe_song(path), ResultsRecord.read(result.folder)
    for target in outputs.targets:
        is_kept = target.exists() and not options.overwrite
        is_kept = is_kept and not record.is_unfinished(result.name_of(target))
        (result.kept if is_kept else result.written).append(target)
    if not options.overwrite:
        _require_same_song(path, song, record, result, outputs)
    _require_one_gain(path, result, outputs, options)
    if record.found and not result.written:
        return result

    recording = Recording(path)
    result.warnings += recording.remarks
    _require_writable(recording, path, outputs, options)
    if not record.found:  # the folder is from an older version: its stems identify the song
        for target in result.kept:
            require_stem_of(target, Recording(target), recording)
    if not result.written:
        return result
    if isinstance(separator, ScoreInformedSeparator):
        result.warnings += separator.use(recording).warnings
    stale = [] if record.is_of(song) else list(record.files)
    try:
        with _locked(result.folder):
            if not record.is_current():
                raise InUseError(
                    f"another process has written to {result.folder} in the meantime: run it again."
                )
            names = [result.name_of(target) for target in result.written]
            with record.writing(song, names) as mark_complete:

                def completed(*targets: Path) -> None:
                    mark_complete({result.name_of(t): outputs.targets[t] for t in targets})

                _write_results(separator, recording, outputs, result, options, completed, progress)
            _remove(result.folder, [name for name in stale if name not in record.files])
    except InUseError as error:
        raise ValueError(f"{path}: {error}") from None
    except (sf.LibsndfileError, OSError) as error:
        raise ValueError(f"{path}: {_cannot_write(result.folder, error)}") from None
    return result


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Locks the folder of a song; one that was made for it and is still empty is removed again."""
    existed = folder.is_dir()
    try:
        with folder_lock(folder, "separate", keep=False):
            yield
    finally:
        if not existed:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _write_results(
    separator: Separator | ScoreInformedSeparator,
    recording: Recording,
    outputs: Outputs,
    result: SongResult,
    options: OutputOptions,
    completed: Callable[..., None],
    progress: Progress | None,
) -> None:
    """Writes the files in `result.written`, and reports each when it is complete."""
    audio = {name: path for name, path in outputs.audio.items() if path in result.written}
    kept = {name: path for name, path in outputs.audio.items() if path in result.kept}
    with_page = outputs.page in result.written
    with_notes = not {outputs.score, outputs.notes}.isdisjoint(result.written)
    transcription = None
    chunks: Iterable[SeparatedChunk] = ()
    if isinstance(separator, ScoreInformedSeparator):
        chunks = separator.chunks(recording, progress) if audio else ()
    else:
        if with_notes or (with_page and separator.transcriptor is not None):
            transcription = TranscriptionBuilder(separator)
        wanted = {"stems": bool(audio), "notes": transcription is not None}
        if any(wanted.values()):
            chunks = separator.chunks(recording, **wanted, progress=progress)
    if chunks:
        with open_stem_writer(recording, separator.names, audio, kept, options.encoding) as writer:
            for chunk in chunks:
                if chunk.stems is not None:
                    writer.write(chunk.stems)
                if transcription is not None:
                    transcription.append(chunk)
        result.warnings += writer.clipping.warnings(audio)
        completed(*audio.values())
    if outputs.score in result.written:
        with atomic_path(outputs.score) as temporary:
            if isinstance(separator, ScoreInformedSeparator):
                separator.write_midi(temporary, recording)
            elif transcription is not None:
                transcription.midi().write(str(temporary))
        completed(outputs.score)
    if outputs.notes in result.written:
        if isinstance(separator, ScoreInformedSeparator):
            write_note_events(outputs.notes, separator.use(recording).score.notes, separator.names)
        elif transcription is not None:
            write_note_events(outputs.notes, transcription.notes(), separator.names)
        completed(outputs.notes)
    if with_page:
        notes: dict[str, Any] = {}
        if isinstance(separator, ScoreInformedSeparator):
            score = separator.use(recording).score.notes
            notes = {"score": score, "remark": separator.describe(recording)}
        elif transcription is not None:
            notes = {"transcription": transcription.notes()}
        song, write_page = Path(recording.name), _import_write_page()
        with _PLOTTING:
            write_page(outputs.page.parent, song.name, song, outputs.audio, **notes)
        completed(outputs.page)


def _import_write_page() -> Callable[..., Path]:
    """:func:`~asteroid_scoresup.report.page.write_page`; only the page needs matplotlib."""
    try:
        from ..report.page import write_page
    except ImportError as error:
        raise ImportError(
            "The page to listen to (--report) needs matplotlib and Pillow: pip install matplotlib "
            f"Pillow, or leave out --report ({error})."
        ) from None
    return write_page


def _require_same_song(
    path: Path,
    song: dict[str, Any],
    record: ResultsRecord,
    result: SongResult,
    outputs: Outputs,
) -> None:
    """Refuses to add to the results of another song, or to keep those of another model."""
    advice = "Use --overwrite or another --out_dir."
    if record.found and not record.is_of(song):
        raise ValueError(
            f"{path}: {result.folder} contains the results of another song ({record.song_path}). "
            f"{advice}"
        )
    for target in result.kept:
        if record.found:
            difference = record.difference(result.name_of(target), outputs.targets[target])
            if difference:
                raise ValueError(f"{path}: {target} exists and {difference}. {advice}")
        elif target not in outputs.audio.values():
            raise ValueError(
                f"{path}: {target} exists, and there is no {RECORD} to tell which song it is from. "
                f"{advice}"
            )


def _require_one_gain(
    path: Path, result: SongResult, outputs: Outputs, options: OutputOptions
) -> None:
    """Refuses to rescale some stems by another gain than those that exist."""
    audio = set(outputs.audio.values())
    kept = [target for target in result.kept if target in audio]
    if options.clip_mode == "rescale" and kept and audio & set(result.written):
        raise ValueError(
            f"{path}: {kept[0]} exists, and --clip-mode rescale needs one gain for all stems: use "
            "--overwrite or another --out_dir."
        )


def _remove(folder: Path, names: Sequence[str]) -> None:
    """Removes the results of the previous song; only names that a result can have."""
    for name in names:
        path = folder / name
        if name == f"{PAGE}/index.html" and not (folder / PAGE).is_symlink():
            shutil.rmtree(folder / PAGE, ignore_errors=True)
        elif name in (SCORE, NOTES) or _AUDIO_NAME.fullmatch(name):
            path.unlink(missing_ok=True)


def _require_writable(
    recording: Recording, path: Path, outputs: Outputs, options: OutputOptions
) -> None:
    """Refuses, before the work, what would fail after it or overwrite the song."""
    for target in outputs.targets:
        if target.exists() and target.samefile(path):
            raise ValueError(
                f"{path} is the song and would be overwritten by one of its own results: choose "
                "another --out_dir."
            )
    shape = (recording.n_channels, recording.sample_rate)
    reason = options.encoding.misfit(*shape)
    if options.page and not fits_flac(*shape):
        reason = reason or FLAC_LIMITS + "leave out --report."
    if reason:
        raise ValueError(f"{path} has {shape[0]} channels at {shape[1]} Hz. {reason}")


def _cannot_write(folder: Path, error: Exception) -> str:
    """Why results cannot be written, with the free space: libsndfile calls a full disk a "system
    error"."""
    if isinstance(error, OSError) and error.errno is None:
        text = str(error)  # a sentence that names the file
    else:
        reason = getattr(error, "strerror", None) or error
        text = f"{folder} cannot be written: {str(reason).rstrip('.')}"
    text += "" if text.endswith((".", "?")) else "."
    existing = next((place for place in (folder, *folder.parents) if place.is_dir()), None)
    if existing is None:
        return text
    return f"{text} {shutil.disk_usage(existing).free / 1e6:.1f} MB are free there."
