"""Warps: piecewise linear maps between the time of a score and the time of a recording.

A warp consists of *spans*, in the order of the recording. Within a span, both clocks advance. In
the score, a gap between one span and the next is a section that was skipped, and a step back is a
repeat. In the recording, a gap between spans is an interruption. Times outside of all spans have no
counterpart: intros, applause, and what was not played. A span includes its first instant; its last
belongs to it only where no other span begins there.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..score import Notes
from ..utils.files import atomic_path

#: Seconds of audio that each value of a certainty covers.
CERTAINTY_STEP = 5.0
#: Seconds from which a stretch without a score counts: shorter ones are rests.
LEAST_GAP = 1.0
_TEMPO_SECONDS = 8.0  # of audio: their mean tempo is that of an extension
_LEAST_EXTENSION = 0.01  # seconds of audio by which a span is continued, at least

#: Columns of the files that :meth:`Warp.save_csv` writes.
CSV_COLUMNS = ("span", "score_seconds", "audio_seconds", "certainty")


@dataclass(frozen=True, eq=False)
class Span:
    r"""A stretch of score and recording in which both advance together.

    Args:
        score (array): Times of the anchors in the score, in seconds, shape
            :math:`(n\_anchors,)`, at least two, strictly increasing.
        audio (array): Times of the same anchors in the recording, likewise.

    Raises:
        ValueError: if there are fewer than two anchors, their numbers differ, or times are not
            finite and strictly increasing.

    Examples
        >>> span = Span([0, 10, 20], [1, 12, 21])
        >>> span.to_audio(5.0), span.to_score(21.0)
        (array(6.5), array(20.))
    """

    score: np.ndarray
    audio: np.ndarray

    def __post_init__(self) -> None:
        for name in ("score", "audio"):
            times = np.array(getattr(self, name), dtype=np.float64)
            if times.ndim != 1 or len(times) < 2:
                raise ValueError(
                    f"A span needs at least two anchors, found {name} of shape {times.shape}."
                )
            if not np.isfinite(times).all() or np.any(np.diff(times) <= 0):
                raise ValueError(
                    f"The {name} times of a span must be finite and strictly increasing."
                )
            times.setflags(write=False)
            object.__setattr__(self, name, times)
        if len(self.score) != len(self.audio):
            raise ValueError(
                f"A span has {len(self.score)} anchors in the score and {len(self.audio)} in the "
                "audio, expected as many."
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Span):
            return NotImplemented
        return np.array_equal(self.score, other.score) and np.array_equal(self.audio, other.audio)

    def __hash__(self) -> int:
        return hash((self.score.tobytes(), self.audio.tobytes()))

    def to_audio(self, score_seconds: ArrayLike) -> np.ndarray:
        """Times in the recording, of the same shape; those outside of the span are its ends."""
        return np.asarray(np.interp(np.asarray(score_seconds), self.score, self.audio))

    def to_score(self, audio_seconds: ArrayLike) -> np.ndarray:
        """Times in the score, of the same shape; those outside of the span are its ends."""
        return np.asarray(np.interp(np.asarray(audio_seconds), self.audio, self.score))


@dataclass(frozen=True)
class Warp:
    """A piecewise linear map between the time of a score and the time of a recording.

    Args:
        spans (sequence of Span): In the order of the recording, without overlap there.

    Raises:
        ValueError: if spans overlap in the recording or are not in its order.

    Examples
        The first ten seconds of the score are played at half speed, then repeated in time.

        >>> warp = Warp((Span([0, 10], [1, 21]), Span([0, 10], [21, 31])))
        >>> warp.to_audio([5, 12]), warp.to_score([0.5, 11, 26])
        (array([11., nan]), array([nan,  5.,  5.]))
        >>> warp.notes(Notes([4.0], [6.0], [60], [0], [90])).onset
        array([ 9., 25.])
    """

    spans: tuple[Span, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "spans", tuple(self.spans))
        for number, (before, after) in enumerate(zip(self.spans, self.spans[1:])):
            if after.audio[0] < before.audio[-1]:
                raise ValueError(
                    f"Span {number + 1} of a warp begins at {after.audio[0]:.3f} s of the audio, "
                    f"before span {number} ends ({before.audio[-1]:.3f} s)."
                )

    @classmethod
    def identity(cls, seconds: float) -> Warp:
        """The warp of a score that is on the clock of its recording, from 0 to `seconds`."""
        return cls((Span(np.array([0.0, seconds]), np.array([0.0, seconds])),))

    def to_audio(self, score_seconds: ArrayLike) -> np.ndarray:
        """Times in the recording.

        Args:
            score_seconds (array): Times in the score, in seconds, of any shape.

        Returns:
            :class:`numpy.ndarray`: The same shape; NaN where the recording does not have that part
            of the score, and the first time where it has it more than once.
        """
        wanted = np.asarray(score_seconds, dtype=np.float64)
        found = np.full(wanted.shape, np.nan)
        # A span goes before another that ends where it begins.
        for ends in (False, True):
            for span in self.spans:
                inside = (wanted >= span.score[0]) & (wanted < span.score[-1])
                if ends:
                    inside = wanted == span.score[-1]
                found = np.where(inside & np.isnan(found), span.to_audio(wanted), found)
        return found

    def to_score(self, audio_seconds: ArrayLike) -> np.ndarray:
        """Times in the score.

        Args:
            audio_seconds (array): Times in the recording, in seconds, of any shape.

        Returns:
            :class:`numpy.ndarray`: The same shape; NaN where the score has nothing.
        """
        wanted = np.asarray(audio_seconds, dtype=np.float64)
        found = np.full(wanted.shape, np.nan)
        for span in self.spans:  # a later span goes before one that ends where it begins
            inside = (wanted >= span.audio[0]) & (wanted <= span.audio[-1])
            found = np.where(inside, span.to_score(wanted), found)
        return found

    def gaps(self, seconds: float, least: float = LEAST_GAP) -> list[tuple[float, float]]:
        """The stretches of a recording that have no score, before, between and after the spans.

        Args:
            seconds (float): Length of the recording.
            least (float): Stretches up to this length are left out, in seconds.

        Returns:
            list of tuple: Their (start, stop) in seconds, in order.

        Examples
            >>> Warp((Span([0, 10], [3, 12]), Span([10, 20], [12.5, 22]))).gaps(30.0)
            [(0.0, 3.0), (22.0, 30.0)]
        """
        edges = [float(edge) for span in self.spans for edge in (span.audio[0], span.audio[-1])]
        gaps = zip([0.0, *edges[1::2]], [*edges[::2], seconds])
        return [(start, stop) for start, stop in gaps if stop - start > least]

    def extended(self, first: float, last: float, seconds: float) -> Warp:
        """The warp continued to earlier and later times of the score, at the tempo of its ends.

        Args:
            first (float): Time in the score to which the first span is continued, in seconds.
            last (float): Time in the score to which the last span is continued.
            seconds (float): Length of the recording, beyond which no span is continued.

        Returns:
            Warp: One with the same number of spans.

        Examples
            >>> warp = Warp((Span([10, 20], [7, 12]),)).extended(0.0, 22.0, 60.0)
            >>> warp.spans[0].score, warp.spans[0].audio
            (array([ 0., 10., 20., 22.]), array([ 2.,  7., 12., 13.]))
        """
        if not self.spans:
            return self
        spans = list(self.spans)
        head = spans[0]
        tempo = first_tempo(head.score, head.audio)
        at = head.audio[0] - (head.score[0] - first) / tempo
        if at < 0:
            at, first = 0.0, head.score[0] - head.audio[0] * tempo
        if head.audio[0] - at >= _LEAST_EXTENSION:
            spans[0] = Span(np.insert(head.score, 0, first), np.insert(head.audio, 0, at))
        tail = spans[-1]
        tempo = first_tempo(-tail.score[::-1], -tail.audio[::-1])
        at = tail.audio[-1] + (last - tail.score[-1]) / tempo
        if at > seconds:
            at, last = seconds, tail.score[-1] + (seconds - tail.audio[-1]) * tempo
        if at - tail.audio[-1] >= _LEAST_EXTENSION:
            spans[-1] = Span(np.append(tail.score, last), np.append(tail.audio, at))
        return Warp(tuple(spans))

    def notes(self, notes: Notes) -> Notes:
        """The notes where the recording plays them.

        A note is played by every span in which it begins: notes of skipped sections are dropped,
        and those of repeats occur more than once. Notes that last beyond a span end with it.
        Pitches do not change.

        Args:
            notes (Notes): Notes on the clock of the score.

        Returns:
            Notes: Notes on the clock of the recording, sorted by onset.
        """
        return Notes.concatenate(_played(notes, span) for span in self.spans)

    def plain(self) -> dict[str, Any]:
        """The warp in plain types, for JSON; :meth:`of` is the inverse."""
        spans = [{"score": s.score.tolist(), "audio": s.audio.tolist()} for s in self.spans]
        return {"spans": spans}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Warp:
        """The warp that :meth:`plain` described.

        Raises:
            ValueError: if it is malformed.
        """
        try:
            return cls(tuple(Span(one["score"], one["audio"]) for one in plain["spans"]))
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(
                "This is not a warp: expected {'spans': [{'score': […], 'audio': […]}, …]}, found "
                f"{str(plain)[:100]}."
            ) from error

    def save_csv(
        self, path: str | Path, certainty: Sequence[float] | np.ndarray | None = None
    ) -> None:
        """Writes the anchors as a table with the columns of :data:`CSV_COLUMNS`.

        Args:
            path (str or Path): File to write.
            certainty (array, optional): Certainty of successive stretches of
                :data:`CERTAINTY_STEP` seconds of audio, 0 to 1. The column is empty where none is
                known.
        """
        values = np.asarray([] if certainty is None else certainty, dtype=np.float64)
        with atomic_path(path) as temporary, open(temporary, "w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(CSV_COLUMNS)
            for number, span in enumerate(self.spans):
                for score, audio in zip(span.score, span.audio):
                    place = int(audio // CERTAINTY_STEP)
                    sure = values[place] if 0 <= place < len(values) else math.nan
                    known = "" if math.isnan(sure) else f"{sure:.3f}"
                    writer.writerow([number, f"{score:.6f}", f"{audio:.6f}", known])


def first_tempo(score: np.ndarray, audio: np.ndarray, seconds: float = _TEMPO_SECONDS) -> float:
    """The mean tempo of the first seconds of a span: time in the score per time in the audio."""
    near = max(1, int(np.searchsorted(audio, audio[0] + seconds, side="right")) - 1)
    return float((score[near] - score[0]) / (audio[near] - audio[0]))


def _played(notes: Notes, span: Span) -> Notes:
    """The notes that begin in a span, at their times in the recording."""
    begins = (notes.onset >= span.score[0]) & (notes.onset < span.score[-1])
    kept = notes.select(np.flatnonzero(begins))
    onset = span.to_audio(kept.onset)
    bend = None
    if kept.bend is not None:
        bend = [
            None if steps is None else _moved_bend(steps, start, at, span)
            for steps, start, at in zip(kept.bend, kept.onset, onset)
        ]
    return kept.replace(
        onset=onset,
        offset=span.to_audio(kept.offset),
        release=span.to_audio(kept.release),
        bend=bend,
    )


def _moved_bend(steps: np.ndarray, start: float, at: float, span: Span) -> np.ndarray:
    """The steps of the bend of a note that begins at `start` in the score and `at` in the audio."""
    times = start + steps[:, 0]
    # The first step counts for the beginning of the note, too, whatever its time is.
    kept = (times < span.score[-1]) | (np.arange(len(steps)) == 0)
    return np.column_stack([span.to_audio(times[kept]) - at, steps[kept, 1]])
