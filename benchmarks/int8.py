"""ONNX files with weights of 8 bits beside those in single precision: size, stems, time.

    python benchmarks/int8.py egs/slakh/data/mini_composed/prepared --songs 3

The stems of the mixtures of a prepared folder, by onnxruntime on one thread.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.inference import Separator
from asteroid_scoresup.models.onnx_export import export_onnx
from asteroid_scoresup_onnx import OnnxSeparator


def main() -> None:
    """Prints sizes, CPU seconds, and the level of the difference per class."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared", help="prepared folder")
    parser.add_argument("--split", default="test")
    parser.add_argument("--songs", type=int, default=3, help="number of songs (0: all)")
    parser.add_argument("--model", help="model (default: the bundled one)")
    args = parser.parse_args()
    manifest, model = Manifest.load(args.prepared), Separator.from_pretrained(args.model).model
    tracks = manifest.select(args.split)[: args.songs or None]
    separators, seconds = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("float32", "int8"):
            path = Path(folder) / f"{name}.onnx"
            export_onnx(model, path, int8=name == "int8")
            print(f"{name}: {path.stat().st_size / 1e6:.1f} MB")
            separators[name], seconds[name] = OnnxSeparator(path, threads=1), 0.0
    levels = []
    for track in tracks:
        mixture, stems = manifest.read_mixture(track), {}
        for name, separator in separators.items():
            started = time.process_time()
            stems[name] = separator.separate(mixture, int(manifest.sample_rate))
            seconds[name] += time.process_time() - started
        pairs = zip(stems["float32"].values(), stems["int8"].values())
        levels.append([10 * np.log10(np.mean((a - b) ** 2) / np.mean(a**2)) for a, b in pairs])
    print("CPU s:", {name: round(value, 2) for name, value in seconds.items()})
    means = np.mean(levels, 0).round(1).tolist()
    print("difference in dB:", dict(zip(separators["int8"].names, means)))


if __name__ == "__main__":
    main()
