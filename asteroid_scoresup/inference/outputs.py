"""What is written for a song: the options, the files, and which of them were written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .separator import Separator
from .stem_writer import FORMATS, RESIDUAL

SCORE = "score.mid"
PAGE = "page"


@dataclass(frozen=True)
class OutputOptions:
    """What to write for each song.

    Args:
        stems (bool): One audio file per class, with the song's sample rate and channels.
        residual (bool): The song minus its stems.
        midi (bool): The transcription, :data:`SCORE`.
        page (bool): A page to listen to, in the folder :data:`PAGE`.
        file_format (str): One of :data:`~asteroid_scoresup.inference.stem_writer.FORMATS`. Integer
            formats clip at full scale.
        overwrite (bool): Whether to replace existing files.

    Raises:
        ValueError: if the format is unknown, or no output is requested.
    """

    stems: bool = True
    residual: bool = False
    midi: bool = False
    page: bool = False
    file_format: str = "wav32f"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.file_format not in FORMATS:
            raise ValueError(f"format is {self.file_format!r}, expected one of {list(FORMATS)}.")
        if not (self.stems or self.residual or self.midi or self.page):
            raise ValueError("No output is requested: neither stems nor score nor page.")


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
        return target.relative_to(self.folder).as_posix()


@dataclass(frozen=True)
class Outputs:
    """The requested files of a song.

    Args:
        audio (dict of str to Path): Stems and residual, by name.
        score (Path): The transcription, requested or not.
        page (Path): The page, requested or not.
        targets (dict): Each requested file → the identity of what makes it, see
            :meth:`Separator.identity
            <asteroid_scoresup.inference.separator.Separator.identity>`.
    """

    audio: dict[str, Path]
    score: Path
    page: Path
    targets: dict[Path, dict[str, Any]]

    @classmethod
    def of(cls, folder: Path, separator: Separator, options: OutputOptions) -> Outputs:
        """The files that are requested for a song.

        Args:
            folder (Path): Folder of the song's results.
            separator (Separator): The models that make them.
            options (OutputOptions): What is requested.
        """
        suffix = FORMATS[options.file_format][0]
        names = separator.names if options.stems or options.page else []
        names += [RESIDUAL] if options.residual else []
        audio = {name: folder / f"{name}{suffix}" for name in names}
        score, page = folder / SCORE, folder / PAGE / "index.html"
        targets = dict.fromkeys(audio.values(), separator.identity())
        if options.midi or options.page:
            of_notes = separator.identity(notes=True)
            targets |= {score: of_notes} if options.midi else {}
            targets |= {page: of_notes} if options.page else {}
        return cls(audio, score, page, targets)
