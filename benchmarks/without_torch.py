"""Cold start, speed and memory of separating a song with torch, and with onnxruntime.

    python benchmarks/without_torch.py --seconds 60 --threads 1 --repeats 3

Each case is a new process that reads a stereo song (44.1 kHz) and writes its stems; the cases
alternate. Prints medians as a table: seconds of processor time until the model is loaded (imports
included) and for the song, the latter as a multiple of real time, and peak memory in MiB.
Processor time instead of the clock, since other programs may share the cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from long_song import write_song

from asteroid_scoresup.models import read_package, unpack
from asteroid_scoresup.models.onnx_export import export_onnx
from asteroid_scoresup.utils.markdown import markdown_table

_END = """
done = time.process_time()
# Not ru_maxrss, which begins with the memory of the parent.
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if "VmHWM" in line) / 1024
print(json.dumps([loaded, done - loaded, peak]))
"""
_START = "import json, sys, time\n"
#: Code of each case; its arguments: model, song, folder, threads.
CASES = {
    "torch": _START
    + """
import torch
from asteroid_scoresup.inference import OutputOptions, Separator, process_song
torch.set_num_threads(int(sys.argv[4]))
separator = Separator.from_pretrained(sys.argv[1])
loaded = time.process_time()
process_song(separator, sys.argv[2], sys.argv[3], OutputOptions())
"""
    + _END,
    "onnxruntime": _START
    + """
from asteroid_scoresup_onnx import OnnxSeparator
separator = OnnxSeparator(sys.argv[1], int(sys.argv[4]))
loaded = time.process_time()
separator.separate_file(sys.argv[2], sys.argv[3])
"""
    + _END,
}


def measure(case: str, model: Path | str, song: Path, folder: Path, threads: int) -> list[float]:
    """Seconds until the model is loaded, seconds for the song, and peak memory in MiB."""
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": root}
    command = [sys.executable, "-c", CASES[case], str(model), str(song), str(folder)]
    done = subprocess.run(
        [*command, str(threads)], env=environment, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="band", help="model (default: the bundled model)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_song(folder / "song.wav", args.seconds / 60)
        export_onnx(unpack(read_package(args.model)).separator, folder / "model.onnx")
        models = {"torch": args.model, "onnxruntime": folder / "model.onnx"}
        found: dict[str, list[list[float]]] = {case: [] for case in CASES}
        for number in range(args.repeats):
            for case in CASES:
                out = folder / f"{case}{number}"
                numbers = measure(case, models[case], folder / "song.wav", out, args.threads)
                found[case].append(numbers)
    header = ["", "model loaded after (s)", "song (s)", "× real time", "peak MiB"]
    rows = []
    for case, runs in found.items():
        loaded, seconds, peak = map(statistics.median, zip(*runs))
        speed = args.seconds / seconds
        rows.append([case, f"{loaded:.1f}", f"{seconds:.2f}", f"{speed:.0f}", f"{peak:.0f}"])
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
