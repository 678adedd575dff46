"""Streams: the stems of the whole recording, with the stated latency."""

import io
import sys
import types

import numpy as np
import pytest
import soundfile as sf
import torch
from tiny import NAMES, NET

from asteroid_scoresup.dsp.level import gated_rms
from asteroid_scoresup.engine import save_model
from asteroid_scoresup.inference import Separator
from asteroid_scoresup.inference.pcm import PcmFormat, separate_pcm
from asteroid_scoresup.models import TCNSeparator
from asteroid_scoresup.utils.stream import Recording, resampled
from asteroid_scoresup_cli import main


@pytest.fixture(scope="module")
def separator():
    torch.manual_seed(0)
    return Separator(TCNSeparator(NAMES, **NET))


def noise(rate, seconds=3.0, channels=2, seed=0):
    """Noise whose level rises, float32, (channels, time)."""
    samples = np.random.default_rng(seed).standard_normal((channels, round(rate * seconds)))
    return (0.1 * samples * np.linspace(0.2, 1, samples.shape[1])).astype(np.float32)


def offline_level(audio, rate, model_rate):
    """The level that `Separator.separate` measures."""
    blocks = resampled([audio.T], rate, model_rate, len(audio))
    return gated_rms(np.concatenate(list(blocks)), model_rate)


def streamed(stream, audio, sizes):
    """Joined stems, and the largest number of samples they were behind."""
    start, behind, parts, returned = 0, 0, [], 0
    for size in sizes:
        parts.append(stream.push(audio[:, start : start + size]))
        start += size
        returned += next(iter(parts[-1].values())).shape[1]
        behind = max(behind, min(start, audio.shape[1]) - returned)
    parts.append(stream.finish())
    return {name: np.concatenate([p[name] for p in parts], -1) for name in parts[0]}, behind


@pytest.mark.parametrize("rate, block", [(4000, 0.05), (11025, 0.5), (44100, 0.5)])
def test_a_stream_has_the_numbers_of_the_whole_recording(separator, rate, block):
    audio = noise(rate)
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, rate // 4, 200)
    sizes = sizes[: np.searchsorted(sizes.cumsum(), audio.shape[1]) + 1]
    level = offline_level(audio, rate, separator.model.sample_rate)
    stream = separator.stream(rate, level=level, block_seconds=block)
    stems, behind = streamed(stream, audio, sizes)
    expected = separator.separate(audio, rate)
    assert tuple(stems) == tuple(NAMES)
    for name in NAMES:
        np.testing.assert_allclose(stems[name], expected[name], atol=1e-5)
    assert behind / rate <= stream.latency_seconds < block + 1.2


def test_one_push_and_integers_and_mono(separator):
    audio = (noise(4000, channels=1) * 2**15).astype(np.int16)
    level = offline_level(audio.astype(np.float32) / 2**15, 4000, 4000)
    stems, _ = streamed(separator.stream(4000, 1, level=level), audio, [audio.shape[1]])
    expected = separator.separate(audio, 4000)
    np.testing.assert_allclose(stems["bass"], expected["bass"], atol=1e-5)
    stream = separator.stream(4000, 1, level=level)
    parts = [stream.push(audio[0]), stream.finish()]
    joined = np.concatenate([part["bass"] for part in parts], -1)
    np.testing.assert_array_equal(joined, stems["bass"])


def test_the_running_level_becomes_that_of_the_recording(separator):
    audio = noise(4000, seconds=6)
    audio[:] = np.random.default_rng(3).standard_normal(audio.shape) * 0.1  # a constant level
    stems, _ = streamed(separator.stream(4000), audio, [1000] * 24)
    expected = separator.separate(audio, 4000)
    for name in NAMES:
        error = np.mean((stems[name] - expected[name]) ** 2) / np.mean(expected[name] ** 2)
        assert 0 < error < 1e-3  # -30 dB


def test_a_shorter_look_ahead_has_less_latency_and_other_masks(separator):
    audio = noise(4000)
    level = offline_level(audio, 4000, 4000)
    full = separator.stream(4000, level=level, block_seconds=0.1)
    short = separator.stream(4000, level=level, block_seconds=0.1, lookahead_seconds=0.07)
    assert short.latency_seconds < full.latency_seconds - 0.03
    _, behind = streamed(full, audio, [100] * 120)
    stems, behind_short = streamed(short, audio, [100] * 120)
    assert behind_short < behind and behind_short / 4000 <= short.latency_seconds
    expected = separator.separate(audio, 4000)
    assert np.abs(stems["bass"] - expected["bass"]).max() > 1e-5
    error = np.mean((stems["bass"] - expected["bass"]) ** 2)
    assert error < 0.1 * np.mean(expected["bass"] ** 2)
    # More look-ahead than the network needs is not used.
    ample = separator.stream(4000, level=level, block_seconds=0.1, lookahead_seconds=100)
    assert ample.latency_seconds == full.latency_seconds


@pytest.mark.parametrize("n_samples", [0, 1, 7, 500])
def test_short_streams_have_all_their_samples(separator, n_samples):
    for rate in (4000, 44100):
        stream = separator.stream(rate)
        parts = [stream.push(np.full((2, n_samples), 0.1)), stream.finish()]
        assert sum(part["bass"].shape[1] for part in parts) == n_samples
        with pytest.raises(ValueError, match="The stream has ended"):
            stream.push(np.zeros((2, 1)))


def test_streams_that_are_refused(separator):
    for options, message in (
        (dict(level=0), "level is 0, expected an RMS above 0"),
        (dict(block_seconds=0), "block_seconds is 0, expected more than 0"),
        (dict(lookahead_seconds=0.01), "lookahead_seconds is 0.01, expected 0.064 or more"),
        (dict(n_channels=0), "0 channels at 4000 Hz"),
    ):
        with pytest.raises(ValueError, match=message):
            separator.stream(4000, **options)
    with pytest.raises(ValueError, match="at 100 Hz, expected"):
        separator.stream(100)
    with pytest.raises(ValueError, match="Expected 2 channels"):
        separator.stream(4000).push(np.zeros((3, 10)))
    with pytest.raises(ValueError, match=r"NaN or infinite samples \(the first at 0.003 s\)"):
        separator.stream(4000).push(np.where(np.arange(20) == 10, np.nan, 0.0) * np.ones((2, 1)))
    whole = Separator(TCNSeparator(NAMES, **{**NET, "norm_type": "gLN"}))
    with pytest.raises(ValueError, match="normalizes over the whole recording"):
        whole.stream(4000)


class Pipe(io.BytesIO):
    """Gives a few bytes at a time, as a pipe does."""

    def read1(self, size=-1):
        return super().read(min(size, 777))


@pytest.mark.parametrize("kind", ["s16", "f32"])
def test_raw_samples_are_read_and_written(separator, kind):
    audio, pcm = noise(4000, 1.5), PcmFormat(kind, 4000, 2)
    raw = pcm.encoded([audio])
    level = offline_level(audio, 4000, 4000)
    written = []
    seconds = separate_pcm(
        separator.stream(4000, level=level, block_seconds=0.1),
        pcm,
        Pipe(raw),
        lambda stems: written.append(pcm.encoded(list(stems.values()))),
    )
    assert seconds == 1.5 and len(written) > 3
    dtype, scale = ("<i2", 2**15) if kind == "s16" else ("<f4", 1)
    decoded = np.frombuffer(b"".join(written), dtype).reshape(-1, 6).T / scale
    expected = separator.separate(np.frombuffer(raw, dtype).reshape(-1, 2).T / scale, 4000)
    tolerance = 1e-5 if kind == "f32" else 1e-4
    np.testing.assert_allclose(decoded, np.concatenate(list(expected.values())), atol=tolerance)


def test_raw_samples_beyond_full_scale_are_clipped_not_wrapped():
    loud = np.array([[2.0, -2.0, 0.99999]])
    raw = np.frombuffer(PcmFormat("s16", 4000, 1).encoded([loud]), "<i2")
    assert raw.tolist() == [2**15 - 1, -(2**15), 2**15 - 1]


@pytest.fixture
def command(tmp_path, monkeypatch, separator):
    save_model(separator.model, tmp_path / "model.pth")

    def run(raw, *options):
        output = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=Pipe(raw)))
        if "-" in options:
            monkeypatch.setattr(sys, "stdout", types.SimpleNamespace(buffer=output))
        status = main(["separate", "-", *options, "-n", str(tmp_path / "model.pth")])
        return status, output.getvalue()

    return run


def test_standard_input_becomes_files_or_standard_output(command, separator, tmp_path, capsys):
    audio = noise(4000, 1.5)
    raw = PcmFormat("f32", 4000, 2).encoded([audio])
    level = 20 * np.log10(offline_level(audio, 4000, 4000))
    common = ["--rate", "4000", "--pcm", "f32", "--level", str(level), "--block", "0.2"]
    status, _ = command(raw, *common, "--out_dir", str(tmp_path / "out"))
    printed = capsys.readouterr()
    assert status == 0 and "3 written" in printed.out and "latency: " in printed.err
    expected = separator.separate(audio, 4000)
    for name in NAMES:
        path = tmp_path / "out" / "stdin" / f"{name}.wav"
        assert sf.info(path).subtype == "FLOAT"
        np.testing.assert_allclose(sf.read(path)[0].T, expected[name], atol=1e-5)
        assert Recording(path).n_samples == 6000
    status, _ = command(raw, *common, "--out_dir", str(tmp_path / "out"))
    assert status == 1 and "exists: use --overwrite" in capsys.readouterr().err
    status, bass = command(raw, *common, "--only", "bass", "--quiet", "-o", "-")
    assert status == 0
    samples = np.frombuffer(bass, "<f4").reshape(-1, 2).T
    np.testing.assert_allclose(samples, expected["bass"], atol=1e-5)


@pytest.mark.parametrize(
    "raw, options, message",
    [
        (b"", ["--rate", "4000"], "The input is empty"),
        (b"123", ["--rate", "4000"], "3 bytes remain, and 2 channels of s16 take 4"),
        (b"1234", [], "name their sample rate with --rate"),
        (b"1234", ["--rate", "4000", "--midi"], "--midi is for songs"),
        (b"1234", ["song.wav", "--rate", "4000"], "is separated alone"),
        (b"1234", ["--rate", "4000", "--clip-mode", "rescale"], "needs the end of the song"),
        (b"1234", ["--rate", "4001", "--mp3"], "MP3 has at most 2 channels"),
        (b"1234", ["--rate", "4000", "--only", "flute"], "--only names 'flute'"),
    ],
)
def test_input_that_is_refused(command, tmp_path, capsys, raw, options, message):
    assert command(raw, *options, "--out_dir", str(tmp_path / "out"))[0] == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("out/**/*.*"))


def test_options_for_standard_input_need_it(tmp_path, capsys):
    assert main(["separate", "song.wav", "--rate", "4000"]) == 1
    assert "--rate is for standard input: name - as the song" in capsys.readouterr().err
