"""Piano-rolls and activities against a frame-by-frame reference in plain Python."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import random_notes
from torch.utils._python_dispatch import TorchDispatchMode

from asteroid_scoresup.dsp import FrameGrid
from asteroid_scoresup.score import (
    N_PITCHES,
    Notes,
    SoundingOptions,
    clip_activity,
    frame_activity,
    frame_times,
    piano_roll,
    sounding_roll,
)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
N_SRC, N_FRAMES = 2, 12
GRID = 64  # Times are drawn in 64ths of a frame, so that the reference can count in integers.
RATES = st.sampled_from([(512, 16000), (64, 4000), (441, 44100)])
ROWS = st.lists(
    st.tuples(
        st.integers(-3 * GRID, (N_FRAMES + 2) * GRID),
        st.one_of(st.integers(0, GRID), st.integers(0, 6 * GRID), st.just(2 * GRID)),
        st.integers(19, 110),
        st.integers(0, N_SRC),
        st.integers(1, 127),
    ).filter(lambda row: has_nearest_frame(*row[:2])),
    max_size=8,
)


def has_nearest_frame(onset, length):
    """Whether a note contains the center of a frame, or is not exactly between two of them."""
    return length >= GRID or (2 * onset + length) % (2 * GRID) != GRID


def make_notes(rows, hop, rate):
    unit = hop / (rate * GRID)
    columns = np.array(rows, dtype=float).reshape(-1, 5).T
    return Notes(columns[0] * unit, (columns[0] + columns[1]) * unit, *columns[2:])


def frames_of(onset, length):
    """The frames whose center lies in [onset, onset + length), in 64ths of a frame."""
    on = [n for n in range(-10, N_FRAMES + 12) if onset <= n * GRID < onset + length]
    return on or [round((2 * onset + length) / (2 * GRID))]


def grid(hop_length, sample_rate):
    return FrameGrid(2 * hop_length, hop_length, sample_rate)


def reference(rows, before=0, after=0, level=lambda *_: 1.0):
    roll = np.zeros((N_SRC, N_PITCHES, N_FRAMES))
    for onset, length, pitch, source, velocity in rows:
        frames = frames_of(onset, length)
        for frame in range(frames[0] - before, frames[-1] + after + 1):
            if 0 <= frame < N_FRAMES and 21 <= pitch <= 108 and source < N_SRC:
                value = level(frame - onset / GRID, source, velocity)
                cell = source, pitch - 21, frame
                roll[cell] = max(roll[cell], value)
    return roll


@pytest.mark.parametrize("device", DEVICES)
@settings(deadline=None)
@given(rows=ROWS, rates=RATES)
def test_piano_roll_is_the_score_at_the_frame_centres(device, rows, rates):
    roll = piano_roll(make_notes(rows, *rates), N_SRC, N_FRAMES, grid(*rates), device=device)
    assert roll.device.type == device
    np.testing.assert_array_equal(roll.cpu(), reference(rows))


@pytest.mark.parametrize("device", DEVICES)
@settings(deadline=None)
@given(
    rows=ROWS,
    rates=RATES,
    before=st.integers(0, 3),
    after=st.integers(0, 3),
    fade=st.one_of(st.none(), st.tuples(*[st.floats(0.05, 10) | st.just(math.inf)] * N_SRC)),
    use_velocity=st.booleans(),
)
def test_sounding_roll(device, rows, rates, before, after, fade, use_velocity):
    def level(frames, source, velocity):
        seconds = max(frames * rates[0] / rates[1], 0)
        value = velocity / 127 if use_velocity else 1
        return value * (math.exp(-seconds / fade[source]) if fade else 1)

    notes = make_notes(rows, *rates)
    options = SoundingOptions(before, after, fade, use_velocity)
    roll = sounding_roll(notes, N_SRC, N_FRAMES, grid(*rates), options, device=device)
    assert roll.device.type == device
    np.testing.assert_allclose(roll.cpu(), reference(rows, before, after, level), atol=1e-6)


def test_an_hour_in_nothing_has_drifted():
    n = 3600 * 16000 // 512
    times = frame_times(n + 4, grid(512, 16000))
    # From one frame center to another: on at the first, off at the second.
    notes = Notes([float(times[n])], [float(times[n + 2])], [60], [0], [64])
    on = piano_roll(notes, 1, n + 4, grid(512, 16000))[0, 60 - 21].nonzero().flatten()
    assert on.tolist() == [n, n + 1]


@pytest.mark.parametrize("first", [0, 1, 7, 30])
def test_a_segment_has_the_roll_of_its_place_in_the_song(first):
    notes = random_notes(np.random.default_rng(first), 4.0)
    whole = piano_roll(notes, 3, 200, grid(64, 4000))
    start = first * 64 / 4000
    piece = piano_roll(notes.within(start, start + 1, margin=1.0), 3, 50, grid(64, 4000))
    assert piece.sum() > 0
    torch.testing.assert_close(piece, whole[..., first : first + 50], rtol=0, atol=0)


class CountOperations(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("draw", [piano_roll, sounding_roll])
def test_drawing_is_vectorised(draw):
    counts = []
    for n_notes in (2, 500):
        onset = np.linspace(0, 1, n_notes)
        same = np.full(n_notes, 60)
        notes = Notes(onset, onset + 0.1, same, same * 0, same)
        with CountOperations() as operations:
            draw(notes, 1, 64, grid(64, 4000))
        counts.append(operations.count)
    assert counts[0] == counts[1] > 0


@settings(deadline=None)
@given(ROWS)
def test_activities(rows):
    roll = piano_roll(make_notes(rows, 64, 4000), N_SRC, N_FRAMES, grid(64, 4000))
    frames = (reference(rows) > 0).any(1)
    np.testing.assert_array_equal(frame_activity(roll), frames)
    np.testing.assert_array_equal(clip_activity(roll), frames.any(-1))
    batch = torch.stack([roll, torch.zeros_like(roll)])
    np.testing.assert_array_equal(clip_activity(batch)[0], frames.any(-1))
    assert not frame_activity(batch)[1].any()


def test_no_notes_no_roll():
    assert not piano_roll(Notes.empty(), 3, 5, grid(512, 16000)).any()
    assert not sounding_roll(Notes.empty(), 3, 5, grid(512, 16000), {"fade": [1] * 3}).any()
