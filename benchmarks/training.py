"""Speed and memory of a training step: ours and Asteroid's ConvTasNet.

    python benchmarks/training.py --preset small --threads 1
    python benchmarks/training.py --preset paper --batch_size 3 --cases "step|sup" --steps 2
    python benchmarks/training.py --profile "step 2, clip+informed"

Every case runs in a process of its own, several times and in turn with the others, so that a
machine that slows down affects all of them. Medians are reported, and the seconds of audio per
second relative to the supervised step of ConvTasNet. The data are noise with a random score: the
networks and the losses are timed, not the loader. Prints a table, and one line of JSON with facts
about the machine.

`of_the_limit`: the time that the matrix products and convolutions of the update would take at the
speed of a large float32 product on the same threads, as a fraction of the measured time. In
bfloat16 it can exceed 1. On CPUs without bfloat16 instructions, which emulate them slowly, use
--precision float32.

The last line estimates the time of the recipe's steps with the number of updates of the preset.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from cases import peak_mib, product_speed, report, run_in_turn

RECIPE = Path(__file__).parents[1] / "egs" / "slakh"
CASES = {
    "step 1": "t",
    "step 1, pitch": "t",
    "step 2, clip": "s",
    "step 2, clip+harmonic": "s",
    "step 2, clip+informed": "s",
    "step 3, aml+atl": "f",
    "supervised": "s",
    "ConvTasNet, supervised": None,
}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--preset", default="small")
parser.add_argument("--batch_size", type=int, default=4)
parser.add_argument(
    "--steps", type=int, default=8, help="timed steps of a run, after two warm-up steps"
)
parser.add_argument("--repeats", type=int, default=3, help="runs of each case")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--precision", default="bfloat16", choices=["float32", "bfloat16"])
parser.add_argument("--cases", default="", help="only cases that match this regular expression")
parser.add_argument("--compile", action="store_true", help="with torch.compile of the trunks")
parser.add_argument("--profile", default="", help="list the slowest operators of a case instead")
parser.add_argument("--out", default="", help="JSON file for the results")
parser.add_argument("--one", default="", help=argparse.SUPPRESS)  # in the process of a case


def settings(preset: str) -> dict[str, Any]:
    """The settings of the recipe for a preset."""
    sys.path.insert(0, str(RECIPE))
    from local.options import flat, read_conf

    return flat(read_conf(preset))


def prepare(
    case: str,
    conf: dict[str, Any],
    batch_size: int,
    compiled: bool = False,
    device: torch.device | str = "cpu",
) -> Callable[[], object]:
    """Returns a function that makes one update, on a device."""
    from asteroid.losses import multisrc_neg_sisdr
    from asteroid.models import ConvTasNet

    from asteroid_scoresup.engine import FineTuneSystem, compile_networks
    from asteroid_scoresup.losses import ScoreSupervisedLoss, transcription_loss
    from asteroid_scoresup.models import PitchTranscriptor, ScoreTranscriptor, TCNSeparator
    from asteroid_scoresup.score import HarmonicTemplates

    names, rate = ["bass", "guitar", "piano"], 16000
    n_samples = round(conf["segment"] * rate / conf["hop_length"]) * conf["hop_length"]
    sizes = ("n_fft", "hop_length", "n_blocks", "n_repeats", "bn_chan", "hid_chan")
    network = dict(sources=names, sample_rate=rate, **{key: conf[key] for key in sizes})
    separator, transcriptor = (
        kind(**network).to(device) for kind in (TCNSeparator, ScoreTranscriptor)
    )
    if compiled:
        compile_networks(separator, transcriptor)
    frames = separator.stft.n_frames(n_samples)
    wav = 0.1 * torch.randn(batch_size, n_samples, device=device)
    roll = (torch.rand(batch_size, 3, 88, frames, device=device) < 0.03).float()
    masks = torch.rand(batch_size, 3, conf["n_fft"] // 2 + 1, frames, device=device)
    targets = {
        "mixture": wav,
        "roll": roll,
        "sounding": roll,
        "soft_masks": masks / masks.sum(1, keepdim=True),
        "sources": 0.1 * torch.randn(batch_size, 3, n_samples, device=device),
    }
    templates = HarmonicTemplates(rate, conf["n_fft"], n_partials=conf["n_partials"]).to(device)

    def loss_of(**weights: float) -> ScoreSupervisedLoss:
        n_classes = conf["critic_classes"]
        return ScoreSupervisedLoss(weights, separator.stft, transcriptor, templates, n_classes)

    losses = {
        "step 2, clip": loss_of(transcription=0.2, clip=0.5),
        "step 2, clip+harmonic": loss_of(transcription=0.2, clip=0.5, harmonic=0.15),
        "step 2, clip+informed": loss_of(transcription=0.2, clip=0.5, informed=3.0),
        "supervised": loss_of(magnitude_approximation=1.0),
    }
    if case in losses:
        model = separator

        def compute():
            return losses[case](separator.spectrograms(wav), targets)
    elif case in ("step 1", "step 1, pitch"):
        if case == "step 1, pitch":
            transcriptor = PitchTranscriptor(**network).to(device)
        model = transcriptor.requires_grad_(True).train()

        def compute():
            magnitude = transcriptor.stft.magnitude(transcriptor.stft(wav))
            return transcription_loss(transcriptor.outputs(magnitude), roll)
    elif case == "step 3, aml+atl":
        pair = [torch.optim.Adam(m.parameters(), fused=True) for m in (separator, transcriptor)]
        loss = losses["step 2, clip+harmonic"]
        system = FineTuneSystem(separator, transcriptor, loss, pair, None, aml=0.1, atl=0.1)
        system.optimizers, system._schedulers = lambda: pair, list
        system.manual_backward = lambda loss: loss.backward()
        system.log = system.log_dict = lambda *args, **kwargs: None
        return lambda: system.training_step((wav, targets), 0)
    else:
        # Asteroid's librimix configuration
        model = ConvTasNet(3, sample_rate=rate).to(device)

        def compute():
            return multisrc_neg_sisdr(model(wav), targets["sources"]).mean()

    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(weights, fused=True)

    def update():
        loss = compute()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return update


def operations(update: Callable[[], object]) -> int:
    """Counts the operations of an update in matrix products and convolutions."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        update()
    return counter.get_total_flops()


def run_one(args: argparse.Namespace) -> None:
    """Times one case in this process and prints JSON."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    conf = settings(args.preset)
    prepare("supervised", conf, 1)  # so that its imports are not counted
    before = peak_mib()
    update = prepare(args.one, conf, args.batch_size, args.compile)
    seconds = []
    with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bfloat16"):
        for _ in range(args.steps + 2):
            start = time.perf_counter()
            update()
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds[2:])
    found = {
        "s_per_update": median,
        "audio_s_per_s": conf["segment"] * args.batch_size / median,
        "more_mib": peak_mib() - before,
    }
    if "ConvTasNet" not in args.one:  # torch counts its depthwise convolutions as full ones
        count = operations(prepare(args.one, conf, args.batch_size))
        found["of_the_limit"] = count / product_speed() / median
    print(json.dumps(found))


def profile(args: argparse.Namespace) -> None:
    """Prints the operators of an update that take longest."""
    torch.set_num_threads(args.threads)
    update = prepare(args.profile, settings(args.preset), args.batch_size, args.compile)
    with torch.autocast("cpu", torch.bfloat16, enabled=args.precision == "bfloat16"):
        for _ in range(3):
            update()
        with torch.profiler.profile() as found:
            for _ in range(args.steps):
                update()
    total = sum(event.self_cpu_time_total for event in found.key_averages())
    events = sorted(found.key_averages(), key=lambda event: -event.self_cpu_time_total)[:15]
    rows = {
        event.key: {
            "fraction": event.self_cpu_time_total / total,
            "ms_per_update": event.self_cpu_time_total / 1000 / args.steps,
            "calls_per_update": event.count / args.steps,
        }
        for event in events
    }
    report(args.profile, list(next(iter(rows.values()))), rows, {"total_us": total}, args.out)


def main(args: argparse.Namespace) -> None:
    """Runs all cases in turn and prints the results."""
    conf, cases = settings(args.preset), [case for case in CASES if re.search(args.cases, case)]
    options = ["--compile"] if args.compile else []
    options += [
        f"--{key}={value}"
        for key, value in vars(args).items()
        if key not in ("one", "compile", "profile", "out")
    ]
    rows = run_in_turn(Path(__file__), cases, options, args.repeats)
    slowest = rows.get("ConvTasNet, supervised", {}).get("s_per_update")
    hours = 0.0
    for case, found in rows.items():
        # The rate of the median, not the median of rates.
        found["audio_s_per_s"] = conf["segment"] * args.batch_size / found["s_per_update"]
        if slowest:
            found["times_convtasnet"] = slowest / found["s_per_update"]
        key = CASES[case]
        if case in ("step 1", "step 2, clip+harmonic", "step 3, aml+atl"):
            updates = conf[f"{key}_epochs"] * conf[f"{key}_steps"]
            scale = conf[f"{key}_batch_size"] / args.batch_size
            hours += found["s_per_update"] * scale * updates / 3600
    columns = ["s_per_update", "audio_s_per_s", "times_convtasnet", "of_the_limit", "more_mib"]
    facts = {key: value for key, value in vars(args).items() if key not in ("one", "profile")}
    report(args.preset, columns, rows, {**facts, "hours": hours}, args.out)
    print(
        "\nSteps 1, 2 (clip+harmonic) and 3, as far as timed, with the updates and batches of the "
        f"preset: about {hours:.1f} h on this machine."
    )


if __name__ == "__main__":
    parsed = parser.parse_args()
    if parsed.profile:
        profile(parsed)
    else:
        run_one(parsed) if parsed.one else main(parsed)
