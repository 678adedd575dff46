r"""The most likely path of a recording through a score, with jumps and interruptions.

A hidden Markov model whose clock is the recording (all choices ours). Its states are the frames of
the score and one more for music, silence or applause that the score does not have. From one frame
of the recording to the next, the score advances by 0 to :data:`MOST_ADVANCE` frames, at a cost that
grows with the distance from 1; a jump to any frame of the score costs a
penalty, and so does an interruption. The Viterbi algorithm keeps the sums of a block of frames at a
time, searches the other blocks again on the way back, and finds the steps of the path from the sums
rather than from back pointers. Its memory grows with the length times its square root, not with the
square of the length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

#: Frames of the score that may pass during one frame of the recording.
MOST_ADVANCE = 4
#: The cost of advancing by 0, 1, … frames where the tempo is unknown.
FREE_TEMPO = (0.15, 0.0, 0.15, 0.6, 1.0)

_EDGE = 3  # frames at the beginning and the end of the score that are edges
_CELLS = 2**23  # pairs of frames whose sums are kept at a time, unless the recording is long


@dataclass(frozen=True)
class Penalties:
    """What deviations from an uninterrupted path cost, in standard deviations of the evidence.

    Args:
        jump (float): To jump to another place of the score.
        leave (float): To leave the score before its end, and to begin in it after its beginning,
            at most.
        edge (float): To leave it at its end or to enter it at its beginning.
        slope (float): What it costs more to leave a frame sooner, or to enter a frame later. Where
            advances of more than one frame cost more than that, the path of a recording that ends
            shortly before its score does not hurry to the end of the score.
        outside (float): Evidence per frame for what is not in the score.
        advance (tuple): To advance by 0 to :data:`MOST_ADVANCE` frames.
    """

    jump: float = 50.0
    leave: float = 20.0
    edge: float = 1.0
    slope: float = 0.8
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
        bias = -0.5 * rise_weight * (score[:, half:] ** 2).sum(axis=1)
        weights = np.vstack([(score * scale).T, bias])
        ones = np.ones((len(audio), 1), dtype=np.float32)
        self.audio = np.hstack([audio, ones])
        rows = np.random.default_rng(0).integers(0, len(audio), 400)
        sounds = score[:, :half].any(axis=1)
        apart = rest is not None and sounds.any() and not sounds.all()
        raw = self.audio[rows] @ (weights[:, sounds] if apart else weights)
        self.mean, self.deviation = float(raw.mean()), max(float(raw.std()), 1e-3)
        # The whole evidence is one product of matrices, since these grow to gigabytes.
        weights[-1] -= self.mean
        weights /= self.deviation
        if rest is not None:
            weights[:, ~sounds] = 0
            weights[-1, ~sounds] = rest
        self.weights = np.ascontiguousarray(weights, dtype=np.float32)

    @property
    def n_score(self) -> int:
        """Number of frames of the score."""
        return self.weights.shape[1]

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Evidence of frames of the recording, shape (stop - start, n_score), float32."""
        return np.asarray(self.audio[start:stop] @ self.weights)

    def along(self, path: np.ndarray) -> np.ndarray:
        """Evidence along a path, NaN where it is outside of the score."""
        inside = np.flatnonzero(path >= 0)
        found = np.full(len(path), np.nan)
        found[inside] = np.einsum("tf,ft->t", self.audio[inside], self.weights[:, path[inside]])
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
    model = _Model(n_score, penalties)
    path = np.full(n_audio, -1, dtype=np.int64)
    at: int | None = None
    total = 0.0
    for start, before, scores, outside in _backward_blocks(model, rows, n_audio):
        if at is None:
            at, total = model.best_end(_State(scores[-1], outside[-1]))
        for t in range(len(scores) - 1, -1, -1):
            path[start + t] = at
            at = model.came_from(at, _State(scores[t - 1], outside[t - 1]) if t else before)
    return path, total


def find_total(
    rows: Callable[[int, int], np.ndarray], n_audio: int, n_score: int, penalties: Penalties
) -> float:
    """The sum of evidence minus penalties of the most likely path, without the path."""
    model = _Model(n_score, penalties)
    state = model.initial()
    size = _block_size(n_audio, n_score)
    for start in range(0, n_audio, size):
        scores, outside = model.run(state, rows(start, min(start + size, n_audio)))
        state = _State(scores[-1].copy(), outside[-1])
    return model.best_end(state)[1]


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
    # Reversed in both times, an advance is an advance, and the beginning is the end.
    model = _Model(n_score, penalties)
    margins = np.full(n_audio, np.nan)
    later = model.initial()
    best: float | None = None
    for start, _, scores, outside in _backward_blocks(model, rows, n_audio):
        if best is None:
            best = model.best_end(_State(scores[-1], outside[-1]))[1]
        stop = start + len(scores)
        evidence = rows(start, stop)
        reverse, beyond = model.run(later, evidence[::-1, ::-1])
        later = _State(reverse[-1].copy(), beyond[-1])
        scores -= evidence  # which the searches from both ends have
        scores += reverse[::-1, ::-1]
        for t in np.flatnonzero(path[start:stop] >= 0):
            at = path[start + t]
            scores[t, max(0, at - apart) : at + apart + 1] = -np.inf
            margins[start + t] = max(0.0, best - float(scores[t].max(initial=-np.inf)))
    return margins


def _block_size(n_audio: int, n_score: int) -> int:
    """Frames of the recording that are searched at a time."""
    return max(256, math.isqrt(n_audio), _CELLS // n_score)


def _backward_blocks(
    model: _Model, rows: Callable[[int, int], np.ndarray], n_audio: int
) -> Iterator[tuple[int, _State, np.ndarray, np.ndarray]]:
    """Blocks of a search, the last first: first frame, state before it, and all its states."""
    size = _block_size(n_audio, model.n)
    starts = list(range(0, n_audio, size))
    kept = [model.initial()]
    for start in starts:
        scores, outside = model.run(kept[-1], rows(start, min(start + size, n_audio)))
        if start != starts[-1]:
            kept.append(_State(scores[-1].copy(), outside[-1]))
    yield starts[-1], kept[-1], scores, outside
    for start, before in zip(starts[-2::-1], kept[-2::-1]):
        del scores
        scores, outside = model.run(before, rows(start, start + size))
        yield start, before, scores, outside


class _State(NamedTuple):
    """Best sums up to a frame of the recording that end in each frame of the score, or outside."""

    scores: np.ndarray  # (n_score,)
    outside: float


class _Model:
    def __init__(self, n_score: int, penalties: Penalties) -> None:
        self.penalties = penalties
        self.n = n_score
        self.advance = np.array(penalties.advance, dtype=np.float32)
        # What entering costs at each frame, and leaving, in the reverse order.
        beyond = np.maximum(np.arange(n_score) - (_EDGE - 1), 0)
        costs = np.minimum(penalties.edge + penalties.slope * beyond, penalties.leave)
        self.enter: np.ndarray = costs.astype(np.float32)
        self.leave = self.enter[::-1]
        #: Frames at the beginning and the end at which they cost less than elsewhere.
        self.near = max(1, int(np.sum(self.enter < np.float32(penalties.leave))))

    def initial(self) -> _State:
        return _State(np.full(self.n, -np.inf, dtype=np.float32), 0.0)

    def best_exit(self, scores: np.ndarray) -> float:
        """The best sum of a path that leaves the score."""
        return float((scores - self.leave).max())

    def exit(self, scores: np.ndarray) -> int:
        """Where that path leaves the score."""
        return int((scores - self.leave).argmax())

    def best_end(self, state: _State) -> tuple[int, float]:
        """Last frame of the best path, -1 if it is outside of the score, and its sum."""
        inside = self.best_exit(state.scores)
        return (self.exit(state.scores), inside) if inside >= state.outside else (-1, state.outside)

    def came_from(self, at: int, before: _State) -> int:
        """Where the best path to a frame of the score, or to outside of it (-1), was before."""
        scores, outside = before
        if at < 0:
            return -1 if outside >= self.best_exit(scores) else self.exit(scores)
        steps = min(MOST_ADVANCE, at) + 1
        sums = scores[at - steps + 1 : at + 1][::-1] - self.advance[:steps]
        step = int(sums.argmax())
        entered = outside - float(self.enter[at])
        top = float(scores.max()) - self.penalties.jump
        if entered > max(float(sums[step]), top):
            return -1
        return at - step if sums[step] >= top else int(scores.argmax())

    def run(self, state: _State, evidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sums at every frame of a block, and those outside of the score."""
        penalties, n, near = self.penalties, self.n, self.near
        enter, leave = self.enter[:near], self.leave[-near:]
        entered, left = np.empty(near, dtype=np.float32), np.empty(near, dtype=np.float32)
        found = np.empty(evidence.shape, dtype=np.float32)
        beyond = np.empty(len(evidence))
        padded = np.full(n + MOST_ADVANCE, -np.inf, dtype=np.float32)
        before = np.lib.stride_tricks.sliding_window_view(padded, n)[::-1]
        advance = self.advance[:, None]
        advanced = np.empty((MOST_ADVANCE + 1, n), dtype=np.float32)
        best = np.empty(n, dtype=np.float32)
        scores, outside = state
        # Few calls per frame: in songs of some minutes they take longer than the arithmetic.
        for t in range(len(evidence)):
            top = float(np.maximum.reduce(scores))
            padded[MOST_ADVANCE:] = scores
            np.subtract(before, advance, out=advanced)
            np.maximum.reduce(advanced, axis=0, out=best)
            np.maximum(best, max(top - penalties.jump, outside - penalties.leave), out=best)
            np.subtract(np.float32(outside), enter, out=entered)
            np.maximum(best[:near], entered, out=best[:near])
            np.subtract(scores[-near:], leave, out=left)
            edge = float(np.maximum.reduce(left))
            outside = max(outside, top - penalties.leave, edge) + penalties.outside
            scores = np.add(best, evidence[t], out=found[t])
            beyond[t] = outside
        return found, beyond
