"""How notes sound where that differs from their keys: releases and bends, from table to masks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid_scoresup.checks.bends import to_sounding_pitch
from asteroid_scoresup.checks.corrections import correct_notes
from asteroid_scoresup.data.note_table import read_notes, write_notes
from asteroid_scoresup.data.song import fit_notes
from asteroid_scoresup.dsp import STFT, FrameGrid
from asteroid_scoresup.losses import ScoreSupervisedLoss
from asteroid_scoresup.score import (
    HarmonicTemplates,
    Notes,
    SoundingOptions,
    onset_roll,
    partial_frequencies,
    piano_roll,
    score_informed_nmf,
    sounding_roll,
    steps_of,
)

RATE, HOP, N_FFT, N_SRC, N_FRAMES = 16000, 512, 1024, 2, 40
SIZE = (N_SRC, N_FRAMES, FrameGrid(N_FFT, HOP, RATE))
FRAME = HOP / RATE
NAMES = ("bass", "guitar")
BENT = Notes(
    [0.0, 0.32, 0.64],
    [0.2, 0.48, 1.0],
    [60, 64, 60],
    [0, 1, 0],
    [90, 80, 70],
    [0.3, 0.48, 1.2],
    [None, [[0.0, 0.5]], [[0.0, 0.0], [0.16, -1.25], [0.32, 2.0]]],
)

rows = st.lists(
    st.tuples(
        st.integers(0, 30),  # onset, length and held, in frames
        st.integers(1, 9),
        st.integers(0, 6),
        st.integers(18, 111),
        st.integers(0, N_SRC - 1),
        st.integers(1, 127),
        st.one_of(
            st.none(),
            st.lists(st.tuples(st.integers(0, 12), st.integers(-300, 300)), min_size=1, max_size=4),
        ),
    ),
    max_size=8,
)


def table(rows, bends=True):
    columns = np.array([row[:6] for row in rows], dtype=float).reshape(-1, 6).T
    onset, length, held, pitch, source, velocity = columns
    steps = [
        None if row[6] is None else [[a * FRAME, b / 100] for a, b in sorted(dict(row[6]).items())]
        for row in rows
    ]
    offset = onset + length
    times = onset * FRAME, offset * FRAME
    release = (offset + held) * FRAME
    return Notes(*times, pitch, source, velocity, release, steps if bends else None)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(rows, st.sampled_from([1, 4]), st.booleans())
def test_the_sounding_roll_is_that_of_a_hand_loop(rows, steps, use_velocity):
    expected = np.zeros((N_SRC, 88 * steps, N_FRAMES), dtype=np.float32)
    for onset, length, held, pitch, source, velocity, bend in rows:
        moves = sorted(dict(bend).items()) if bend else [(0, 0)]
        for frame in range(max(onset - 1, 0), min(onset + length + held + 2, N_FRAMES)):
            before = [cents for at, cents in moves if onset + at <= frame] or [moves[0][1]]
            row = int(np.floor((pitch - 21) * steps + before[-1] * steps / 100 + 0.5))
            if 0 <= row < 88 * steps:
                level = np.float32(velocity) / 127 if use_velocity else 1.0
                cell = expected[source, row, frame]
                expected[source, row, frame] = max(cell, level)
    options = SoundingOptions(fade=None, use_velocity=use_velocity)
    found = sounding_roll(table(rows), *SIZE, options, steps=steps)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(rows)
def test_keys_do_not_know_of_pedals_and_bends(rows):
    notes = table(rows)
    plain = Notes(notes.onset, notes.offset, notes.pitch, notes.class_index, notes.velocity)
    assert torch.equal(piano_roll(notes, *SIZE), piano_roll(plain, *SIZE))
    # And notes without either make the roll that they always made.
    assert steps_of(plain) == 1
    assert torch.equal(sounding_roll(plain, *SIZE), sounding_roll(plain, *SIZE, steps=1))
    straight = table([(*row[:2], 0, *row[3:6], None) for row in rows])
    assert straight.bend is None
    assert torch.equal(sounding_roll(straight, *SIZE), sounding_roll(plain, *SIZE))


def test_finer_templates_hold_the_88_and_lie_where_partials_do():
    templates = HarmonicTemplates(RATE, N_FFT, n_partials=8)
    for fine, coarse in zip(templates.spectra(88 * 4), templates.spectra(88)):
        assert torch.equal(fine[::4], coarse)
    fine, _ = templates.spectra(88 * 4)
    for row in (41, 130, 243):
        centers = partial_frequencies(torch.tensor([21 + row / 4]), 8)[0]
        bins = (centers[centers < RATE / 2] * N_FFT / RATE).round().long()
        assert fine[row, bins].all()
    assert set(templates.state_dict()) == set()
    with pytest.raises(ValueError, match="88 rows or a multiple of them, found 100"):
        templates.spectra(100)


def test_a_glide_stays_under_its_mask():
    """A sine that glides by three semitones in a second, followed to a quarter of one."""
    seconds = np.arange(2 * RATE) / RATE
    semitones = 3 * np.clip(seconds - 0.5, 0, 1)
    tone = np.sin(2 * np.pi * np.cumsum(440 * 2 ** (semitones / 12)) / RATE)
    steps = [[t, 3 * np.clip(t - 0.5, 0, 1)] for t in np.arange(0, 2, 0.01)]
    notes = Notes([0.0], [2.0], [69], [0], [90], bend=[steps])
    stft, templates = STFT(2048, 256, RATE), HarmonicTemplates(RATE, 2048, 1)
    energy = stft.magnitude(stft(torch.tensor(tone, dtype=torch.float32).unsqueeze(0)))[0] ** 2
    shares = []
    for table in (notes, notes.replace(bend=None)):
        roll = sounding_roll(table, 1, energy.shape[-1], FrameGrid(N_FFT, 256, RATE))
        mask = templates.mask(roll)[0]
        shares.append(float(energy[mask].sum() / energy.sum()))
    assert shares[0] > 0.98 and shares[1] < 0.5


def test_informed_components_are_those_of_the_sounding_rows():
    roll = sounding_roll(BENT, *SIZE)
    magnitude = torch.rand(N_FFT // 2 + 1, N_FRAMES, generator=torch.Generator().manual_seed(0))
    factors = score_informed_nmf(
        magnitude, roll, onset_roll(BENT, *SIZE), HarmonicTemplates(RATE, N_FFT), iterations=2
    )
    # 60, 58.75 and 62 of the first class, 64.5 of the second, and an attack of each.
    assert len(factors.templates) == 4 + 2


def test_tables_round_trip_and_old_ones_are_read(tmp_path):
    write_notes(tmp_path / "notes.csv", BENT, NAMES)
    again = read_notes(tmp_path / "notes.csv", NAMES)
    np.testing.assert_array_equal(again.release, BENT.release)
    assert again.bend[0] is None
    for found, written in zip(again.bend[1:], BENT.bend[1:]):
        np.testing.assert_array_equal(found, written)
    old = "onset,offset,pitch,source,velocity\n0.0,0.5,60,bass,90\n"
    (tmp_path / "old.csv").write_text(old)
    notes = read_notes(tmp_path / "old.csv", NAMES)
    assert notes.release.tolist() == [0.5] and notes.bend is None


@pytest.mark.parametrize("bend", ["1", "a:b", "0:1;", "0:nan", "0.5:1;0.1:2", "0:1:2"])
def test_a_damaged_bend_is_named(tmp_path, bend):
    text = "onset,offset,pitch,source,velocity,release,bend\n"
    (tmp_path / "notes.csv").write_text(text + f"0,1,60,bass,90,1,{bend}\n")
    with pytest.raises(ValueError, match="notes.csv is not a note table: .+"):
        read_notes(tmp_path / "notes.csv", NAMES)


def test_a_release_before_the_offset_is_refused():
    with pytest.raises(ValueError, match=r"Note 0 is released \(0.500 s\) before it ends"):
        Notes([0], [1], [60], [0], [90], [0.5])
    # A new offset takes its release along.
    longer = BENT.replace(offset=BENT.offset + 1)
    np.testing.assert_allclose(longer.release - longer.offset, BENT.release - BENT.offset)


def test_windows_cuts_and_speeds_take_release_and_bend_along():
    # 0.25 s: the key of the first note is up, its sound is not.
    later = BENT.within(0.25, 2.0)
    assert len(later) == 3 and later.release[0] == pytest.approx(0.05)
    cut = fit_notes(BENT, 0.9)
    assert cut.offset[-1] == cut.release[-1] == 0.9
    moved = correct_notes(BENT, {"offset_seconds": -0.74, "transpose": {}}, NAMES)
    # The last note begins with the audio now, and has its bend where it was.
    assert moved.onset.tolist() == [0.0] and moved.pitch.tolist() == [60]
    np.testing.assert_allclose(moved.bend[0], [[0, 0], [0.06, -1.25], [0.22, 2.0]], atol=1e-9)
    fast = BENT.at_speed(12)
    np.testing.assert_allclose(fast.release, BENT.release / 2)
    np.testing.assert_allclose(fast.bend[2][:, 0], BENT.bend[2][:, 0] / 2)
    assert fast.pitch.tolist() == [72, 76, 72]


def test_checks_of_whole_semitones_look_where_notes_sound():
    bends = [None, [[0.0, 2.02]], [[0.0, 0.5]], [[0.0, 0.0], [0.1, 3.0]]]
    notes = Notes([0, 1, 2, 3], [1, 2, 3, 4], [60] * 4, [0] * 4, [90] * 4, bend=bends)
    heard = to_sounding_pitch(notes)
    assert heard.onset.tolist() == [0, 1] and heard.pitch.tolist() == [60, 62]
    assert heard.bend is None


def test_a_class_under_the_pedal_is_active():
    """Clip and frame losses charge no energy to a class whose keys are up while it sounds."""
    stft = STFT(512, 128, 8000)
    notes = Notes([-1.0], [-0.5], [60], [0], [90], [2.0])
    size = (1, 33, stft.grid)
    targets = {
        "mixture": torch.randn(1, 4096, generator=torch.Generator().manual_seed(0)),
        "roll": piano_roll(notes, *size).unsqueeze(0),
        "sounding": sounding_roll(notes, *size).unsqueeze(0),
    }
    assert not targets["roll"].any()
    for term in ("clip", "frame"):
        loss = ScoreSupervisedLoss({term: 1.0}, stft)
        perfect = loss(targets["mixture"].unsqueeze(1), targets)
        assert perfect < 1e-4 < loss(0 * targets["mixture"].unsqueeze(1), targets)
