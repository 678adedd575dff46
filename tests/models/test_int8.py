"""ONNX files with weights of 8 bits, beside those in single precision."""

import numpy as np
import pytest
import torch
from tiny import NAMES, NET, RATE

from asteroid_scoresup.engine import save_model
from asteroid_scoresup.models import TCNSeparator
from asteroid_scoresup.models.onnx_export import export_onnx
from asteroid_scoresup_cli import main


def test_int8_is_smaller_and_close(tmp_path):
    onnx_runner = pytest.importorskip("asteroid_scoresup_onnx")
    torch.manual_seed(0)
    model = TCNSeparator(NAMES, **{**NET, "bn_chan": 64, "hid_chan": 128})
    export_onnx(model, tmp_path / "float.onnx")
    export_onnx(model, tmp_path / "int8.onnx", int8=True, license="cc0-1.0")
    sizes = {path.stem: path.stat().st_size for path in tmp_path.glob("*.onnx")}
    assert sizes["int8"] < 0.6 * sizes["float"]
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 3 * RATE)).astype(np.float32)
    one, other = (
        onnx_runner.OnnxSeparator(tmp_path / f"{name}.onnx").separate(noise, RATE) for name in sizes
    )
    for name in NAMES:
        error = np.mean((one[name] - other[name]) ** 2) / np.mean(one[name] ** 2)
        assert 0 < error < 1e-3  # -30 dB


def test_int8_on_the_command_line(tmp_path, capsys):
    save_model(TCNSeparator(NAMES, **NET), tmp_path / "model.pth")
    model = str(tmp_path / "model.pth")
    assert main(["export", model, str(tmp_path / "small.onnx"), "--int8"]) == 0
    assert (tmp_path / "small.onnx").is_file() and not list(tmp_path.glob(".*"))
    assert main(["export", model, str(tmp_path / "folder"), "--int8"]) == 1
    assert "--int8 is for ONNX files" in capsys.readouterr().err


def test_int8_without_onnxruntime_names_the_extra(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(sys.modules, "onnxruntime.quantization", None)
    with pytest.raises(ImportError, match=r"pip install 'asteroid-scoresup\[onnx\]'"):
        export_onnx(TCNSeparator(NAMES, **NET), tmp_path / "x.onnx", int8=True)
    assert not list(tmp_path.iterdir())
