"""Step 2: trains the separator against the frozen critic, or on stems for the upper bound.

With the loss term `notes` it trains a transcriptor with it, in the same network.
"""

import argparse
import itertools
from pathlib import Path

from asteroid.engine.system import System
from local import harmonic, settings
from local.options import OURS, SUPERVISION

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.engine import (
    Clock,
    LogLossTerms,
    LogValidationSISDR,
    SeparatorTrainingWrapper,
    adam,
    fit,
    save_model,
    tracker_callbacks,
    warmup_cosine,
)
from asteroid_scoresup.losses import terms_that_read
from asteroid_scoresup.models import ActivityClassifier, SpectrogramModel
from asteroid_scoresup.models.hub import locate

STATISTICS = 20  # batches from which Open-Unmix computes mean and scale of its input

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--supervision", default="score", choices=SUPERVISION)
parser.add_argument("--loss", default="", help="file in local/losses, e.g. clip+harmonic")
parser.add_argument(
    "--critic",
    required=True,
    help="best_model.pth of step 1, or none if the loss has no term `transcription`",
)
parser.add_argument(
    "--start",
    default="",
    help="a trained separator to start from: a model file, or the name of a bundled model",
)


def read_critic(args: argparse.Namespace, manifest: Manifest) -> SpectrogramModel | None:
    """The model of step 1, or None if the loss does without."""
    if args.critic == "none":
        if "transcription" in args.weights or args.supervision == "activity":
            settings.bad_option("--critic none: the loss term 'transcription' needs a critic.")
        if args.model not in OURS:
            settings.bad_option(f"--critic none: the STFT of {args.model} is that of its critic.")
        return None
    critic = SpectrogramModel.from_pretrained(args.critic)
    settings.require_same(critic, args, manifest)
    return critic


def main(conf: settings.Conf, args: argparse.Namespace) -> None:
    manifest = Manifest.load(args.data_dir)
    critic = read_critic(args, manifest)
    if isinstance(critic, ActivityClassifier) != (args.supervision == "activity"):
        raise SystemExit(
            f"--supervision {args.supervision} does not fit {args.critic}, which "
            f"contains a {type(critic).__name__}."
        )
    if args.start:
        separator = settings.trained_separator(conf, args, manifest)
    else:
        separator = settings.separator(args, manifest, critic)
    model = Path(args.exp_dir) / "best_model.pth"
    inputs = [] if critic is None else [args.critic]
    inputs += [locate(args.start)] if args.start else []
    settings.lock(conf, args, manifest, "separator", "loss", inputs=inputs)
    made = [model]
    if getattr(separator, "predicts_notes", False):
        made.append(model.with_name("best_transcriptor.pth"))
    if settings.is_done(made, args.s_epochs, args.s_minutes):
        return
    settings.compiled(args, "s", *filter(None, [separator, critic]))

    train, validation = settings.loaders(
        args,
        manifest,
        args.s_steps,
        args.s_batch_size,
        supervision=args.supervision,
        onsets=bool(terms_that_read("onsets") & set(args.weights)),
        soft_masks=harmonic.fitted_masks(args, manifest),
    )
    optimizer = adam(separator, args.s_lr, args.precision)
    clock = Clock(args.s_minutes) if args.s_minutes else None
    n_steps = args.s_epochs * args.s_steps
    schedule = warmup_cosine(optimizer, n_steps, args.warmup_steps, clock=clock)
    if args.model == "OpenUnmix" and not args.start:
        mixtures = (wav for wav, _ in train)
        separator.net.fit_input(itertools.islice(mixtures, STATISTICS))
    system = System(
        SeparatorTrainingWrapper(separator) if args.model in OURS else separator.net,
        optimizer,
        settings.loss(args, manifest, separator if critic is None else critic),
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
        callbacks=[
            LogLossTerms(),
            LogValidationSISDR(separator, manifest),
            *tracker_callbacks(args.logger, manifest, separator, critic),
        ],
        gradient_clip=args.gradient_clip,
        **settings.training(args),
    )
    save_model(separator, model, training=best)
    if len(made) > 1:
        save_model(separator.transcriptor(), made[1], training=best)
    kind = type(separator).__name__
    print(f"{kind} ({args.supervision}): validation loss {best['best_val_loss']:.3f}")


if __name__ == "__main__":
    settings.run(main, parser)
