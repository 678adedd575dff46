"""The boundaries between sections, on music that is cut."""

import numpy as np
import pytest

from asteroid_scoresup.alignment import align
from asteroid_scoresup.alignment.align import Aligner
from asteroid_scoresup.alignment.boundaries import move_boundaries
from asteroid_scoresup.alignment.clock import ScoreClock
from asteroid_scoresup.alignment.features import band_levels, loudness
from asteroid_scoresup.alignment.jumps import Section
from asteroid_scoresup.alignment.onsets import Groups
from asteroid_scoresup.utils.stream import Recording
from tests.helpers.tones import RATE, random_notes, render

#: The recording skips the score from 10 s to 18 s.
CUT, LATER = 10.0, 18.0


@pytest.fixture(scope="module")
def skipped():
    notes = random_notes(0)
    audio = render(notes)
    audio = np.concatenate([audio[: int(CUT * RATE)], audio[int(LATER * RATE) :]])
    return notes, audio, band_levels(Recording(audio, RATE))


def sections(boundary, seconds, gap=0.1):
    first = np.arange(0.05, boundary, 0.1)
    second = np.arange(boundary + gap, seconds, 0.1)
    return [Section(first, first), Section(second, second + LATER - CUT)]


@pytest.mark.parametrize("off", [-2.5, -0.7, 0.0, 0.8, 2.5])
def test_a_boundary_moves_to_the_cut(skipped, off):
    notes, audio, levels = skipped
    seconds = len(audio) / RATE
    first, second = move_boundaries(sections(CUT + off, seconds), levels, loudness(levels), notes)
    assert first.audio[-1] == second.audio[0] == pytest.approx(CUT, abs=0.15)
    assert first.score[-1] == pytest.approx(first.audio[-1], abs=1e-6)
    assert second.score[0] == pytest.approx(second.audio[0] + LATER - CUT, abs=1e-6)
    assert second.audio[-1] == pytest.approx(seconds, abs=0.2)


def test_an_interruption_and_short_sections_stay(skipped):
    notes, audio, levels = skipped
    loud = loudness(levels)
    apart = sections(12.0, len(audio) / RATE, gap=1.0)
    assert move_boundaries(apart, levels, loud, notes) == apart
    short = sections(1.0, 2.2)
    assert move_boundaries(short, levels, loud, notes) == short
    assert move_boundaries(apart[:1], levels, loud, notes) == apart[:1]


@pytest.mark.parametrize(("stretch", "kept"), [(1.0, True), (3.5, True), (4.5, False)])
def test_a_score_that_is_stretched_too_far_is_no_section(skipped, stretch, kept):
    notes, audio, levels = skipped
    played = notes.select(notes.onset < CUT)
    aligner = Aligner(levels, played, len(audio) / RATE)
    groups = Groups.of(played.shifted(-aligner.origin))
    time = np.arange(0.05, CUT, 0.1)
    clock = ScoreClock.even(stretch, CUT / stretch)  # of a score that is faster
    found = aligner.span(Section(time, time - aligner.origin), groups, 0.0, CUT, clock)
    assert (found is not None) == kept


def test_a_section_begins_where_the_recording_jumps():
    notes = random_notes(0)
    # Nothing begins during two seconds after the jump.
    notes = notes.select((notes.onset < LATER) | (notes.onset > LATER + 2))
    audio = render(notes)
    audio = np.concatenate([audio[: int(CUT * RATE)], audio[int(LATER * RATE) :]])
    first, second = align(audio, notes, RATE, max_transposition=0).warp.spans
    assert second.audio[0] - first.audio[-1] < 0.15
    assert second.score[0] == pytest.approx(second.audio[0] + LATER - CUT, abs=0.3)
