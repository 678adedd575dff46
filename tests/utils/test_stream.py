"""Recordings in blocks and chunks: no samples lost or repeated, no seams, clear errors."""

import numpy as np
import pytest
import soundfile as sf
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid_scoresup.utils.stream import Recording, chunks, resampled


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=12).filter(any),
    length=st.integers(1, 25),
    context=st.integers(0, 40),
)
def test_chunks_cover_the_stream_with_context(sizes, length, context):
    stream = np.arange(sum(sizes), dtype=np.float32)[:, None]
    blocks = np.split(stream, np.cumsum(sizes)[:-1])
    found, position = [], 0
    for chunk in chunks(blocks, length, context):
        samples = chunk.samples[0]
        found.append(samples[chunk.start : chunk.start + chunk.length])
        first = max(position - context, 0)
        last = min(position + chunk.length + context, len(stream))
        np.testing.assert_array_equal(samples, stream[first:last, 0])
        assert chunk.start == position - first
        position += chunk.length
        assert chunk.last == (position == len(stream))
        assert chunk.length == length or chunk.last
    np.testing.assert_array_equal(np.concatenate(found), stream[:, 0])


@pytest.mark.parametrize("rate, new_rate", [(44100, 16000), (16000, 48000), (8000, 8000)])
def test_resampling_in_blocks_equals_resampling_the_whole(rate, new_rate):
    audio = noise(rate, 2)
    blocks = np.split(audio, [1, 1000, 1003, rate // 2])
    joined = np.concatenate(list(resampled(blocks, rate, new_rate, 2)))
    np.testing.assert_array_equal(joined, soxr.resample(audio, rate, new_rate, quality="VHQ"))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_what_soundfile_reads_is_read_in_blocks(tmp_path, suffix):
    path = tmp_path / f"song.{suffix}"
    sf.write(path, 0.1 * noise(20000, 2), 16000)
    recording = Recording(path)
    whole, rate = sf.read(path, dtype="float32", always_2d=True)
    blocks = list(recording.blocks(size=3000))
    assert (recording.sample_rate, recording.n_channels) == (rate, 2)
    assert max(map(len, blocks)) == 3000
    # A lossy decoder may start a block a last bit differently.
    np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-6)


def test_bad_recordings_are_named(tmp_path):
    with pytest.raises(ValueError, match="none.wav: no such file"):
        Recording(tmp_path / "none.wav")
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(ValueError, match="text.wav cannot be read as audio"):
        Recording(tmp_path / "text.wav")
    sf.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    with pytest.raises(ValueError, match="empty.wav is empty"):
        Recording(tmp_path / "empty.wav")
    with pytest.raises(ValueError, match="needs its sample_rate"):
        Recording(np.zeros(10))
    (tmp_path / "music").mkdir()
    with pytest.raises(ValueError, match="music is a folder without audio files"):
        Recording(tmp_path / "music")
    (tmp_path / "x.raw").write_bytes(bytes(100))
    with pytest.raises(ValueError, match="x.raw cannot be read as audio"):
        Recording(tmp_path / "x.raw")
    with pytest.raises(ValueError, match=r"found \(20000, 2\): transpose"):
        Recording(np.zeros((20000, 2)), 8000)
    with pytest.raises(ValueError, match="sample_rate in Hz, found 0"):
        Recording(np.zeros(10), 0)
    with pytest.raises(ValueError, match=r"\(channels, time\), found \(1, 2, 3\)"):
        Recording(np.zeros((1, 2, 3)), 8000)
    audio = np.zeros(8000, dtype=np.float32)
    audio[2000] = np.nan
    sf.write(tmp_path / "nan.wav", audio, 8000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"nan.wav contains NaN.*first at 0.250 s"):
        list(Recording(tmp_path / "nan.wav").blocks(1000))


def test_truncated_files_are_refused(tmp_path):
    path = tmp_path / "song.flac"
    sf.write(path, 0.1 * noise(80000), 16000)
    path.write_bytes(path.read_bytes()[:60000])
    with pytest.raises(ValueError, match="song.flac (is damaged|cannot be read)"):
        list(Recording(path).blocks())


def test_the_real_mp3s_are_as_long_as_they_decode(real_data):
    """Their headers promise about 4,470 samples more than there are."""
    for path in sorted((real_data / "mixes").glob("*.mp3")):
        recording = Recording(path)
        assert sum(map(len, recording.blocks())) == recording.n_samples < sf.info(path).frames
