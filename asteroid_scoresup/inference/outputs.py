"""What is written for a song: the options, the files, and which of them were written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .encoding import Encoding
from .naming import DEFAULT_TEMPLATE, require_template, stem_path
from .score_informed import ScoreInformedSeparator
from .separator import Separator
from .stem_writer import RESIDUAL, WITHOUT

SCORE = "score.mid"
NOTES = "score.csv"
PAGE = "page"


@dataclass(frozen=True)
class OutputOptions:
    """What to write for each song.

    Args:
        stems (bool): One audio file per class, with the song's sample rate and channels.
        residual (bool): The song minus its stems.
        midi (bool): The transcription, :data:`SCORE`.
        csv (bool): Its notes as a table, :data:`NOTES`.
        page (bool): A page to listen to, in the folder :data:`PAGE`.
        only (str, optional): The one stem to write, of all classes.
        without (str, optional): A class; the song without it is written instead of the stems, or
            besides the one of `only`.
        file_format, mp3_bitrate, clip_mode: See
            :class:`~asteroid_scoresup.inference.encoding.Encoding`.
        filename (str): Names of the audio files, relative to the parent folder of the song's
            results, see :func:`~asteroid_scoresup.inference.naming.require_template`.
        overwrite (bool): Whether to replace existing files.

    Raises:
        ValueError: if a value is not possible, no output is requested, or options contradict each
            other.
    """

    stems: bool = True
    residual: bool = False
    midi: bool = False
    csv: bool = False
    page: bool = False
    only: str | None = None
    without: str | None = None
    file_format: str = "wav32f"
    mp3_bitrate: int = 320
    clip_mode: str = "none"
    filename: str = DEFAULT_TEMPLATE
    overwrite: bool = False

    def __post_init__(self) -> None:
        require_template(self.filename)
        Encoding(self.file_format, self.mp3_bitrate, self.clip_mode)
        if self.page and (self.only or self.without):
            option = "only" if self.only else "without"
            raise ValueError(
                f"--{option} writes no other stems, and --report shows all of them: leave out one "
                "of the two."
            )
        if not (self.stems or self.residual or self.page or self.notes):
            raise ValueError("No output is requested: neither stems nor score nor page.")

    @property
    def encoding(self) -> Encoding:
        """Encoding: How stems are stored."""
        return Encoding(self.file_format, self.mp3_bitrate, self.clip_mode)

    @property
    def notes(self) -> bool:
        """bool: Whether a file of notes is requested."""
        return self.midi or self.csv


@dataclass
class SongResult:
    """The files of one song.

    Args:
        folder (Path): Where they are.
        written (list of Path): Files written by this call.
        kept (list of Path): Files that existed and were kept.
        warnings (list of str): What the user should know about them.
    """

    folder: Path
    written: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def name_of(self, target: Path) -> str:
        """Name of a file in the record of the folder."""
        return Path(os.path.relpath(target, self.folder)).as_posix()


@dataclass(frozen=True)
class Outputs:
    """The requested files of a song.

    Args:
        audio (dict of str to Path): Stems, the song without one of them, and residual, by name.
        score (Path): The transcription or score, requested or not.
        notes (Path): The table of its notes, requested or not.
        page (Path): The page, requested or not.
        targets (dict): Each requested file → the identity of what makes it, see
            :meth:`Separator.identity
            <asteroid_scoresup.inference.separator.Separator.identity>`.
    """

    audio: dict[str, Path]
    score: Path
    notes: Path
    page: Path
    targets: dict[Path, dict[str, Any]]

    @classmethod
    def of(
        cls,
        folder: Path,
        separator: Separator | ScoreInformedSeparator,
        options: OutputOptions,
        song: str | Path | None = None,
    ) -> Outputs:
        """The files that the options request.

        Args:
            folder (Path): Folder of the results.
            separator (Separator or ScoreInformedSeparator): What makes them.
            options (OutputOptions): What is requested.
            song (str or Path, optional): File of the song.

        Raises:
            ValueError: if the options name a class that there is not, or files of stems among the
                other results.
        """
        suffix = options.encoding.suffix
        names = _audio_names(separator.names, options)
        audio = {name: stem_path(folder, options.filename, name, suffix, song) for name in names}
        score, notes = folder / SCORE, folder / NOTES
        page = folder / PAGE / "index.html"
        if any(page.parent in path.parents for path in audio.values()):
            raise ValueError(f"--filename {options.filename!r} writes into the folder of the page.")
        of_stems = separator.identity() | options.encoding.identity()
        targets = dict.fromkeys(audio.values(), of_stems)
        if options.notes or options.page:
            of_notes = (
                separator.identity(notes=True)
                if isinstance(separator, Separator)
                else separator.identity()
            )
            requested = {score: options.midi, notes: options.csv, page: options.page}
            targets |= {path: of_notes for path, wanted in requested.items() if wanted}
        return cls(audio, score, notes, page, targets)


def _audio_names(classes: Sequence[str], options: OutputOptions) -> list[str]:
    """Names of the requested audio files."""
    require_classes(classes, only=options.only, without=options.without)
    if options.only or options.without:
        names = [options.only] if options.only else []
        names += [WITHOUT + options.without] if options.without else []
    else:
        names = list(classes) if options.stems or options.page else []
    return names + ([RESIDUAL] if options.residual else [])


def require_classes(classes: Sequence[str], **options: str | None) -> None:
    """Refuses options that name a class that there is not.

    Args:
        classes (sequence of str): The classes.
        **options (str, optional): Name of an option → the class that it names.

    Raises:
        ValueError: for the first such option.
    """
    for option, name in options.items():
        if name is not None and name not in classes:
            raise ValueError(f"--{option} names {name!r}, but the stems are {', '.join(classes)}.")
