"""Formats of stems and their samples beyond full scale, against the stems in memory."""

import numpy as np
import pytest
import soundfile as sf
import torch
from tiny import NAMES, NET

from asteroid_scoresup.inference import OutputOptions, Separator, process_song
from asteroid_scoresup.inference.encoding import HEADROOM, Encoding
from asteroid_scoresup.models import TCNSeparator
from asteroid_scoresup.utils.stream import Recording


@pytest.fixture(scope="module")
def separator():
    torch.manual_seed(0)
    return Separator(TCNSeparator(NAMES, **NET), core_seconds=1)


def song_file(path, rate, seconds=2.0, scale=0.1, channels=2):
    """Tones with vibrato and a click at the start, in different mixtures on the channels."""
    t = np.arange(round(seconds * rate)) / rate
    waves = [np.sin(2 * np.pi * f * t + 3 * np.sin(2 * np.pi * 5 * t)) for f in (220, 330, 470)]
    waves[0][:20] += 3
    mix = np.random.default_rng(0).uniform(0.3, 1, (3, channels))
    sf.write(path, scale * np.stack(waves).T @ mix, rate, "FLOAT")
    return path


@pytest.mark.parametrize("rate", [44100, 22050, 8000])
def test_mp3_files_start_and_end_with_the_song(separator, tmp_path, rate):
    song = song_file(tmp_path / "song.wav", rate)
    result = process_song(separator, song, tmp_path / "out", OutputOptions(file_format="mp3"))
    assert [path.name for path in result.written] == [f"{name}.mp3" for name in NAMES]
    stems = separator.separate(song)
    for path in result.written:
        recording = Recording(path)
        decoded = np.concatenate(list(recording.blocks())).T
        expected = stems[path.stem]
        assert decoded.shape == expected.shape and recording.sample_rate == rate
        errors = [np.mean((decoded - np.roll(expected, shift, 1)) ** 2) for shift in range(-3, 4)]
        assert np.argmin(errors) == 3  # no offset
        assert errors[3] < 0.01 * np.mean(expected**2)  # 20 dB


def test_the_bit_rate_is_that_of_the_file(separator, tmp_path):
    song = song_file(tmp_path / "song.wav", 44100)
    for bitrate in (64, 320):
        options = OutputOptions(only="bass", file_format="mp3", mp3_bitrate=bitrate)
        path = process_song(separator, song, tmp_path / str(bitrate), options).written[0]
        assert path.stat().st_size == pytest.approx(bitrate * 1000 / 8 * 2, rel=0.1)
    with pytest.raises(ValueError, match="was made with another mp3_bitrate"):
        process_song(separator, song, tmp_path / "64", options)


@pytest.mark.parametrize("rate, channels", [(44101, 2), (44100, 3)])
def test_what_mp3_cannot_store_is_refused(separator, tmp_path, rate, channels):
    song = song_file(tmp_path / "song.wav", rate, channels=channels)
    with pytest.raises(ValueError, match=f"{channels} channels at {rate} Hz. MP3 has at most 2"):
        process_song(separator, song, tmp_path / "out", OutputOptions(file_format="mp3"))


@pytest.mark.parametrize("file_format, tolerance", [("wav32f", 1e-6), ("wav16", 4e-5)])
def test_rescaling_is_one_gain_for_all_stems(separator, tmp_path, file_format, tolerance):
    song = song_file(tmp_path / "song.wav", 11025, scale=3)
    options = OutputOptions(residual=True, file_format=file_format, clip_mode="rescale")
    result = process_song(separator, song, tmp_path / "out", options)
    stems = separator.separate(song)
    mixture = sf.read(song)[0].T
    signals = {**stems, "residual": mixture - sum(stems.values())}
    peak = max(np.abs(signal).max() for signal in signals.values())
    assert peak > 1
    for path in result.written:
        written = sf.read(path)[0].T
        np.testing.assert_allclose(written, signals[path.stem] / (HEADROOM * peak), atol=tolerance)
    change = -20 * np.log10(HEADROOM * peak)
    assert result.warnings == [
        f"all stems are scaled by {change:+.1f} dB, so that the loudest fits"
    ]
    assert not list((tmp_path / "out").glob(".*"))


def test_quiet_stems_are_not_rescaled(separator, tmp_path):
    song = song_file(tmp_path / "song.wav", 11025)
    result = process_song(separator, song, tmp_path / "out", OutputOptions(clip_mode="rescale"))
    plain = process_song(separator, song, tmp_path / "plain", OutputOptions())
    assert result.warnings == []
    for one, other in zip(result.written, plain.written):
        np.testing.assert_array_equal(sf.read(one)[0], sf.read(other)[0])


def test_some_stems_are_not_rescaled_by_a_gain_of_their_own(separator, tmp_path):
    song, out = song_file(tmp_path / "song.wav", 11025, scale=3), tmp_path / "out"
    options = OutputOptions(clip_mode="rescale")
    process_song(separator, song, out, options)
    assert process_song(separator, song, out, options).written == []
    (out / "bass.wav").unlink()
    with pytest.raises(ValueError, match="rescale needs one gain for all stems: use --overwrite"):
        process_song(separator, song, out, options)
    with pytest.raises(ValueError, match="was made with another clip_mode"):
        process_song(separator, song, out, OutputOptions(clip_mode="clamp"))
    with pytest.raises(ValueError, match="was made with another clip_mode"):
        process_song(separator, song, out, OutputOptions())


def test_clamping_limits_float_files_too(separator, tmp_path):
    song = song_file(tmp_path / "song.wav", 11025, scale=3)
    result = process_song(separator, song, tmp_path / "out", OutputOptions(clip_mode="clamp"))
    stems = separator.separate(song)
    for path in result.written:
        np.testing.assert_array_equal(
            sf.read(path, dtype="float32")[0].T, np.clip(stems[path.stem], -1, 1)
        )
    assert "samples above full scale are clipped" in result.warnings[0]


@pytest.mark.parametrize(
    "values, message",
    [
        ({"file_format": "mp4"}, "format is 'mp4', expected one of"),
        ({"clip_mode": "soft"}, "clip_mode is 'soft', expected one of"),
        ({"mp3_bitrate": 4}, "mp3_bitrate is 4, expected 8 to 320"),
    ],
)
def test_encodings_that_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Encoding(**values)


def test_mp3_without_an_encoder_is_refused(monkeypatch):
    monkeypatch.setattr(sf, "available_formats", lambda: {"WAV": "", "FLAC": ""})
    with pytest.raises(ValueError, match="MP3 files need libsndfile 1.1 or newer"):
        OutputOptions(file_format="mp3")
    assert OutputOptions(file_format="flac").encoding.suffix == ".flac"
