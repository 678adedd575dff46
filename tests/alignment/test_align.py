"""Aligning recordings with scores: tempo, edges, jumps, keys, wrong scores, bad input."""

import numpy as np
import pretty_midi
import pytest

from asteroid_scoresup.alignment import WrongScoreError, align
from asteroid_scoresup.alignment.midi_writer import write_aligned_midi
from asteroid_scoresup.score import Notes
from asteroid_scoresup.utils.stream import Recording
from tests.helpers.tones import RATE, at_clock, random_notes, render

#: Times of the audio and of the score: half a minute in which the tempo wanders.
AUDIO_TIMES = np.array([0.0, 8.0, 16.0, 24.0, 40.0])
SCORE_TIMES = np.array([2.0, 8.5, 18.0, 25.0, 45.0])


@pytest.fixture(scope="module")
def song():
    notes = random_notes(0)
    return notes, render(notes), at_clock(notes, SCORE_TIMES, AUDIO_TIMES)


def noise(seconds, seed=0):
    return 0.02 * np.random.default_rng(seed).normal(size=int(seconds * RATE)).astype(np.float32)


def test_follows_a_wandering_tempo(song):
    notes, audio, score = song
    found = align(audio, score, RATE)
    errors = np.abs(found.warp.to_audio(score.onset) - notes.onset)
    assert np.median(errors) < 0.01 and np.quantile(errors, 0.95) < 0.05
    assert found.is_match and found.confidence > 0.9 and found.transposition == 0
    assert found.uncertain == () and np.nanmin(found.certainty) > 0.5
    moved = found.notes(score)
    assert len(moved) == len(notes) and np.array_equal(np.sort(moved.pitch), np.sort(notes.pitch))


def test_ignores_what_is_before_and_after(song):
    notes, audio, score = song
    longer = np.concatenate([noise(7), np.zeros(RATE, np.float32), audio, noise(6, 1)])
    found = align(longer, score, RATE)
    errors = np.abs(found.warp.to_audio(score.onset) - notes.onset - 8)
    assert np.median(errors) < 0.015
    assert found.warp.spans[0].audio[0] == pytest.approx(8 + notes.onset[0], abs=0.1)
    assert np.isnan(found.certainty[0]) and np.isnan(found.certainty[-1])


@pytest.mark.slow
def test_finds_a_skipped_and_a_repeated_section(song):
    notes, audio, score = song
    a, b = 10.0, 18.0
    skipped = np.concatenate([audio[: int(a * RATE)], audio[int(b * RATE) :]])
    found = align(skipped, score, RATE)
    assert len(found.warp.spans) == 2
    first, second = found.warp.spans
    assert (first.audio[-1] + second.audio[0]) / 2 == pytest.approx(a, abs=0.5)
    played = (notes.onset < a - 0.5) | (notes.onset > b + 0.5)
    truth = np.where(notes.onset < a, notes.onset, notes.onset - (b - a))
    errors = np.abs(found.warp.to_audio(score.onset) - truth)[played]
    assert np.median(errors) < 0.015 and np.mean(errors < 0.1) > 0.9
    repeated = np.concatenate([audio[: int(b * RATE)], audio[int(a * RATE) :]])
    found = align(repeated, score, RATE)
    assert len(found.warp.spans) == 2
    middle = notes.select((notes.onset > a + 0.5) & (notes.onset < b - 0.5))
    assert len(found.notes(score)) == pytest.approx(len(notes) + len(middle), abs=12)


def test_finds_the_key_and_the_tuning(song):
    notes, _, score = song
    audio = render(notes, tuning_cents=30.0)
    found = align(audio, score.replace(pitch=score.pitch - 4), RATE)
    assert found.transposition == 4
    assert found.tuning_cents == pytest.approx(30, abs=4)
    assert set(found.notes(score.replace(pitch=score.pitch - 4)).pitch) == set(notes.pitch)


def test_baroque_pitch_is_a_semitone(song):
    notes, _, score = song
    found = align(render(notes, tuning_cents=-101.3), score, RATE, max_transposition=2)
    assert found.transposition == -1 and abs(found.tuning_cents) < 5


def test_a_part_of_the_song_is_enough(song):
    notes, audio, score = song
    found = align(audio[6 * RATE : 26 * RATE], score, RATE)
    inside = (notes.onset > 7) & (notes.onset < 25)
    errors = np.abs(found.warp.to_audio(score.onset) - (notes.onset - 6))[inside]
    assert found.is_match and np.median(errors) < 0.015


@pytest.mark.parametrize("cut", [0.0, 0.4, 1.5])
def test_notes_at_the_ends_of_an_excerpt_are_in_place(cut):
    # The music sounds from the first sample to the last: nothing rises before its first onset.
    notes = random_notes(3, count=48)
    first, last = cut, float(notes.onset.max()) + 0.2 - cut
    audio = render(notes)[round(first * RATE) : round(last * RATE)]
    score = at_clock(notes, SCORE_TIMES, AUDIO_TIMES)
    found = align(audio, score, RATE)
    inside = (notes.onset >= first) & (notes.onset < last - 0.05)
    errors = np.abs(found.warp.to_audio(score.onset[inside]) - (notes.onset[inside] - first))
    assert np.all(errors < 0.06)


@pytest.mark.slow
def test_another_score_is_refused(song):
    _, audio, _ = song
    other = random_notes(1)
    found = align(audio, other, RATE)
    assert not found.is_match and found.confidence < 0.5
    with pytest.raises(WrongScoreError, match="does not seem to belong to The recording"):
        align(audio, other, RATE, require_match=True)


def test_reads_midi_files_with_all_programs_but_drums(song, tmp_path):
    notes, audio, score = song
    file = pretty_midi.PrettyMIDI(resolution=960)
    for program, is_drum in ((0, False), (73, False), (0, True)):
        part = pretty_midi.Instrument(program, is_drum)
        rows = score.select(slice(program % 2, None, 2)) if not is_drum else score
        part.notes = [
            pretty_midi.Note(90, int(p), float(a), float(b))
            for p, a, b in zip(rows.pitch, rows.onset, rows.offset)
        ]
        file.instruments.append(part)
    path = tmp_path / "song.mid"
    file.write(str(path))
    found = align(Recording(audio, RATE), path, max_transposition=0)
    assert np.median(np.abs(found.warp.to_audio(score.onset) - notes.onset)) < 0.015


#: Seconds of a bar and more in which drums play alone, before and after the song.
INTRO, ENDING = 4.0, 2.5


def with_drums(song, stretch=1.0):
    """The song with drums, which begin before it and end after it, and its score.

    A second of the intro is 0.8125 s times `stretch` in the score.
    """
    _, audio, score = song
    score = score.shifted(6.0)
    audio = np.concatenate([noise(INTRO), audio, noise(ENDING)])
    hits = 0.3 + np.cumsum(np.random.default_rng(5).choice([0.25, 0.25, 0.5], 200))
    hits = hits[hits < len(audio) / RATE - 0.3]
    click = np.random.default_rng(6).normal(size=800) * np.exp(-np.arange(800) / 150)
    for hit in hits:
        start = round(hit * RATE)
        audio[start : start + 800] += (0.3 * click).astype(np.float32)
    at = at_song = np.interp(hits - INTRO, AUDIO_TIMES, SCORE_TIMES + 6)
    at = np.where(hits < INTRO, 8 + (hits - INTRO) * 0.8125 * stretch, at_song)
    drums = Notes(at, at + 0.1, 0 * at + 38, 0 * at, 0 * at + 90)
    return audio, score, drums, hits


@pytest.mark.parametrize("stretch", [1.0, 0.94, 1.06])
def test_drums_before_and_after_the_pitched_notes_are_followed(song, stretch):
    audio, score, drums, hits = with_drums(song, stretch)
    found = align(audio, score, RATE, unpitched=drums)
    plain = align(audio, score, RATE)
    assert np.array_equal(found.notes(score).onset, plain.notes(score).onset)
    start, stop = plain.warp.spans[0].audio[0], plain.warp.spans[0].audio[-1]
    alone = (hits < start) | (hits > stop)
    assert np.isnan(plain.warp.to_audio(drums.onset[alone])).all() and alone.sum() > 10
    assert np.abs(found.warp.to_audio(drums.onset[alone]) - hits[alone]).max() < 0.03
    played = found.warp.notes(drums)
    assert len(played) == len(drums) and np.all(played.offset > played.onset + 0.05)
    ends = found.warp.spans[0].audio
    assert np.allclose(found.uncertain, [(ends[0], start), (stop, ends[-1])])
    assert not np.isnan(found.certainty[[0, -1]]).any()
    assert ends[-1] < hits[-1] + 0.2


def test_drums_that_the_recording_does_not_have_are_not_placed(song):
    audio, score, drums, hits = with_drums(song)
    audio[: round(2.0 * RATE)] = noise(2.0)
    late = np.concatenate([audio, noise(20)])
    found = align(late, score, RATE, unpitched=drums)
    begins = found.warp.spans[0].audio[0]
    assert 1.0 < begins < 2.4 and found.warp.spans[0].audio[-1] < hits[-1] + 0.2
    again = np.concatenate([drums.onset, drums.onset[-1:] + 12.0])
    far = Notes(again, again, 0 * again + 38, 0 * again, 0 * again + 90)
    found = align(late, score, RATE, unpitched=far)
    assert found.warp.spans[0].audio[-1] < hits[-1] + 0.2


@pytest.mark.parametrize("seconds", [0.0, 0.005, 3.0])
def test_the_first_and_the_last_hit_are_played_whatever_their_length(song, seconds):
    audio, score, drums, hits = with_drums(song)
    drums = drums.replace(offset=drums.onset + seconds, release=drums.onset + seconds)
    played = align(audio, score, RATE, unpitched=drums).warp.notes(drums)
    assert len(played) == len(drums)


def test_drums_of_a_part_that_the_recording_does_not_begin_with_are_not_placed(song):
    audio, score, drums, _ = with_drums(song)
    rest = np.concatenate([noise(4), audio[20 * RATE :]])
    found = align(rest, score, RATE, unpitched=drums)
    assert found.warp.spans[0].audio[0] == align(rest, score, RATE).warp.spans[0].audio[0] > 2
    assert np.isnan(found.warp.to_audio(drums.onset[:20])).all()


def test_the_drums_of_a_file_are_followed(song, tmp_path):
    audio, score, drums, hits = with_drums(song)
    file = pretty_midi.PrettyMIDI(resolution=960)
    for rows, is_drum in ((score, False), (drums, True)):
        part = pretty_midi.Instrument(0, is_drum)
        part.notes = [
            pretty_midi.Note(90, int(p), float(a), float(b))
            for p, a, b in zip(rows.pitch, rows.onset, rows.offset)
        ]
        file.instruments.append(part)
    file.write(str(tmp_path / "song.mid"))
    found = align(audio, tmp_path / "song.mid", RATE, max_transposition=0)
    assert np.abs(found.warp.to_audio(drums.onset) - hits)[hits < 3.5].max() < 0.03
    with pytest.raises(ValueError, match="drums of a file are read from it"):
        align(audio, tmp_path / "song.mid", RATE, unpitched=drums)
    write_aligned_midi(tmp_path / "song.mid", found, tmp_path / "aligned.mid")
    (_, part) = pretty_midi.PrettyMIDI(str(tmp_path / "aligned.mid")).instruments
    assert part.is_drum and len(part.notes) == len(drums)


@pytest.mark.parametrize("audio", [np.zeros(8 * RATE), np.zeros(50)])
def test_silence_is_no_match(song, audio):
    found = align(audio, song[2], RATE)
    assert not found.is_match and found.confidence < 0.5


def test_a_recording_of_less_than_a_sample_is_no_match(song):
    assert not align(np.full(2, 0.1), song[2], 192000).is_match


def test_bad_input_is_explained(song, tmp_path):
    _, audio, score = song
    few = Notes([0.0], [1.0], [60], [0], [90])
    with pytest.raises(ValueError, match=r"The score has 1 pitched note, expected at least 8"):
        align(audio, few, RATE)
    late = score.replace(onset=score.onset * 1e5, offset=score.offset * 1e5)
    with pytest.raises(ValueError, match=r"The score lasts .* hours, expected at most 12"):
        align(audio, late, RATE)
    with pytest.raises(ValueError, match=r"max_transposition is -1, expected 0 to 24"):
        align(audio, score, RATE, max_transposition=-1)
    with pytest.raises(ValueError, match=r"needs its sample_rate"):
        align(audio, score)
    path = tmp_path / "text.mid"
    path.write_text("no music")
    with pytest.raises(ValueError, match=r"text\.mid"):
        align(audio, path, RATE)
