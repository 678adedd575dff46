"""Records of what was dropped during preparation, and why.

Each is a dict with ``what``, ``reason``, ``where`` and ``notes``, see :func:`drop_record`. Reasons
are the same words for all cases of a problem, so that they can be counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

#: What a remark is about, which lost nothing; and the word for it in folders of earlier versions.
_REMARK, _EARLIER = "score", "MIDI file"
#: Reason of notes that begin after the end of the audio.
BEYOND_END = "beyond the end of the audio"


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


def drop_record(what: str, reason: str, where: str = "", notes: int = 0) -> dict[str, Any]:
    """The record of something that was dropped.

    Args:
        what (str): What it is, in the singular (``"track"``, ``"stem"``), or ``"notes"``.
        reason (str): Why; the same words for all cases with this problem.
        where (str): Its place, for example the name of a stem.
        notes (int): Number of notes that were lost with it.
    """
    return {"what": what, "reason": reason, "where": where, "notes": int(notes)}


def score_drops(
    dropped: Mapping[str, int], remarks: Iterable[str], where: str = ""
) -> list[dict[str, Any]]:
    """Records of what was dropped from a score, and of remarks on it.

    Args:
        dropped (dict): Number of notes by reason.
        remarks (iterable of str): What was skipped or repaired without losing notes.
        where (str): Its place, for example the name of a stem.
    """
    drops = [drop_record("notes", reason, where, count) for reason, count in dropped.items()]
    return drops + [drop_record(_REMARK, remark, where) for remark in remarks]


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


def located_drops(drops: Iterable[Mapping[str, Any]], track_id: str) -> list[dict[str, Any]]:
    """Records of one track's drops, with its name prepended to the place."""
    return [
        {**drop, "where": f"{track_id}/{drop['where']}" if drop["where"] else track_id}
        for drop in drops
    ]


def group_drops(drops: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Counts what was dropped, by kind and reason; without remarks."""
    return _grouped(drop for drop in drops if drop["what"] not in (_REMARK, _EARLIER))


def group_remarks(drops: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Counts the remarks among the records."""
    return _grouped(
        {**drop, "what": _REMARK} for drop in drops if drop["what"] in (_REMARK, _EARLIER)
    )


def _grouped(drops: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    grouped: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for drop in drops:
        grouped[drop["what"], drop["reason"]].append(drop)
    return [
        {
            "what": what,
            "reason": reason,
            "count": len(group),
            "notes": sum(drop["notes"] for drop in group),
            "where": sorted(drop["where"] for drop in group),
        }
        for (what, reason), group in sorted(grouped.items())
    ]
