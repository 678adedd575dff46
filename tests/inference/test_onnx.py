"""Exported separators: the stems of the torch path, without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile as sf
import torch
from tiny import NAMES, RATE, separator, transcriptor

import asteroid_scoresup_onnx
from asteroid_scoresup.dsp import gated_rms
from asteroid_scoresup.inference import Separator
from asteroid_scoresup.models import WaveformSeparator, onnx_export, save_model
from asteroid_scoresup.models.onnx_export import export_onnx, onnx_settings
from asteroid_scoresup.scripts.cli import main
from asteroid_scoresup.utils import stream
from asteroid_scoresup_onnx import OnnxSeparator

ROOT = Path(__file__).parents[2]


def song(seconds, rate, n_channels=2, seed=0):
    rng = np.random.default_rng(seed)
    n_samples = round(seconds * rate)
    wav = 0.1 * rng.standard_normal((n_channels, n_samples)).astype(np.float32)
    wav[:, : n_samples // 3] *= 1e-4  # a quiet beginning, which the level ignores
    return wav


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A tiny separator with its exported file."""
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    model = separator(mask_act="softmax").eval()
    export_onnx(model, path, license="mit")
    return model, path


@pytest.mark.parametrize(
    ("seconds", "rate", "n_channels"),
    [(7, RATE, 1), (5, 11025, 2), (0.9, RATE, 3), (0.01, RATE, 2), (0.0001, 48000, 1)],
)
def test_stems_are_those_of_the_torch_path(exported, seconds, rate, n_channels):
    model, path = exported
    audio = song(seconds, rate, n_channels)
    expected = Separator(model).separate(audio, rate)
    runner = OnnxSeparator(path, threads=1)
    runner._core = 100 * model.stft.hop_length  # several chunks, as of a long song
    stems = runner.separate(audio, rate)
    assert list(stems) == list(NAMES)
    for name, stem in stems.items():
        assert stem.dtype == np.float32 and stem.shape == audio.shape
        np.testing.assert_allclose(stem, expected[name], rtol=0, atol=1e-5)
    mono = OnnxSeparator(path).separate(audio[0], rate)
    assert {stem.shape for stem in mono.values()} == {audio[0].shape}


@pytest.mark.parametrize(
    "options", [{"hop_length": 100}, {"norm_type": "gLN"}, {"norm_type": "bN", "n_fft": 250}]
)
@pytest.mark.slow
def test_other_networks_are_exported_too(options, tmp_path):
    model = separator(**options).eval()
    export_onnx(model, tmp_path / "m.onnx")
    audio = song(2, RATE, 1)
    expected = Separator(model).separate(audio, RATE)
    for name, stem in OnnxSeparator(tmp_path / "m.onnx").separate(audio, RATE).items():
        np.testing.assert_allclose(stem, expected[name], rtol=0, atol=1e-5)


def test_long_songs_are_separated_in_chunks_unless_the_network_needs_all(exported, tmp_path):
    export_onnx(separator(norm_type="gLN"), tmp_path / "gln.onnx")
    assert OnnxSeparator(exported[1])._core == Separator(exported[0]).core
    assert OnnxSeparator(tmp_path / "gln.onnx")._core > 3600 * RATE


@pytest.mark.slow
def test_the_bundled_model_gives_the_same_stems(tmp_path, capsys):
    assert main(["export", "band", str(tmp_path / "band.onnx")]) == 0
    assert "contains the separator; the transcriptor is in the model" in capsys.readouterr().out
    audio = song(2, 44100)
    expected = Separator.from_pretrained().separate(audio, 44100)
    for name, stem in OnnxSeparator(tmp_path / "band.onnx").separate(audio, 44100).items():
        np.testing.assert_allclose(stem, expected[name], rtol=0, atol=1e-4)


def test_the_graph_is_valid_and_describes_itself(exported):
    model, path = exported
    graph = onnx.load(path)
    onnx.checker.check_model(graph, full_check=True)
    (metadata,) = (json.loads(entry.value) for entry in graph.metadata_props)
    assert metadata == {**onnx_settings(model), "license": "mit"}
    assert metadata["classes"] == list(NAMES) and metadata["sample_rate"] == RATE
    assert onnx_export.METADATA == asteroid_scoresup_onnx.METADATA
    assert onnx_export.FORMAT_VERSION == asteroid_scoresup_onnx.FORMAT_VERSION


def test_files_are_separated_in_a_process_without_torch(exported, tmp_path):
    model, path = exported
    audio = song(3, 8000)
    sf.write(tmp_path / "song.flac", audio.T, 8000, "PCM_24")
    (tmp_path / "bad.wav").write_text("no audio")
    code = (
        "import sys, asteroid_scoresup_onnx as runner\n"
        "status = runner.main(sys.argv[1:])\n"
        "heavy = {'torch', 'asteroid', 'asteroid_scoresup', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(status)"
    )
    songs = [str(tmp_path / name) for name in ("bad.wav", "song.flac")]
    command = [sys.executable, "-c", code, str(path), *songs, "--out_dir", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert "bad.wav cannot be read as audio" in done.stderr
    written = sorted(file.name for file in (tmp_path / "out" / "song").iterdir())
    assert written == [f"{name}.wav" for name in NAMES]
    expected = Separator(model).separate(tmp_path / "song.flac")
    for name in NAMES:
        stem, rate = sf.read(tmp_path / "out" / "song" / f"{name}.wav", dtype="float32")
        assert rate == 8000
        np.testing.assert_allclose(stem.T, expected[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_samples", [1, 399, 400, 1601, 8000, 8123])
@pytest.mark.parametrize("block", [100, 5000])
def test_the_level_is_that_of_the_package(n_samples, block):
    audio = song(n_samples / 1000, 1000).T
    blocks = [audio[i : i + block] for i in range(0, len(audio), block)]
    level, length = asteroid_scoresup_onnx._level_and_length(lambda: iter(blocks), 1000, 1000, 2)
    assert length == n_samples and level == pytest.approx(gated_rms(audio, 1000))


@pytest.mark.parametrize("block", [3, 7, 100])
@pytest.mark.parametrize("n_samples", [1, 8, 9, 40, 41])
def test_the_chunks_are_those_of_the_package(n_samples, block):
    audio = np.arange(float(n_samples))[:, None]
    blocks = [audio[i : i + block] for i in range(0, n_samples, block)]
    ours = list(asteroid_scoresup_onnx._chunks(iter(blocks), 8, 4))
    theirs = list(stream.chunks(iter(blocks), 8, 4))
    assert len(ours) == len(theirs)
    for (samples, *facts), chunk in zip(ours, theirs):
        assert facts == list(chunk[1:])
        np.testing.assert_array_equal(samples.T, chunk.samples)


def test_a_single_chunk_is_joined_once(monkeypatch):
    """A network that needs the whole recording gets one chunk, of any number of blocks."""
    blocks, joined = [np.ones((10, 1))] * 50, []
    join = np.concatenate
    monkeypatch.setattr(np, "concatenate", lambda parts: joined.append(len(parts)) or join(parts))
    [(samples, *facts)] = asteroid_scoresup_onnx._chunks(iter(blocks), 10**6, 0)
    assert len(samples) == 500 and facts == [0, 500, True]
    assert joined == [50]


def test_bad_audio_is_named(exported, tmp_path):
    runner = OnnxSeparator(exported[1])
    with pytest.raises(ValueError, match=r"Expected shape \(time\) or \(channels, time\)"):
        runner.separate(np.zeros((2, 0)), RATE)
    with pytest.raises(ValueError, match="NaN or infinite samples"):
        runner.separate(np.full(1000, np.nan), RATE)
    sf.write(tmp_path / "none.wav", np.zeros(0), RATE)
    with pytest.raises(ValueError, match="none.wav: it contains no samples"):
        runner.separate_file(tmp_path / "none.wav", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def with_metadata(path, new, **changes):
    """A copy of an exported file with other settings; without any if `changes` is empty."""
    graph = onnx.load(path)
    settings = json.loads(graph.metadata_props[0].value)
    del graph.metadata_props[:]
    if changes:
        settings = {"asteroid_scoresup": json.dumps({**settings, **changes})}
        onnx.helper.set_model_props(graph, settings)
    onnx.save(graph, new)
    return new


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "has no valid settings"),
        ({"format_version": 2}, "exported by another version"),
        ({"classes": ["../../x"]}, "has no valid settings"),
        ({"classes": [3]}, "has no valid settings"),
        ({"hop_length": 1}, "has no valid settings"),
        ({"hop_length": 0}, "has no valid settings"),
        ({"n_fft": 10**9}, "has no valid settings"),
        ({"sample_rate": "x"}, "has no valid settings"),
    ],
)
def test_files_with_wrong_settings_are_refused(exported, tmp_path, changes, message):
    path = with_metadata(exported[1], tmp_path / "wrong.onnx", **changes)
    with pytest.raises(ValueError, match=f"wrong.onnx.*{message}"):
        OnnxSeparator(path)


def test_files_that_are_no_models_are_refused(tmp_path, capsys):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(ValueError, match="bad.onnx is not an ONNX model"):
        OnnxSeparator(tmp_path / "bad.onnx")
    assert asteroid_scoresup_onnx.main([str(tmp_path / "none.onnx"), "x.wav"]) == 1
    assert "There is no model file" in capsys.readouterr().err


def test_an_export_that_differs_is_not_written(tmp_path, monkeypatch):
    model = separator()
    original = onnx_export._export

    def export_another(network, *args):
        original(network, *args)
        with torch.no_grad():
            network.model.trunk.mask_net[1].bias += 1

    monkeypatch.setattr(onnx_export, "_export", export_another)
    with pytest.raises(ValueError, match="m.onnx is not written: the masks .* differ"):
        export_onnx(model, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_only_models_with_masks_are_exported(tmp_path, capsys):
    small = dict(n_filters=16, n_blocks=1, n_repeats=1, bn_chan=8, hid_chan=8)
    model = WaveformSeparator(NAMES, "ConvTasNet", small, RATE)
    with pytest.raises(ValueError, match="a WaveformSeparator predicts no masks"):
        export_onnx(model, tmp_path / "m.onnx")
    save_model(transcriptor(), tmp_path / "t.pth")
    assert main(["export", str(tmp_path / "t.pth"), str(tmp_path / "m.onnx")]) == 1
    assert "contains a ScoreTranscriptor, expected a TCNSeparator" in capsys.readouterr().err


def test_without_onnx_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'asteroid-scoresup\[onnx\]'"):
        export_onnx(separator(), tmp_path / "m.onnx")
