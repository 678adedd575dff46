"""Step 2: trains the separator against the frozen critic, or on stems for the upper bound."""

import argparse
import itertools
from pathlib import Path

from asteroid.engine.system import System
from local import settings
from local.options import SUPERVISION

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.engine import (
    Clock,
    LogLossTerms,
    LogValidationSISDR,
    SeparatorTrainingWrapper,
    fit,
    save_model,
    warmup_cosine,
)
from asteroid_scoresup.losses import ScoreSupervisedLoss, SemiSupervisedLoss
from asteroid_scoresup.models import ActivityClassifier, SpectrogramModel

STATISTICS = 20  # batches from which Open-Unmix learns mean and scale of its input

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--supervision", default="score", choices=SUPERVISION)
parser.add_argument("--mixture_loss", default="clip+informed", help="e.g. clip+harmonic")
parser.add_argument("--critic", required=True, help="best_model.pth of step 1")


def main(conf, args):
    manifest = Manifest.load(args.data_dir)
    if args.model == "tcn" and args.stem_loss in ("si_sdr", "multi_domain"):
        settings.bad_option(f"--stem_loss {args.stem_loss} is for models that give waveforms.")
    weights = {**settings.mixture_weights(args), "transcription": args.transcription_weight}
    if args.supervision == "stems":
        weights = settings.stem_weights(args)
    settings.require_weights(weights)
    critic = SpectrogramModel.from_pretrained(args.critic)
    settings.require_same(critic, args, manifest)
    if isinstance(critic, ActivityClassifier) != (args.supervision == "activity"):
        raise SystemExit(
            f"--supervision {args.supervision} does not go with {args.critic}, which holds "
            f"a {type(critic).__name__}."
        )
    separator = settings.build_separator(args, manifest, critic)
    model = Path(args.exp_dir) / "best_model.pth"
    settings.claim(conf, args, manifest, "separator", inputs=[args.critic])
    if settings.is_done([model], args.s_epochs, args.s_minutes):
        return
    settings.compile_networks(args, separator, critic)

    def loss_of(weights):
        return ScoreSupervisedLoss(
            weights,
            critic.stft,
            critic if "transcription" in weights else None,
            settings.templates(args, manifest.sample_rate),
            args.critic_classes,
            residual=manifest.mixture == "song",
        )

    loss = loss_of(weights)
    if args.supervision == "semi":
        loss = SemiSupervisedLoss(loss, loss_of(settings.stem_weights(args)))
    train, validation = settings.loaders(args, args.s_steps, args.s_batch_size, weights=weights)
    optimizer = settings.adam(args, separator, args.s_lr)
    clock = Clock(args.s_minutes) if args.s_minutes else None
    n_steps = args.s_epochs * args.s_steps
    schedule = warmup_cosine(optimizer, n_steps, args.warmup_steps, clock=clock)
    if args.model == "OpenUnmix":
        mixtures = (wav for wav, _ in train)
        separator.net.fit_input(itertools.islice(mixtures, STATISTICS))
    system = System(
        SeparatorTrainingWrapper(separator) if args.model == "tcn" else separator.net,
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
        -1 if clock else args.s_epochs,
        clock=clock,
        callbacks=[LogLossTerms(), LogValidationSISDR(separator, manifest)],
        gradient_clip=args.gradient_clip,
        **settings.hardware(args),
    )
    save_model(separator, model, training=best)
    kind = type(separator).__name__
    print(f"{kind} ({args.supervision}): validation loss {best['best_val_loss']:.3f}")


if __name__ == "__main__":
    settings.run(main, parser)
