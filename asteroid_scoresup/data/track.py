"""What a prepared folder knows about a track, and whether a description of one is valid."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..utils.names import why_not_plain


@dataclass
class PreparedTrack:
    """One track of a prepared folder.

    Args:
        id (str): Name of the track, unique within its split.
        split (str): ``train``, ``validation``, ``test`` or any other.
        n_samples (int): Length of the mixture, in samples.
        rms (float): Root mean square of the mixture, without its silences
            (:func:`~asteroid_scoresup.dsp.level.gated_rms`).
        n_notes (dict): Number of notes by class name.
        stems (list of str): Names of the files under ``stems/`` when the track was prepared.
        facts (dict): What preparation found out about the track (label check, drops).
        audio (str): Hash of the samples of mixture and stems at preparation; empty in folders of
            earlier versions.
        uncertain (list): Stretches (start, stop) of the audio, in seconds and in order, where the
            alignment of the score is not certain. They are left out of training and metrics.
    """

    id: str
    split: str
    n_samples: int
    rms: float
    n_notes: dict[str, int] = field(default_factory=dict)
    stems: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    audio: str = ""
    uncertain: list[list[float]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The fields for a file; `uncertain` only where there is anything uncertain."""
        content = asdict(self)
        if not self.uncertain:
            del content["uncertain"]
        return content

    @classmethod
    def from_dict(cls, content: Any) -> PreparedTrack:
        """A track from the content of a file, with every field validated.

        Args:
            content (dict): The fields.

        Raises:
            ValueError: if a field is missing, unknown, of the wrong type or out of range, or if
                the name or the split is not a plain folder name.
        """
        if not isinstance(content, dict):
            raise ValueError(f"a track is {content!r:.40}, expected a mapping")
        if "references" in content and "stems" not in content:  # the name in earlier versions
            content = dict(content)
            content["stems"] = content.pop("references")
        wanted = {f.name for f in fields(cls)}
        missing = {"id", "split", "n_samples", "rms"} - set(content)
        if missing or set(content) - wanted:
            odd = sorted(map(str, missing or set(content) - wanted))
            what = "lacks" if missing else "has the unknown"
            raise ValueError(f"a track {what} {', '.join(odd)}")
        track = cls(**content)
        for key in ("id", "split"):
            why = why_not_plain(getattr(track, key))
            if why:
                name = getattr(track, key)
                raise ValueError(f"the {key} {name!r:.60} of a track {why}; it names a folder")
        counts = track.n_notes if isinstance(track.n_notes, dict) else {"": None}
        good = {
            "n_samples": _is_count(track.n_samples) and track.n_samples < 2**48,
            "rms": is_number(track.rms) and 0 <= track.rms < math.inf,
            "n_notes": all(_is_count(count) for count in counts.values()),
            "stems": isinstance(track.stems, list)
            and not any(why_not_plain(name) for name in track.stems),
            "facts": isinstance(track.facts, dict),
            "audio": isinstance(track.audio, str),
            "uncertain": _are_stretches(track.uncertain),
        }
        wrong = [key for key, value in good.items() if not value]
        if wrong:
            raise ValueError(
                f"{wrong[0]} of the track {track.split}/{track.id} is "
                f"{getattr(track, wrong[0])!r:.60}"
            )
        return track


def is_number(value: Any) -> bool:
    """Whether a value of a JSON file is a number; True and False are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_stretches(value: Any) -> bool:
    """Whether a value is a list of pairs (start, stop) in order, without overlap."""
    if not isinstance(value, list):
        return False
    pairs = [pair for pair in value if isinstance(pair, list) and len(pair) == 2]
    edges = [0, *(edge for pair in pairs for edge in pair)]
    return (
        len(pairs) == len(value)
        and all(is_number(edge) and edge < 2**48 for edge in edges)
        and all(start < stop for start, stop in pairs)
        and edges == sorted(edges)
    )
