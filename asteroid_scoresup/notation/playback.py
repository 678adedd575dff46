"""The order in which the measures of a score are played: repeats, endings, and jumps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

#: Most measures of a performance; scores of operas have about 10,000.
MAX_MEASURES = 100_000


@dataclass
class Marks:
    """The marks of a measure that determine the order of play.

    Args:
        repeat_start (bool): A forward repeat at its beginning.
        repeat_times (int): How often the passage that ends with it is played; 0 without a backward
            repeat.
        endings (frozenset of int): Passes in which the measure is played; empty for all.
        segno, coda (bool): Targets of jumps, at its beginning.
        dacapo, dalsegno, tocoda, fine (bool): Jumps and the end, at its end.
    """

    repeat_start: bool = False
    repeat_times: int = 0
    endings: frozenset[int] = frozenset()
    segno: bool = False
    coda: bool = False
    dacapo: bool = False
    dalsegno: bool = False
    tocoda: bool = False
    fine: bool = False


def playback_order(marks: Sequence[Marks]) -> list[int]:
    """Unfolds a score.

    Conventions: a passage is repeated from the last forward repeat, or else from the end of the
    passage before. After `da capo` and `dal segno`, which are followed once, repeats are not
    played, and of endings only the last; *to coda* and *fine* count from then on. After the jump to
    the coda, repeats are played again.

    Args:
        marks (sequence of Marks): The measures.

    Returns:
        list of int: Indices of measures.

    Raises:
        ValueError: if the performance has more than :data:`MAX_MEASURES` measures.

    Examples
        >>> first, second = frozenset({1}), frozenset({2})
        >>> playback_order([Marks(), Marks(repeat_times=2, endings=first), Marks(endings=second)])
        [0, 1, 0, 2]
        >>> playback_order([Marks(), Marks(fine=True), Marks(dacapo=True)])
        [0, 1, 2, 0, 1]
    """
    order: list[int] = []
    totals = _passes_of_endings(marks)
    index, start, turn = 0, 0, 1
    jumped = False
    used: set[int] = set()
    segnos = _last_segnos(marks)
    n_skipped = 0
    while index < len(marks):
        mark = marks[index]
        if mark.repeat_start and start != index:
            start, turn = index, 1
        if mark.endings:
            wanted = totals[index] if jumped else turn
            if wanted not in mark.endings:
                n_skipped += 1
                _require_few(n_skipped)
                index += 1
                continue
        order.append(index)
        _require_few(len(order))
        if jumped and mark.fine:
            break
        if jumped and mark.tocoda:
            codas = [k for k in range(index + 1, len(marks)) if marks[k].coda]
            if codas:
                index = start = codas[0]
                turn, jumped = 1, False
                continue
        if mark.repeat_times and not jumped:
            total = totals[index] if mark.endings else mark.repeat_times
            if turn < total:
                turn, index = turn + 1, start
                continue
            start, turn = index + 1, 1
        elif mark.endings and not jumped and turn >= totals[index] and _ends(marks, index):
            start, turn = index + 1, 1
        if (mark.dacapo or mark.dalsegno) and index not in used:
            used.add(index)
            index, jumped = segnos[index] if mark.dalsegno else 0, True
            continue
        index += 1
    return order


def _require_few(n_measures: int) -> None:
    if n_measures > MAX_MEASURES:
        raise ValueError(f"with repeats it has more than {MAX_MEASURES} measures")


def _last_segnos(marks: Sequence[Marks]) -> list[int]:
    """For each measure the last one up to it with a segno; the first of all if there is none."""
    places = (index if mark.segno else 0 for index, mark in enumerate(marks))
    return list(itertools.accumulate(places, max))


def _ends(marks: Sequence[Marks], index: int) -> bool:
    """Whether no measure of an ending follows."""
    return index + 1 == len(marks) or not marks[index + 1].endings


def _passes_of_endings(marks: Sequence[Marks]) -> list[int]:
    """For measures in endings, how often the passage before is played; 0 for the others."""
    totals = [0] * len(marks)
    index = 0
    while index < len(marks):
        stop = index
        while stop < len(marks) and marks[stop].endings:
            stop += 1
        if stop == index:
            index += 1
            continue
        group = range(index, stop)
        total = max(max(marks[k].endings) for k in group)
        # What follows a single ending with a repeat is the last ending, without a bracket.
        if len({marks[k].endings for k in group}) == 1 and marks[stop - 1].repeat_times:
            total += 1
        for k in group:
            totals[k] = total
        index = stop
    return totals
