"""Step 3: separator and transcriptor learn together, with or without adversarial losses."""

import argparse
from pathlib import Path

from local import settings

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.engine import (
    FineTuneSystem,
    LogLossTerms,
    LogValidationSISDR,
    fit,
    save_model,
    warmup_cosine,
)
from asteroid_scoresup.losses import ScoreSupervisedLoss
from asteroid_scoresup.models import ScoreTranscriptor, TCNSeparator

ADVERSARIAL = ["none", "aml", "atl", "aml+atl", "truth"]

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--mixture_loss", default="clip+informed", help="e.g. clip+harmonic")
parser.add_argument("--adversarial", default="none", choices=ADVERSARIAL)
parser.add_argument(
    "--separator",
    default="",
    help="best_model.pth of step 2; without it a new one starts from the transcriptor's trunk",
)
parser.add_argument("--transcriptor", required=True, help="best_model.pth of step 1")


def main(conf, args):
    manifest = Manifest.load(args.data_dir)
    if "aml" in args.adversarial and args.f_batch_size < len(manifest.names):
        raise SystemExit(
            f"f_batch_size {args.f_batch_size} is too small for aml: a remix takes its "
            f"{len(manifest.names)} sources from different clips."
        )
    if args.model != "tcn":
        raise SystemExit(f"Step 3 fine-tunes our separator; --model {args.model} ends at step 2.")
    if args.devices * args.num_nodes > 1:
        raise SystemExit("Step 3 trains two networks in turn, on one device: leave out --devices.")
    inputs = list(filter(None, [args.separator, args.transcriptor]))
    settings.claim(conf, args, manifest, "separator", "finetune", inputs=inputs)
    transcriptor = ScoreTranscriptor.from_pretrained(args.transcriptor)
    if args.separator:
        separator = TCNSeparator.from_pretrained(args.separator)
    else:
        separator = TCNSeparator(mask_act=args.mask_act, **settings.network(args))
        separator.load_trunk(transcriptor)
    for model in (separator, transcriptor):
        settings.require_same(model, args, manifest)
    weights = settings.mixture_weights(args)
    weights["transcription"] = args.transcription_weight
    loss = ScoreSupervisedLoss(
        weights,
        separator.stft,
        transcriptor,
        settings.templates(args, manifest.sample_rate),
        args.classes_heard,
        residual=manifest.mixture == "song",
    )
    train, validation = settings.loaders(args, args.f_steps, args.f_batch_size, weights=weights)
    # beta1 = 0.5 is customary where two networks chase each other.
    optimizers = [
        settings.adam(args, separator, args.f_lr_separator),
        settings.adam(args, transcriptor, args.f_lr_transcriptor, betas=(0.5, 0.999)),
    ]
    n_steps = args.f_epochs * args.f_steps
    system = FineTuneSystem(
        separator,
        transcriptor,
        loss,
        optimizers,
        train,
        validation,
        [warmup_cosine(optimizer, n_steps, args.warmup_steps) for optimizer in optimizers],
        aml=args.aml_weight if "aml" in args.adversarial else 0.0,
        atl=args.atl_weight if "atl" in args.adversarial else 0.0,
        truth=args.truth_weight if "truth" in args.adversarial else 0.0,
        gradient_clip=args.gradient_clip,
        config=conf,
    )
    settings.compile_networks(args, separator, transcriptor)
    best = fit(
        system,
        args.exp_dir,
        args.f_epochs,
        callbacks=[LogLossTerms(), LogValidationSISDR(separator, manifest)],
        **settings.hardware(args),
    )
    save_model(separator, Path(args.exp_dir) / "best_model.pth", training=best)
    save_model(transcriptor, Path(args.exp_dir) / "best_transcriptor.pth", training=best)
    print(f"Fine-tuned ({args.adversarial}): validation loss {best['best_val_loss']:.3f}")


if __name__ == "__main__":
    main(*settings.parse(parser))
