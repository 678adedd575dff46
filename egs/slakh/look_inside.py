"""What the losses say of wrong and of right masks: a table, on validation songs with stems.

A loss that likes a wrong estimate as much as the true stems cannot teach. Rows are the mixture for
everybody, an even split between the classes that play, the masks of the score, the true stems
(ratio masks), and any separators.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch
from asteroid.losses import singlesrc_neg_sisdr
from local import settings

from asteroid_scoresup.data import Manifest, ScoreDataset, make_loader
from asteroid_scoresup.dsp import Spectrograms
from asteroid_scoresup.losses import ScoreSupervisedLoss
from asteroid_scoresup.models import ScoreTranscriptor, TCNSeparator
from asteroid_scoresup.score import frame_activity
from asteroid_scoresup.utils.markdown import markdown_table

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--transcriptor", required=True, help="best_model.pth of step 1, the critic")
parser.add_argument("--separators", default="", help="comma-separated NAME=FILE")
parser.add_argument("--n_batches", type=int, default=5, help="batches of eight segments")


def known_masks(mixture, targets, stems, templates):
    """Masks that need no network, by name."""
    active = frame_activity(targets["sounding"]).unsqueeze(2).float()
    even = (active / active.sum(1, keepdim=True).clamp(min=1)).expand_as(stems)
    soft = templates.soft_mask(targets["sounding"])
    return {
        "mixture for everybody": torch.ones_like(stems),
        "even split": even,
        "soft harmonic masks": soft.where(soft.sum(1, keepdim=True) > 0, even),
        "true stems": stems / stems.sum(1, keepdim=True).clamp(min=1e-8),
    }


def si_sdr(stft, spectrum, masks, sources):
    """Mean SI-SDR over the stems that sound, in dB."""
    estimates = stft.separated(spectrum, masks, sources.shape[-1])
    score = -singlesrc_neg_sisdr(estimates.flatten(0, 1), sources.flatten(0, 1))
    return score[sources.flatten(0, 1).pow(2).mean(-1) > 1e-8].mean()


@torch.no_grad()
def main(conf, args):
    manifest = Manifest.load(args.data_dir)
    critic = ScoreTranscriptor.from_pretrained(args.transcriptor)
    separators = {}
    for item in filter(None, args.separators.split(",")):
        name, _, path = item.rpartition("=")
        separators[name or path] = TCNSeparator.from_pretrained(path)
    for model in (critic, *separators.values()):
        settings.require_same(model, args, manifest)
    templates = settings.templates(args, manifest.sample_rate)
    weights = dict.fromkeys(("transcription", "clip", "frame", "harmonic", "soft_harmonic"), 1.0)
    loss = ScoreSupervisedLoss(weights, critic.stft, critic, templates).eval()
    data = ScoreDataset(
        manifest, "validation", "both", args.segment, n_fft=args.n_fft,
        hop_length=args.hop_length, sounding=settings.sounding(args),
    )  # fmt: skip
    stft, rows = critic.stft, []
    for number, (wav, targets) in enumerate(make_loader(data, 8)):
        if number == args.n_batches:
            break
        spectrum = stft(wav)
        mixture = stft.magnitude(spectrum)
        stems = stft.magnitude(stft(targets["sources"].flatten(0, 1))).unflatten(0, (len(wav), -1))
        masks = known_masks(mixture, targets, stems, templates)
        masks.update({name: model.masks(mixture) for name, model in separators.items()})
        for name, mask in masks.items():
            estimates = Spectrograms(mixture, mask * mixture.unsqueeze(1))
            terms = {key: float(value) for key, value in loss.terms(estimates, targets).items()}
            terms["SI-SDR"] = float(si_sdr(stft, spectrum, mask, targets["sources"]))
            # A mask that hardly moves is a filter, and follows no note.
            logit = mask.clamp(1e-3, 1 - 1e-3).logit()
            terms["mask, std over time"] = float(logit.std(-1).mean())
            terms["mask, std over bins"] = float(logit.mean(-1).std(-1).mean())
            rows.append({"masks": name, **terms})
    table = pd.DataFrame(rows).groupby("masks", sort=False).mean().round(2)
    folder = Path(args.exp_dir)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "inspect_losses.csv")
    cells = [[name, *(f"{value:.2f}" for value in row)] for name, *row in table.itertuples()]
    markdown = markdown_table(["masks", *table.columns], cells)
    (folder / "inspect_losses.md").write_text(markdown + "\n", encoding="utf-8")
    print(markdown)


if __name__ == "__main__":
    settings.run(main, parser)
