"""The path: the Viterbi algorithm against an exhaustive one, and sections."""

import numpy as np
import pytest

import asteroid_scoresup.alignment.path as path_search
from asteroid_scoresup.alignment.jumps import find_sections
from asteroid_scoresup.alignment.path import (
    Evidence,
    Penalties,
    find_margins,
    find_path,
    find_total,
)


def plain_viterbi(evidence, penalties):
    """The same model with an explicit matrix of transitions; the last state is the outside."""
    n_audio, n = evidence.shape
    cost = np.full((n + 1, n + 1), np.inf)
    for i in range(n):
        cost[i, :n] = penalties.jump
        for step, price in enumerate(penalties.advance):
            if i + step < n:
                cost[i, i + step] = min(price, penalties.jump)
    for i in range(n):
        cost[n, i], cost[n - 1 - i, n] = (edge_cost(i, penalties),) * 2
    cost[n, n] = 0
    gain = np.column_stack([evidence, np.full(n_audio, penalties.outside)])
    score = np.full(n + 1, -np.inf)
    score[n] = 0  # before the first frame
    for row in gain:
        score = (score[:, None] - cost).max(axis=0) + row
    return max(score[n], (score[:n] - cost[:n, n]).max())


def edge_cost(frames, penalties):
    """What it costs to enter a score some frames after its beginning."""
    return min(penalties.edge + penalties.slope * max(0, frames - 2), penalties.leave)


def value(path, evidence, penalties):
    """Evidence minus penalties of a given path."""
    n, total, before = evidence.shape[1], 0.0, -1
    for t, at in enumerate([*path, -1]):
        if at >= 0 and before >= 0:
            step = at - before
            free = penalties.advance[step] if 0 <= step < len(penalties.advance) else np.inf
            total -= min(free, penalties.jump)
        elif at >= 0:
            total -= edge_cost(at, penalties)
        elif before >= 0:
            total -= edge_cost(n - 1 - before, penalties)
        if t < len(path):
            total += evidence[t, at] if at >= 0 else penalties.outside
        before = at
    return total


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("jump", [2.0, 6.0])
def test_equals_an_exhaustive_search(seed, jump, monkeypatch):
    monkeypatch.setattr(path_search, "_CELLS", 1)
    rng = np.random.default_rng(seed)
    evidence = rng.normal(size=(600, 12)).astype(np.float32)  # three blocks
    penalties = Penalties(jump=jump, leave=jump / 2, edge=0.5, slope=0.4, outside=0.6)
    path, total = find_path(lambda a, b: evidence[a:b], *evidence.shape, penalties)
    assert total == pytest.approx(plain_viterbi(evidence, penalties), abs=0.05)
    assert value(path, evidence, penalties) == pytest.approx(total, abs=0.05)
    alone = find_total(lambda a, b: evidence[a:b], *evidence.shape, penalties)
    assert alone == pytest.approx(total, abs=1e-3)


@pytest.mark.parametrize("n_score", [2, 3, 12, 40])
def test_short_scores_are_searched_to_their_ends(n_score):
    evidence = np.random.default_rng(n_score).normal(size=(50, n_score)).astype(np.float32)
    evidence[:, -1] += 2
    penalties = Penalties(50.0, 45.0, outside=0.3)
    path, total = find_path(lambda a, b: evidence[a:b], *evidence.shape, penalties)
    assert total == pytest.approx(plain_viterbi(evidence, penalties), abs=0.01)
    assert value(path, evidence, penalties) == pytest.approx(total, abs=0.01)


def test_margins_equal_a_search_without_the_path(monkeypatch):
    monkeypatch.setattr(path_search, "_CELLS", 1)
    rng = np.random.default_rng(4)
    evidence = rng.normal(size=(300, 10)).astype(np.float32)  # two blocks
    penalties = Penalties(jump=6.0, leave=3.0, edge=0.5, outside=0.4)

    def rows(start, stop):
        return evidence[start:stop]

    path, total = find_path(rows, *evidence.shape, penalties)
    margins = find_margins(rows, path, 10, penalties, 1)
    assert np.array_equal(np.isnan(margins), path < 0)
    for t in (0, 100, 255, 256, 299):
        if path[t] < 0:
            continue
        elsewhere = np.abs(np.arange(10) - path[t]) > 1
        best = -np.inf
        for place in np.flatnonzero(elsewhere):
            only = evidence.copy()
            only[t, np.arange(10) != place] = -1e4
            only[t, place] += 100  # so that the path is not outside either
            best = max(best, plain_viterbi(only, penalties) - 100)
        assert margins[t] == pytest.approx(total - best, abs=0.05)


@pytest.mark.parametrize("missing", [5, 15, 30])
def test_does_not_hurry_to_the_ends_of_the_score(missing):
    # A recording that begins shortly after its score, and ends shortly before it.
    truth = np.arange(missing, 300 - missing)
    evidence = np.random.default_rng(2).normal(0, 0.5, (len(truth), 300)).astype(np.float32)
    evidence[np.arange(len(truth)), truth] += 2
    penalties = Penalties(80.0, 45.0, outside=0.3, advance=(2.0, 0.0, 2.0, 6.0, 10.0))
    path, _ = find_path(lambda a, b: evidence[a:b], *evidence.shape, penalties)
    assert np.array_equal(path, truth)


def test_rests_fit_whatever_is_played():
    rng = np.random.default_rng(1)
    audio, score = (rng.random((n, 176), dtype=np.float32) for n in (50, 40))
    score[10:20] = 0
    fit = Evidence(audio, score, rest=0.25)
    rows = fit.rows(0, 50)
    assert np.all(rows[:, 10:20] == np.float32(0.25))
    assert np.delete(rows, np.arange(10, 20), axis=1).mean() == pytest.approx(0, abs=0.1)
    assert fit.along(np.array([3, 15]))[1] == 0.25


def test_finds_a_jump_and_an_interruption():
    truth = np.concatenate([np.arange(60), np.full(40, -1), np.arange(60, 90), np.arange(20, 70)])
    evidence = np.random.default_rng(0).normal(0, 0.1, (len(truth), 100)).astype(np.float32)
    inside = truth >= 0
    evidence[np.flatnonzero(inside), truth[inside]] += 3
    penalties = Penalties(jump=20.0, leave=8.0)
    path, _ = find_path(lambda a, b: evidence[a:b], *evidence.shape, penalties)
    assert np.mean(path == truth) > 0.95
    sections = find_sections(path, 0.1)
    assert len(sections) == 3
    assert [s.audio[0] for s in sections] == pytest.approx([0, 10, 13], abs=0.2)
    assert sections[2].score[0] == pytest.approx(2.0, abs=0.3)


def test_small_irregularities_are_no_jumps():
    path = np.concatenate([np.arange(100), np.arange(106, 200)])
    (section,) = find_sections(path, 0.1)
    assert np.all(np.diff(section.score) > 0) and section.audio[-1] > 19


def test_short_sections_are_dropped():
    path = np.concatenate([np.full(50, -1), np.arange(400, 410), np.full(50, -1), np.arange(100)])
    (section,) = find_sections(path, 0.1)
    assert section.audio[0] == pytest.approx(11.05)


def test_evidence_is_relative_to_chance():
    rng = np.random.default_rng(1)
    audio, score = (
        rng.random((300, 176), dtype=np.float32),
        rng.random((200, 176), dtype=np.float32),
    )
    fit = Evidence(audio, score, 0.7)
    rows = fit.rows(0, 300)
    assert abs(rows.mean()) < 0.1 and rows.std() == pytest.approx(1, abs=0.1)
    path = np.array([5, -1, 7])
    along = fit.along(path)
    assert along[0] == pytest.approx(rows[0, 5], abs=1e-4) and np.isnan(along[1])
    raw = audio[2, :88] @ score[7, :88] + 0.7 * (
        audio[2, 88:] @ score[7, 88:] - 0.5 * score[7, 88:] @ score[7, 88:]
    )
    assert along[2] == pytest.approx((raw - fit.mean) / fit.deviation, abs=1e-3)
