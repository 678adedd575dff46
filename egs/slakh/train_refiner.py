"""Trains a network that refines score-informed masks, on stems of any songs or on mixtures."""

import argparse
from pathlib import Path

from local import settings

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.engine import Clock, adam, fit, save_model, warmup_cosine
from asteroid_scoresup.engine.refinement_dataset import (
    SUPERVISION,
    RefinementDataset,
    ensemble_loader,
)
from asteroid_scoresup.engine.refiner_system import RefinerSystem
from asteroid_scoresup.models import MaskRefiner

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--supervision", default="stems", choices=SUPERVISION)
parser.add_argument("--validation_dir", default="", help="prepared folder with stems (data_dir)")
parser.add_argument("--start", default="", help="a refiner to start from")


def main(conf: settings.Conf, args: argparse.Namespace) -> None:
    manifest = Manifest.load(args.data_dir)
    validation = Manifest.load(args.validation_dir) if args.validation_dir else manifest
    model = Path(args.exp_dir) / "best_model.pth"
    inputs = [args.start] if args.start else []
    settings.lock(conf, args, manifest, "refiner", inputs=inputs)
    if settings.is_done([model], args.r_epochs, args.r_minutes):
        return
    refiner = MaskRefiner(
        args.r_channels,
        args.r_blocks,
        n_bins=args.r_bins,
        power=args.informed_power,
        sample_rate=manifest.sample_rate,
    )
    if args.start:
        refiner = MaskRefiner.from_pretrained(args.start)
    shared = dict(n_fft=args.n_fft, hop_length=args.hop_length, seed=args.seed)
    train = RefinementDataset(
        manifest,
        "train",
        args.supervision,
        args.r_steps * args.r_batch_size,
        args.r_segment,
        args.r_variants,
        refiner.n_bins,
        **shared,
    )
    # Segments of the same songs with stems, whatever the network is trained on.
    dev = RefinementDataset(validation, "validation", segment=8.192, **shared)
    optimizer = adam(refiner, args.r_lr, args.precision)
    clock = Clock(args.r_minutes) if args.r_minutes else None
    n_steps = args.r_epochs * args.r_steps
    schedule = warmup_cosine(optimizer, n_steps, args.warmup_steps, clock=clock)
    system = RefinerSystem(
        refiner,
        optimizer,
        ensemble_loader(train, args.r_batch_size, args.num_workers),
        ensemble_loader(dev, 1),
        {"interval": "step", "scheduler": schedule},
        conf,
    )
    best = fit(
        system,
        args.exp_dir,
        -1 if clock else args.r_epochs,
        clock=clock,
        gradient_clip=args.gradient_clip,
        **settings.training(args),
    )
    save_model(refiner, model, training=best)
    print(f"MaskRefiner ({args.supervision}): validation loss {best['best_val_loss']:.3f} dB")


if __name__ == "__main__":
    settings.run(main, parser)
