"""The diff in docs/other_recipes.rst applies to Asteroid's recipe line by line, and separates.

Asteroid's recipes are not in its package. ``librimix_convtasnet_lines.txt`` contains a hash of each
line of the recipe ``egs/librimix/ConvTasNet`` in Asteroid's master branch, which shows whether the
hunks apply there. The script that runs here has the lines of the hunks in the same order and,
between them, the minimum that a recipe needs.
"""

import hashlib
import os
import re
import subprocess
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from asteroid.models import ConvTasNet
from tiny import NAMES, write_folder

from asteroid_scoresup.data import ScoreDataset
from asteroid_scoresup.engine import save_model
from asteroid_scoresup.evaluation import si_sdr
from asteroid_scoresup.models import ScoreTranscriptor, load_package

ROOT = Path(__file__).parents[2]
# The code between the hunks of train.py, in a recipe of the same structure.
BETWEEN = [
    """
    import json, os, sys
    import torch, yaml
    import pytorch_lightning as pl
    from torch.utils.data import DataLoader
    """,
    "",
    """
        sizes = {"batch_size": conf["training"]["batch_size"], "drop_last": True}
        train_loader = DataLoader(train_set, shuffle=True, **sizes)
        val_loader = DataLoader(
            val_set, batch_size=conf["training"]["batch_size"],
    """,
    """
        scheduler = None
        exp_dir = conf["main_args"]["exp_dir"]
        os.makedirs(exp_dir)
        with open(os.path.join(exp_dir, "conf.yml"), "w") as outfile:
    """,
    """
            optimizer=optimizer,
            train_loader=train_loader,
            val_loader=val_loader,
            scheduler=scheduler,
            config=conf,
        )
        checkpoint = ModelCheckpoint(
            os.path.join(exp_dir, "checkpoints"), monitor="val_loss", save_top_k=1
        )
        callbacks = [checkpoint, EarlyStopping(monitor="val_loss", patience=30)]
        trainer = pl.Trainer(
            max_epochs=conf["training"]["epochs"], enable_progress_bar=False,
    """,
    """
        )
        trainer.fit(system)
        best = torch.load(checkpoint.best_model_path, weights_only=True)
        system.load_state_dict(best["state_dict"])
        to_save = {**system.cpu().model.serialize(), **train_set.get_infos()}
        torch.save(to_save, os.path.join(exp_dir, "best_model.pth"))


    if __name__ == "__main__":
        with open(sys.argv[1]) as file:
            main(yaml.safe_load(file))
    """,
]


def hunks():
    """The hunks of the page by file: first line, lines before, lines after, lines as printed."""
    text = (ROOT / "docs" / "other_recipes.rst").read_text(encoding="utf-8")
    found = {}
    for block in re.findall(r"^\.\. code-block:: diff\n\n((?:   .*\n|\n)+)", text, re.MULTILINE):
        lines = textwrap.dedent(block).strip("\n").split("\n")
        assert lines[0].startswith("--- a/") and lines[1] == lines[0].replace("--- a", "+++ b")
        parts = found.setdefault(lines[0][6:], [])
        for line in lines[2:]:
            head = re.fullmatch(r"@@ -(\d+),(\d+) \+(\d+),(\d+) @@", line)
            if head:
                parts.append((tuple(map(int, head.groups())), [], [], []))
                continue
            kind, rest = line[:1] or " ", line[1:]
            assert kind in " +-", line
            (_, _, _, _), before, after, printed = parts[-1]
            printed.append(line)
            before += [rest] * (kind in " -")
            after += [rest] * (kind in " +")
    return found


@pytest.mark.parametrize("name", ["train.py", "local/conf.yml"])
def test_every_hunk_fits_the_recipe_at_its_line(name):
    rows = (Path(__file__).parent / "librimix_convtasnet_lines.txt").read_text().split("\n")
    hashes = {
        int(n): digest for file, n, digest in (row.split() for row in rows if row) if file == name
    }
    moved = 0
    for (first, n_before, to, n_after), before, after, _ in hunks()[name]:
        assert (len(before), len(after)) == (n_before, n_after)
        assert to == first + moved
        moved += n_after - n_before
        for number, line in enumerate(before, first):
            digest = hashlib.sha256(line.encode()).hexdigest()[:12]
            assert digest == hashes[number], (number, line)


def test_the_changes_are_few():
    printed = [line for parts in hunks().values() for part in parts for line in part[3]]
    changed = {sign: sum(line[:1] == sign for line in printed) for sign in "+-"}
    assert changed["+"] <= 25 and changed["-"] <= 27


def test_a_recipe_with_the_diff_separates(tmp_path, fast_python):
    """With scores and mixtures only, in the stock System, SI-SDR improves by more than 1 dB."""
    write_folder(
        tmp_path / "prepared", rate=16000, seconds=6.0, splits={"train": 4, "validation": 2}
    )
    torch.manual_seed(0)
    critic = ScoreTranscriptor(NAMES, n_blocks=2, n_repeats=1, bn_chan=16, hid_chan=32)
    save_model(critic, tmp_path / "transcriptor.pth")
    parts = hunks()
    settings = {
        "masknet": {},
        "training": {"epochs": 12, "batch_size": 4, "num_workers": 0, "half_lr": False},
        "optim": {"optimizer": "adam", "lr": 0.005},
        "main_args": {"exp_dir": str(tmp_path / "exp")},
    }
    changed = yaml.safe_load(
        "\n".join(line for part in parts["local/conf.yml"] for line in part[2])
    )
    settings = {**changed, **settings, "masknet": changed["masknet"]}
    settings["masknet"].update(n_blocks=4, n_repeats=1, bn_chan=24, skip_chan=24, hid_chan=48)
    settings["data"] = {
        **changed["data"],
        "train_dir": str(tmp_path / "prepared"),
        "valid_dir": str(tmp_path / "prepared"),
        "transcriptor": str(tmp_path / "transcriptor.pth"),
        "segment": 2,
    }
    (tmp_path / "conf.yml").write_text(yaml.safe_dump(settings))
    script = ""
    for text, part in zip(BETWEEN, [*parts["train.py"], None], strict=True):
        script += re.sub("^    ", "", text, flags=re.MULTILINE).strip("\n") + "\n"
        script += "\n".join(part[2] if part else [""]) + "\n"
    (tmp_path / "train.py").write_text(script)
    done = subprocess.run(
        [fast_python, "train.py", "conf.yml"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]

    model = ConvTasNet.from_pretrained(load_package(tmp_path / "exp" / "best_model.pth")).eval()
    assert model.sample_rate == 16000
    gains = []
    for mixture, targets in ScoreDataset(
        tmp_path / "prepared", "train", targets="both", segment=None
    ):
        with torch.no_grad():
            estimates = model(mixture[None])[0]
        stems = targets["sources"]
        gains.append(si_sdr(estimates, stems) - si_sdr(mixture, stems))
    assert np.mean(gains) > 1, np.mean(gains, 0)
