"""Step 2: trains the separator against the frozen critic, or on stems for the upper bound."""

import argparse
from pathlib import Path

import torch
from asteroid.engine.system import System
from local import settings

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.engine import (
    LogLossTerms,
    LogValidationSISDR,
    SeparatorFront,
    fit,
    save_model,
    warmup_cosine,
)
from asteroid_scoresup.losses import ScoreSupervisedLoss, SemiSupervisedLoss
from asteroid_scoresup.models import ActivityClassifier, SpectrogramModel, TCNSeparator

SUPERVISION = ["score", "activity", "stems", "semi"]

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--supervision", default="score", choices=SUPERVISION)
parser.add_argument("--mixture_loss", default="clip+informed", help="e.g. clip+harmonic")
parser.add_argument("--critic", required=True, help="best_model.pth of step 1")


def main(conf, args):
    manifest = Manifest.load(args.data_dir)
    settings.claim(conf, args, manifest, "separator", inputs=[args.critic])
    critic = SpectrogramModel.from_pretrained(args.critic)
    settings.require_same(critic, args, manifest)
    if isinstance(critic, ActivityClassifier) != (args.supervision == "activity"):
        raise SystemExit(
            f"--supervision {args.supervision} does not go with {args.critic}, which holds "
            f"a {type(critic).__name__}."
        )
    separator = TCNSeparator(mask_act=args.mask_act, **settings.network(args))
    if args.start_from_transcriptor:
        separator.load_trunk(critic)

    def loss_of(weights):
        return ScoreSupervisedLoss(
            weights,
            separator.stft,
            critic if "transcription" in weights else None,
            settings.templates(args, manifest.sample_rate),
            args.classes_heard,
            residual=manifest.mixture == "song",
        )

    weights = {**settings.mixture_weights(args), "transcription": args.transcription_weight}
    if args.supervision == "stems":
        weights = settings.stem_weights(args)
    loss = loss_of(weights)
    if args.supervision == "semi":
        loss = SemiSupervisedLoss(loss, loss_of(settings.stem_weights(args)))
    train, validation = settings.loaders(args, args.s_steps, args.s_batch_size, weights=weights)
    optimizer = torch.optim.Adam(separator.parameters(), lr=args.s_lr)
    schedule = warmup_cosine(optimizer, args.s_epochs * args.s_steps, args.warmup_steps)
    system = System(
        SeparatorFront(separator),
        optimizer,
        loss,
        train,
        validation,
        {"interval": "step", "scheduler": schedule},
        conf,
    )
    best = fit(
        system,
        args.exp_dir,
        args.s_epochs,
        callbacks=[LogLossTerms(), LogValidationSISDR(separator, manifest)],
        gradient_clip=args.gradient_clip,
        **settings.hardware(args),
    )
    save_model(separator, Path(args.exp_dir) / "best_model.pth", training=best)
    print(f"TCNSeparator ({args.supervision}): validation loss {best['best_val_loss']:.3f}")


if __name__ == "__main__":
    main(*settings.parse(parser))
