"""The clock, the mean tempo and the path, on music that repeats itself."""

import numpy as np
import pytest

from asteroid_scoresup.alignment.clock import ScoreClock
from asteroid_scoresup.alignment.features import band_levels, loudness
from asteroid_scoresup.alignment.jumps import find_sections
from asteroid_scoresup.alignment.search import Search
from asteroid_scoresup.score import Notes
from asteroid_scoresup.utils.stream import Recording
from tests.helpers.tones import RATE, at_clock, render

AUDIO_TIMES = np.array([0.0, 10.0, 20.0, 30.0, 50.0])
SCORE_TIMES = np.array([0.0, 7.5, 19.0, 27.0, 42.0])


def ostinato():
    """Three chords, over and over for half a minute, under a melody of few pitches."""
    rng = np.random.default_rng(5)
    chords = ([48, 60, 64], [45, 60, 65], [43, 59, 62])
    rows = []
    for number in range(40):
        start = 0.75 * number
        for pitch in chords[number // 2 % 3]:
            rows.append((start, start + 0.7, pitch, 0, 90))
        rows.append((start + 0.375, start + 0.7, int(rng.choice([72, 74, 76])), 0, 90))
    return Notes(*np.array(sorted(rows)).T)


def damaged(notes):
    """A fifth of the notes missing, a tenth of the others wrong."""
    rng = np.random.default_rng(3)
    wrong = np.where(rng.random(len(notes)) < 0.1, rng.integers(-7, 8, len(notes)), 0)
    return notes.replace(pitch=notes.pitch + wrong).select(rng.random(len(notes)) > 0.2)


@pytest.fixture(scope="module")
def music():
    notes = ostinato()
    levels = band_levels(Recording(render(notes), RATE))
    return notes, levels, loudness(levels)


def search_of(levels, loud, score):
    start = score.onset.min()
    return Search(levels, loud, score.shifted(-start), float(score.release.max() - start)), start


def test_a_clock_and_its_inverse():
    clock = ScoreClock(np.array([0.0, 2.0, 6.0]), np.array([0.0, 4.0, 6.0]))
    times = np.array([-1.0, 0.5, 4.0, 8.0])
    assert clock.of(times) == pytest.approx([-2, 1, 5, 7])
    assert clock.score_at(clock.of(times)) == pytest.approx(times)


def test_a_clock_follows_the_tempo_of_a_path():
    # 60 s of the score at 1.25 times its tempo, then 60 s at 0.8 times.
    place = np.concatenate([np.arange(480) * 1.25, 600 + np.arange(750) * 0.8])
    clock = ScoreClock.even(1.0, 120.0).bent(np.floor(place).astype(int), 0.1, 3.0)
    lengths = np.diff(clock.of(np.array([10.0, 40.0, 70.0, 110.0])))
    assert lengths[[0, 2]] == pytest.approx([24, 50], rel=0.02)
    outside = ScoreClock.even(1.5, 10.0)
    assert outside.bent(np.full(100, -1), 0.1, 3.0) is outside


@pytest.mark.parametrize("stretch", [0.6, 1.4])
def test_finds_the_mean_tempo(music, stretch):
    notes, levels, loud = music
    score = at_clock(notes, np.array([0.0, 100.0]) / stretch, np.array([0.0, 100.0]))
    search, _ = search_of(levels, loud, score)
    assert min(abs(np.log(np.array(search.stretches(0)) / stretch))) < 0.1


def test_does_not_wander_through_repetitions(music):
    notes, levels, loud = music
    score = damaged(at_clock(notes, SCORE_TIMES, AUDIO_TIMES))
    search, start = search_of(levels, loud, score)
    found = search.path(0)
    inside = np.flatnonzero(found.frames >= 0)
    place = found.clock.score_at((found.frames[inside] + 0.5) * found.hop) + start
    truth = np.interp((inside + 0.5) * found.hop, AUDIO_TIMES, SCORE_TIMES)
    assert len(inside) > 280 and np.mean(np.abs(place - truth) < 0.3) > 0.97


def test_does_not_hurry_over_what_the_recording_skips(music):
    notes, _, _ = music
    audio = render(notes)
    skipped = np.concatenate([audio[: 8 * RATE], audio[16 * RATE :]])
    levels = band_levels(Recording(skipped, RATE))
    score = at_clock(notes, SCORE_TIMES, AUDIO_TIMES)
    search, start = search_of(levels, loudness(levels), score)
    found = search.path(0)
    first, second = find_sections(found.frames, found.hop)
    assert first.audio[-1] == pytest.approx(8, abs=0.3)
    edges = found.clock.score_at(np.array([first.score[-1], second.score[0]])) + start
    assert edges == pytest.approx(np.interp([8, 16], AUDIO_TIMES, SCORE_TIMES), abs=0.5)


def test_margins_are_small_where_another_place_fits(music):
    notes, levels, loud = music
    unique = notes.select(slice(0, 24))
    # The same half dozen bars twice, and the recording plays them once.
    twice = Notes.concatenate([unique, unique.shifted(4.5)])
    search, _ = search_of(levels[: int(100 * unique.offset.max())], loud, twice)
    ambiguous = np.nanmedian(search.path(0).margins())
    search, _ = search_of(levels, loud, notes)
    assert ambiguous < 0.5 * np.nanmedian(search.path(0).margins())
