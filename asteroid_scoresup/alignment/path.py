r"""The most likely path of a recording through a score, with jumps and interruptions.

A hidden Markov model whose clock is the recording (all choices ours). Its states are the frames of
the score and one more for music, silence or applause that the score does not have. From one frame
of the recording to the next, the score advances by 0 to :data:`MOST_ADVANCE` frames, at a cost that
grows with the distance from 1; a jump to any frame of the score costs a
penalty, and so does an interruption. The Viterbi algorithm keeps the scores of every n-th frame
only and computes the back pointers again from there, so that its memory grows with the length
times its square root, not with the square of the length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: Frames of the score that may pass during one frame of the recording.
MOST_ADVANCE = 4
#: The cost of advancing by 0, 1, … frames where the tempo is unknown.
FREE_TEMPO = (0.15, 0.0, 0.15, 0.6, 1.0)

_JUMP, _RESUME = 5, 6  # back pointers beyond those of an advance


@dataclass(frozen=True)
class Penalties:
    """What deviations from an uninterrupted path cost, in standard deviations of the evidence.

    Args:
        jump (float): To jump to another place of the score.
        leave (float): To leave the score before its end, and to begin in it after its beginning.
        edge (float): To leave it at its end or to enter it at its beginning.
        outside (float): Evidence per frame for what is not in the score.
        advance (tuple): To advance by 0 to :data:`MOST_ADVANCE` frames.
    """

    jump: float = 50.0
    leave: float = 20.0
    edge: float = 1.0
    outside: float = 0.6
    advance: tuple[float, ...] = FREE_TEMPO


class Evidence:
    r"""How well frames of a recording fit frames of a score, in standard deviations above chance.

    Args:
        audio (array): Vectors of the recording, shape :math:`(n\_audio, 176)`.
        score (array): Vectors of the score, shape :math:`(n\_score, 176)`.
        rise_weight (float): Weight of the rises relative to the spectra.
        rest (float, optional): Evidence of frames where the score has a rest, whatever the
            recording plays there: it may have parts that the score does not have.
    """

    def __init__(
        self,
        audio: np.ndarray,
        score: np.ndarray,
        rise_weight: float = 1.0,
        rest: float | None = None,
    ) -> None:
        half = audio.shape[1] // 2
        scale = np.ones(audio.shape[1], dtype=np.float32)
        scale[half:] = rise_weight
        self.audio, self.score = audio, np.ascontiguousarray((score * scale).T)
        self.bias = -0.5 * rise_weight * (score[:, half:] ** 2).sum(axis=1)
        rng = np.random.default_rng(0)
        rows = rng.integers(0, len(audio), 400)
        self.rest = rest
        sounds = score[:, :half].any(axis=1)
        self.rests = np.flatnonzero(~sounds) if rest is not None else np.zeros(0, dtype=np.int64)
        raw = audio[rows] @ self.score + self.bias
        raw = raw[:, sounds] if len(self.rests) and sounds.any() else raw
        self.mean, self.deviation = float(raw.mean()), max(float(raw.std()), 1e-3)

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Evidence of frames of the recording, shape (stop - start, n_score), float32."""
        raw = self.audio[start:stop] @ self.score + self.bias
        found = np.asarray((raw - self.mean) / self.deviation, dtype=np.float32)
        if len(self.rests):
            found[:, self.rests] = self.rest
        return found

    def along(self, path: np.ndarray) -> np.ndarray:
        """Evidence along a path, NaN where it is outside of the score."""
        inside = np.flatnonzero(path >= 0)
        found = np.full(len(path), np.nan)
        raw = np.einsum("tf,ft->t", self.audio[inside], self.score[:, path[inside]])
        found[inside] = (raw + self.bias[path[inside]] - self.mean) / self.deviation
        found[inside[np.isin(path[inside], self.rests)]] = self.rest
        return found


def find_path(
    rows: Callable[[int, int], np.ndarray], n_audio: int, n_score: int, penalties: Penalties
) -> tuple[np.ndarray, float]:
    r"""The most likely path.

    Args:
        rows (callable): ``rows(start, stop)`` is the evidence of frames of the recording, shape
            :math:`(stop - start, n\_score)`.
        n_audio (int): Number of frames of the recording.
        n_score (int): Number of frames of the score.
        penalties (Penalties): What deviations cost.

    Returns:
        tuple: The frame of the score for each frame of the recording, -1 outside of the score,
        int64, shape :math:`(n\_audio,)`; and the sum of evidence minus penalties.
    """
    size = max(256, int(np.sqrt(n_audio)))
    starts = list(range(0, n_audio, size))
    model = _Model(n_score, penalties)
    kept = []
    state = model.initial()
    for start in starts:
        kept.append(state)
        if start != starts[-1]:
            state, _ = model.run(state, rows(start, min(start + size, n_audio)), False)
    path = np.full(n_audio, -1, dtype=np.int64)
    at: int | None = None
    total = 0.0
    for start, before in zip(reversed(starts), reversed(kept)):
        stop = min(start + size, n_audio)
        state, pointers = model.run(before, rows(start, stop), True)
        if at is None:
            at, total = model.best_end(state)
        assert pointers is not None
        for t in range(stop - 1, start - 1, -1):
            path[t] = at
            at = pointers.before(t - start, at)
    return path, total


def find_margins(
    rows: Callable[[int, int], np.ndarray],
    path: np.ndarray,
    n_score: int,
    penalties: Penalties,
    apart: int,
) -> np.ndarray:
    r"""How much worse the best path is that is elsewhere in the score at each frame.

    The best path through each frame of recording and score is the sum of a search from the
    beginning and one from the end (max-marginals). Where the same music occurs more than once,
    and a path by way of the other place costs little, the margin is small.

    Args:
        rows (callable): As for :func:`find_path`.
        path (array): The best path, from :func:`find_path` with the same arguments.
        n_score (int): Number of frames of the score.
        penalties (Penalties): What deviations cost.
        apart (int): Frames of the score by which another place differs, at least.

    Returns:
        :class:`numpy.ndarray`: Margins in standard deviations of the evidence, at least 0, NaN
        where the path is outside of the score, shape :math:`(n\_audio,)`.
    """
    n_audio = len(path)
    size = max(256, int(np.sqrt(n_audio)))
    starts = list(range(0, n_audio, size))
    # Reversed in both times, an advance is an advance, and the beginning is the end.
    model = _Model(n_score, penalties)
    kept = []
    state = model.initial()
    for start in starts:
        kept.append(state)
        state, _ = model.run(state, rows(start, min(start + size, n_audio)), False)
    best = model.best_end(state)[1]
    margins = np.full(n_audio, np.nan)
    later = model.initial()
    for start, before in zip(reversed(starts), reversed(kept)):
        evidence = rows(start, min(start + size, n_audio))
        through = np.empty_like(evidence)
        for t, row in enumerate(evidence):
            before, _ = model.run(before, row[None], False)
            through[t] = before[0]
        for t in range(len(evidence) - 1, -1, -1):
            later, _ = model.run(later, evidence[t, None, ::-1], False)
            through[t] += later[0][::-1] - evidence[t]
            at = path[start + t]
            if at >= 0:
                through[t, max(0, at - apart) : at + apart + 1] = -np.inf
                margins[start + t] = max(0.0, best - float(through[t].max(initial=-np.inf)))
    return margins


@dataclass
class _Pointers:
    advance: np.ndarray  # (frames, n_score), uint8
    jumped_from: np.ndarray  # (frames,): the best frame of the score before each frame
    left_from: np.ndarray  # (frames,): where the outside was entered from, -1: it was outside

    def before(self, t: int, at: int) -> int:
        if at < 0:
            return int(self.left_from[t])
        step = self.advance[t, at]
        if step == _JUMP:
            return int(self.jumped_from[t])
        return -1 if step == _RESUME else at - int(step)


class _Model:
    def __init__(self, n_score: int, penalties: Penalties) -> None:
        self.penalties = penalties
        self.n = n_score
        enter = np.full(n_score, penalties.leave, dtype=np.float32)
        leave = enter.copy()
        near = min(3, n_score)
        enter[:near] = penalties.edge
        leave[-near:] = penalties.edge
        self.enter, self.leave = enter, leave

    def initial(self) -> tuple[np.ndarray, float]:
        return np.full(self.n, -np.inf, dtype=np.float32), 0.0

    def best_end(self, state: tuple[np.ndarray, float]) -> tuple[int, float]:
        inside = state[0] - self.leave
        at = int(inside.argmax())
        return (at, float(inside[at])) if inside[at] >= state[1] else (-1, float(state[1]))

    def run(
        self, state: tuple[np.ndarray, float], evidence: np.ndarray, keep: bool
    ) -> tuple[tuple[np.ndarray, float], _Pointers | None]:
        scores, outside = state[0].copy(), state[1]
        n, jump = self.n, self.penalties.jump
        cost = np.array(self.penalties.advance, dtype=np.float32)
        padded = np.full(n + MOST_ADVANCE, -np.inf, dtype=np.float32)
        pointers = None
        if keep:
            pointers = _Pointers(
                np.zeros((len(evidence), n), dtype=np.uint8),
                np.zeros(len(evidence), dtype=np.int64),
                np.zeros(len(evidence), dtype=np.int64),
            )
        trial = np.empty(n, dtype=np.float32)
        better = np.empty(n, dtype=bool)
        for t, row in enumerate(evidence):
            top = int(scores.argmax())
            padded[MOST_ADVANCE:] = scores
            best = scores - cost[0]
            choice = pointers.advance[t] if pointers is not None else None
            for step in range(1, MOST_ADVANCE + 1):
                before = padded[MOST_ADVANCE - step : n + MOST_ADVANCE - step]
                np.subtract(before, cost[step], trial)
                if choice is not None:
                    np.greater(trial, best, better)
                    choice[better] = step
                np.maximum(best, trial, best)
            level = scores[top] - jump
            if choice is not None:
                choice[best < level] = _JUMP
            np.maximum(best, level, best)
            np.subtract(outside, self.enter, trial)
            if choice is not None:
                choice[best < trial] = _RESUME
            np.maximum(best, trial, best)
            ending = scores - self.leave
            end = int(ending.argmax())
            stays = outside >= ending[end]
            if pointers is not None:
                pointers.jumped_from[t] = top
                pointers.left_from[t] = -1 if stays else end
            outside = (outside if stays else float(ending[end])) + self.penalties.outside
            np.add(best, row, scores)
        return (scores, outside), pointers
