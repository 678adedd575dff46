"""Pieces of a data set, and writing them as folders in Slakh's form, which `prepare` reads.

A folder has ``metadata.yaml``, ``stems/S00.wav`` and ``MIDI/S00.mid``. Audio files are linked where
that is possible; sums of files, single channels and tracks of a container are written.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from asteroid_scoresup.alignment import align
from asteroid_scoresup.evaluation import to_midi
from asteroid_scoresup.score import Notes
from asteroid_scoresup.utils.audio import AudioFile
from asteroid_scoresup.utils.ffmpeg import ffmpeg
from asteroid_scoresup.utils.files import atomic_path, read_audio, short_name, write_audio
from asteroid_scoresup.utils.stream import Recording

#: The program of drum kits.
DRUMS = 128
#: Rate at which pieces are mixed in order to align their scores, in Hz.
_ALIGN_RATE = 22050


@dataclass(frozen=True)
class Part:
    """One stem of a piece.

    Args:
        name (str): Its name, which patterns of classes are compared with.
        audio (tuple of Path): Its files, which are summed.
        program (int): General MIDI program; 128 for drums.
        notes (Notes, optional): The notes, where the recording plays them.
        written (Notes, optional): The notes of the score, on a clock of its own.
        channel (int, optional): The channel of the files that is used. Default: all of them.
        track (int, optional): The audio track of the file that is used. Default: the file has one.
    """

    name: str
    audio: tuple[Path, ...]
    program: int
    notes: Notes | None = None
    written: Notes | None = None
    channel: int | None = None
    track: int | None = None


@dataclass(frozen=True)
class Piece:
    """A piece: its name, and its parts in order."""

    name: str
    parts: tuple[Part, ...]

    @property
    def has_score(self) -> bool:
        """Whether all parts have notes."""
        return all(part.notes is not None for part in self.parts)


def plain_name(text: str) -> str:
    """A name for a folder: letters, digits, ``_``, ``-`` and ``.``.

    Args:
        text (str): Any text.
    """
    return short_name(re.sub(r"[^\w.-]+", "_", text).strip("._") or "piece")


def aligned(piece: Piece) -> Piece:
    """A piece whose parts have the notes of the written score, aligned with the sum of its audio.

    Args:
        piece (Piece): The piece.

    Raises:
        ValueError: if a part has no written score, or it seems to be that of another piece.
    """
    tables = [part.written for part in piece.parts]
    if any(table is None for table in tables):
        lacking = piece.parts[tables.index(None)].name
        raise ValueError(f"{piece.name} has no written score of {lacking}: omit --align.")
    whole = Notes.concatenate(
        table.replace(class_index=np.full(len(table), index))
        for index, table in enumerate(tables)
        if table is not None
    )
    signals = [read_audio(path, _ALIGN_RATE)[0] for part in piece.parts for path in part.audio]
    found = align(Recording(_sum(signals), _ALIGN_RATE), whole)
    if not found.is_match:
        raise ValueError(
            f"the written score of {piece.name} does not seem to be that of the recording "
            f"(confidence {found.confidence:.2f})."
        )
    moved = found.notes(whole)
    parts = (
        replace(part, notes=moved.select(moved.class_index == index))
        for index, part in enumerate(piece.parts)
    )
    return Piece(piece.name, tuple(parts))


def write_piece(piece: Piece, folder: Path, source: str) -> None:
    """Writes a piece as a folder in Slakh's form.

    Args:
        piece (Piece): The piece.
        folder (Path): The folder; files of an earlier run are replaced.
        source (str): Name of the data set, for the metadata.

    Raises:
        ValueError: if an audio file cannot be read.
        OSError: if a file cannot be written.
    """
    for name in ("stems", "MIDI"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for old in (folder / name).iterdir():
            old.unlink()
    stems = {}
    for number, part in enumerate(piece.parts):
        key = f"S{number:02d}"
        _write_audio(part, folder / "stems", key)
        if part.notes is not None:
            own = part.notes.replace(class_index=np.zeros(len(part.notes)))
            midi = to_midi(own, [part.name], {part.name: part.program})
            with atomic_path(folder / "MIDI" / f"{key}.mid") as temporary:
                midi.write(str(temporary))
        stems[key] = {
            "program_num": part.program % DRUMS,
            "is_drum": part.program == DRUMS,
            "midi_program_name": part.name,
        }
    content = {"source": source, "has_score": piece.has_score, "stems": stems}
    with atomic_path(folder / "metadata.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _write_audio(part: Part, folder: Path, key: str) -> None:
    """Links the audio of a part if it is a whole file; else writes it."""
    first = part.audio[0]
    if part.track is not None:
        _extract(first, part.track, folder / f"{key}.wav")
        return
    if len(part.audio) == 1 and part.channel is None:
        try:
            os.symlink(first.resolve(), folder / f"{key}{first.suffix.lower()}")
            return
        except OSError:
            pass  # a file system without links, or Windows without the right to make them
    signals, rates = [], set()
    for path in part.audio:
        file = AudioFile(path)
        audio = np.concatenate(list(file.blocks()))
        if part.channel is not None and part.channel >= file.n_channels:
            raise ValueError(
                f"{path} has {file.n_channels} channels, expected at least {part.channel + 1}."
            )
        signals.append(audio if part.channel is None else audio[:, part.channel])
        rates.add(file.sample_rate)
    if len(rates) > 1:
        names = ", ".join(path.name for path in part.audio)
        raise ValueError(f"{names} have different sample rates, {sorted(rates)} Hz.")
    write_audio(folder / f"{key}.wav", _sum(signals), rates.pop())


def _sum(signals: Sequence[np.ndarray]) -> np.ndarray:
    """The sum of signals of one form, as long as the longest."""
    total = np.zeros((max(map(len, signals)), *signals[0].shape[1:]), dtype=np.float32)
    for signal in signals:
        total[: len(signal)] += signal
    return total


def _extract(path: Path, track: int, out: Path) -> None:
    """Writes one of the audio tracks of a container."""
    command = ffmpeg()
    if command is None:
        raise ValueError(f"{path} needs ffmpeg, which is not installed: install it.")
    with atomic_path(out) as temporary:
        done = subprocess.run(
            [command, "-nostdin", "-v", "error", "-y", "-i", f"file:{path}"]
            + ["-map", f"0:a:{track}", "-c:a", "pcm_f32le", str(temporary)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["unknown error"])[-1]
            raise ValueError(f"{path} has no audio track {track} that ffmpeg can decode: {why}.")


def write_pieces(
    pieces: Sequence[Piece], folder: Path, source: str, align_scores: bool = False
) -> tuple[int, list[str]]:
    """Writes pieces to ``folder/test``.

    Args:
        pieces (sequence of Piece): The pieces.
        folder (Path): The folder.
        source (str): Name of the data set.
        align_scores (bool): Whether their notes are those of the written score, see
            :func:`aligned`.

    Returns:
        tuple: number of pieces that were written, and a line for each that could not be.

    Raises:
        ValueError: if the folder contains tracks that are not of these pieces.
    """
    inside = {path.name for path in folder.glob("test/*") if path.name[0] != "."}
    if others := sorted(inside - {piece.name for piece in pieces}):
        raise ValueError(
            f"{folder / 'test'} contains {others[0]}, which is not a piece of {source}: delete the "
            "folder, or choose another one with --tracks."
        )
    written, failed = 0, []
    for piece in pieces:
        place = folder / "test" / piece.name
        # Without it the folder is no track: neither an unfinished one nor that of an earlier run.
        (place / "metadata.yaml").unlink(missing_ok=True)
        try:
            write_piece(aligned(piece) if align_scores else piece, place, source)
            written += 1
        except ValueError as error:
            failed.append(f"{piece.name}: {error}")
    return written, failed
