"""MusicXML: what is played, against values written by hand and against partitura."""

import zipfile

import numpy as np
import pytest
from musicxml import barline, instrument, note, pitch, score, sound

from asteroid_scoresup.notation import read_score
from asteroid_scoresup.notation import xml_files as xml_module
from asteroid_scoresup.notation.instruments import program_of_name
from asteroid_scoresup.notation.musicxml import GRACE_SECONDS


def read(tmp_path, text, drums=False, name="song.musicxml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_score(path, drums)


def rows(instrument):
    """(onset, offset, pitch) of its notes."""
    n = instrument.notes
    return [(round(a, 6), round(b, 6), int(p)) for a, b, p in zip(n.onset, n.offset, n.pitch)]


ATTRIBUTES = "<attributes><divisions>2</divisions></attributes>"


def test_times_chords_voices_and_tempo(tmp_path):
    first = ATTRIBUTES + sound(tempo=60)
    first += (
        note("C4", 2)
        + note("E4", 4)
        + note("G4", 4, "<voice>1</voice>").replace("<pitch>", "<chord/><pitch>")
    )
    first += "<backup><duration>6</duration></backup><forward><duration>1</duration></forward>"
    first += note("C3", 1, dynamics="100")
    second = note(None, 2) + sound(tempo=120) + note("Bb3", 2)
    song = read(tmp_path, score({"Piano": [first, second]}))
    (part,) = song.instruments
    # A quarter note has 2 divisions. The first measure has 3 quarters of 1 s each.
    assert rows(part) == [
        (0.0, 1.0, 60), (0.5, 1.0, 48), (1.0, 3.0, 64), (1.0, 3.0, 67), (4.0, 4.5, 58),
    ]  # fmt: skip
    assert part.name == "Piano" and part.program == 0 and song.tempo == 60
    assert part.notes.velocity.tolist() == [80, 90, 80, 80, 80]
    assert song.dropped == {} and song.remarks == {}


def test_a_metronome_mark_counts_where_no_sound_is_given(tmp_path):
    mark = (
        "<direction><direction-type><metronome><beat-unit>quarter</beat-unit><beat-unit-dot/>"
        "<per-minute>c. 80</per-minute></metronome></direction-type></direction>"
    )
    song = read(tmp_path, score({"Piano": [mark + note("C4", 3)]}))
    assert song.tempo == 120 and rows(song.instruments[0]) == [(0.0, 1.5, 60)]


def test_ties_are_joined_across_measures_and_repeats_play_them_again(tmp_path):
    start, stop = '<tie type="start"/>', '<tie type="stop"/>'
    measures = [
        note("C4", 1) + note("D4", 1, start),
        note("D4", 1, stop + start) + note("E4", 1),
        note("D4", 2, stop) + barline("backward"),
    ]
    song = read(tmp_path, score({"Piano": measures}))
    once = [(0.0, 0.5, 60), (0.5, 1.5, 62), (1.5, 2.0, 64), (2.0, 3.0, 62)]
    again = [(a + 3, b + 3, p) for a, b, p in once]
    assert rows(song.instruments[0]) == once + again


def quarters(tmp_path, measures, **extra):
    """The pitches of one-note measures in the order of play."""
    song = read(tmp_path, score({"Piano": measures, **extra}))
    notes = song.instruments[0].notes
    assert np.allclose(notes.onset, 0.5 * np.arange(len(notes)))
    return "".join("CDEFGAB"[[0, 2, 4, 5, 7, 9, 11].index(p % 12)] for p in notes.pitch)


def test_repeats_and_endings(tmp_path):
    measures = [
        note("C4"),
        barline("forward") + note("D4"),
        barline(ending="start", number="1, 2") + note("E4"),
        note("F4") + barline("backward", "stop", "1, 2", times=3),
        barline(ending="start", number=3) + note("G4") + barline(ending="discontinue", number=3),
        note("A4") + barline("backward", times=3),
        note("B4"),
    ]
    assert quarters(tmp_path, measures) == "CDEFDEFDGAAAB"


def test_a_single_ending_and_a_tempo_of_its_place(tmp_path):
    measures = [
        sound(tempo=120) + note("C4"),
        barline(ending="start") + sound(tempo=60) + note("D4") + barline("backward", "stop"),
        note("E4"),
    ]
    song = read(tmp_path, score({"Piano": measures}))
    # The first measure is as fast again as before; the third keeps the tempo before it.
    assert rows(song.instruments[0]) == [
        (0.0, 0.5, 60), (0.5, 1.5, 62), (1.5, 2.0, 60), (2.0, 3.0, 64),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({"dacapo": "yes"}, "CDDEFCDFG"),
        ({"dalsegno": "segno"}, "CDDEFDFG"),
    ],
)
def test_da_capo_and_dal_segno_in_one_part_hold_for_all(tmp_path, last, expected):
    plain = [note(n) for n in ("C4", "D4", "E4", "F4", "G4")]
    plain[1] = barline("forward") + plain[1] + barline("backward")
    marked = [
        note("C5"),
        sound(segno="segno") + note("D5") + sound(tocoda="coda"),
        note("E5"),
        sound(coda="coda") + note("F5"),
        note("G5"),
    ]
    # The jump is at the end of the fourth measure, so that the coda is measures four and five.
    marked[3] += sound(**last)
    assert quarters(tmp_path, plain, Flute=marked) == expected


def test_fine(tmp_path):
    measures = [note("C4"), note("D4") + sound(fine="yes"), note("E4") + sound(dacapo="yes")]
    assert quarters(tmp_path, measures) == "CDECD"


def test_a_short_measure_of_one_part_does_not_move_its_next_one(tmp_path):
    parts = {"Flute": [note("C5", 1), note("D5", 1)], "Bass": [note("C3", 4), note("D3", 1)]}
    flute, bass = read(tmp_path, score(parts)).instruments
    assert flute.notes.onset.tolist() == bass.notes.onset.tolist() == [0.0, 2.0]
    assert (flute.program, bass.program) == (73, 33)


def test_transposing_instruments_are_read_at_their_sounding_pitch(tmp_path):
    def transposed(semitones, octaves=0):
        inside = f"<chromatic>{semitones}</chromatic><octave-change>{octaves}</octave-change>"
        return f"<attributes><transpose>{inside}</transpose></attributes>{note('C4')}"

    parts = {"Clarinet in Bb": [transposed(-2)], "Contrabass": [transposed(0, -1)]}
    song = read(tmp_path, score(parts))
    assert [int(part.notes.pitch[0]) for part in song.instruments] == [58, 48]
    assert [part.program for part in song.instruments] == [71, 43]


def test_grace_notes_sound_before_their_note(tmp_path):
    grace = "".join(f"<note><grace/>{pitch(name)}</note>" for name in ("D4", "E4"))
    song = read(tmp_path, score({"Piano": [note("C4", 2) + grace + note("F4", 2)]}))
    g = GRACE_SECONDS
    assert rows(song.instruments[0]) == [
        (0.0, 1.0, 60), (1 - 2 * g, 1 - g, 62), (1 - g, 1.0, 64), (1.0, 2.0, 65),
    ]  # fmt: skip


def test_drums(tmp_path):
    unpitched = "<note><unpitched>{}</unpitched><duration>1</duration>{}</note>"
    position = "<display-step>{}</display-step><display-octave>{}</display-octave>"
    kit = instrument(channel=10, key=37, identity="K") + instrument(
        channel=10, key=43, identity="H"
    )
    measure = (
        unpitched.format(position.format("F", 4), '<instrument id="K"/>')
        + unpitched.format(position.format("G", 5), '<instrument id="H"/>')
        + unpitched.format(position.format("C", 5), "")
        + "<note><cue/><unpitched/><duration>1</duration></note>"
    )
    text = score({"Kit": [measure], "Flute": [note("C5")]}, {"Kit": kit})
    drums, flute = read(tmp_path, text, drums=True).instruments
    assert rows(drums) == [(0.0, 0.5, 36), (0.5, 1.0, 42), (1.0, 1.5, 38)]
    assert (drums.program, drums.name, flute.program) == (128, "Kit", 73)
    song = read(tmp_path, text)
    assert [part.name for part in song.instruments] == ["Flute"] and song.dropped == {"drums": 3}


def test_a_program_of_an_instrument_that_is_not_listed_counts(tmp_path):
    program = '<midi-instrument id="I"><midi-program>38</midi-program></midi-instrument>'
    text = score({"Part": [ATTRIBUTES + note("C2", 2)]}, {"Part": program})
    song = read(tmp_path, text)
    assert [part.program for part in song.instruments] == [37] and song.remarks == {}


def test_programs_of_the_file_come_before_names(tmp_path):
    parts = {"Violin": [note("C4")], "Part 2": [note("C4")], "Foo": [note("C4")]}
    described = {"Violin": instrument(25), "Part 2": instrument(name="Viola")}
    song = read(tmp_path, score(parts, described))
    assert [part.program for part in song.instruments] == [24, 41, 0]
    assert song.remarks == {"instruments of unknown names were read as pianos": 1}


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("Violoncello", 42), ("Double Bass", 43), ("Bass Guitar", 33), ("Bass Trombone", 57),
        ("Tenor Sax.", 66), ("Alto Sax 2", 65), ("Drumset", 128), ("Flöte I", 73),
        ("Horn in F", 60), ("Acoustic Grand Piano", 0), ("Bass Drum", 128), ("Xyz", None),
    ],
)  # fmt: skip
def test_names_of_instruments(name, program):
    assert program_of_name(name) == program


def compress(path, content, inner="score.xml", container=None):
    container = container or f'<container><rootfile full-path="{inner}"/></container>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("score.xml", content)


@pytest.mark.parametrize("name", ["song.mxl", "song.MXL", "song.xml"])
def test_compressed_files(tmp_path, name):
    text = score({"Piano": [note("C4")]})
    compress(tmp_path / name, text)
    assert rows(read_score(tmp_path / name).instruments[0]) == [(0.0, 0.5, 60)]


def test_partitura_reads_the_same(tmp_path):
    partitura = pytest.importorskip("partitura")
    rng = np.random.default_rng(0)
    measures = []
    for _ in range(12):
        notes = [note(f"{rng.choice(list('CDEFGAB'))}{rng.integers(3, 6)}") for _ in range(4)]
        measures.append("".join(notes))
    measures[0] = "<attributes><divisions>1</divisions></attributes>" + measures[0]
    measures[2] = barline("forward") + measures[2]
    measures[4] = barline(ending="start") + measures[4] + barline("backward", "stop")
    measures[5] = barline(ending="start", number=2) + measures[5]
    measures[5] += barline(ending="stop", number=2)
    measures[7] = sound(segno="segno") + measures[7]
    measures[9] += sound(fine="yes")
    measures[11] += sound(dalsegno="segno")
    song = read(tmp_path, score({"Piano": measures}))
    theirs = partitura.score.unfold_part_maximal(
        partitura.load_musicxml(str(tmp_path / "song.musicxml"), quiet=True)[0], ignore_leaps=False
    ).note_array()
    ours = sorted(rows(song.instruments[0]))
    assert ours == sorted(
        (0.5 * float(n["onset_quarter"]), 0.5 * float(n["onset_quarter"] + n["duration_quarter"]),
         int(n["pitch"])) for n in theirs
    )  # fmt: skip


BOMB = (
    '<!DOCTYPE s [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<score-partwise>&b;</score-partwise>"
)


MANY_PARTS = (
    f"<score-partwise><part>{'<measure/>' * 1001}</part>{'<part/>' * 2000}</score-partwise>"
)
PRIMES = [k for k in range(2, 1000) if all(k % d for d in range(2, k))]


def divisions(number):
    """Attributes with ticks per quarter note."""
    return f"<attributes><divisions>{number}</divisions></attributes>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is not XML"),
        ("MThd", "it is not XML"),
        ("<score-partwise><part>", "it is not XML"),
        (BOMB, "defines the entity 'a'"),
        ("<html/>", "found <html>, expected <score-partwise>; export"),
        ("<score-timewise/>", "found a score by measures"),
        ("<a>" * 100 + "</a>" * 100, "nested more than 64 deep"),
        (score({"P": [note("C4") + barline("backward", times=10**6)]}), "repeated more than 64"),
        (
            score({"P": [note("C4") + barline("backward", times=64)] * 2000}),
            "more than 100000 measures",
        ),
        ('<?xml version="1.0" encoding="none"?><score-partwise/>', "unknown encoding: none"),
        (MANY_PARTS, "it has 2001 parts of 1001 measures, expected at most 2000000"),
        (score({"P": [divisions(k) + note("C4") for k in PRIMES]}), "multiples of a common unit"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, text)
    assert "song.musicxml" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
def test_skipped_measures_count_as_steps(tmp_path):
    """Endings that are never played must not be passed over without end."""
    measures = [note("C4")] + [barline(ending="start", number=60) + note("C4")] * 5000
    measures += [barline(ending="stop", number=60)] + [note("C4") + barline("backward", times=64)]
    with pytest.raises(ValueError, match="more than 100000 measures"):
        read(tmp_path, score({"P": measures}))


@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_damaged_archives_get_one_sentence(tmp_path, kind):
    path = tmp_path / "song.mxl"
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("META-INF/container.xml", "<container><rootfile/></container>")
    content = bytearray(path.read_bytes())
    content[58:66] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"song.mxl cannot be read as MusicXML: \S"):
        read_score(path)


def test_bad_archives_get_one_sentence(tmp_path, monkeypatch):
    path = tmp_path / "song.mxl"
    compress(path, b"<score-partwise>" + b" " * 300_000 + b"</score-partwise>")
    monkeypatch.setattr(xml_module, "MAX_BYTES", 100_000)
    with pytest.raises(ValueError, match="song.mxl.*more than 100000 bytes of XML"):
        read_score(path)
    compress(path, b"<score-partwise/>", inner="other.xml")
    with pytest.raises(ValueError, match="names the score 'other.xml', which it lacks"):
        read_score(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="song.mxl cannot be read as MusicXML"):
        read_score(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(ValueError, match="a ZIP file without META-INF/container.xml"):
        read_score(path)
    with pytest.raises(ValueError, match="none.xml cannot be read as MusicXML: No such file"):
        read_score(tmp_path / "none.xml")


def test_many_elements_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(xml_module, "MAX_ELEMENTS", 50)
    with pytest.raises(ValueError, match="more than 50 elements"):
        read(tmp_path, score({"P": [note("C4") * 20]}))


def test_external_entities_are_not_loaded(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    text = f'<!DOCTYPE s [<!ENTITY x SYSTEM "{secret.as_uri()}">]><score-partwise>&x;'
    with pytest.raises(ValueError, match="defines the entity 'x'"):
        read(tmp_path, text + "</score-partwise>")


def test_damage_inside_is_skipped_and_counted(tmp_path):
    measure = (
        note("C4")
        + "<note><pitch><step>H</step><octave>4</octave></pitch><duration>1</duration></note>"
        + "<note><pitch><step>C</step><octave>4</octave></pitch><duration>nan</duration></note>"
        + "<note><pitch><step>C</step><alter>0.5</alter><octave>4</octave></pitch>"
        "<duration>1</duration></note>" + sound(tempo="-5") + sound(tempo="x")
    )
    song = read(tmp_path, score({"Piano": [measure]}))
    assert rows(song.instruments[0]) == [(0.0, 0.5, 60), (1.0, 1.5, 60)]
    assert song.remarks == {
        "notes without a valid pitch or duration were skipped": 2,
        "quarter tones were rounded to semitones": 1,
        "an invalid tempo was ignored": 1,
    }


def test_a_midi_file_is_read_as_such(tmp_path):
    with pytest.raises(ValueError, match="cannot be read as MIDI"):
        read(tmp_path, "<score-partwise/>", name="song.mid")
