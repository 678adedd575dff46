"""Step 1: trains the transcriptor (or, for the weak baseline, the activity classifier)."""

import argparse
from pathlib import Path

from local import settings

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.engine import (
    TranscriptorSystem,
    TranscriptorTrainingWrapper,
    fit,
    save_model,
    warmup_cosine,
)
from asteroid_scoresup.losses import TranscriptionLoss
from asteroid_scoresup.models import ActivityClassifier, ScoreTranscriptor

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--critic", default="score", choices=["score", "activity"])


def main(conf, args):
    manifest = Manifest.load(args.data_dir)
    kind = ScoreTranscriptor if args.critic == "score" else ActivityClassifier
    transcriptor = kind(**settings.network(args))
    model = Path(args.exp_dir) / "best_model.pth"
    settings.claim(conf, args, manifest, "transcriptor")
    if settings.is_done([model], args.t_epochs):
        return
    settings.compile_networks(args, transcriptor)
    train, validation = settings.loaders(args, args.t_steps, args.t_batch_size, args.t_remix)
    optimizer = settings.adam(args, transcriptor, args.t_lr)
    schedule = warmup_cosine(optimizer, args.t_epochs * args.t_steps, args.warmup_steps)
    system = TranscriptorSystem(
        TranscriptorTrainingWrapper(transcriptor),
        optimizer,
        TranscriptionLoss(),
        train,
        validation,
        {"interval": "step", "scheduler": schedule},
        conf,
        templates=settings.templates(args, manifest.sample_rate),
        imitate=args.t_simulate,
    )
    best = fit(
        system,
        args.exp_dir,
        args.t_epochs,
        gradient_clip=args.gradient_clip,
        **settings.hardware(args),
    )
    save_model(transcriptor, model, training=best)
    print(f"{kind.__name__}: validation loss {best['best_val_loss']:.3f}")


if __name__ == "__main__":
    settings.run(main, parser)
