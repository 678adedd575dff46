"""Trains a network that corrects score-informed masks, on stems of any songs or on mixtures.

By default a MaskRefiner, which works with any list of classes; with `--start` and a separator that
knows pitches (`band_drums`, or one of --model pitch), a ScoreGuidedSeparator of its classes, which
separates with a score and without one. The ensembles are factorized first, on all cores, and kept.
The weights are chosen by the loss with a score; val_without is for information.
"""

import argparse
from pathlib import Path

from local import settings
from torch.utils.data import ConcatDataset

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.engine import Clock, adam, fit, save_model, warmup_cosine
from asteroid_scoresup.engine.refinement_dataset import (
    SUPERVISION,
    RefinementDataset,
    ensemble_loader,
)
from asteroid_scoresup.engine.refiner_system import RefinerSystem
from asteroid_scoresup.inference.mask_correction import Refiner
from asteroid_scoresup.models import MaskRefiner, ScoreGuidedSeparator, SourceModel
from asteroid_scoresup.models.guided_separator import read_guided

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("--supervision", default="stems", choices=SUPERVISION)
parser.add_argument(
    "--also", action="append", default=[], help="another prepared folder to train on; repeatable"
)
parser.add_argument(
    "--validation_dir",
    action="append",
    default=[],
    metavar="FOLDER[:SPLIT]",
    help="prepared folder with stems that chooses the weights, and its split if it is not "
    "`validation`; repeatable (default: data_dir)",
)
parser.add_argument(
    "--start",
    default="",
    help="a MaskRefiner to train further, or a pitch separator or ScoreGuidedSeparator; its sizes "
    "and STFT are kept",
)
parser.add_argument("--jobs", type=int, default=0, help="processes that factorize (0: all cores)")


def network(args: argparse.Namespace, manifest: Manifest) -> Refiner:
    """The network, new or trained before."""
    if not args.start:
        sizes = dict(n_bins=args.r_bins, power=args.informed_power)
        rate = manifest.sample_rate
        return MaskRefiner(args.r_channels, args.r_blocks, sample_rate=rate, **sizes)
    model = SourceModel.from_pretrained(args.start)
    return model if isinstance(model, MaskRefiner) else read_guided(args.start)


def read_data(folder: str, trained: Refiner) -> Manifest:
    """A prepared folder for the network."""
    manifest = Manifest.load(folder)
    if manifest.sample_rate != trained.sample_rate:
        raise ValueError(
            f"The network works at {trained.sample_rate:g} Hz, and {folder} was prepared at "
            f"{manifest.sample_rate:g} Hz: prepare it with --sample_rate."
        )
    return manifest


def main(conf: settings.Conf, args: argparse.Namespace) -> None:
    if args.compile is True:
        settings.bad_option("--compile true: this network is not compiled, leave it out.")
    trained = network(args, Manifest.load(args.data_dir))
    manifest = read_data(args.data_dir, trained)
    also = [read_data(folder, trained) for folder in args.also]
    places = [place.partition(":") for place in args.validation_dir or [args.data_dir]]
    validation = [(read_data(f, trained), split or "validation") for f, _, split in places]
    model = Path(args.exp_dir) / "best_model.pth"
    # Folders may move; what is locked are the songs.
    conf["main_args"]["also"] = " ".join(data.fingerprint() for data in also)
    if args.validation_dir:
        named = [f"{data.fingerprint()}:{split}" for data, split in validation]
        conf["main_args"]["validation_dir"] = " ".join(named)
    else:
        conf["main_args"]["validation_dir"] = ""
    is_guided = isinstance(trained, ScoreGuidedSeparator)
    if is_guided and args.supervision != "stems":
        settings.bad_option(f"--supervision mixtures: {args.start} knows classes, leave it out.")
    unused = ["r_channels", "r_blocks", "r_bins"] if args.start else []
    for key in unused if is_guided else [*unused, "r_score_dropout"]:
        del conf["refiner"][key]
    inputs = [args.start] if args.start else []
    settings.lock(conf, args, manifest, "refiner", inputs=inputs)
    if settings.is_done([model], args.r_epochs, args.r_minutes):
        return
    shared = dict(n_fft=args.n_fft, hop_length=args.hop_length, seed=args.seed)
    if is_guided:
        stft = trained.stft
        shared.update(classes=trained.sources, n_fft=stft.n_fft, hop_length=stft.hop_length)
    train = RefinementDataset(
        [manifest, *also],
        "train",
        args.supervision,
        args.r_steps * args.r_batch_size * args.devices * args.num_nodes,
        args.r_segment,
        args.r_variants,
        None if is_guided else trained.n_bins,
        **shared,
    )
    # Segments of songs with stems, whatever the network is trained on.
    dev = [RefinementDataset(data, split, segment=8.192, **shared) for data, split in validation]
    if settings.writes_folder():  # other processes make what is missing when they need it
        for data in (train, *dev):
            data.fit(args.jobs or None, progress=not args.quiet)
    optimizer = adam(trained, args.r_lr, args.precision)
    clock = Clock(args.r_minutes) if args.r_minutes else None
    n_steps = args.r_epochs * args.r_steps
    schedule = warmup_cosine(optimizer, n_steps, args.warmup_steps, clock=clock)
    system = RefinerSystem(
        trained,
        optimizer,
        ensemble_loader(train, args.r_batch_size, args.num_workers),
        ensemble_loader(ConcatDataset(dev), 1),
        {"interval": "step", "scheduler": schedule},
        conf,
        args.r_score_dropout if is_guided else 0.0,
    )
    options = settings.training(args)
    if is_guided and args.devices * args.num_nodes > 1 and args.strategy in ("auto", "ddp"):
        # Some layers are used only with a score, others only without.
        options["strategy"] = "ddp_find_unused_parameters_true"
    best = fit(
        system,
        args.exp_dir,
        -1 if clock else args.r_epochs,
        clock=clock,
        gradient_clip=args.gradient_clip,
        **options,
    )
    save_model(trained, model, training=best)
    kind = type(trained).__name__
    print(f"{kind} ({args.supervision}): validation loss {best['best_val_loss']:.3f} dB")


if __name__ == "__main__":
    settings.run(main, parser)
