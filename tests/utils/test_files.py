"""Files are written completely; resampling has no delay; channels do not cancel."""

import resource
import signal

import numpy as np
import pytest
import soundfile as sf
import torch
import torchaudio

from asteroid_scoresup.utils.downmix import downmix
from asteroid_scoresup.utils.files import (
    atomic_path,
    audio_writers,
    read_audio,
    resample_audio,
    short_name,
    write_audio,
)

RATE = 16000


def tones(*pitches, seconds=4.0, rate=RATE):
    time = np.arange(int(seconds * rate)) / rate
    partials = [np.sin(2 * np.pi * k * p * time) / k for p in pitches for k in (1, 2, 3)]
    return (0.05 * sum(partials)).astype(np.float32)


def snr_db(signal, other):
    return 10 * np.log10(np.sum(signal**2) / max(np.sum((signal - other) ** 2), 1e-30))


@pytest.fixture
def full_disk():
    """Limits the size of files, so that writing fails as on a full disk."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


FORMATS = [("flac", "PCM_24"), ("flac", "PCM_16"), ("wav", "FLOAT"), ("wav", "PCM_16")]


@pytest.mark.parametrize("suffix, subtype", FORMATS)
@pytest.mark.parametrize("left_out", [1, 100, 3000, 20000])
def test_a_full_disk_leaves_the_old_file_or_none(tmp_path, full_disk, suffix, subtype, left_out):
    noise = 0.1 * np.random.default_rng(0).standard_normal((20000, 2)).astype(np.float32)
    path = tmp_path / f"stem.{suffix}"
    write_audio(path, noise, RATE, subtype)
    whole = path.read_bytes()
    np.testing.assert_allclose(sf.read(path)[0], noise, atol=1 / 32000)
    for there in (True, False):
        if not there:
            path.unlink()
        # At any position: libsndfile reports errors in the middle, but not those at the end.
        full_disk(len(whole) - left_out)
        with pytest.raises(OSError, match="stem.*(written|large)"):
            write_audio(path, noise, RATE, subtype)
        full_disk(resource.RLIM_INFINITY)
        assert [p.read_bytes() for p in tmp_path.iterdir()] == ([whole] if there else [])


def test_a_file_that_cannot_be_decoded_is_not_kept(tmp_path, monkeypatch):
    """As if the last samples were lost on closing, which libsndfile does not report."""
    close = sf.SoundFile.close

    def truncating_close(stream):
        name, writes = stream.name, not stream.closed and stream.mode == "w"
        close(stream)
        if writes:
            with open(name, "r+b") as file:
                file.truncate(file.seek(0, 2) - 3000)

    monkeypatch.setattr(sf.SoundFile, "close", truncating_close)
    for suffix in ("flac", "wav"):
        with pytest.raises(OSError, match=f"x.{suffix} was not written completely"):
            write_audio(tmp_path / f"x.{suffix}", tones(100), RATE, "PCM_16")
    assert not list(tmp_path.iterdir())


def test_several_files_are_kept_together_or_not_at_all(tmp_path, full_disk):
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    full_disk(50_000)
    with (
        pytest.raises(OSError, match="b.wav"),
        audio_writers(paths, RATE, 1) as (write_a, write_b),
    ):
        write_a(tones(100, seconds=0.1))
        write_b(tones(100, seconds=2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 44101, 47999, 48000, 96001, 192001])
def test_resampling_has_no_delay_and_little_error(rate):
    audio = tones(110, 250, 1200, rate=rate, seconds=1.0)
    found = resample_audio(audio, rate, RATE)
    assert len(found) == RATE and found.dtype == np.float32
    inner = slice(800, -800)
    assert snr_db(tones(110, 250, 1200, seconds=1.0)[inner], found[inner]) > 90
    impulse = np.zeros(rate, dtype=np.float32)
    impulse[rate // 2] = 1
    assert abs(int(np.abs(resample_audio(impulse, rate, RATE)).argmax()) - RATE // 2) <= 1


def test_resampling_equals_that_of_torchaudio():
    """Below 7 kHz, folders that earlier versions prepared with torchaudio have the same audio."""
    noise = np.random.default_rng(0).standard_normal(44100).astype(np.float32)
    spectrum = np.fft.rfft(noise)
    spectrum[7000:] = 0
    music = np.fft.irfft(spectrum).astype(np.float32)
    signal_before = torchaudio.functional.resample(
        torch.from_numpy(music), 44100, RATE, lowpass_filter_width=32
    ).numpy()
    found = resample_audio(music, 44100, RATE)
    assert len(found) == len(signal_before)
    assert snr_db(signal_before[500:-500], found[500:-500]) > 60


def test_rates_without_a_common_divisor_take_little_memory(tmp_path):
    """The kernels of torchaudio's resampler would need gigabytes."""
    import tracemalloc

    audio = np.zeros(96001, dtype=np.float32)
    tracemalloc.start()
    resample_audio(audio, 96001, RATE)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_channels_in_phase_are_averaged(tmp_path):
    left = tones(110, 250)
    for right in (left, 0.3 * left, np.zeros_like(left), left + tones(330)):
        mono, opposed = downmix(np.stack([left, right], 1))
        assert opposed < 1e-4
        np.testing.assert_array_equal(mono, np.stack([left, right], 1).mean(1))
    noise = np.random.default_rng(0).standard_normal((60000, 2)).astype(np.float32)
    mono, opposed = downmix(noise)
    assert opposed < 0.01
    np.testing.assert_array_equal(mono, noise.mean(1))


def test_an_instrument_in_opposite_phase_is_kept(tmp_path):
    bass, guitar = tones(82.4, seconds=5), tones(311.1, 466.2, seconds=5)
    stereo = np.stack([bass + guitar, bass - guitar], 1)
    sf.write(tmp_path / "song.wav", stereo, RATE, subtype="FLOAT")
    remarks = []
    mono, _ = read_audio(tmp_path / "song.wav", remarks=remarks)
    assert snr_db(bass + guitar, mono) > 25 > snr_db(bass + guitar, stereo.mean(1)) + 15
    assert len(remarks) == 1 and "in opposite phase" in remarks[0]
    # Also at another rate, with swapped channels, and with three channels.
    low, high = resample_audio(bass, RATE, 8000), resample_audio(guitar, RATE, 8000)
    assert snr_db(low - high, downmix(np.stack([low - high, low + high], 1))[0]) > 25
    three = downmix(np.stack([guitar, -guitar, guitar], 1))[0]
    assert snr_db(guitar, three) > 60


@pytest.mark.parametrize("n_samples", [1, 100, 5000, (1 << 20) + 5000])
@pytest.mark.slow
def test_a_song_with_one_channel_inverted_is_its_other_channel(n_samples):
    noise = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    mono, opposed = downmix(np.stack([noise, -noise], 1))
    assert mono.shape == noise.shape and opposed == pytest.approx(1, abs=1e-3)
    assert snr_db(noise, mono) > 60
    silent, opposed = downmix(np.zeros((n_samples, 2), dtype=np.float32))
    assert opposed == 0 and not silent.any()


def test_long_names_are_shortened_and_remain_different(tmp_path):
    names = ["é" * 200, "é" * 199 + "e", "x" * 181]
    short = [short_name(name) for name in names]
    assert len(set(short)) == 3 and max(len(name.encode()) for name in short) <= 180
    with atomic_path(tmp_path / f"{short[0]}.wav") as temporary:
        temporary.write_text("x")
    assert short_name("x" * 180) == "x" * 180
