"""Compares the values of all losses for wrong and right masks, on validation songs with stems.

A loss that is as low for a wrong estimate as for the true stems cannot train a separator. Rows are
the mixture as the estimate of every class, an even split between the classes that play, soft masks
drawn from the score, the true stems (ratio masks), the same with a trace of the other classes, and
any separators. With ``--filter_steps`` also filters that are fitted to the critic: they cannot
follow the notes, so a critic that accepts them like the true stems can be fooled.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch
from asteroid.losses import singlesrc_neg_sisdr
from local import harmonic, settings

from asteroid_scoresup.data import Manifest, ScoreDataset, make_loader
from asteroid_scoresup.dsp import STFT, Spectrograms
from asteroid_scoresup.losses import ScoreSupervisedLoss
from asteroid_scoresup.models import ScoreTranscriptor, TCNSeparator
from asteroid_scoresup.score import HarmonicTemplates, frame_activity
from asteroid_scoresup.utils.markdown import markdown_table

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--transcriptor", required=True, help="best_model.pth of step 1, the critic")
parser.add_argument("--separators", default="", help="comma-separated NAME=FILE")
parser.add_argument("--n_batches", type=int, default=5, help="batches of eight segments")
parser.add_argument(
    "--filter_steps",
    type=int,
    default=0,
    help="steps of the search for filters that satisfy the critic; 0: no search",
)

#: Loss for which filters are fitted, that of the row "isolated c".
FILTER_LOSS = {"transcription": 0.2, "clip": 0.5}
#: Learning rate of their logits.
FILTER_LR = 0.5


def known_masks(
    mixture: torch.Tensor,
    targets: dict[str, torch.Tensor],
    stems: torch.Tensor,
    templates: HarmonicTemplates,
) -> dict[str, torch.Tensor]:
    """Masks that need no network, by name."""
    active = frame_activity(targets["sounding"]).unsqueeze(2).float()
    even = (active / active.sum(1, keepdim=True).clamp(min=1)).expand_as(stems)
    soft = templates.soft_mask(targets["sounding"])
    ratio = stems / stems.sum(1, keepdim=True).clamp(min=1e-8)
    return {
        "mixture for every class": torch.ones_like(stems),
        "even split": even,
        "soft harmonic masks": soft.where(soft.sum(1, keepdim=True) > 0, even),
        "true stems": ratio,
        "true stems, the rest at -20 dB": ratio + 0.1 * (1 - ratio),
    }


@torch.enable_grad()
def fitted_filters(
    loss: ScoreSupervisedLoss,
    mixture: torch.Tensor,
    targets: dict[str, torch.Tensor],
    n_steps: int,
) -> torch.Tensor:
    """Masks with the same gains in every frame, for each segment and class those that the loss
    likes best: Adam on their logits, from one half."""
    shape = (len(mixture), targets["roll"].shape[1], mixture.shape[1], 1)
    logits = torch.zeros(shape, device=mixture.device, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=FILTER_LR)
    for _ in range(n_steps):
        estimates = logits.sigmoid() * mixture.unsqueeze(1)
        optimizer.zero_grad()
        loss(Spectrograms(mixture, estimates), targets).backward()
        optimizer.step()
    return logits.detach().sigmoid().expand(-1, -1, -1, mixture.shape[-1])


def si_sdr(
    stft: STFT, spectrum: torch.Tensor, masks: torch.Tensor, stems: torch.Tensor
) -> torch.Tensor:
    """Mean SI-SDR of the stems that are not silent, in dB."""
    estimates = stft.separated(spectrum, masks, stems.shape[-1])
    score = -singlesrc_neg_sisdr(estimates.flatten(0, 1), stems.flatten(0, 1))
    return score[stems.flatten(0, 1).pow(2).mean(-1) > 1e-8].mean()


@torch.no_grad()
def main(conf: settings.Conf, args: argparse.Namespace) -> None:
    if args.filter_steps < 0:
        settings.bad_option(f"--filter_steps is 0 or more, found {args.filter_steps}.")
    manifest = Manifest.load(args.data_dir)
    critic = ScoreTranscriptor.from_pretrained(args.transcriptor)
    separators = {}
    for item in filter(None, args.separators.split(",")):
        name, _, path = item.rpartition("=")
        separators[name or path] = TCNSeparator.from_pretrained(path)
    for model in (critic, *separators.values()):
        settings.require_same(model, args, manifest)
    templates = harmonic.templates(args, manifest)
    weights = dict.fromkeys(("transcription", "clip", "frame", "harmonic", "soft_harmonic"), 1.0)
    loss = ScoreSupervisedLoss(weights, critic.stft, critic, templates).eval()
    isolated = ScoreSupervisedLoss(FILTER_LOSS, critic.stft, critic).eval()
    data = ScoreDataset(
        manifest, "validation", "both", args.segment, n_fft=args.n_fft,
        hop_length=args.hop_length, sounding=harmonic.sounding(args),
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
        if args.filter_steps > 0:
            masks["fitted filters"] = fitted_filters(isolated, mixture, targets, args.filter_steps)
        for name, mask in masks.items():
            estimates = Spectrograms(mixture, mask * mixture.unsqueeze(1))
            terms = {key: float(value) for key, value in loss.terms(estimates, targets).items()}
            terms["SI-SDR"] = float(si_sdr(stft, spectrum, mask, targets["sources"]))
            # A mask that hardly varies over time is a fixed filter.
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
