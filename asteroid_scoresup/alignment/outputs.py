"""Files of an alignment: aligned MIDI, the warp as a table, and all of it as JSON."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi

from ..notation import MUSICXML_SUFFIXES, read_score
from ..utils.files import write_json
from .align import Alignment
from .midi_writer import write_aligned_midi
from .warp import CERTAINTY_STEP, Warp


def plain_alignment(alignment: Alignment) -> dict[str, Any]:
    """An alignment in plain types, for JSON; :func:`alignment_of` is the inverse.

    Args:
        alignment (Alignment): The alignment.

    Returns:
        dict: ``is_match``, ``confidence``, ``transposition`` (semitones), ``tuning_cents``,
        ``uncertain`` (stretches of audio in seconds), ``certainty`` (for every
        ``certainty_step`` seconds of audio; None where the score has nothing), and ``warp``.
    """
    certainty = [None if math.isnan(v) else round(float(v), 4) for v in alignment.certainty]
    return {
        "is_match": bool(alignment.is_match),
        "confidence": round(float(alignment.confidence), 4),
        "transposition": int(alignment.transposition),
        "tuning_cents": round(float(alignment.tuning_cents), 2),
        "uncertain": [[float(start), float(stop)] for start, stop in alignment.uncertain],
        "certainty_step": CERTAINTY_STEP,
        "certainty": certainty,
        "warp": alignment.warp.plain(),
    }


def alignment_of(plain: Mapping[str, Any]) -> Alignment:
    """The alignment that :func:`plain_alignment` described.

    Args:
        plain (dict): Its content, for example of a file ``*.align.json``.

    Raises:
        ValueError: if it is malformed.
    """
    try:
        certainty = [math.nan if value is None else float(value) for value in plain["certainty"]]
        return Alignment(
            warp=Warp.of(plain["warp"]),
            transposition=int(plain["transposition"]),
            tuning_cents=float(plain["tuning_cents"]),
            certainty=np.array(certainty),
            confidence=float(plain["confidence"]),
            uncertain=tuple((float(start), float(stop)) for start, stop in plain["uncertain"]),
            is_match=bool(plain["is_match"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"This is not an alignment: {str(error).rstrip('.')}.") from error


def output_paths(midi: str | Path) -> tuple[Path, Path, Path]:
    """The files that belong together: aligned MIDI, table of the warp, and JSON.

    Args:
        midi (str or Path): The MIDI file.

    Examples
        >>> [path.name for path in output_paths("song.aligned.mid")]
        ['song.aligned.mid', 'song.aligned.warp.csv', 'song.aligned.align.json']
    """
    midi = Path(midi)
    name = midi.name.removesuffix(midi.suffix)
    return midi, midi.with_name(f"{name}.warp.csv"), midi.with_name(f"{name}.align.json")


def write_alignment(
    alignment: Alignment,
    score: str | Path,
    output: str | Path,
    facts: Mapping[str, Any] | None = None,
) -> tuple[Path, Path, Path]:
    """Writes the score as aligned MIDI, and next to it the warp as a table and all of it as JSON.

    Args:
        alignment (Alignment): The alignment.
        score (str or Path): The MIDI or MusicXML file that was aligned. Of a MusicXML file the MIDI
            file has the notes of each part; its bars and texts are not kept.
        output (str or Path): MIDI file to write; the others are named after it, see
            :func:`output_paths`.
        facts (dict, optional): Further entries of the JSON file, such as the names of the files.

    Returns:
        tuple of Path: The files.

    Raises:
        ValueError: if the score cannot be read, or the recording plays no part of it.
        OSError: if a file cannot be written.
    """
    midi, table, described = output_paths(output)
    if Path(score).suffix.lower() in MUSICXML_SUFFIXES:
        with tempfile.TemporaryDirectory() as folder:
            write_aligned_midi(_as_midi(score, Path(folder) / "score.mid"), alignment, midi)
    else:
        write_aligned_midi(score, alignment, midi)
    alignment.warp.save_csv(table, alignment.certainty)
    write_json(described, {**(facts or {}), **plain_alignment(alignment)})
    return midi, table, described


def _as_midi(score: str | Path, path: Path) -> Path:
    """Writes the notes of a MusicXML file as MIDI, with a constant tempo."""
    song = read_score(score, drums=True)
    midi = pretty_midi.PrettyMIDI(resolution=960, initial_tempo=song.tempo)
    midi.instruments = [instrument.to_pretty_midi() for instrument in song.instruments]
    for part in midi.instruments:  # MIDI stores names in Latin-1
        part.name = part.name.encode("latin1", "replace").decode("latin1")
    midi.write(str(path))
    return path
