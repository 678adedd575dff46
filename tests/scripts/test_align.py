"""`align`: the files it writes, what it says, and songs that are not the score's."""

import csv
import json

import numpy as np
import pytest
import soundfile as sf
from musicxml import note, score, sound
from slakh_folder import RATE, melody, play, write_midi

from asteroid_scoresup.alignment import Alignment, Span, Warp
from asteroid_scoresup.alignment.outputs import (
    alignment_of,
    output_paths,
    plain_alignment,
    write_alignment,
)
from asteroid_scoresup.midi import join_instruments, read_midi
from asteroid_scoresup.notation import read_score
from asteroid_scoresup.report import plot_alignment
from asteroid_scoresup.scripts.align import describe
from asteroid_scoresup.scripts.cli import main

SPEED, DELAY = 1.2, 1.5


def played(rows, speed=SPEED, delay=DELAY):
    return [(on * speed + delay, off * speed + delay, p, v) for on, off, p, v in rows]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recording that is slower than its score, and the score of another song."""
    folder = tmp_path_factory.mktemp("songs")
    low, high = melody(0, 15.0, 36), melody(1, 15.0, 60)
    sf.write(folder / "song.wav", play(played(low + high), 21.0), RATE)
    write_midi(folder / "song.mid", (33, low), (0, high))
    write_midi(folder / "other.mid", (33, melody(2, 15.0, 36)), (0, melody(3, 15.0, 60)))
    return folder


def test_a_score_is_aligned_and_described(folder, tmp_path, capsys):
    out, plot = tmp_path / "out.mid", tmp_path / "plot.svg"
    command = ["align", str(folder / "song.wav"), str(folder / "song.mid"), "-o", str(out)]
    assert main([*command, "--plot", str(plot)]) == 0
    printed = capsys.readouterr().out
    assert "the score belongs to the recording" in printed and str(out) in printed

    true = join_instruments(read_midi(folder / "song.mid").instruments)
    found = join_instruments(read_midi(out).instruments)
    assert found.pitch.tolist() == true.pitch.tolist()
    assert np.median(np.abs(found.onset - (true.onset * SPEED + DELAY))) < 0.03

    content = json.loads((tmp_path / "out.align.json").read_text())
    assert content["is_match"] and content["confidence"] > 0.5 and content["transposition"] == 0
    assert content["settings"] == {"max_transposition": 7}
    assert content["audio"].endswith("song.wav") and content["score"].endswith("song.mid")
    alignment = alignment_of(content)
    np.testing.assert_allclose(alignment.warp.notes(true).onset, found.onset, atol=0.002)
    with open(tmp_path / "out.warp.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    span = alignment.warp.spans[0]
    assert [float(row["audio_seconds"]) for row in rows] == pytest.approx(
        np.concatenate([span.audio for span in alignment.warp.spans]), abs=1e-6
    )
    assert span.audio[0] == pytest.approx(float(rows[0]["audio_seconds"]), abs=1e-6)
    assert plot.read_text().startswith("<?xml")


@pytest.mark.slow
def test_another_song_is_refused_in_one_sentence_and_nothing_is_written(folder, tmp_path, capsys):
    out = tmp_path / "out.mid"
    command = ["align", str(folder / "song.wav"), str(folder / "other.mid"), "-o", str(out)]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "other.mid does not seem to belong to" in error
    assert not list(tmp_path.iterdir())
    assert main([*command, "--force", "--quiet"]) == 0
    printed = capsys.readouterr()
    assert "written because of --force" in printed.err and not printed.out
    assert not json.loads((tmp_path / "out.align.json").read_text())["is_match"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["none.wav", "song.mid"], "none.wav"),
        (["song.wav", "none.mid"], "none.mid"),
        (["song.wav", "song.mid", "-o", "song.mid"], "song.mid is an input"),
        (["song.wav", "song.mid", "-o", "song.wav"], "song.wav has no suffix of a MIDI file"),
        (["song.wav", "song.mid", "-o", "."], ". has no suffix of a MIDI file"),
        (["song.wav", "song.mid", "--plot", "plot.doc"], "plot.doc has no suffix of an image"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(
    folder, tmp_path, monkeypatch, capsys, arguments, message
):
    for name in ("song.wav", "song.mid"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["align", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def hand_made(**changes):
    warp = Warp((Span([0, 10], [2, 12]), Span([20, 30], [12, 23])))
    values = dict(
        warp=warp,
        transposition=-2,
        tuning_cents=12.0,
        certainty=np.array([0.9, 0.2, 1.0, 0.7, np.nan]),
        confidence=0.8,
        uncertain=((5.0, 10.0),),
        is_match=True,
    )
    return Alignment(**{**values, **changes})


def test_plain_types_give_the_same_alignment_again():
    one = hand_made()
    again = alignment_of(json.loads(json.dumps(plain_alignment(one))))
    assert again.warp == one.warp and again.uncertain == one.uncertain
    np.testing.assert_array_equal(again.certainty, one.certainty)
    assert plain_alignment(again) == plain_alignment(one)
    with pytest.raises(ValueError, match="not an alignment"):
        alignment_of({"warp": one.warp.plain()})
    for key, value in (("transposition", float("inf")), ("confidence", 10**400)):
        with pytest.raises(ValueError, match="This is not an alignment: "):
            alignment_of({**plain_alignment(one), key: value})
    with pytest.raises(ValueError, match="This is not a warp"):
        Warp.of({"spans": [{"score": [0, 10**400], "audio": [0, 1]}]})


def test_the_description_says_what_was_found():
    text = describe(hand_made(), 23.0)
    assert "0:21 of 0:23 have a score, in 2 sections" in text
    assert "2 semitones below the score" in text and "A = 443.1 Hz (+12 cents)" in text
    assert "Uncertain: 0:05 to 0:10." in text
    many = hand_made(uncertain=tuple((10.0 * k, 10.0 * k + 5) for k in range(12)), is_match=False)
    text = describe(many, 120.0)
    assert "and 4 more" in text and "the score may not belong to the recording" in text


def test_what_has_no_score_is_described_as_such():
    """Spans of the recording are 2 to 12 s and 12 to 23 s."""
    text = describe(hand_made(uncertain=()), 40.0)
    assert "Without a score: 0:00 to 0:02, 0:23 to 0:40.\nNo other stretch is uncertain." in text
    warp = Warp((Span([0, 20], [0.5, 22.5]),))
    text = describe(hand_made(uncertain=(), warp=warp), 23.0)
    assert "Without a score" not in text and "No stretch is uncertain." in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "gain", "message"),
    [
        (3.0, 1.0, "lasts 3.0 s, too short to tell whether {score} is its score (confidence 0."),
        (21.0, 0.0, "is silent, so {score} cannot be aligned with it: check the file."),
    ],
)
def test_excerpts_and_silence_are_not_called_another_song(
    folder, tmp_path, capsys, seconds, gain, message
):
    audio = sf.read(folder / "song.wav")[0][4 * RATE :][: round(seconds * RATE)]
    path, score = tmp_path / "part.wav", folder / "song.mid"
    sf.write(path, gain * audio, RATE)
    assert main(["align", str(path), str(score)]) == 1
    error = capsys.readouterr().err
    assert f"{path} {message.format(score=score)}" in error and error.count("\n") == 1
    if gain:
        assert main(["align", str(path), str(score), "--force", "--quiet"]) == 0
        assert f"Warning: {path} lasts 3.0 s" in capsys.readouterr().err
    options = ["--score", str(score), "--out_dir", str(tmp_path / "out"), "--quiet"]
    assert main(["separate", str(path), *options]) == 1
    error = capsys.readouterr().err
    assert message.format(score=score).rstrip(".") in error and "--align never." in error


def test_the_plot_has_spans_jumps_certainty_and_shading():
    figure = plot_alignment(hand_made(), 23.0, "a title")
    above, below = figure.axes
    solid = [line for line in above.lines if line.get_linestyle() == "-"]
    assert [line.get_xydata().tolist() for line in solid] == [
        [[2, 0], [12, 10]], [[12, 20], [23, 30]]
    ]  # fmt: skip
    (jump,) = [line for line in above.lines if line.get_linestyle() == ":"]
    assert jump.get_xydata().tolist() == [[12, 10], [12, 20]]
    assert above.get_title("left") == "2 sections" and above.get_xlim() == (0, 23)
    (steps,) = [p for p in below.patches if type(p).__name__ == "StepPatch"]
    values, edges, _ = steps.get_data()
    assert values.tolist() == [0.9, 0.2, 1.0, 0.7, 0.0]
    assert edges.tolist() == [0, 5, 10, 15, 20, 23]
    for axis in (above, below):
        # A rectangle or, before Matplotlib 3.9, a polygon.
        (shade,) = [p for p in axis.patches if type(p).__name__ in ("Rectangle", "Polygon")]
        corners = shade.get_patch_transform().transform_path(shade.get_path()).vertices
        assert set(corners[:, 0]) == {5.0, 10.0}
    assert (
        len(plot_alignment(hand_made(warp=Warp(()), certainty=np.zeros(0), uncertain=())).axes) == 2
    )


def test_files_are_named_after_the_midi_file(tmp_path):
    assert [path.name for path in output_paths(tmp_path / "a.b.mid")] == [
        "a.b.mid", "a.b.warp.csv", "a.b.align.json"
    ]  # fmt: skip


def test_the_parts_of_a_musicxml_score_are_written_as_midi(tmp_path):
    attributes = "<attributes><divisions>2</divisions></attributes>"
    part = attributes + sound(tempo=60) + note("C4", 2) + note("E4", 4) + note("G4", 2)
    path = tmp_path / "score.musicxml"
    path.write_text(score({"Piano \u266f": [part]}), encoding="utf-8")
    warp = Warp((Span([0, 1, 4], [0.5, 2.5, 5.5]),))
    write_alignment(hand_made(warp=warp), path, tmp_path / "out.mid")
    (written,) = read_midi(tmp_path / "out.mid").instruments
    (read,) = read_score(path).instruments
    expected = warp.notes(read.notes)
    np.testing.assert_allclose(written.notes.onset, expected.onset, atol=0.002)
    assert written.notes.pitch.tolist() == (expected.pitch - 2).tolist()
