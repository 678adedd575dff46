"""A song and its score, without a network: windows, channels, classes, files."""

import json

import numpy as np
import pretty_midi
import pytest
import soundfile as sf
import torch
from tiny import CLASSES, NAMES, NET, random_notes, render, tone

from asteroid_scoresup.alignment import Alignment, Span, Warp
from asteroid_scoresup.inference import (
    OutputOptions,
    ScoreInformedSeparator,
    Separator,
    process_song,
    score_alignment,
)
from asteroid_scoresup.inference import score_informed as module
from asteroid_scoresup.inference.inputs import SongScores
from asteroid_scoresup.inference.record import RECORD
from asteroid_scoresup.inference.score_alignment import UsedScore
from asteroid_scoresup.inference.song_score import SongScore
from asteroid_scoresup.models import MaskRefiner, TCNSeparator
from asteroid_scoresup.score import Notes
from asteroid_scoresup.utils.stream import Recording
from asteroid_scoresup_cli import main

RATE = 8000
PROGRAMS = {"bass": 33, "guitar": 25, "piano": 0}


def informed(score, classes=CLASSES, refiner=None):
    return ScoreInformedSeparator(score, classes, "never", refiner)


def song(seconds=4.0, seed=0, rate=RATE):
    notes = random_notes(np.random.default_rng(seed), seconds)
    return notes, render(notes, seconds, rate=rate)


def snr_db(truth, estimate):
    return 10 * np.log10(np.sum(truth**2) / np.sum((truth - estimate) ** 2))


def write_score(path, notes, extra=()):
    midi = pretty_midi.PrettyMIDI(resolution=960)
    for index, name in enumerate(NAMES):
        part = pretty_midi.Instrument(PROGRAMS[name], name=name)
        own = notes.select(notes.class_index == index)
        part.notes = [
            pretty_midi.Note(int(v), int(p), a, b)
            for v, p, a, b in zip(own.velocity, own.pitch, own.onset, own.offset)
        ]
        midi.instruments.append(part)
    midi.instruments += extra
    path.parent.mkdir(parents=True, exist_ok=True)
    midi.write(str(path))
    return path


@pytest.fixture
def files(tmp_path):
    notes, sources = song()
    audio = tmp_path / "songs" / "one.wav"
    audio.parent.mkdir()
    sf.write(audio, sources.sum(0), RATE, subtype="FLOAT")
    return audio, write_score(tmp_path / "scores" / "one.mid", notes), tmp_path / "out"


@pytest.mark.parametrize("rate", [8000, 11025, 22050])
def test_a_song_is_separated_at_its_own_rate(rate):
    notes, sources = song(rate=rate)
    mixture = sources.sum(0)
    stems = informed(notes).separate(mixture, rate)
    for name, source in zip(NAMES, sources):
        assert stems[name].shape == mixture.shape and stems[name].dtype == np.float32
        assert snr_db(source, stems[name]) > snr_db(source, mixture) + 10


def test_windows_join_without_seams(monkeypatch):
    notes, sources = song(12.0)
    separator = informed(notes)
    whole = separator.separate(sources.sum(0), RATE)
    for name, seconds in {"CORE_SECONDS": 3.0, "CONTEXT_SECONDS": 2.0, "FADE_SECONDS": 0.5}.items():
        monkeypatch.setattr(module, name, seconds)
    recording = Recording(sources.sum(0), RATE)
    chunks = [chunk.stems for chunk in separator.chunks(recording)]
    assert len(chunks) == 4
    stems = np.concatenate(chunks)[:, :, 0].T
    assert stems.shape == sources.shape
    for index, name in enumerate(NAMES):
        error, ideal = (snr_db(sources[index], x) for x in (stems[index], whole[name]))
        assert error > ideal - 1.5
    # What is in no stem is the same everywhere: a seam would be a jump in the residual.
    residual = sources.sum(0) - stems.sum(0)
    jumps = np.abs(np.diff(residual))
    cuts = np.cumsum([len(chunk) for chunk in chunks])[:-1]
    assert jumps[cuts - 1].max() <= 5 * np.sqrt(np.mean(jumps**2))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.slow
def test_a_refiner_corrects_the_masks(channels):
    notes, sources = song(6.0)
    wav = np.stack([sources.sum(0), sources[0] + 0.5 * sources[1]])[:channels]
    plain = informed(notes).separate(wav, RATE)
    torch.manual_seed(0)
    refiner = MaskRefiner(channels=8, n_blocks=2)
    # Untrained, it returns the masks of the factorization.
    same = informed(notes, refiner=refiner).separate(wav, RATE)
    assert all(snr_db(plain[name], same[name]) > 40 for name in NAMES)
    # Frames are computed in groups, with as much context as the network has.
    with torch.no_grad():
        refiner.outputs.weight.normal_(0, 3)
    separator = informed(notes, refiner=refiner)
    whole = separator.separate(wav, RATE)
    assert any(snr_db(plain[name], whole[name]) < 30 for name in NAMES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_FRAMES", 50)
        parts = separator.separate(wav, RATE)
    assert all(snr_db(whole[name], parts[name]) > 60 for name in NAMES)
    assert separator.identity() != informed(notes).identity()


def test_levels_silence_and_short_recordings():
    notes, sources = song()
    mixture = sources.sum(0)
    separator = informed(notes)
    expected = separator.separate(mixture, RATE)["bass"]
    for gain in (1e-6, 1e20):
        stem = separator.separate((gain * mixture).astype(np.float32), RATE)["bass"]
        np.testing.assert_allclose(stem / gain, expected, atol=1e-3 * np.abs(expected).max())
    assert not separator.separate(np.zeros(4000, dtype=np.float32), RATE)["piano"].any()
    assert separator.separate(mixture[:3], RATE)["piano"].shape == (3,)


def test_stereo_is_factorized_together():
    notes, sources = song()
    pan = np.array([[1.0, 0.2], [0.3, 1.0], [0.7, 0.7]], dtype=np.float32)
    channels = pan[:, :, None] * sources[:, None]
    stems = informed(notes).separate(channels.sum(0), RATE)
    for index, name in enumerate(NAMES):
        assert stems[name].shape == (2, sources.shape[1])
        mixture = snr_db(channels[index], channels.sum(0))
        assert snr_db(channels[index], stems[name]) > mixture + 10
    mono = informed(notes).separate(sources.sum(0), RATE)
    equal = informed(notes).separate(np.stack([sources.sum(0)] * 2), RATE)
    for name in NAMES:
        np.testing.assert_allclose(equal[name], np.stack([mono[name]] * 2), atol=1e-6)


def test_drums_are_a_stem_or_in_none(files, tmp_path):
    audio, _, _ = files
    notes, sources = song()
    rng = np.random.default_rng(1)
    times = np.arange(0.25, 3.5, 0.5)
    drums = np.zeros(sources.shape[1], dtype=np.float32)
    kit = pretty_midi.Instrument(0, is_drum=True)
    for time in times:
        burst = 0.3 * rng.standard_normal(1600) * np.exp(-np.arange(1600) / 300)
        drums[round(time * RATE) :][:1600] += burst.astype(np.float32)[: len(drums)]
        kit.notes.append(pretty_midi.Note(100, 38, time, time + 0.05))
    score = write_score(tmp_path / "drums.mid", notes, [kit])
    mixture = sources.sum(0) + drums
    four = informed(score, CLASSES + ";drums=128").separate(mixture, RATE)
    three = informed(score).separate(mixture, RATE)
    assert list(four) == [*NAMES, "drums"]
    assert snr_db(drums, four["drums"]) > snr_db(drums, mixture) + 6
    rest = mixture - sum(three.values())
    assert snr_db(drums, rest) > snr_db(drums, mixture) + 6
    without = informed(notes).separate(mixture, RATE)
    for index, name in enumerate(NAMES):
        found, worse = (snr_db(sources[index], x[name]) for x in (three, without))
        assert found > worse


def test_parts_of_no_class_stay_in_the_residual():
    notes, sources = song()
    two = informed(notes, "bass=32-39;guitar=24-31")
    stems = two.separate(sources.sum(0), RATE)
    rest = sources.sum(0) - sum(stems.values())
    assert snr_db(sources[2], rest) > snr_db(sources[2], sources.sum(0)) + 8


def test_the_files_of_a_song_and_the_next_run(files):
    audio, score, out = files
    separator = informed(score)
    options = OutputOptions(residual=True, midi=True, page=True)
    result = process_song(separator, audio, out, options)
    names = [*(f"{name}.wav" for name in NAMES), "residual.wav", "score.mid", "page/index.html"]
    assert [path.relative_to(out).as_posix() for path in result.written] == names
    assert (out / "score.mid").read_bytes() == score.read_bytes()
    assert "Separated with the score one.mid" in (out / "page" / "index.html").read_text()
    total = sum(sf.read(out / f"{name}.wav")[0] for name in (*NAMES, "residual"))
    np.testing.assert_allclose(total, sf.read(audio)[0], atol=1e-6)
    made_by = json.loads((out / RECORD).read_text())["files"]["bass.wav"]
    assert made_by == separator.identity()
    assert process_song(informed(score), audio, out, options).written == []
    write_score(score, song(seed=1)[0])
    changed = informed(score)
    with pytest.raises(ValueError, match="bass.wav exists and was made with another score"):
        process_song(changed, audio, out, options)


def test_one_stem_or_the_song_without_it(files):
    audio, score, out = files
    separator = informed(score)
    process_song(separator, audio, out, OutputOptions(only="bass", without="bass", residual=True))
    found = {path.name for path in out.iterdir()}
    assert found == {"bass.wav", "without_bass.wav", "residual.wav", RECORD}
    parts = {name: sf.read(out / f"{name}.wav")[0] for name in ("bass", "without_bass", "residual")}
    np.testing.assert_allclose(parts["bass"] + parts["without_bass"], sf.read(audio)[0], atol=1e-6)
    assert np.abs(parts["residual"]).sum() < np.abs(parts["without_bass"]).sum()
    with pytest.raises(ValueError, match="--only names 'flute', but the stems are bass, guitar"):
        process_song(separator, audio, out, OutputOptions(only="flute"))
    with pytest.raises(ValueError, match="--without writes no other stems, and --report"):
        OutputOptions(without="bass", page=True)


def test_classes_without_notes_are_named(files):
    audio, score, out = files
    midi = pretty_midi.PrettyMIDI(str(score))
    for part in midi.instruments:
        part.program = 0
    midi.write(str(score))
    [warning] = process_song(informed(score), audio, out, OutputOptions(only="piano")).warnings
    assert "has no notes of bass, guitar, whose stems are silent" in warning
    named = "bass=@bass;guitar=@guitar;piano=@piano"
    assert not process_song(informed(score, named), audio, out / "named", OutputOptions()).warnings


def test_a_folder_of_songs_and_a_folder_of_scores(files, capsys, tmp_path):
    audio, score, out = files
    (audio.parent / "two.wav").write_bytes(audio.read_bytes())
    command = ["separate", str(audio.parent), "--out_dir", str(out), "--quiet", "--only", "bass"]
    command += ["--align", "never"]
    assert main([*command, "--score", str(score.parent)]) == 1
    assert (out / "one" / "bass.wav").is_file() and not (out / "two").exists()
    assert f"two.wav: there is no score of this name in {score.parent}." in capsys.readouterr().err
    assert main([*command, "--score", str(score)]) == 1
    assert "for 2 songs: name a folder" in capsys.readouterr().err


def test_a_score_is_found_by_name(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in ("a/Song.mid", "b/song.midi", "c/other.mid"):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).touch()
    scores = SongScores(tmp_path)
    assert scores.of(tmp_path / "songs" / "OTHER.flac") == tmp_path / "c" / "other.mid"
    assert scores.of(tmp_path / "x" / "b" / "song.wav") == tmp_path / "b" / "song.midi"
    assert scores.of(tmp_path / "a" / "song.wav") == tmp_path / "a" / "Song.mid"
    with pytest.raises(ValueError, match=r"song.wav: more than one score fits \(.*Song.mid, "):
        scores.of(tmp_path / "d" / "song.wav")
    with pytest.raises(ValueError, match="contains no scores: expected .mid"):
        SongScores(tmp_path / "empty")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--score", "{score}", "--model", "x.pth"], "--model is for models, and --score"),
        (["--score", "{score}", "--precision", "bfloat16"], "--precision is for models"),
        (["--classes", "bass=32-39"], "--classes is for --score"),
        (["--align", "always"], "--align is for --score, which is missing"),
        (["--score", "{score}", "--without", "flute"], "--without names 'flute', but the stems"),
        (["--only", "flute"], "--only names 'flute', but the stems"),
        (["--refiner", "none"], "--refiner is for --score, which is missing"),
        (
            ["--score", "{score}", "--refiner", "band"],
            "a TCNSeparator, expected a network that corrects",
        ),
        (["--score", "{score}", "--refiner", "x.pth"], "There is no model file x.pth"),
        (["--score", "nothing.mid"], "nothing.mid: there is no such score"),
        (["--score", "{audio}"], "one.wav"),
        (
            ["--score", "{score}", "--classes", "strings=48"],
            "no notes of the classes strings",
        ),
        (["--score", "{score}", "--classes", "score=33"], "has a class 'score': expected letters"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(files, capsys, options, message):
    audio, score, out = files
    options = [option.format(score=score, audio=audio) for option in options]
    assert main(["separate", str(audio), "--out_dir", str(out), "--quiet", *options]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not out.exists() or not any(out.iterdir())


def test_scores_as_notes_are_checked():
    with pytest.raises(ValueError, match="The score contains no notes"):
        ScoreInformedSeparator(Notes.empty(), CLASSES)
    notes = Notes([0.0], [1.0], [60], [7], [90])
    with pytest.raises(ValueError, match="contains no notes of the classes bass, guitar, piano"):
        informed(notes)


def warped(notes, speed, transposition=0):
    times = {name: getattr(notes, name) / speed for name in ("onset", "offset", "release")}
    return notes.replace(**times, pitch=notes.pitch + transposition)


@pytest.fixture(scope="module")
def long_song():
    notes, sources = song(20.0, seed=5)
    return notes, sources


@pytest.mark.slow
def test_a_score_of_another_tempo_and_key_is_aligned(long_song, tmp_path):
    notes, sources = long_song
    mixture = sources.sum(0)
    audio = tmp_path / "song.wav"
    sf.write(audio, mixture, RATE, subtype="FLOAT")
    score = write_score(tmp_path / "slow.mid", warped(notes, 0.8, -2))
    separator = ScoreInformedSeparator(score, CLASSES)
    options = OutputOptions(midi=True)
    result = process_song(separator, audio, tmp_path / "out", options)
    assert not [warning for warning in result.warnings if "belong" in warning]
    used = separator.use(Recording(audio))
    assert used.alignment.transposition == 2
    assert "transposed by +2 semitones" in used.describe("slow.mid")
    as_it_is = informed(score).separate(mixture, RATE)
    for index, name in enumerate(NAMES):
        stem = sf.read(tmp_path / "out" / f"{name}.wav")[0]
        assert snr_db(sources[index], stem) > snr_db(sources[index], as_it_is[name]) + 4
    midi = pretty_midi.PrettyMIDI(str(tmp_path / "out" / "score.mid"))
    onsets = np.array([note.start for note in midi.instruments[0].notes])
    expected = notes.onset[notes.class_index == 0]
    assert np.median(np.abs(onsets[:, None] - expected).min(1)) < 0.03


def test_a_score_on_the_clock_of_the_song_is_used_as_it_is(long_song):
    notes, sources = long_song
    separator = ScoreInformedSeparator(notes, CLASSES)
    used = separator.use(Recording(sources.sum(0), RATE))
    assert used.alignment is None and used.score.notes.onset.tolist() == notes.onset.tolist()
    assert used.describe("x.mid") == "Separated with the score x.mid, used as it is."


@pytest.mark.slow
def test_the_score_of_another_song_is_refused_unless_told_otherwise(long_song):
    _, sources = long_song
    other = random_notes(np.random.default_rng(99), 20.0)
    other = other.replace(pitch=other.pitch + np.resize([0, 1, 5, -4, 2], len(other)))
    recording = Recording(sources.sum(0), RATE)
    with pytest.raises(ValueError, match="not seem to belong to The recording.*--align never"):
        ScoreInformedSeparator(other, CLASSES).use(recording)
    used = ScoreInformedSeparator(other, CLASSES, "always").use(recording)
    assert used.alignment is not None
    assert "The score does not seem to belong to The recording" in used.warnings[0]
    with pytest.raises(ValueError, match="align is 'maybe', expected auto, always, never"):
        ScoreInformedSeparator(other, CLASSES, "maybe")


def test_minutes_and_seconds_of_uncertain_stretches_are_rounded_together():
    found = Alignment(Warp(), 0, 0.0, np.zeros(1), 0.9, ((170.0, 179.8),), True)
    text = UsedScore(SongScore(3, Notes.empty(), Notes.empty()), found).describe("song.mid")
    assert "Uncertain: 2:50–3:00." in text


def test_few_notes_cannot_be_aligned():
    notes = Notes([0.5], [1.0], [40], [0], [90])
    recording = Recording(render(notes, 4.0).sum(0), RATE)
    assert ScoreInformedSeparator(notes, CLASSES).use(recording).warnings == (
        "The score has 1 pitched note, expected at least 8: too few to align it; it is used as it "
        "is",
    )
    late = song()[0]
    late = late.replace(onset=late.onset * 2e4, offset=late.offset * 2e4)
    [warning] = ScoreInformedSeparator(late, CLASSES).use(recording).warnings
    assert "The score lasts" in warning and "hours, expected at most 12" in warning
    with pytest.raises(ValueError, match="1 pitched note, expected at least"):
        ScoreInformedSeparator(notes, CLASSES, "always").use(recording)


def test_what_sounds_without_a_score_is_said(long_song, tmp_path):
    notes, sources = long_song
    mixture = sources.sum(0)
    part = notes.select((notes.onset > 7) & (notes.offset < 13))
    used = informed(part).use(Recording(mixture, RATE))
    edges = [0.0, part.onset.min(), part.release.max(), 20.0]
    np.testing.assert_allclose(np.ravel(used.missing), edges, atol=0.8)
    [warning] = used.warnings
    assert "The score has no notes at 0:00–0:07, 0:12–0:20, where the stems are" in warning
    assert "used as it is. Without a score: 0:00–0:07, 0:12–0:20." in used.describe("x.mid")
    # Silence needs no score, nor do rests within it and short stretches.
    quiet = mixture.copy()
    quiet[13 * RATE :] = 0
    rests = notes.select((notes.onset < 2) | (notes.onset > 16))
    assert [stop for _, stop in informed(part).use(Recording(quiet, RATE)).missing] < [8.0]
    assert not informed(rests).use(Recording(mixture, RATE)).missing
    # On the command line, and on the page.
    sf.write(tmp_path / "song.wav", mixture, RATE)
    score = write_score(tmp_path / "part.mid", part)
    result = process_song(
        informed(score), tmp_path / "song.wav", tmp_path / "out", OutputOptions(page=True)
    )
    assert ["part.mid has no notes at" in warning for warning in result.warnings] == [True]
    page = (tmp_path / "out" / "page" / "index.html").read_text()
    assert "Without a score: 0:00–0:07" in page
    assert "</span> Score</label>" in page and "True score" not in page


def test_what_an_aligned_score_skips_is_said(long_song, monkeypatch):
    """The recording has twelve seconds that the score has not, between two sections of it."""
    notes, sources = long_song
    spans = (Span([0, 4], [0, 4]), Span([4, 8], [16, 20]))
    found = Alignment(Warp(spans), 0, 0.0, np.ones(4), 0.9, (), True)
    given = []

    def align(recording, pitched, *, unpitched):
        given.append(unpitched)
        return found

    monkeypatch.setattr(score_alignment, "align", align)
    separator = ScoreInformedSeparator(notes, CLASSES)
    used = separator.use(Recording(sources.sum(0), RATE))
    assert given == [separator.score.unpitched]
    np.testing.assert_allclose(used.missing, [(4, 16)], atol=0.8)
    assert used.alignment is found and "no notes at 0:04–0:16" in used.warnings[0]


def test_progress_is_reported_within_a_window():
    notes, sources = song()
    reported = []
    informed(notes).separate(sources.sum(0), RATE, lambda *seconds: reported.append(seconds))
    done = [seconds for seconds, _ in reported]
    assert done[0] == 0 and done[-1] == 4.0 and {total for _, total in reported} == {4.0}
    assert len(done) > 5 and np.all(np.diff(done) > 0) and np.diff(done).max() < 2


def test_the_tuning_of_the_recording_is_that_of_the_templates(monkeypatch):
    notes, _ = song()
    sharp = np.zeros(4 * RATE, dtype=np.float32)
    for onset, offset, pitch in zip(notes.onset, notes.offset, notes.pitch):
        wave = tone(pitch, offset - onset, RATE, detune=2 ** (45 / 1200))
        sharp[round(onset * RATE) :][: len(wave)] += wave
    separator = informed(notes)
    errors = []
    for cents in (0.0, 45.0):
        used = UsedScore(separator.score, tuning_cents=cents)
        monkeypatch.setattr(separator, "use", lambda _, used=used: used)
        stems = separator.separate(sharp, RATE)
        errors.append(np.square(sharp - sum(stems.values())).sum())
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.slow
def test_a_separator_separates_with_a_score_too(long_song):
    notes, sources = long_song
    short, mixture = notes.within(0, 4), sources.sum(0)[: 4 * RATE]
    separator = Separator(TCNSeparator(NAMES, **NET))
    plain = separator.separate(mixture, RATE, score=short, align="never", refiner=None)
    refined = separator.separate(mixture, RATE, score=short, align="never")
    for name in NAMES:
        expected = informed(short).separate(mixture, RATE)[name]
        np.testing.assert_array_equal(plain[name], expected)
        # The bundled network that knows the classes is the default.
        expected = informed(short, refiner="guided").separate(mixture, RATE)[name]
        np.testing.assert_array_equal(refined[name], expected)
        assert np.abs(refined[name] - plain[name]).max() > 1e-4
    other = Separator(TCNSeparator(["strings"], **NET))
    with pytest.raises(ValueError, match="The programs of the classes strings are not known"):
        other.separate(mixture, RATE, score=short)
