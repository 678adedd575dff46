"""Audio files of all formats are decoded completely, or refused with one sentence."""

import io
import os
import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile as sf

from asteroid_scoresup.utils import audio
from asteroid_scoresup.utils.audio import AudioFile
from asteroid_scoresup.utils.files import read_audio
from asteroid_scoresup.utils.hashing import audio_probe
from asteroid_scoresup.utils.stream import Recording

RATE = 16000
FRAME = 576  # samples of an MPEG frame at 16 kHz
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def song(seconds=3.0, rate=RATE):
    """A tone, then noise, so that bit rates vary."""
    time = np.arange(int(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * 440 * time)
    half = len(wave) // 2
    wave[half:] += 0.2 * np.random.default_rng(0).standard_normal(len(wave) - half)
    return wave.astype(np.float32)


def encoded(wave=None, rate=RATE, **kwargs):
    file = io.BytesIO()
    sf.write(file, song() if wave is None else wave, rate, **kwargs)
    return file.getvalue()


def mp3(mode="VARIABLE", wave=None, **kwargs):
    options = dict(format="MP3", bitrate_mode=mode, compression_level=0.6)
    return encoded(wave, **{**options, **kwargs})


def flac_with_total(total):
    data = bytearray(encoded(format="FLAC", subtype="PCM_16"))
    data[21] = data[21] & 0xF0 | total >> 32
    data[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(data)


def without_header(data):
    """An MP3 file without the header frame, in which the encoder writes the length."""
    at = data.find(b"\xff\xf3")
    assert b"Xing" in data[:200] or b"Info" in data[:200]
    return data[data.find(b"\xff\xf3", at + 4) :]


def write(path, data):
    path.write_bytes(data)
    return path


def counts(path):
    """Samples by both readers and by blocks of an odd size."""
    file = AudioFile(path)
    return {
        file.count(),
        sum(map(len, file.blocks(777))),
        len(read_audio(path)[0]),
        Recording(path).n_samples,
    }


@pytest.mark.parametrize("total", [0, 100, RATE])
def test_flac_with_too_short_a_length_in_the_header_is_read_completely(tmp_path, total):
    path = write(tmp_path / "song.flac", flac_with_total(total))
    assert counts(path) == {3 * RATE}
    np.testing.assert_allclose(read_audio(path)[0], song(), atol=1 / 32000)


def test_flac_with_too_long_a_length_in_the_header_is_refused(tmp_path):
    path = write(tmp_path / "song.flac", flac_with_total(10 * RATE))
    with pytest.raises(ValueError, match="song.flac is damaged: 48000 .* its header says 160000"):
        read_audio(path)


@pytest.mark.parametrize("kind", [{"format": "FLAC"}, {"format": "OGG", "subtype": "VORBIS"}])
@pytest.mark.parametrize("n", [2, 3])
def test_joined_streams_are_read_completely(tmp_path, kind, n):
    one = encoded(**kind)
    alone, _ = sf.read(io.BytesIO(one), dtype="float32")
    path = write(tmp_path / "joined.dat", n * one)
    assert counts(path) == {n * len(alone)}
    np.testing.assert_array_equal(read_audio(path)[0], np.tile(alone, n))


def test_joined_opus_is_read_completely(tmp_path):
    one = encoded(song(1, 48000), 48000, format="OGG", subtype="OPUS")
    assert counts(write(tmp_path / "joined.opus", 2 * one)) == {2 * 48000}


def test_joined_streams_of_different_rates_are_refused(tmp_path):
    other = encoded(song(1, 8000), 8000, format="OGG", subtype="VORBIS")
    path = write(tmp_path / "two.ogg", encoded(format="OGG", subtype="VORBIS") + other)
    with pytest.raises(ValueError, match=r"two.ogg joins streams .*\(16000, 1\).*8000"):
        read_audio(path)


def test_mp3_without_a_header_is_read_completely(tmp_path):
    whole = mp3()
    bare = without_header(whole)
    path = write(tmp_path / "song.mp3", bare)
    assert sf.info(path).frames < 0.9 * len(song())  # the estimate on which libsndfile stops
    (n_samples,) = counts(path)
    # The encoder's delay stays, as in any decoder that is not told of it.
    assert len(song()) <= n_samples <= len(song()) + 4 * FRAME
    decoded = read_audio(path)[0]
    lag = int(np.argmax(np.correlate(decoded[20000:], song()[26000:30000], "valid"))) - 6000
    assert 0 < lag < 3 * FRAME
    error = decoded[lag : lag + 40000] - sf.read(io.BytesIO(whole), dtype="float32")[0][:40000]
    assert np.abs(error[2000:]).max() < 0.02


def test_joined_mp3s_are_read_completely(tmp_path):
    one, other = mp3(), mp3("CONSTANT", song(1))
    tag = b"TAG" + bytes(125)
    for parts, expected in (
        ((one, other), 4 * RATE),
        ((one, tag, other, tag), 4 * RATE),
        ((one, one, one), 9 * RATE),
    ):
        path = write(tmp_path / "joined.mp3", b"".join(parts))
        assert counts(path) == {expected}
    alone = sf.read(io.BytesIO(one), dtype="float32")[0]
    np.testing.assert_allclose(read_audio(path)[0], np.tile(alone, 3), atol=1e-4)
    (n_samples,) = counts(write(tmp_path / "mixed.mp3", one + without_header(other)))
    assert 4 * RATE <= n_samples <= 4 * RATE + 4 * FRAME


@pytest.mark.parametrize("tag_says", [0, 100, 5000, 1 << 20])
def test_a_tag_with_a_wrong_size_hides_no_frames(tmp_path, tag_says):
    size = bytes(tag_says >> shift & 127 for shift in (21, 14, 7, 0))
    tag = b"ID3\x04\0\0" + size + bytes(1000)
    assert counts(write(tmp_path / "song.mp3", tag + mp3())) == {3 * RATE}


def test_truncated_mp3s_are_refused_or_reported(tmp_path):
    data = mp3()
    path = write(tmp_path / "song.mp3", data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"song.mp3 is truncated: \d+ of \d+ MPEG frames"):
        read_audio(path)
    bare, remarks = without_header(data), []
    read_audio(write(path, bare[: len(bare) // 2]), remarks=remarks)
    assert remarks == ["its last MPEG frame is incomplete: it may have been longer"]
    assert Recording(path).remarks == remarks


CONTAINERS = {
    "wav": dict(format="WAV", subtype="PCM_16"),
    "float.wav": dict(format="WAV", subtype="FLOAT"),
    "x.wav": dict(format="WAVEX", subtype="PCM_24"),
    "rf64": dict(format="RF64", subtype="PCM_16"),
    "w64": dict(format="W64", subtype="PCM_16"),
    "aiff": dict(format="AIFF", subtype="PCM_16"),
    "aifc": dict(format="AIFF", subtype="FLOAT"),
    "au": dict(format="AU", subtype="PCM_16"),
    "caf": dict(format="CAF", subtype="PCM_16"),
    "flac": dict(format="FLAC", subtype="PCM_16"),
    "ogg": dict(format="OGG", subtype="VORBIS"),
    "opus": dict(format="OGG", subtype="OPUS"),
}


@pytest.mark.slow
@pytest.mark.parametrize("with_ffmpeg", [False, True])
@pytest.mark.parametrize("suffix", CONTAINERS)
def test_truncated_files_are_refused(tmp_path, suffix, with_ffmpeg, monkeypatch):
    if not with_ffmpeg:
        monkeypatch.setattr(audio, "ffmpeg", lambda: None)
    elif shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    data = encoded(**CONTAINERS[suffix])
    path = write(tmp_path / f"song.{suffix}", data)
    assert counts(path) == {3 * RATE}
    for fraction in (0.5, 0.9):
        write(path, data[: int(fraction * len(data))])
        with pytest.raises(ValueError, match=rf"song.{suffix} (is truncated|is damaged|cannot be)"):
            read_audio(path)
        with pytest.raises(ValueError, match=rf"song.{suffix} "):
            list(Recording(path).blocks())


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000, 0x80000000])
def test_wav_written_to_a_pipe_is_read_completely(tmp_path, size):
    data = bytearray(encoded(**CONTAINERS["wav"]))
    place = data.index(b"data") + 4
    data[place : place + 4] = size.to_bytes(4, "little")
    data[4:8] = min(size + 36, 0xFFFFFFFF).to_bytes(4, "little")
    assert counts(write(tmp_path / "song.wav", bytes(data))) == {3 * RATE}


def test_unfinished_recordings_are_refused(tmp_path):
    data = bytearray(encoded(**CONTAINERS["wav"]))
    place = data.index(b"data") + 4
    data[place : place + 4] = bytes(4)
    with pytest.raises(ValueError, match="song.wav is empty according to its header.* 96044 bytes"):
        read_audio(write(tmp_path / "song.wav", bytes(data)))


@pytest.mark.parametrize("rate", [1, 500, 3999, 384_001, 2_000_000])
def test_absurd_sample_rates_are_refused(tmp_path, rate):
    sf.write(tmp_path / "song.wav", np.zeros(1000), rate)
    for reader in (read_audio, Recording):
        with pytest.raises(ValueError, match=f"song.wav has a sample rate of {rate} Hz, expected"):
            reader(tmp_path / "song.wav")
    with pytest.raises(ValueError, match=f"is {rate} Hz, expected 4000 to 384000"):
        Recording(np.zeros(1000), rate)


def test_other_files_are_refused_by_name(tmp_path):
    for name, match in (("none.wav", "no such file"), ("folder.wav", "is not a file")):
        (tmp_path / "folder.wav").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match=f"{name}:? {match}"):
            AudioFile(tmp_path / name)
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(ValueError, match="pipe.wav is not a file"):
        AudioFile(tmp_path / "pipe.wav")
    with pytest.raises(ValueError, match="empty.mp3 is empty"):
        AudioFile(write(tmp_path / "empty.mp3", b""))
    for suffix in ("wav", "mp3", "flac", "m4a"):
        with pytest.raises(ValueError, match=f"text.{suffix} cannot be read"):
            AudioFile(write(tmp_path / f"text.{suffix}", b"This is no audio. " * 100))


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["m4a", "mp4", "aac", "wma", "webm", "mka"])
@pytest.mark.slow
def test_ffmpeg_reads_other_formats(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"-i concat:{suffix}.{suffix}"  # a name that could mean more than a file
    sf.write(tmp_path / "song.wav", np.stack([song(2, 48000), -song(2, 48000)], 1), 48000)
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(tmp_path / "song.wav")]
    subprocess.run([*command, f"file:{path}"], check=True)
    file = AudioFile(path)
    assert (file.sample_rate, file.n_channels) == (48000, 2)
    assert abs(file.count() - 96000) < 5000  # the encoders' delay and padding
    blocks = np.concatenate(list(file.blocks(5000)))
    assert len(blocks) == file.count()
    lags = np.correlate(blocks[:14000, 0], song(2, 48000)[4000:9000], "valid")
    lag = int(np.argmax(lags)) - 4000
    assert np.corrcoef(blocks[lag + 9000 : lag + 40000, 0], song(2, 48000)[9000:40000])[0, 1] > 0.95
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=rf"{suffix} (cannot be read.*\(ffmpeg\)|is truncated)"):
        read_audio(path)
    monkeypatch.setattr(audio, "ffmpeg", lambda: None)
    with pytest.raises(ValueError, match=rf"{suffix} cannot be read without ffmpeg.*install it"):
        read_audio(path)


@pytest.mark.parametrize("kind", ["flac", "mp3", "joined flac", "ogg", "wav"])
@pytest.mark.slow
def test_a_file_is_decoded_by_several_readers_at_a_time(tmp_path, kind):
    """Separation reads a song for its stems and, interleaved, for its residual."""
    wave = song(40.0)
    data = {
        "flac": lambda: encoded(wave, format="FLAC"),
        "mp3": lambda: mp3(wave=wave),
        "joined flac": lambda: 2 * encoded(wave, format="FLAC"),
        "ogg": lambda: encoded(wave, format="OGG"),
        "wav": lambda: encoded(wave, format="WAV"),
    }[kind]()
    path = write(tmp_path / f"song.{kind.split()[-1]}", data)
    recording = Recording(path)
    expected = np.concatenate(list(recording.blocks(1 << 14)))
    first, second = recording.blocks(1 << 14), recording.blocks(1 << 13)
    parts = [[], []]
    for block in first:
        parts[0].append(block)
        parts[1] += [part for part in (next(second, None), next(second, None)) if part is not None]
    parts[1] += list(second)
    for found in parts:
        np.testing.assert_array_equal(np.concatenate(found), expected)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_too_small_sizes_of_data_are_refused(tmp_path, subtype):
    data = bytearray(encoded(format="WAV", subtype=subtype))
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 1000)
    path = tmp_path / "song.wav"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"song.wav is damaged: its header announces 1000 bytes"):
        AudioFile(path)


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


@pytest.mark.parametrize(
    "rest",
    [
        chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"Recorder"))
        + chunk(b"id3 ", b"ID3" + bytes(20_000))
        + chunk(b"bext", bytes(602))
        + chunk(b"odd ", b"abc"),
        chunk(b"abcd", bytes(range(256)) * 100),
        b"\x01\xfe\x90",
        b"\xff\xfe\x90\x01" * 100,
        bytes(100_000),
    ],
)
def test_chunks_and_stray_bytes_after_the_samples_are_no_damage(tmp_path, rest):
    path = tmp_path / "song.wav"
    path.write_bytes(encoded(format="WAV", subtype="PCM_16") + rest)
    assert AudioFile(path).count() == len(song())


@pytest.mark.skipif(os.name != "posix", reason="names are Unicode")
def test_names_need_not_be_utf8(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    try:
        path.write_bytes(encoded(format="WAV", subtype="FLOAT"))
    except OSError:
        pytest.skip("the file system allows only UTF-8")
    assert sum(map(len, AudioFile(path).blocks())) == len(song())
    assert len(read_audio(path)[0]) == len(song())
    assert len(audio_probe(path)) == 16
