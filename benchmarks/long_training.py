"""Memory and losses over a long training: 2,000 updates of the scripts of the recipe.

    python benchmarks/long_training.py                                 tiny networks: a few minutes
    python benchmarks/long_training.py --options "--preset small"      the sizes of a preset

Does memory grow, does a loss become NaN? The songs are synthesized; parts of them are silent and
some songs lack a class, so that silent segments and absent classes are common. The resident memory
of the process is sampled from outside; the losses are read from its log.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf
import torch
from cases import report

RECIPE = Path(__file__).parents[1] / "egs" / "slakh"
TINY = (
    "--segment 2.048 --n_fft 1024 --hop_length 512 --n_blocks 4 --n_repeats 1 --bn_chan 32 "
    "--hid_chan 64 --t_batch_size 4 --s_batch_size 4 --f_batch_size 4"
)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("--updates", type=int, default=2000)
parser.add_argument("--precision", default="bf16-mixed")
parser.add_argument("--options", default=TINY, help="settings of the training scripts")
parser.add_argument("--out", default="", help="JSON file for the results")


def make_songs(folder: Path) -> Path:
    """A prepared folder in which silence and absent classes are common."""
    from asteroid_scoresup.data import Manifest
    from asteroid_scoresup.data.note_table import write_notes
    from asteroid_scoresup.data.prepare import prepare
    from asteroid_scoresup.synthesis.synthesize import synthesize

    synthesize(folder / "slakh", n_train=8, n_validation=2, n_test=0, n_test_unseen=0, seconds=30,
               renderer="tinysoundfont", sample_rate=16000, quiet=True)  # fmt: skip
    prepare(folder / "slakh", folder / "prepared", progress=False)
    manifest = Manifest.load(folder / "prepared")
    for number, track in enumerate(manifest.tracks):
        notes = manifest.notes(track)
        keep = np.ones(len(notes), dtype=bool)
        paths = {name: manifest.stem_path(track, name) for name in manifest.names}
        stems = {name: sf.read(path, dtype="float32")[0] for name, path in paths.items()}
        if number % 2:
            gone = number // 2 % len(manifest.names)
            stems[manifest.names[gone]][:] = 0
            keep &= notes.class_index != gone
        begin, end = 10.0, 22.0
        for stem in stems.values():
            stem[int(begin * manifest.sample_rate) : int(end * manifest.sample_rate)] = 0
        keep &= (notes.offset <= begin) | (notes.onset >= end)
        for name, stem in stems.items():
            sf.write(paths[name], stem, manifest.sample_rate, subtype="FLOAT")
        mixture = sum(stems.values())
        sf.write(manifest.mixture_path(track), mixture, manifest.sample_rate, subtype="FLOAT")
        write_notes(manifest.folder(track) / "notes.csv", notes.select(keep), manifest.names)
    return folder / "prepared"


def resident_mib(pid: int) -> float | None:
    """Resident memory of a process, if the system provides it."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", text)
    return int(found[1]) / 1024 if found else None


def watch(command: list[str], exp_dir: Path) -> dict[str, float]:
    """Runs a script; returns its memory over time and a summary of its log."""
    start, samples = time.monotonic(), []
    with open(exp_dir.with_suffix(".log"), "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=RECIPE)
        while process.poll() is None:
            time.sleep(0.5)
            try:
                value = resident_mib(process.pid)
            except FileNotFoundError:
                break
            if value:
                samples.append(value)
    if process.wait():
        raise SystemExit(exp_dir.with_suffix(".log").read_text()[-2000:])
    if len(samples) < 10:
        raise SystemExit("This system does not provide the memory of processes (/proc).")
    # The first tenth is start-up: imports, caches, the first epoch.
    steady = samples[len(samples) // 10 :]
    third = max(len(steady) // 3, 1)
    parts = [pd.read_csv(path, dtype=str, keep_default_na=False)
             for path in exp_dir.glob("logs/**/metrics.csv")]  # fmt: skip
    logs = pd.concat(parts).fillna("")
    # Validation songs that lack a class have no SI-SDR for it.
    cells = logs[[name for name in logs if "si_sdr" not in name]].to_numpy().ravel()
    cells = pd.Series(cells[cells != ""]).str.lower()
    return {
        "mib_first_third": float(np.median(steady[:third])),
        "mib_last_third": float(np.median(steady[-third:])),
        "mib_most": max(samples),
        "logged_numbers": len(cells),
        "not_finite": int(cells.isin(["nan", "inf", "-inf"]).sum()),
        "seconds": time.monotonic() - start,
    }


def main(args: argparse.Namespace) -> None:
    """Runs the three steps one after the other and prints the results."""
    torch.set_num_threads(1)
    epoch = max(args.updates // 10, 1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shared = ["--data_dir", str(make_songs(folder)), "--num_workers", "0", "--quiet"]
        shared += ["--saliency", "0", "--precision", args.precision, *args.options.split()]
        models = {name: folder / name / "best_model.pth" for name in ("t", "s", "f")}
        steps = {
            "step 1": ("t", ["train_transcriptor.py"]),
            "step 2": ("s", ["train_separator.py", "--critic", models["t"]]),
            "step 3": ("f", ["finetune.py", "--adversarial", "aml+atl", "--transcriptor",
                             models["t"], "--separator", models["s"]]),
        }  # fmt: skip
        rows = {}
        for name, (key, command) in steps.items():
            lengths = [f"--{key}_epochs", "10", f"--{key}_steps", str(epoch)]
            line = [sys.executable, *command, "--exp_dir", folder / key, *shared, *lengths]
            rows[name] = watch([str(part) for part in line], folder / key)
    columns = list(rows["step 1"])
    facts = {"updates": 10 * epoch, "precision": args.precision, "options": args.options}
    report("recipe's script", columns, rows, facts, args.out)


if __name__ == "__main__":
    main(parser.parse_args())
