"""A song in memory, how it is to be read, and the record of what was dropped.

Bad data are detected while a song is read. They are never repaired by guessing: what cannot be
trusted is dropped, and every omission is recorded with its reason in ``Song.facts["drops"]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..score import Notes
from .classes import ClassMap
from .slakh import parse_label_shift

#: Peak below which a signal counts as silent: 1.5 steps of 16-bit audio.
SILENCE = 1.5 / 32768

MIXTURES = ("submix", "song")

BEYOND_END = "beyond the end of the audio"


@dataclass(frozen=True)
class Settings:
    """How songs are prepared: equal settings give equal tracks.

    Args:
        classes (ClassMap): The classes.
        sample_rate (int): Working rate, in Hz.
        mixture (str): ``"submix"`` (sum of the classes) or ``"song"`` (everything).
        label_shift (str): See :func:`~asteroid_scoresup.data.slakh.parse_label_shift`.

    Raises:
        ValueError: on invalid values.
    """

    classes: ClassMap
    sample_rate: int = 16000
    mixture: str = "submix"
    label_shift: str = "auto"

    def __post_init__(self) -> None:
        if self.mixture not in MIXTURES:
            raise ValueError(f"mixture must be one of {list(MIXTURES)}, found {self.mixture!r}.")
        if int(self.sample_rate) != self.sample_rate or not 4000 <= self.sample_rate <= 192000:
            raise ValueError(
                f"sample_rate must be a whole number of Hz from 4000 to 192000, found "
                f"{self.sample_rate}."
            )
        parse_label_shift(self.label_shift, self.classes.names)

    def to_dict(self) -> dict[str, Any]:
        """The settings as they are written to files; the classes as one string."""
        return {
            "classes": str(self.classes),
            "sample_rate": self.sample_rate,
            "mixture": self.mixture,
            "label_shift": self.label_shift,
        }


class UnusableSongError(ValueError):
    """A whole song cannot be used.

    Args:
        reason (str): Why; the same words for all songs with this problem, so that they can be
            counted.
        detail (str): More about this song.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.detail = detail


@dataclass
class Song:
    r"""A song in memory.

    Args:
        mixture (array): float32, shape :math:`(time,)`.
        stems (dict): float32 arrays of the same shape by class name (and ``residual``), whose
            sum is the mixture; empty where there are no stems.
        notes (Notes): The score, cut at the end of the audio.
        facts (dict): What was found while reading: ``drops``, ``programs``, ``label_shift``, …
    """

    mixture: np.ndarray
    stems: dict[str, np.ndarray]
    notes: Notes
    facts: dict[str, Any] = field(default_factory=dict)


def drop_record(what: str, reason: str, where: str = "", notes: int = 0) -> dict[str, Any]:
    """The record of something that was dropped.

    Args:
        what (str): What it is, in the singular (``"track"``, ``"stem"``), or ``"notes"``.
        reason (str): Why; the same words for all cases with this problem.
        where (str): Its place, for example the name of a stem.
        notes (int): Number of notes that were lost with it.
    """
    return {"what": what, "reason": reason, "where": where, "notes": int(notes)}


def midi_drops(
    dropped: Mapping[str, int], remarks: Iterable[str], where: str = ""
) -> list[dict[str, Any]]:
    """Records of what was dropped from a MIDI file.

    Args:
        dropped (dict): Number of notes by reason.
        remarks (iterable of str): Other problems of the file.
        where (str): Its place, for example the name of a stem.
    """
    drops = [drop_record("notes", reason, where, count) for reason, count in dropped.items()]
    return drops + [drop_record("MIDI file", remark, where) for remark in remarks]


def drop_of_error(song_id: str, error: Exception) -> dict[str, Any]:
    """The record of a song that could not be read.

    Args:
        song_id (str): Name of the song.
        error (Exception): What was raised.
    """
    if isinstance(error, UnusableSongError):
        reason, detail = str(error), error.detail
    elif isinstance(error, (ValueError, OSError)):
        reason, detail = "unreadable", str(error)
    else:
        reason, detail = "unexpected error", f"{type(error).__name__}: {error}"
    where = song_id + (f" ({' '.join(detail.split())})" if detail else "")
    return drop_record("track", reason, where)


def fit_notes(notes: Notes, duration: float, facts: dict[str, Any] | None = None) -> Notes:
    """Cuts a score at the end of the audio.

    Args:
        notes (Notes): The score.
        duration (float): Length of the audio, in seconds.
        facts (dict, optional): Receives what was dropped (``drops``) and ``notes_cut``.

    Returns:
        Notes: The notes that begin within the audio; those that end later end with it.
    """
    inside = (notes.onset >= 0) & (notes.onset < duration) & (notes.offset > notes.onset)
    cut = inside & (notes.offset > duration)
    if facts is not None:
        if (~inside).any():
            drop = drop_record("notes", BEYOND_END, notes=(~inside).sum())
            facts.setdefault("drops", []).append(drop)
        if cut.any():
            facts["notes_cut"] = int(cut.sum())
    return notes.select(inside).clipped(0.0, duration)
