"""Compressed SoundFonts are decoded to what synthesizers make of them."""

import io
import struct

import numpy as np
import pretty_midi
import pytest
import soundfile

from asteroid_scoresup.synthesis.render import default_soundfont, render_notes
from asteroid_scoresup.synthesis.soundfont import Preset, Tone, write_soundfont
from asteroid_scoresup.synthesis.soundfont_decoder import decode_soundfont, is_compressed
from asteroid_scoresup.synthesis.soundfont_reader import sample_headers, soundfont_presets

RATE = 22050
LOOP = (3000, 9000)  # of every sample, from its start


def tone(pitch):
    time = np.arange(RATE // 2) / RATE
    partials = [np.sin(2 * np.pi * k * pretty_midi.note_number_to_hz(pitch) * time) for k in (1, 2)]
    return Tone(pitch, 0.3 * sum(partials) * np.exp(-2 * time), RATE)


def chunk(kind, data):
    return struct.pack("<4sI", kind, len(data)) + data + bytes(len(data) % 2)


def compress(path, target, ogg_of=None):
    """Writes a SoundFont that :func:`write_soundfont` made as MuseScore's program writes it."""
    content = path.read_bytes()
    info = content.index(b"LIST", 12) + 8
    first = content.index(b"smpl") + 8
    tables = content.index(b"LIST", first) + 8
    headers = sample_headers(path).copy()
    packed = b""
    for header in headers:
        start, end = header["place"][:2]
        samples = np.frombuffer(content, "<i2", end - start, first + 2 * start)
        file = io.BytesIO()
        soundfile.write(file, samples, int(header["rate"]), format="OGG", subtype="VORBIS")
        ogg = file.getvalue() if ogg_of is None else ogg_of
        header["place"] = len(packed), len(packed) + len(ogg), *LOOP
        header["kind"][1] |= 0x10
        packed += ogg
    place = content.index(b"shdr") + 8
    size = headers.nbytes
    content = content[:place] + headers.tobytes() + content[place + size :]
    lists = [b"INFO" + content[info + 4 : content.index(b"LIST", info)]]
    lists += [b"sdta" + chunk(b"smpl", packed), content[tables:]]
    body = b"".join(chunk(b"LIST", part) for part in lists)
    target.write_bytes(chunk(b"RIFF", b"sfbk" + body))


@pytest.fixture(scope="module")
def fonts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fonts")
    plain, packed, decoded = folder / "plain.sf2", folder / "packed.sf3", folder / "decoded.sf2"
    presets = [Preset(0, "high", (tone(60), tone(72))), Preset(33, "low", (tone(40),))]
    write_soundfont(plain, "bank", presets)
    compress(plain, packed)
    decode_soundfont(packed, decoded)
    return plain, packed, decoded


def test_presets_and_samples_stay(fonts):
    plain, packed, decoded = fonts
    assert [is_compressed(path) for path in fonts] == [False, True, False]
    assert soundfont_presets(decoded) == soundfont_presets(packed) == {(0, 0), (0, 33)}
    content = {path: path.read_bytes() for path in (plain, decoded)}
    for before, after in zip(sample_headers(plain), sample_headers(decoded), strict=True):
        start, end, *loop = map(int, after["place"])
        assert np.array_equal(loop, np.add(start, LOOP)) and before["rate"] == after["rate"]
        assert end - start == before["place"][1] - before["place"][0]
        samples = [
            np.frombuffer(data, "<i2", end - start, data.index(b"smpl") + 8 + 2 * s)
            for data, s in ((content[plain], int(before["place"][0])), (content[decoded], start))
        ]
        error = np.linalg.norm(np.subtract(*map(np.float64, samples)))
        assert error < 0.1 * np.linalg.norm(samples[0])  # what Vorbis loses
    assert content[decoded][content[decoded].index(b"ifil") + 8 :][:4] == struct.pack("<HH", 2, 1)


@pytest.mark.parametrize("program, pitch", [(0, 60), (0, 70), (33, 41)])
def test_a_decoded_file_sounds_like_the_compressed_one(fonts, program, pitch):
    _, packed, decoded = fonts
    notes = [pretty_midi.Note(100, pitch, 0.05, 0.4)]
    # tinysoundfont decodes Vorbis with a decoder of its own.
    first, second = (
        render_notes(notes, program, 0.6, RATE, path, "tinysoundfont") for path in (packed, decoded)
    )
    assert np.abs(first).max() > 0.01
    assert np.abs(first - second).max() < 1e-2 * np.abs(first).max()


def test_what_is_not_compressed_stays(fonts, tmp_path):
    plain = fonts[0]
    decode_soundfont(plain, tmp_path / "again.sf2")
    decode_soundfont(default_soundfont(), tmp_path / "gm.sf2")
    for before, after in ((plain, "again.sf2"), (default_soundfont(), "gm.sf2")):
        notes = [pretty_midi.Note(100, 60, 0.05, 0.4)]
        first, second = (
            render_notes(notes, 0, 0.5, RATE, path, "tinysoundfont")
            for path in (before, tmp_path / after)
        )
        assert np.array_equal(first, second)


def test_damaged_samples_are_named(fonts, tmp_path):
    compress(fonts[0], tmp_path / "bad.sf3", b"OggS and nothing else")
    with pytest.raises(
        ValueError, match=r"bad\.sf3 is a damaged SoundFont: a sample cannot be dec"
    ):
        decode_soundfont(tmp_path / "bad.sf3", tmp_path / "out.sf2")
    with pytest.raises(FileNotFoundError, match="SoundFont not found"):
        decode_soundfont(tmp_path / "missing.sf3", tmp_path / "out.sf2")
    assert not (tmp_path / "out.sf2").exists()
