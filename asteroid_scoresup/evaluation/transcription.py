r"""Transcription: note accuracy per frame, and F1 of note onsets.

Conventions, and what they do to the numbers:

- **Note accuracy** is ``Accuracy`` of ``mir_eval.multipitch``, :math:`TP / (TP + FP + FN)` over all
  frames and pitches of a track, per class, at the frame rate of the rolls (the paper's measure).
  mir_eval matches the pitches of each frame within half a semitone. The pitches of a roll are
  whole semitones, so cells are counted instead, in one pass; the tests compare with mir_eval.
- **Note-onset F1** is ``mir_eval.transcription``'s: onset within 50 ms, pitch within 50 cents;
  *with offset* also requires the offset within 50 ms or 20 % of the note's duration,
  whichever is larger.
- **A class without reference notes has no score** (mir_eval returns 0.0, which would penalize a
  correct empty transcription): it is NaN, left out of means and counted. False notes in such a
  class lower no score; the leakage of silent classes reveals them.
- **Probabilities of frames become notes** by one threshold (if onsets are predicted, see
  :mod:`~asteroid_scoresup.evaluation.onset_decoding`). At frames of 32 ms, two notes of one pitch
  with no frame between them merge, as in the roll itself: the F1 of the true roll against its
  own score is below 1 in music with repeated notes.

The threshold and the shortest note are our choice.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from mir_eval import transcription as mir_transcription
from mir_eval.util import midi_to_hz

from ..score import LOWEST_PITCH, N_PITCHES, Notes

#: Lowest probability of a note that sounds. 0.3 rather than 0.5: a network trained on mostly empty
#: rolls underestimates probabilities, and 0.3 gave 0.01 to 0.05 higher accuracy in our experiments.
NOTE_THRESHOLD = 0.3
#: Velocity of transcribed notes, which is unknown.
VELOCITY = 90

ArrayLike: TypeAlias = np.ndarray | torch.Tensor
_SHORTEST_SECONDS = 1e-3


def frame_accuracy(
    reference_roll: ArrayLike, estimated_roll: ArrayLike, threshold: float = NOTE_THRESHOLD
) -> np.ndarray:
    r"""Fraction of (pitch, frame) cells in both rolls among those in either roll.

    Args:
        reference_roll (array or :class:`torch.Tensor`): The score; a cell sounds if it is > 0.
        estimated_roll (array or :class:`torch.Tensor`): Probabilities or a binary roll.
        threshold (float): A cell of `estimated_roll` sounds if it is at least this value.

    Shape:
        - reference_roll, estimated_roll: :math:`(..., pitches, frames)`, for example
          :math:`(n\_src, 88, frames)`
        - output: :math:`(...)`

    Returns:
        :class:`numpy.ndarray`: float64 in [0, 1]; NaN where the reference has no note.

    Raises:
        ValueError: if the shapes differ, the estimate is not in [0, 1], or `threshold` is not in
            (0, 1].

    Examples
        >>> reference, estimate = np.zeros((1, 88, 4)), np.zeros((1, 88, 4))
        >>> reference[0, 30, :3], estimate[0, 30, 1:] = 1, 0.9
        >>> frame_accuracy(reference, estimate)
        array([0.5])
    """
    reference = torch.as_tensor(reference_roll).detach().cpu() > 0
    found = _probabilities(estimated_roll, threshold) >= threshold
    if reference.ndim < 2 or reference.shape != found.shape:
        raise ValueError(
            f"The reference roll has shape {tuple(reference.shape)}, the estimated roll "
            f"{tuple(found.shape)}: expected twice (..., pitches, frames)."
        )
    hits = (reference & found).sum((-2, -1)).double()
    either = (reference | found).sum((-2, -1)).double()
    accuracy = hits / either.clamp(min=1)
    return accuracy.masked_fill(~reference.any(-1).any(-1), float("nan")).numpy()[()]


def roll_to_notes(
    probabilities: ArrayLike,
    hop_length: int,
    sample_rate: float,
    threshold: float = NOTE_THRESHOLD,
    min_seconds: float = 0.05,
    max_gap_seconds: float = 0.0,
    class_index: int = 0,
) -> Notes:
    r"""Converts note probabilities to notes: one for each run of frames above the threshold.

    A run of frames :math:`a … b` has its onset between the centers of the frames :math:`a - 1` and
    :math:`a`, and its offset between those of :math:`b` and :math:`b + 1`. The note starts and ends
    in the middle of these intervals: times are off by half a hop at most, without bias, and
    :func:`~asteroid_scoresup.score.piano_roll` of the notes returns the run.

    Args:
        probabilities (array or :class:`torch.Tensor`): Note probabilities of one class or of all.
        hop_length (int): Hop of the frames, in samples.
        sample_rate (float): Sample rate, in Hz.
        threshold (float): A pitch sounds where its probability is at least this value.
        min_seconds (float): Shorter notes are dropped (after gaps are closed).
        max_gap_seconds (float): Longest gap within a pitch that is closed; 0 closes none, so that
            repeated notes stay apart.
        class_index (int): Class of the notes if `probabilities` is of one class.

    Shape:
        - probabilities: :math:`(88, frames)` or :math:`(n\_src, 88, frames)`

    Returns:
        Notes: sorted by onset; all velocities are 90.

    Raises:
        ValueError: if there are not 88 pitches, or values are outside [0, 1].

    Examples
        >>> roll = np.zeros((88, 6))
        >>> roll[0, 2:5] = 0.8
        >>> notes = roll_to_notes(roll, hop_length=500, sample_rate=1000)
        >>> notes.onset.tolist(), notes.offset.tolist(), notes.pitch.tolist()
        ([0.75], [2.25], [21])
    """
    sounding = _probabilities(probabilities, threshold) >= threshold
    if sounding.ndim not in (2, 3) or sounding.shape[-2] != N_PITCHES:
        raise ValueError(
            f"The roll has shape {tuple(sounding.shape)}, expected ({N_PITCHES}, frames) or "
            f"(n_src, {N_PITCHES}, frames)."
        )
    one_class = sounding.ndim == 2
    rows = sounding.flatten(0, -2).numpy()
    frame = hop_length / sample_rate

    # A run starts at a difference of +1 and ends at -1; row-major order pairs them.
    edges = np.diff(rows.astype(np.int8), axis=-1, prepend=0, append=0)
    line, first = np.nonzero(edges == 1)
    _, end = np.nonzero(edges == -1)
    if max_gap_seconds > 0 and len(line):
        gap = (first[1:] - end[:-1]) * frame
        joined = (line[1:] == line[:-1]) & (gap <= max_gap_seconds * (1 + 1e-9))
        starts, stops = np.r_[True, ~joined], np.r_[~joined, True]
        line, first, end = line[starts], first[starts], end[stops]
    long_enough = (end - first) * frame >= min_seconds * (1 - 1e-9)
    line, first, end = line[long_enough], first[long_enough], end[long_enough]

    notes = Notes(
        onset=np.maximum(first - 0.5, 0) * frame,
        offset=(end - 0.5) * frame,
        pitch=line % N_PITCHES + LOWEST_PITCH,
        class_index=np.full(len(line), class_index) if one_class else line // N_PITCHES,
        velocity=np.full(len(line), VELOCITY),
    )
    return Notes.concatenate([notes])


def note_scores(
    reference: Notes,
    estimate: Notes,
    names: Sequence[str],
    onset_tolerance: float = 0.05,
    offsets: bool = True,
) -> list[dict]:
    r"""F1 of transcribed notes against the score, one row per class.

    Args:
        reference (Notes): The score.
        estimate (Notes): The transcription.
        names (sequence of str): Names of the classes, by class index.
        onset_tolerance (float): Largest distance between matching onsets, in seconds.
        offsets (bool): Whether to compute ``note_f1_offset`` too, which doubles the time.

    Returns:
        list of dict: per class ``instrument``, ``note_f1`` (onset and pitch), ``note_f1_offset``
        (offset too), both in [0, 1] and NaN for a class without reference notes, and the counts
        ``n_reference`` and ``n_estimate``.

    Raises:
        ValueError: if a note belongs to a class that is not in `names`.

    Examples
        >>> score = Notes([0.0, 1.0], [0.5, 1.5], [40, 41], [0, 0], [90, 90])
        >>> found = Notes([0.04, 1.0], [0.5, 1.5], [40, 42], [0, 0], [90, 90])
        >>> [(row["note_f1"], row["n_reference"]) for row in note_scores(score, found, ["bass"])]
        [(0.5, 2)]
    """
    for label, notes in (("score", reference), ("transcription", estimate)):
        unknown = set(notes.class_index.tolist()) - set(range(len(names)))
        if unknown:
            raise ValueError(
                f"The {label} has notes of the classes {sorted(unknown)}, but there are only "
                f"{len(names)} names: {list(names)}."
            )
    rows = []
    for index, name in enumerate(names):
        true = reference.select(reference.class_index == index)
        found = estimate.select(estimate.class_index == index)
        row = {"instrument": name, "note_f1": float("nan"), "note_f1_offset": float("nan")}
        if len(true):
            names_of = ("note_f1", "note_f1_offset")[: 1 + offsets]
            row.update(zip(names_of, _f1(true, found, onset_tolerance, offsets)))
        rows.append({**row, "n_reference": len(true), "n_estimate": len(found)})
    return rows


def _probabilities(roll: ArrayLike, threshold: float) -> torch.Tensor:
    """The roll on the CPU; logits instead of probabilities are rejected."""
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be in (0, 1], found {threshold}.")
    roll = torch.as_tensor(roll).detach().cpu().float()
    if roll.numel() and not (roll.min() >= 0 and roll.max() <= 1):
        raise ValueError(
            f"The estimated roll has values from {roll.min():.3g} to {roll.max():.3g}, expected "
            "probabilities in [0, 1]: apply a sigmoid to logits first."
        )
    return roll


def onset_scores(
    reference: Notes, estimate: Notes, onset_tolerance: float = 0.05
) -> tuple[float, float, float]:
    """Precision, recall and F1 of note onsets, whatever the classes of the notes.

    A note is found if one of its pitch (within 50 cents) begins within the tolerance.

    Args:
        reference (Notes): The true notes.
        estimate (Notes): The transcribed notes.
        onset_tolerance (float): In seconds.

    Returns:
        tuple: Each in [0, 1]. Recall and F1 are NaN without a reference note; precision is NaN
        without an estimated one, and F1 then 0.

    Examples
        >>> score = Notes([0.0, 1.0], [0.5, 1.5], [40, 41], [0, 1], [90, 90])
        >>> onset_scores(score, score.select(slice(1)))
        (1.0, 0.5, 0.6666666666666666)
    """
    matched = 0
    if len(reference) and len(estimate):
        matched = len(_matched(reference, estimate, onset_tolerance, None))
    precision = matched / len(estimate) if len(estimate) else float("nan")
    if not len(reference):
        return precision, float("nan"), float("nan")
    f1 = 2 * matched / (len(reference) + len(estimate))
    return precision, matched / len(reference), f1


def _f1(true: Notes, found: Notes, onset_tolerance: float, offsets: bool) -> tuple[float, ...]:
    """F1 without and, if wanted, with offsets of the notes of one class; `true` is not empty."""
    if not len(found):
        return 0.0, 0.0
    ratios = (None, 0.2)[: 1 + offsets]
    matched = [len(_matched(true, found, onset_tolerance, ratio)) for ratio in ratios]
    return tuple(2 * number / (len(true) + len(found)) for number in matched)


def _matched(
    true: Notes, found: Notes, onset_tolerance: float, offset_ratio: float | None
) -> list[tuple[int, int]]:
    """Rows of the notes that mir_eval matches, at most one of `found` to each of `true`."""
    # mir_eval rejects negative times (notes cut by a window) and notes without duration. Whole
    # seconds are added, so that its rounding to 0.1 ms stays the same.
    shift = max(0.0, np.ceil(-min(true.onset.min(), found.onset.min())))
    tables = []
    for notes in (true, found):
        offset = np.maximum(notes.offset, notes.onset + _SHORTEST_SECONDS)
        tables.append(np.stack([notes.onset, offset], axis=1) + shift)
        tables.append(midi_to_hz(notes.pitch.astype(np.float64)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        mir_transcription.validate(*tables)
        return list(
            mir_transcription.match_notes(
                *tables, onset_tolerance=onset_tolerance, offset_ratio=offset_ratio
            )
        )
