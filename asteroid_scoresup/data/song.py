"""A song in memory: audio, notes, and what was found while reading it.

Bad data are detected while a song is read. They are never repaired by guessing: what cannot be
trusted is dropped, and every omission is recorded with its reason in ``Song.facts["drops"]``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..score import Notes
from .drops import BEYOND_END, drop_record


@dataclass
class Song:
    r"""A song in memory.

    Args:
        mixture (array): float32, shape :math:`(time,)`.
        stems (dict): float32 arrays of the same shape by class name (and ``residual``), whose
            sum is the mixture; empty where there are no stems.
        notes (Notes): The score, cut at the end of the audio.
        facts (dict): What was found while reading: ``drops``, ``programs``, ``label_shift``, …
        uncertain (list): Stretches (start, stop) in seconds where the alignment is not certain.
    """

    mixture: np.ndarray
    stems: dict[str, np.ndarray]
    notes: Notes
    facts: dict[str, Any] = field(default_factory=dict)
    uncertain: list[list[float]] = field(default_factory=list)


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
