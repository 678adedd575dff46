"""Speed and memory of separation: our networks beside ConvTasNet, Open-Unmix and Hybrid Demucs.

    python benchmarks/separation.py                       10 s and 5 min, one thread
    python benchmarks/separation.py --seconds 7200 --cases "tcn|OpenUnmix" --repeats 1
    python benchmarks/separation.py --files exp/slakh_demo/best_model.pth

Weights are random, of the published sizes: speed needs no training. All separate mono noise at
16 kHz (Hybrid Demucs: two channels) into three stems, from samples to samples. Ours works as
`separate` does, in pieces with context; the others get pieces of 30 s without any, which is
generous to them. Every case runs in a process of its own, in turn with the others, after a warm-up
of two minutes of audio at most; medians are printed.

`of the limit` is what is reached of what the matrix products of the network alone would take, by
the speed of a large fp32 product on the same threads.
"""

import argparse
import json
import re
import time
from pathlib import Path

import numpy as np
import torch
from cases import peak_mib, product_speed, report, run_in_turn

NAMES, RATE, PIECE, WARM = ("bass", "guitar", "piano"), 16000, 30, 120
CASES = ("tcn small", "tcn paper", "OpenUnmix", "ConvTasNet", "HybridDemucs")
SIZES = {
    "tcn small": dict(n_blocks=6, n_repeats=2, bn_chan=128, hid_chan=256),
    "tcn paper": dict(n_blocks=7, n_repeats=3, bn_chan=256, hid_chan=512),
}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--seconds", default="10,300", help="lengths of the recordings")
parser.add_argument("--cases", default="", help="only cases that this regular expression finds")
parser.add_argument("--files", default="", help="comma-separated NAME=MODEL_FILE, instead of cases")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
parser.add_argument("--out", default="", help="file for the numbers, as JSON")
parser.add_argument("--one", default="", help=argparse.SUPPRESS)  # in the process of a case


def build(case, files):
    """The model of a case."""
    from asteroid_scoresup.models import SourceModel, TCNSeparator, WaveformSeparator

    if case in files:
        return SourceModel.from_pretrained(files[case])
    if case in SIZES:
        return TCNSeparator(NAMES, sample_rate=RATE, **SIZES[case]).eval()
    if case == "HybridDemucs":
        from torchaudio.models import hdemucs_medium  # the one for 16 kHz

        return hdemucs_medium(list(NAMES)).eval()
    return WaveformSeparator(NAMES, case, sample_rate=RATE).eval()


def separate(model, samples, precision):
    """Separates a recording piece by piece and keeps nothing; returns the samples made."""
    if hasattr(model, "stft"):
        from asteroid_scoresup.inference import Separator
        from asteroid_scoresup.utils.stream import Recording

        chunks = Separator(model, precision=precision).chunks(Recording(samples, RATE))
        return sum(len(chunk.stems) for chunk in chunks)
    wav = torch.from_numpy(samples)
    if hasattr(model, "in_pieces"):
        return model.in_pieces(wav, 0.1, PIECE).shape[-1]
    pieces = wav.split(PIECE * RATE)  # of Hybrid Demucs, which takes two channels
    return sum(model(piece.expand(1, 2, -1)).shape[-1] for piece in pieces)


def operations(model, seconds=PIECE):
    """Multiplications and additions of the network per second of audio; None if unknown."""
    from torch.utils.flop_counter import FlopCounterMode

    if not hasattr(model, "stft"):
        return None
    frames = model.stft.n_frames(seconds * RATE)
    with FlopCounterMode(display=False) as counter:
        model.masks(torch.rand(1, model.stft.n_freqs, frames))
    return counter.get_total_flops() / seconds


@torch.no_grad()
def run_one(args, files):
    """Times one case and length in this process; prints JSON."""
    torch.set_num_threads(args.threads)
    case, _, seconds = args.one.rpartition(", ")
    seconds = float(seconds.split()[0])
    model = build(case, files)
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(round(seconds * RATE))).astype(np.float32)
    with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bfloat16"):
        separate(model, samples[: WARM * RATE], args.precision)  # memory is at hand afterwards
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


def main(args, files):
    """Runs all cases in turn and prints what came out."""
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
