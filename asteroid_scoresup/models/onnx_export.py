"""Export of a separator's network to ONNX, for programs without torch.

The graph maps the magnitudes of a mixture at the nominal level to masks, for any number of frames.
The STFT stays outside, since its inverse is not an operation of ONNX. What else a program needs
to know (classes, sample rate, STFT, level, receptive field) is JSON in the file's metadata;
``asteroid_scoresup_onnx`` is such a program.
"""

from __future__ import annotations

import inspect
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..dsp.stft import NOMINAL_RMS
from ..utils.files import atomic_path
from .tcn_separator import TCNSeparator

#: Key and version of the settings in the metadata: copies of those of `asteroid_scoresup_onnx`,
#: which imports onnxruntime.
METADATA, FORMAT_VERSION = "asteroid_scoresup", 1
#: The first version with layer normalization; onnxruntime 1.13 and later run it.
OPSET = 17
#: Largest difference of a mask between torch and onnxruntime.
TOLERANCE = 1e-4


class _Masks(torch.nn.Module):
    """The part of a separator that is exported."""

    def __init__(self, model: TCNSeparator) -> None:
        super().__init__()
        self.model = model

    def forward(self, magnitude: torch.Tensor) -> torch.Tensor:
        return self.model.masks(magnitude)


def export_onnx(model: TCNSeparator, path: str | Path, int8: bool = False, **facts: Any) -> None:
    r"""Writes an ONNX file with input ``magnitude`` and output ``masks``.

    If onnxruntime is installed, the file is only written if its masks are those of the model.

    It is made by torch's TorchScript exporter, which needs no other package and is part of every
    supported version of torch (in the latest ones by ``dynamo=False``).

    Args:
        model (TCNSeparator): The separator.
        path (str or Path): File to write.
        int8 (bool): Whether to store the weights of matrix products with 8 bits and to multiply
            integers (dynamic quantization): a smaller and on many CPUs somewhat faster file, whose
            stems differ by about -40 dB.
        **facts: Plain values to add to the metadata, such as ``license``.

    Shape:
        - magnitude: :math:`(1, freq, frames)`, float32
        - masks: :math:`(1, n\_src, freq, frames)`, float32

    Raises:
        ValueError: if the model predicts no masks, or the exported network differs from it.
        ImportError: if the package onnx is not installed, or onnxruntime for `int8`.
    """
    if not isinstance(model, TCNSeparator):
        raise ValueError(
            f"{path} is not written: a {type(model).__name__} predicts no masks; only a "
            "TCNSeparator can be exported."
        )
    try:
        import onnx
    except ImportError:
        raise ImportError(
            "Exporting needs the package onnx: pip install 'asteroid-scoresup[onnx]'"
        ) from None
    network = _Masks(model).float().cpu().eval()
    with atomic_path(path) as temporary:
        _export(network, model.stft.n_freqs, temporary)
        graph = onnx.load(str(temporary))
        onnx.checker.check_model(graph)
        settings = {**onnx_settings(model), **facts, **({"precision": "int8"} if int8 else {})}
        onnx.save(graph, str(temporary))
        _require_same(network, model.stft.n_freqs, temporary, path)
        if int8:
            graph = _quantized(temporary)
        onnx.helper.set_model_props(graph, {METADATA: json.dumps(settings)})
        onnx.save(graph, str(temporary))


def onnx_settings(model: TCNSeparator) -> dict[str, Any]:
    """What a program needs to know to run the exported network."""
    from .. import __version__

    return {
        "format_version": FORMAT_VERSION,
        "version": __version__,
        "classes": list(model.sources),
        "sample_rate": model.sample_rate,
        "n_fft": model.stft.n_fft,
        "hop_length": model.stft.hop_length,
        "nominal_rms": NOMINAL_RMS,
        "receptive_field": model.receptive_field,  # frames on each side
        "is_local": model.is_local,
    }


def _export(network: _Masks, n_freqs: int, path: Path) -> None:
    options: dict[str, Any] = {}
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        options["dynamo"] = False
    example = torch.rand(1, n_freqs, 8, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer, about sizes that are constants here
        torch.onnx.export(
            network,
            (example,),
            str(path),
            input_names=["magnitude"],
            output_names=["masks"],
            dynamic_axes={"magnitude": {2: "frames"}, "masks": {3: "frames"}},
            opset_version=OPSET,
            **options,
        )


def _quantized(path: Path) -> Any:
    """The graph of a file with the weights of its matrix products in 8 bits."""
    import onnx

    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError:
        raise ImportError(
            "Quantization needs the package onnxruntime: pip install 'asteroid-scoresup[onnx]'"
        ) from None
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)  # it recommends steps that change nothing here
    try:
        # The 1x1 convolutions are matrix products; depthwise ones stay as they are.
        quantize_dynamic(str(path), str(path), weight_type=QuantType.QInt8)
    finally:
        logger.setLevel(before)
    return onnx.load(str(path))


@torch.no_grad()
def _require_same(network: _Masks, n_freqs: int, file: Path, path: str | Path) -> None:
    """Compares masks for two lengths, one of them shorter than the receptive field."""
    try:
        import onnxruntime
    except ImportError:
        return
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    random = torch.Generator().manual_seed(1)
    for n_frames in (1, 100):
        magnitude = torch.rand(1, n_freqs, n_frames, generator=random) ** 4
        (masks,) = session.run(None, {"magnitude": magnitude.numpy()})
        difference = float(np.abs(masks - network(magnitude).numpy()).max())
        if not difference <= TOLERANCE:
            raise ValueError(
                f"{path} is not written: the masks of the exported network differ from those of "
                f"the model by up to {difference:.2g}. This looks like a bug: please report it."
            )
