"""The listening page: its files, and errors for invalid input."""

import json
import re
import resource
import signal
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile as sf
from page_song import NAMES, PITCHES, RATE, SECONDS, score, transcription, write_song

from asteroid_scoresup.report import page as page_module
from asteroid_scoresup.report.page import write_page
from asteroid_scoresup.report.plots import RANGE_DB, class_colors
from asteroid_scoresup.report.semitones import FRAME_RATE, ROWS_PER_SEMITONE, highest_pitch
from asteroid_scoresup.score import LOWEST_PITCH, Notes

pytest.importorskip("matplotlib")
from PIL import Image  # noqa: E402

N_LEVELS = 64


class Reader(HTMLParser):
    """Texts and scripts of a page, as a browser would parse it."""

    def __init__(self, path):
        super().__init__()
        self.texts, self.scripts, self.tags, self._open = [], [], [], None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._open = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        if self._open == "script":
            self.scripts[-1] += data
        elif data.strip():
            self.texts.append(data.strip())

    @property
    def song(self):
        return json.loads(self.scripts[0])


@pytest.fixture
def song(tmp_path):
    return write_song(tmp_path)


def levels(page, track, tile=0):
    """Levels of a tile, in dB below the loudest point, lowest row first."""
    with Image.open(page.parent / track["tiles"] / f"{tile:03d}.png") as image:
        gray = np.asarray(image.convert("L"))[::-1] / 255
    return RANGE_DB * ((1.15 * (1 - gray)) ** (1 / 1.5) - 1)


def test_the_page_holds_tracks_notes_and_numbers(song, tmp_path):
    numbers = [
        ("SI-SDR (dB)", {"bass": 12.345, "guitar": np.float32(-3), "piano": float("nan")}),
        ("Notes", {"bass": 4, "guitar": "four & more"}),
    ]
    page = write_page(
        tmp_path / "page",
        "A song",
        *song,
        transcription=transcription(),
        score=score(),
        numbers=numbers,
    )
    assert page == tmp_path / "page" / "index.html"
    read = Reader(page)
    assert read.texts.count("A song") == 2  # the window's title and the page's
    table = read.texts[read.texts.index("SI-SDR (dB)") - 3 :][:11]
    assert table[:7] == ["bass", "guitar", "piano", "SI-SDR (dB)", "12.35", "-3.00", "–"]
    assert table[7:] == ["Notes", "4", "four & more", "–"]
    facts = read.song
    assert [track["name"] for track in facts["tracks"]] == ["mixture", *NAMES]
    assert facts["seconds"] == SECONDS
    assert {t["name"]: t["color"] for t in facts["tracks"][1:]} == class_colors(NAMES)
    assert [len(track["transcription"]) for track in facts["tracks"][1:]] == [4, 4, 3]
    for track, pitches in zip(facts["tracks"][1:], PITCHES):
        assert [row[2] for row in track["score"]] == list(pitches)
        assert [row[0] for row in track["score"]] == [0.2, 1.4, 2.6, 3.8]
    for track in facts["tracks"]:
        assert (page.parent / track["audio"]).is_file()
        assert [path.name for path in (page.parent / track["tiles"]).iterdir()] == ["000.png"]


def test_the_page_is_self_contained(song, tmp_path):
    page = write_page(tmp_path / "page", "A song", *song)
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|fetch\(|\bimport\b", text)
    assert str(tmp_path) not in text
    assert "<table" not in text


def test_texts_are_escaped(song, tmp_path):
    mixture, stems = song
    nasty = '</script><script>alert("1")</script><!-- $title & ♯ \u2028'
    names = [nasty, "../../../up", "ベース"]
    page = write_page(
        tmp_path / "page",
        nasty,
        mixture,
        dict(zip(names, stems.values())),
        transcription=score(),
        numbers=[(nasty, dict.fromkeys(names, nasty))],
    )
    read = Reader(page)
    assert len(read.scripts) == 2 and "alert" not in read.scripts[1]
    assert [track["name"] for track in read.song["tracks"]] == ["mixture", *names]
    assert nasty.replace("\u2028", "").strip() in "".join(read.texts)
    for track in read.song["tracks"]:
        assert re.fullmatch(r"audio/[a-z0-9-]+\.flac", track["audio"])
        assert (page.parent / track["audio"]).is_file()
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"page"}


def test_audio_is_copied_and_clipped_but_never_rescaled(song, tmp_path):
    mixture, stems = song
    loud, rate = sf.read(mixture)
    sf.write(tmp_path / "loud.wav", 3 * loud, rate, subtype="FLOAT")
    page = write_page(tmp_path / "page", "Loud", tmp_path / "loud.wav", stems)
    copy, copied_rate = sf.read(page.parent / "audio/01-mixture.flac")
    info = sf.info(page.parent / "audio/01-mixture.flac")
    assert (info.format, info.subtype, copied_rate) == ("FLAC", "PCM_16", rate)
    assert np.abs(3 * loud).max() > 1.2
    np.testing.assert_allclose(copy, np.clip(3 * loud, -1, 1), atol=1.1 / 2**15)


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "flac"])
@pytest.mark.slow
def test_compressed_files_are_accepted(song, tmp_path, suffix):
    mixture, stems = song
    sf.write(tmp_path / f"song.{suffix}", *sf.read(mixture))
    page = write_page(tmp_path / "page", "Song", tmp_path / f"song.{suffix}", stems)
    assert Reader(page).song["seconds"] == pytest.approx(SECONDS, abs=0.1)


def test_notes_are_drawn_at_their_fundamentals(song, tmp_path):
    page = write_page(tmp_path / "page", "A song", *song)
    highest = highest_pitch(RATE)
    assert Reader(page).song["highest"] == highest
    for track, pitches in zip(Reader(page).song["tracks"][1:], PITCHES):
        seen = levels(page, track)
        n_rows = (highest - LOWEST_PITCH + 1) * ROWS_PER_SEMITONE
        assert seen.shape == (n_rows, SECONDS * FRAME_RATE)
        for i, pitch in enumerate(pitches):
            frame = round((0.7 + 1.2 * i) * FRAME_RATE)
            row = (pitch - LOWEST_PITCH) * ROWS_PER_SEMITONE + 1
            loudest = np.nonzero(seen[:, frame] == seen[:, frame].max())[0]
            assert loudest.min() - 1 <= row <= loudest.max() + 1


def test_levels_are_relative_to_the_loudest_point_of_the_mixture(song, tmp_path):
    mixture, _ = song
    sound, rate = sf.read(mixture)
    factors = {"whole": 1.0, "half": 0.5, "tenth": 0.1, "nothing": 0.0}
    for name, factor in factors.items():
        sf.write(tmp_path / f"{name}.wav", factor * sound, rate, subtype="FLOAT")
    stems = {name: tmp_path / f"{name}.wav" for name in factors}
    page = write_page(tmp_path / "page", "Levels", mixture, stems)
    whole, same, half, tenth, nothing = (
        levels(page, track) for track in Reader(page).song["tracks"]
    )
    step = RANGE_DB / (N_LEVELS - 1)
    assert whole.max() == pytest.approx(0, abs=0.3)
    np.testing.assert_array_equal(same, whole)
    np.testing.assert_allclose(nothing, -RANGE_DB, atol=0.01)
    for seen, decibels in ((half, 6.02), (tenth, 20)):
        loud = whole > decibels + 10 - RANGE_DB
        assert loud.sum() > 100
        np.testing.assert_allclose((whole - seen)[loud], decibels, atol=1.2 * step)


def test_channels_in_opposite_phase_do_not_cancel(song, tmp_path):
    mixture, _ = song
    left = sf.read(mixture)[0][:, 0]
    for name, right in {"same": left, "opposite": -left, "silent": 0 * left}.items():
        sf.write(tmp_path / f"{name}.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    sf.write(tmp_path / "mono.wav", left, RATE, subtype="FLOAT")
    stems = {name: tmp_path / f"{name}.wav" for name in ("same", "opposite", "silent")}
    page = write_page(tmp_path / "page", "Phase", tmp_path / "mono.wav", stems)
    mono, same, opposite, half = (levels(page, track) for track in Reader(page).song["tracks"])
    np.testing.assert_array_equal(same, mono)
    step = RANGE_DB / (N_LEVELS - 1)
    np.testing.assert_allclose(opposite, mono, atol=1.2 * step)
    loud = mono > 30 - RANGE_DB  # where a step of the gray is small
    np.testing.assert_allclose((mono - half)[loud], 3.01, atol=1.5 * step)
    assert np.mean((mono - half)[loud]) == pytest.approx(3.01, abs=0.1)


@pytest.mark.slow
def test_tiles_join_without_a_seam(song, tmp_path, monkeypatch):
    whole = write_page(tmp_path / "whole", "A song", *song)
    monkeypatch.setattr(page_module, "TILE_SECONDS", 2)
    cut = write_page(tmp_path / "cut", "A song", *song)
    for track in Reader(whole).song["tracks"][:3]:
        tiles = [levels(cut, track, i) for i in range(3)]
        assert [tile.shape[1] for tile in tiles] == [100, 100, 50]
        np.testing.assert_array_equal(np.concatenate(tiles, axis=1), levels(whole, track))


def test_stems_of_different_rates_and_lengths_share_the_axes(song, tmp_path):
    mixture, stems = song
    rng = np.random.default_rng(0)
    sf.write(tmp_path / "short.wav", 0.1 * rng.standard_normal(8000 * 2), 8000)
    sf.write(tmp_path / "long.wav", 0.1 * rng.standard_normal(22050 * 6), 22050)
    stems = {"short": tmp_path / "short.wav", "long": tmp_path / "long.wav"}
    page = write_page(tmp_path / "page", "Odd", mixture, stems)
    facts = Reader(page).song
    assert [track["seconds"] for track in facts["tracks"]] == [5, 2, 6] and facts["seconds"] == 6
    tiles = [levels(page, track) for track in facts["tracks"]]
    assert len({tile.shape for tile in tiles}) == 1 and tiles[0].shape[1] == 6 * FRAME_RATE
    assert tiles[1][:, 2 * FRAME_RATE + 20 :].max() < 0.01 - RANGE_DB < tiles[2][:, -20:].max()


def test_a_silent_mixture_has_an_empty_spectrogram(tmp_path):
    sf.write(tmp_path / "silence.wav", np.zeros(8000), 8000)
    stems = {"bass": tmp_path / "silence.wav"}
    page = write_page(tmp_path / "page", "Silence", tmp_path / "silence.wav", stems)
    for track in Reader(page).song["tracks"]:
        assert levels(page, track).max() < 0.01 - RANGE_DB


PEAK = """
import sys, tracemalloc
from asteroid_scoresup.report import page
page.TILE_SECONDS = 5
tracemalloc.start()
page.write_page(sys.argv[1] + "/page", "Long", sys.argv[2], {"bass": sys.argv[2]})
print(tracemalloc.get_traced_memory()[1])
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_song(fast_python, tmp_path):
    """In a separate process: objects of other tests would change the peak."""
    peaks = []
    for seconds in (20, 40):
        song = tmp_path / f"{seconds}.wav"
        sf.write(song, 0.1 * np.random.default_rng(0).standard_normal(seconds * 8000), 8000)
        command = [fast_python, "-c", PEAK, tmp_path / str(seconds), song]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.2 * peaks[0]


def test_a_residual_comes_last_without_notes_or_a_class_color(song, tmp_path):
    mixture, stems = song
    stems = {**stems, "residual": mixture}
    page = write_page(tmp_path / "page", "A song", mixture, stems, transcription=score())
    residual = Reader(page).song["tracks"][-1]
    assert residual["transcription"] == [] and residual["color"] not in class_colors(NAMES).values()


def one_note(class_index):
    return Notes([0.0], [1.0], [60], [class_index], [90])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"stems": {}}, r"mixture\.wav has no stems, expected at least one"),
        ({"mixture": "nowhere.wav"}, "nowhere.wav: no such file"),
        ({"transcription": one_note(3)}, r"transcription has notes of the classes \[3\].* 3 stems"),
        ({"score": one_note(-1)}, r"The score has notes of the classes \[-1\]"),
        (
            {"score": one_note(-1), "transcription": one_note(0)},
            r"true score has notes of the classes \[-1\]",
        ),
        ({"numbers": [("dB", {"drums": 1})]}, r"'dB' has numbers of \['drums'\], but the stems"),
        ({"numbers": ["dB"]}, r"A row of numbers is 'dB', expected \(label, \{stem: value\}\)"),
    ],
)
def test_invalid_input_is_refused_before_anything_is_written(song, tmp_path, change, message):
    mixture, stems = song
    arguments = {"mixture": mixture, "stems": stems} | change
    with pytest.raises(ValueError, match=message):
        write_page(tmp_path / "page", "A song", **arguments)
    assert not (tmp_path / "page").exists()


def test_a_note_of_the_residual_is_refused(song, tmp_path):
    mixture, stems = song
    stems = {**stems, "residual": mixture}
    with pytest.raises(ValueError, match=r"classes \[3\], but there are 3 stems with notes"):
        write_page(tmp_path / "page", "A song", mixture, stems, transcription=one_note(3))


def test_too_many_channels_are_refused(song, tmp_path):
    mixture, stems = song
    sf.write(tmp_path / "nine.wav", np.zeros((100, 9)), 8000)
    with pytest.raises(ValueError, match=r"nine\.wav has 9 channels, expected at most 8"):
        write_page(tmp_path / "page", "A song", tmp_path / "nine.wav", stems)


def test_a_failed_page_does_not_leave_the_old_one(song, tmp_path):
    mixture, stems = song
    page = write_page(tmp_path / "page", "A song", mixture, stems)
    broken, rate = sf.read(stems["piano"])
    broken[-5] = np.nan
    sf.write(stems["piano"], broken, rate, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"piano\.wav contains NaN or infinite samples"):
        write_page(tmp_path / "page", "A song", mixture, stems)
    assert not page.exists()
    assert not list(page.parent.rglob("*.part*"))


def test_channels_in_opposite_phase_are_shown_as_in_phase(tmp_path):
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 8000)
    pictures = []
    for sign in (1, -1):
        path = tmp_path / f"{sign}.wav"
        sf.write(path, np.stack([tone, sign * tone], 1), 8000, subtype="FLOAT")
        page = write_page(tmp_path / f"page{sign}", "Tone", path, {"bass": path})
        pictures.append((page.parent / "tiles/01-mixture/000.png").read_bytes())
    assert pictures[0] == pictures[1]


def test_a_full_disk_leaves_no_page(tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(40000)
    sf.write(tmp_path / "song.wav", noise, 8000, subtype="PCM_16")
    song = tmp_path / "song.wav"
    page = write_page(tmp_path / "whole", "Noise", song, {"bass": song})
    size = (page.parent / "audio/01-mixture.flac").stat().st_size
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for left_out in (1, 500, 5000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size - left_out, limits[1]))
            with pytest.raises(OSError, match="01-mixture.flac"):
                write_page(tmp_path / "page", "Noise", song, {"bass": song})
            assert not [path for path in (tmp_path / "page").rglob("*") if path.is_file()]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_titles_need_not_be_utf8(song, tmp_path):
    page = write_page(tmp_path / "page", "caf\udce9", *song)
    assert "caf\\udce9" in page.read_text(encoding="utf-8")
