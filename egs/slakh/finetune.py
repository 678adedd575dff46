"""Step 3: fine-tunes separator and transcriptor together, with or without adversarial losses."""

import argparse
from pathlib import Path

from local import harmonic, settings
from local.options import ADVERSARIAL, OURS

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.engine import (
    Clock,
    FineTuneSystem,
    LogLossTerms,
    LogValidationSISDR,
    adam,
    fit,
    save_model,
    tracker_callbacks,
    warmup_cosine,
)
from asteroid_scoresup.models import ScoreTranscriptor, TCNSeparator

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--loss", default="", help="file in local/losses, e.g. clip+harmonic")
parser.add_argument("--adversarial", default="none", choices=ADVERSARIAL)
parser.add_argument(
    "--adapt_critic",
    default="false",
    choices=["true", "false"],
    help="train the transcriptor on the notes that are audible in the estimates (ours)",
)
parser.add_argument(
    "--separator",
    default="",
    help="best_model.pth of step 2; without it a new one starts from the transcriptor's trunk",
)
parser.add_argument("--transcriptor", required=True, help="best_model.pth of step 1")


def main(conf: settings.Conf, args: argparse.Namespace) -> None:
    manifest = Manifest.load(args.data_dir)
    args.weights.pop("notes", None)  # step 3 trains a transcriptor of its own
    if "aml" in args.adversarial and args.f_batch_size < len(manifest.names):
        settings.bad_option(
            f"f_batch_size {args.f_batch_size} is too small for aml: a remix takes its "
            f"{len(manifest.names)} sources from different segments."
        )
    if args.model not in OURS:
        settings.bad_option(
            f"--model {args.model} ends with step 2: step 3 fine-tunes {' or '.join(OURS)}."
        )
    if args.devices * args.num_nodes > 1:
        settings.bad_option("step 3 trains two networks in turn, on one device: omit --devices.")
    inputs = list(filter(None, [args.separator, args.transcriptor]))
    transcriptor = ScoreTranscriptor.from_pretrained(args.transcriptor)
    if args.separator:
        separator = TCNSeparator.from_pretrained(args.separator)
    else:
        separator = settings.separator(args, manifest, transcriptor)
    for model in (separator, transcriptor):
        settings.require_same(model, args, manifest)
    folder = Path(args.exp_dir)
    models = [folder / "best_transcriptor.pth", folder / "best_model.pth"]
    settings.lock(conf, args, manifest, "separator", "loss", "finetune", inputs=inputs)
    if settings.is_done(models, args.f_epochs, args.f_minutes):
        return
    train, validation = settings.loaders(
        args,
        manifest,
        args.f_steps,
        args.f_batch_size,
        soft_masks=harmonic.fitted_masks(args, manifest),
        onsets=transcriptor.n_heads > 1,
    )
    # beta1 = 0.5 is customary in adversarial training.
    optimizers = [
        adam(separator, args.f_lr_separator, args.precision),
        adam(transcriptor, args.f_lr_transcriptor, args.precision, betas=(0.5, 0.999)),
    ]
    clock = Clock(args.f_minutes) if args.f_minutes else None
    n_steps = args.f_epochs * args.f_steps
    system = FineTuneSystem(
        separator,
        transcriptor,
        settings.loss(args, manifest, transcriptor),
        optimizers,
        train,
        validation,
        [warmup_cosine(one, n_steps, args.warmup_steps, clock=clock) for one in optimizers],
        aml=args.aml if "aml" in args.adversarial else 0.0,
        atl=args.atl if "atl" in args.adversarial else 0.0,
        audible_notes=args.audible_notes if args.adapt_critic == "true" else 0.0,
        gradient_clip=args.gradient_clip,
        config=conf,
    )
    settings.compiled(args, "f", separator, transcriptor)
    best = fit(
        system,
        args.exp_dir,
        -1 if clock else args.f_epochs,
        clock=clock,
        callbacks=[
            LogLossTerms(),
            LogValidationSISDR(separator, manifest),
            *tracker_callbacks(args.logger, manifest, separator, transcriptor),
        ],
        **settings.training(args),
    )
    for model, path in zip((transcriptor, separator), models):
        save_model(model, path, training=best)
    print(f"Fine-tuned ({args.adversarial}): validation loss {best['best_val_loss']:.3f}")


if __name__ == "__main__":
    settings.run(main, parser)
