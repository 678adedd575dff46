"""Packs an evaluated experiment into a model file in half precision, with a model card.

    python pack_model.py --exp_dir exp/slakh_bundled --out ../../asteroid_scoresup/pretrained/band \
        --command "bash run.sh --preset bundled ..." --data "they are rendered with ..." \
        --limits local/bundled_limits.md

writes <out>.pth and <out>.md. The card's numbers are those that stage 5 wrote into the experiment,
of the weights before they were rounded to half precision.
"""

import argparse
import json
import subprocess
import textwrap
from pathlib import Path

import torch
import yaml

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.models import pack, unpack
from asteroid_scoresup.models.card import card_metadata, with_facts
from asteroid_scoresup.utils.files import atomic_path

CARD = """# {name}: the bundled model

Separates songs into {classes} and transcribes them
(`asteroid-scoresup separate song.wav --midi`). A separator and a transcriptor with at most
{parameters:.1f} million weights each, in half precision, for mono audio at {sample_rate:.0f} Hz.

**No stem was used in training**, only mixtures and their scores. Stems of the test songs were used
only for the evaluation below.

## Data

{n_train} training songs ({hours:.1f} h) and {n_validation} validation songs, composed and rendered
by the recipe. {data}.

## Training

    {command}

at commit {commit}; settings: `{settings}`.

## Numbers

Written by stage 5 of the recipe (`egs/slakh/eval.py`), on whole test songs. `test` has new songs
with the instruments of the training songs, `test_unseen` new songs with other instruments. The row
of this model is `{row}`; oracles receive the score or the stems.

{tables}
## Limits

{limits}
"""

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--exp_dir", required=True, help="an experiment after stage 5")
parser.add_argument("--out", required=True, help="file to write, without suffix")
parser.add_argument("--command", required=True, help="the command that made the experiment")
parser.add_argument("--commit", help="the commit that made it (default: this one)")
parser.add_argument(
    "--data", required=True, help="sentences on the songs and how they are rendered"
)
parser.add_argument("--license", help="license of the weights, e.g. cc-by-4.0")
parser.add_argument("--limits", required=True, help="file with the card's last section")


def main(args):
    exp_dir, out = Path(args.exp_dir), Path(args.out)
    for needed in ("best_model.pth", "tables.md", "conf.yml", "final_metrics.json"):
        if not (exp_dir / needed).is_file():
            raise SystemExit(f"{exp_dir / needed} is missing: run stage 5 of the recipe first.")
    separator, transcriptor, decoding, programs = unpack(exp_dir / "best_model.pth")
    if transcriptor is None:
        raise SystemExit(f"{exp_dir / 'best_model.pth'} contains no transcriptor.")
    conf = yaml.safe_load((exp_dir / "conf.yml").read_text())
    manifest = Manifest.load(conf["data"]["data_dir"])
    train, validation = (manifest.select(split) for split in ("train", "validation"))
    seconds = sum(track.n_samples for track in train) / manifest.sample_rate
    programs = programs or {c.name: c.default_program for c in manifest.classes.classes}
    package = with_facts(
        pack(separator, transcriptor, decoding, programs, half=True),
        license=args.license,
        numbers=json.loads((exp_dir / "final_metrics.json").read_text()),
    )
    with atomic_path(out.with_suffix(".pth")) as temporary:
        torch.save(package, temporary)
    here = ["git", "rev-parse", "--short", "HEAD"]
    commit = args.commit or subprocess.check_output(here, text=True).strip()
    card = CARD.format(
        name=out.name,
        classes=", ".join(separator.sources),
        parameters=max(sum(p.numel() for p in m.parameters()) for m in (separator, transcriptor))
        / 1e6,
        sample_rate=separator.sample_rate,
        n_train=len(train),
        n_validation=len(validation),
        hours=seconds / 3600,
        data=textwrap.fill(args.data, 100).lstrip(),
        command=args.command,
        commit=commit,
        settings=json.dumps({**conf["network"], **conf["stft"]}),
        row=conf["main_args"]["finetune_row" if conf["main_args"]["finetuned"] else "row"],
        tables=(exp_dir / "tables.md").read_text(),
        limits=Path(args.limits).read_text().strip(),
    )
    card = f"{card_metadata(package, out.name)}\n{card}"
    with atomic_path(out.with_suffix(".md")) as temporary:
        temporary.write_text(card, encoding="utf-8")
    size = out.with_suffix(".pth").stat().st_size / 1e6
    print(f"{out}.pth: {size:.1f} MB, and its card {out}.md")


if __name__ == "__main__":
    main(parser.parse_args())
