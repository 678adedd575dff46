"""Step 1: trains the transcriptor (or, for the weak baseline, the activity classifier)."""

import argparse
from pathlib import Path

from local import harmonic, settings

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.engine import (
    Clock,
    TranscriptorSystem,
    TranscriptorTrainingWrapper,
    adam,
    fit,
    save_model,
    tracker_callbacks,
    warmup_cosine,
)
from asteroid_scoresup.losses import TranscriptionLoss
from asteroid_scoresup.models import ActivityClassifier, PitchTranscriptor, ScoreTranscriptor

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "--labels",
    default="notes",
    choices=["notes", "activity"],
    help="what the network learns: notes, or only who plays when (the weak baseline)",
)


def build_transcriptor(args: argparse.Namespace, manifest: Manifest) -> ScoreTranscriptor:
    """The network that the settings name."""
    network = settings.network(args, manifest)
    if args.labels == "activity":
        return ActivityClassifier(**network)
    if args.t_model == "pitch":
        return PitchTranscriptor(pitch_chan=args.pitch_chan, **network)
    return ScoreTranscriptor(**network)


def main(conf: settings.Conf, args: argparse.Namespace) -> None:
    manifest = Manifest.load(args.data_dir)
    transcriptor = build_transcriptor(args, manifest)
    model = Path(args.exp_dir) / "best_model.pth"
    parts = None if args.t_parts == "none" else Manifest.load(args.t_parts)
    if parts is not None:  # what the folder contains counts, not its path
        conf["transcriptor"]["t_parts"] = parts.fingerprint()
    settings.lock(conf, args, manifest, "transcriptor")
    if settings.is_done([model], args.t_epochs, args.t_minutes):
        return
    settings.compiled(args, "t", transcriptor)
    train, validation = settings.loaders(
        args,
        manifest,
        args.t_steps,
        args.t_batch_size,
        remix=args.t_remix,
        onsets=transcriptor.n_heads > 1,
        parts=parts,
        parts_fraction=args.t_parts_fraction,
    )
    optimizer = adam(transcriptor, args.t_lr, args.precision)
    clock = Clock(args.t_minutes) if args.t_minutes else None
    n_steps = args.t_epochs * args.t_steps
    schedule = warmup_cosine(optimizer, n_steps, args.warmup_steps, clock=clock)
    system = TranscriptorSystem(
        TranscriptorTrainingWrapper(transcriptor),
        optimizer,
        TranscriptionLoss(),
        train,
        validation,
        {"interval": "step", "scheduler": schedule},
        conf,
        templates=harmonic.templates(args, manifest),
        simulate=args.t_simulate,
    )
    best = fit(
        system,
        args.exp_dir,
        -1 if clock else args.t_epochs,
        clock=clock,
        callbacks=tracker_callbacks(args.logger, manifest, transcriptor=transcriptor),
        gradient_clip=args.gradient_clip,
        **settings.training(args),
    )
    save_model(transcriptor, model, training=best)
    print(f"{type(transcriptor).__name__}: validation loss {best['best_val_loss']:.3f}")


if __name__ == "__main__":
    settings.run(main, parser)
