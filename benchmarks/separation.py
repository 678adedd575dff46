"""Speed and memory of separation: our networks, ConvTasNet, Open-Unmix and Hybrid Demucs.

    python benchmarks/separation.py                       10 s and 5 min, one thread
    python benchmarks/separation.py --seconds 7200 --cases "tcn|OpenUnmix" --repeats 1
    python benchmarks/separation.py --files exp/slakh_demo/best_model.pth

The networks have their published sizes and random weights. All separate mono noise at 16 kHz
(Hybrid Demucs: two channels) into three stems, from samples to samples. Ours run as in `separate`,
on chunks with context; the others get chunks of 30 s without context, which is faster. Every case
runs in a separate process, alternating with the others, after a warm-up on up to two minutes of
audio; medians are printed.

`of_the_limit` compares the speed with that of the network's matrix products alone, if they ran as
fast as a large fp32 product with the same number of threads.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import peak_mib, product_speed, report, run_in_turn

NAMES, RATE, CHUNK, WARM_UP = ("bass", "guitar", "piano"), 16000, 30, 120
CASES = ("tcn small", "tcn paper", "OpenUnmix", "ConvTasNet", "HybridDemucs")
SIZES = {
    "tcn small": dict(n_blocks=6, n_repeats=2, bn_chan=128, hid_chan=256),
    "tcn paper": dict(n_blocks=7, n_repeats=3, bn_chan=256, hid_chan=512),
}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--seconds", default="10,300", help="lengths of the recordings, in seconds")
parser.add_argument("--cases", default="", help="regular expression of the cases to run")
parser.add_argument("--files", default="", help="comma-separated NAME=MODEL_FILE, instead of cases")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
parser.add_argument("--out", default="", help="file for the results, as JSON")
parser.add_argument("--one", default="", help=argparse.SUPPRESS)  # for the process of one case


def build(case: str, files: Mapping[str, str]) -> torch.nn.Module:
    """Builds the model of a case."""
    from asteroid_scoresup.models import SourceModel, TCNSeparator, WaveformSeparator

    if case in files:
        return SourceModel.from_pretrained(files[case])
    if case in SIZES:
        return TCNSeparator(NAMES, sample_rate=RATE, **SIZES[case]).eval()
    if case == "HybridDemucs":
        from torchaudio.models import hdemucs_medium  # the one for 16 kHz

        return hdemucs_medium(list(NAMES)).eval()
    return WaveformSeparator(NAMES, case, sample_rate=RATE).eval()


def separate(model: Any, samples: np.ndarray, precision: str) -> int:
    """Separates a recording chunk by chunk; returns the number of samples of the stems."""
    if hasattr(model, "masks"):
        from asteroid_scoresup.inference import Separator
        from asteroid_scoresup.utils.stream import Recording

        chunks = Separator(model, precision=precision).chunks(Recording(samples, RATE))
        return sum(len(chunk.stems) for chunk in chunks)
    wav = torch.from_numpy(samples)
    if hasattr(model, "in_chunks"):
        return model.in_chunks(wav, 0.1, CHUNK).shape[-1]
    chunks = wav.split(CHUNK * RATE)  # for Hybrid Demucs, which needs two channels
    return sum(model(chunk.expand(1, 2, -1)).shape[-1] for chunk in chunks)


def operations(model: Any, seconds: int = CHUNK) -> float | None:
    """Floating-point operations of the network per second of audio, if known."""
    from torch.utils.flop_counter import FlopCounterMode

    if not hasattr(model, "masks"):
        return None
    frames = model.stft.n_frames(seconds * RATE)
    with FlopCounterMode(display=False) as counter:
        model.masks(torch.rand(1, model.stft.n_freqs, frames))
    return counter.get_total_flops() / seconds


@torch.no_grad()
def run_one(args: argparse.Namespace, files: Mapping[str, str]) -> None:
    """Times one case and length in this process and prints JSON."""
    torch.set_num_threads(args.threads)
    case, _, seconds = args.one.rpartition(", ")
    seconds = float(seconds.split()[0])
    model = build(case, files)
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(round(seconds * RATE))).astype(np.float32)
    with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bfloat16"):
        separate(model, samples[: WARM_UP * RATE], args.precision)  # also allocates memory
        start = time.perf_counter()
        made = separate(model, samples, args.precision)
        taken = time.perf_counter() - start
    assert made == len(samples), (made, len(samples))
    found = {"times_real_time": seconds / taken, "peak_mib": peak_mib()}
    found["million_parameters"] = sum(p.numel() for p in model.parameters()) / 1e6
    count = operations(model)
    if count:
        found["of_the_limit"] = found["times_real_time"] * count / product_speed()
    print(json.dumps(found))


def main(args: argparse.Namespace, files: Mapping[str, str]) -> None:
    """Runs all cases and prints the results."""
    names = list(files) or [case for case in CASES if re.search(args.cases, case)]
    wanted = [float(text) for text in args.seconds.split(",")]
    cases = [f"{name}, {seconds:g} s" for seconds in wanted for name in names]
    options = [f"--{key}={value}" for key, value in vars(args).items() if key != "one"]
    rows = run_in_turn(Path(__file__), cases, options, args.repeats)
    columns = ["times_real_time", "of_the_limit", "peak_mib", "million_parameters"]
    facts = {"threads": args.threads, "precision": args.precision, "repeats": args.repeats}
    report("model and length", columns, rows, facts, args.out)


if __name__ == "__main__":
    parsed = parser.parse_args()
    pairs = [item.rpartition("=") for item in parsed.files.split(",") if item]
    named = {name or path: path for name, _, path in pairs}
    run_one(parsed, named) if parsed.one else main(parsed, named)
