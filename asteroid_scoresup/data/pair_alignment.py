"""Aligning the scores of pairs with their recordings during preparation.

With ``"auto"``, a song is aligned if the label check finds that its notes are off, and the notes of
the file are kept where the alignment confirms them. ``"always"`` aligns every song, ``"never"``
none. A song whose score does not belong to its recording is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..alignment import Alignment, UnalignableScoreError, align
from ..alignment.certainty import merged_stretches
from ..alignment.mismatch import explain_mismatch
from ..checks.corrections import MAX_SILENT
from ..checks.time import OFFSET_TOLERANCE
from ..score import Notes
from ..utils.stream import Recording
from .drops import UnusableSongError
from .pairs import Pair

#: The notes of the file are kept if at most this fraction of onsets is more than this many seconds
#: away from where the alignment finds them.
_MOST_AWAY, _AWAY = 0.1, 0.1


def is_off(findings: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Whether the label check finds that the notes of a song are off.

    Args:
        findings (dict): Of :func:`~asteroid_scoresup.checks.label_check.check_song`.
        names (iterable of str): Names of the classes.

    Returns:
        bool: True if the offset is unclear or beyond the tolerance, or many notes are silent.
    """
    offset = findings["offset_seconds"]
    if offset is None or abs(offset) > OFFSET_TOLERANCE:
        return True
    return any((findings[name]["silent_notes"] or 0) > MAX_SILENT for name in names)


def align_pair(pair: Pair) -> Alignment:
    """Aligns the score of a pair with its audio file.

    Args:
        pair (Pair): The files.

    Raises:
        UnusableSongError: if the score cannot be aligned, or does not belong to the recording.
        ValueError: if a file cannot be read.
    """
    try:
        return _aligned(pair)
    except UnalignableScoreError as error:
        raise UnusableSongError(
            "the score cannot be aligned", f"{pair.midi.name} {error.why}"
        ) from None


def alignment_if_possible(pair: Pair) -> Alignment | None:
    """As :func:`align_pair`, but None if the score cannot be aligned.

    Args:
        pair (Pair): The files.

    Raises:
        UnusableSongError: if the score does not belong to the recording.
    """
    try:
        return _aligned(pair)
    except UnalignableScoreError:
        return None


def _aligned(pair: Pair) -> Alignment:
    recording = Recording(pair.audio)
    found = align(recording, pair.midi)
    if not found.is_match:
        why = explain_mismatch(recording, pair.midi.name, found.confidence)
        raise UnusableSongError(why.reason, why.what)
    return found


def confirms(alignment: Alignment, notes: Notes) -> bool:
    """Whether an alignment finds the notes of a file where they are.

    Args:
        alignment (Alignment): The alignment.
        notes (Notes): The notes of the file.
    """
    if alignment.transposition or not len(notes):
        return False
    away = np.abs(alignment.warp.to_audio(notes.onset) - notes.onset)
    away = np.where(np.isnan(away), np.inf, away)
    return bool(np.median(away) <= OFFSET_TOLERANCE and np.mean(away > _AWAY) <= _MOST_AWAY)


def uncertain_stretches(alignment: Alignment, seconds: float) -> list[list[float]]:
    """The stretches of a recording that must not be used for training.

    Args:
        alignment (Alignment): The alignment.
        seconds (float): Length of the recording.

    Returns:
        list of list: Stretches (start, stop) in seconds, in order: those of the alignment, and
        those of more than a second without a score, since something may be played in them.
    """
    stretches = [
        (round(max(start, 0.0), 3), round(min(stop, seconds), 3))
        for start, stop in (*alignment.warp.gaps(seconds), *alignment.uncertain)
    ]
    return [list(one) for one in merged_stretches(s for s in stretches if s[0] < s[1])]


def facts_of(alignment: Alignment, seconds: float) -> dict[str, Any]:
    """The record of a track's alignment.

    Args:
        alignment (Alignment): The alignment.
        seconds (float): Length of the recording.
    """
    uncertain = uncertain_stretches(alignment, seconds)
    return {
        "confidence": round(float(alignment.confidence), 3),
        "transposition": int(alignment.transposition),
        "tuning_cents": round(float(alignment.tuning_cents), 1),
        "sections": len(alignment.warp.spans),
        "uncertain_seconds": round(sum(stop - start for start, stop in uncertain), 3),
    }


def describe_alignments(facts: Iterable[Mapping[str, Any]]) -> str:
    """Describes the alignments of several tracks; empty if none was aligned.

    Args:
        facts (iterable of dict): The facts of the tracks, of which some have an ``alignment``.
    """
    found = [one["alignment"] for one in facts if "alignment" in one]
    if not found:
        return ""
    lowest = min(one["confidence"] for one in found)
    unsure = sum(one["uncertain_seconds"] for one in found)
    songs = (
        "1 song was aligned with its recording"
        if len(found) == 1
        else (f"{len(found)} songs were aligned with their recordings")
    )
    return (
        f"{songs} (lowest confidence {lowest:.2f}); {unsure:.0f} s of them are uncertain or have "
        "no score, and are left out of training and metrics"
    )
