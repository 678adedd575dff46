"""Reads the settings of a training script and passes them on to the library."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from asteroid.utils import parse_args_as_dict
from torch.utils.data import DataLoader

from asteroid_scoresup.data import Manifest
from asteroid_scoresup.engine import (
    build_loss,
    build_separator,
    compile_if_it_pays,
    compile_networks,
    lock_experiment,
    read_separator,
    require_match,
    training_loaders,
)
from asteroid_scoresup.engine.checkpoints import resume_epoch
from asteroid_scoresup.engine.folder import hash_inputs, is_finished
from asteroid_scoresup.engine.interrupt import exit_with_message
from asteroid_scoresup.losses import terms_that_need
from asteroid_scoresup.models import PitchTranscriptor, ScoreGuidedSeparator, SourceModel
from asteroid_scoresup.utils.locks import folder_lock

from . import harmonic, options
from .options import OURS, flat, read_conf

__all__ = ["flat", "read_conf"]

Conf = dict[str, dict[str, Any]]
#: Settings that change how a result is computed, or what is written beside it, but not the result.
FREE = ("num_workers", "jobs", "precision", "strategy", "compile", "logger", "profile")
FREE += ("n_examples",)
#: In which a training may be longer than before.
UNITS = ("epochs", "minutes")

#: Environment variables that number the processes of one training: Lightning, torchrun, Slurm, JSM.
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
#: The lock of the experiment folder, from :func:`lock` to the end of the script.
_held = ExitStack()


def parse(parser: ArgumentParser) -> tuple[Conf, Namespace]:
    """Settings of a run: conf.yml, then the preset and the loss, then the flags.

    An invalid setting ends the script with a message and exit code 2. Without ``--loss`` the
    weights are the default of the supervision, for scores those in conf.yml.
    """
    # Names must be complete: an abbreviated setting is as often a typo.
    parser.allow_abbrev = False
    parser.error = bad_option  # type: ignore[method-assign]
    has_loss = any("--loss" in action.option_strings for action in parser._actions)
    try:
        parser.add_argument("--exp_dir", required=True, help="folder of this step")
        parser.add_argument("--preset", default="mini", choices=options.PRESETS)
        parser.add_argument("--quiet", action="store_true", help="no progress bars")
        first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        first.error = bad_option  # type: ignore[method-assign]
        first.add_argument("--preset", default="mini")
        first.add_argument("--loss", default="")
        first.add_argument("--supervision", default="score")
        chosen = first.parse_known_args()[0]
        default = options.DEFAULT_LOSS.get(chosen.supervision, "")
        conf = read_conf(chosen.preset, (chosen.loss or default) if has_loss else "")
        for section, values in conf.items():
            group = parser.add_argument_group(section)
            for key, value in values.items():  # as text, which is read by the rules below
                group.add_argument(f"--{key}", default=str(value), help=str(options.rules()[key]))
        conf, args = parse_args_as_dict(parser, return_plain_args=True)
        # Asteroid's parser adds a group for positional arguments; there are none.
        conf = {name: values for name, values in conf.items() if values}
        for values in conf.values():
            for key in set(values) & set(options.rules()):
                values[key] = options.checked(key, values[key])
                setattr(args, key, values[key])
        options.check_together(vars(args))
        if has_loss:
            supervision = getattr(args, "supervision", "score")
            options.check_loss(conf["loss"], supervision, args.model)
        args.weights = {name: weight for name, weight in conf["loss"].items() if weight}
    except options.BadOption as error:
        bad_option(error)
    for key in ("help", "quiet"):
        conf["main_args"].pop(key, None)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    torch.set_float32_matmul_precision("high")
    pl.seed_everything(args.seed, workers=True, verbose=False)
    return conf, args


def bad_option(message: object) -> NoReturn:
    """Ends a script because of an invalid option, with a message."""
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    raise SystemExit(2)


def run(main: Callable[[Conf, Namespace], None], parser: ArgumentParser) -> None:
    """Runs a script; errors and interruptions end it with a message."""
    folder: list[Path] = []

    def interrupted() -> str:
        if not folder:
            return "interrupted; nothing was started."
        epoch = resume_epoch(folder[0] / "checkpoints")
        place = f"resumes from epoch {epoch}" if epoch else "starts this stage again"
        return f"interrupted; the same command {place}."

    with exit_with_message(Path(sys.argv[0]).name, interrupted), _held:
        conf, args = parse(parser)
        folder.append(Path(args.exp_dir))
        main(conf, args)


def lock(
    conf: Conf,
    args: Namespace,
    manifest: Manifest,
    *sections: str,
    inputs: Iterable[str | Path] = (),
) -> None:
    """Locks the experiment folder: to this process, and to these settings, data and input models.

    Two trainings in one folder would overwrite each other's checkpoints. The lock is held until
    :func:`run` ends, or the process does.

    Args:
        conf (dict): All settings.
        args (Namespace): The same, flat.
        manifest (Manifest): The prepared data.
        *sections (str): Sections of the settings that this step uses besides the common ones.
        inputs (iterable of str or Path): Model files that it starts from.

    Raises:
        InUseError: if another process trains in the folder.
        ValueError: if the folder contains a run with another configuration.
    """
    if writes_folder():
        _held.enter_context(folder_lock(args.exp_dir, Path(sys.argv[0]).stem, keep=False))
    used = ["data", "stft", "network", "score", "optim", *sections]
    chosen = {name: conf[name] for name in used}
    chosen["main_args"] = {
        **conf["main_args"],
        "data_fingerprint": manifest.fingerprint(),
        "inputs": hash_inputs(args.exp_dir, inputs),
    }
    # Losses are compared by their weights, not by the names of their files.
    ignored = {"data_dir", "exp_dir", "critic", "separator", "start", "loss", *FREE}
    ignored |= {"transcriptor", *(f"{step}_{unit}" for step in "tsfr" for unit in UNITS)}
    lock_experiment(args.exp_dir, chosen, ignored)


def writes_folder() -> bool:
    """Whether this process writes the folder: of those that train together, only the first."""
    return not any(int(os.environ.get(name) or 0) for name in RANKS)


def is_done(models: list[Path], epochs: int, minutes: float = 0.0) -> bool:
    """Whether a step has already written its models; prints a line if so."""
    if done := is_finished(models, epochs, minutes):
        print(f"  done before: {', '.join(map(str, models))}")
    return done


def require_same(model: SourceModel, args: Namespace, manifest: Manifest) -> None:
    """Refuses a model for other classes, another rate or another STFT than data and settings."""
    require_match(model, manifest, args.n_fft, args.hop_length)


def separator(
    args: Namespace, manifest: Manifest, critic: SourceModel | None = None
) -> SourceModel:
    """The separator that ``--model`` names; ours start from the layers of the critic.

    A critic of the other kind has no layers in common with it, and is only a critic.
    """
    if args.model in OURS:
        same = isinstance(critic, PitchTranscriptor) == (args.model == "pitch")
        trunk = critic if args.start_from_transcriptor and same else None
        sizes = network(args, manifest)
        if args.model == "pitch":
            predicts_notes = bool(terms_that_need("notes") & set(args.weights))
            sizes.update(pitch_chan=args.pitch_chan, predicts_notes=predicts_notes)
        return build_separator(args.model, sizes, args.mask_act, trunk)
    sizes = dict(n_fft=args.n_fft, hop_length=args.hop_length)
    shared = dict(sources=manifest.names, sample_rate=manifest.sample_rate, **sizes)
    return build_separator(args.model, shared)


def trained_separator(conf: Conf, args: Namespace, manifest: Manifest) -> SourceModel:
    """The separator that ``--start`` names; its sizes replace those of the settings."""
    model = read_separator(args.start)
    require_same(model, args, manifest)
    sizes = model.get_model_args()
    if isinstance(model, ScoreGuidedSeparator):
        bad_option(
            f"--start {args.start} contains a separator that takes scores: continue its training "
            "with train_refiner.py."
        )
    kind = {"PitchSeparator": "pitch", "TCNSeparator": "tcn"}.get(type(model).__name__)
    if (kind or sizes["model"]) != args.model:
        bad_option(
            f"--start {args.start} contains a separator of the kind {kind or sizes['model']}: "
            f"train it with --model {kind or sizes['model']}, found --model {args.model}."
        )
    notes = terms_that_need("notes") & set(args.weights)
    if notes and not getattr(model, "predicts_notes", False):
        bad_option(
            f"--start {args.start} predicts no notes, which the loss term "
            f"'{min(notes)}' needs: choose a --loss without it."
        )
    known = {key: value for key, value in sizes.items() if key in conf["network"]}
    conf["network"].update(known)
    vars(args).update(known)
    return model


def loss(args: Namespace, manifest: Manifest, critic: SourceModel) -> Any:
    """The loss of step 2 with the weights of the settings."""
    return build_loss(
        args.weights,
        critic,
        harmonic.templates(args, manifest),
        args.critic_classes,
        residual=manifest.mixture == "song",
        semi=getattr(args, "supervision", "score") == "semi",
    )


def compiled(args: Namespace, step: str, *models: SourceModel) -> None:
    """Compiles the networks as ``--compile`` says; by default on one device, if it pays."""
    if args.compile is True:
        compile_networks(*models)
    elif args.compile == "auto" and args.devices * args.num_nodes == 1:
        # Supervised by stems, an update gains nothing; how many fit into minutes is not known.
        if getattr(args, f"{step}_minutes") or getattr(args, "supervision", "score") == "stems":
            return
        planned = getattr(args, f"{step}_epochs") * getattr(args, f"{step}_steps")
        print(compile_if_it_pays(planned, *models), end="")


def training(args: Namespace) -> dict[str, Any]:
    """Options that every training shares, for :func:`~asteroid_scoresup.engine.fit`."""
    keys = ("precision", "quiet", "devices", "num_nodes", "strategy", "logger", "profile")
    keys += ("ema_decay",)
    return {key: getattr(args, key) for key in keys}


def network(args: Namespace, manifest: Manifest) -> dict[str, Any]:
    """Arguments that every network shares."""
    keys = ["n_fft", "hop_length", "n_blocks", "n_repeats", "bn_chan", "hid_chan"]
    keys += ["conv_kernel_size", "norm_type"]
    frames = args.segment * manifest.sample_rate / args.hop_length
    reach = 2 ** (args.n_blocks - 1)
    if reach >= frames:
        raise SystemExit(
            f"With n_blocks {args.n_blocks} the network reaches {reach} frames to each side, but "
            f"a segment has {frames:.0f}, so the outer taps would never be trained. "
            "Use fewer blocks or longer segments."
        )
    shared = {key: getattr(args, key) for key in keys}
    return {"sources": manifest.names, "sample_rate": manifest.sample_rate, **shared}


def loaders(
    args: Namespace, manifest: Manifest, steps: int, batch_size: int, **options: Any
) -> tuple[DataLoader, DataLoader]:
    """Training loader (random segments) and validation loader (fixed ones).

    Args:
        args (Namespace): The settings.
        manifest (Manifest): The prepared data.
        steps (int): Batches per epoch.
        batch_size (int): Segments per batch, of one device.
        **options: ``remix``; ``supervision``; ``soft_masks``.
    """
    augment = {key: getattr(args, key) for key in ("gain_db", "eq_db", "varispeed", "saliency")}
    augment["remix"] = options.pop("remix", 0.0)
    return training_loaders(
        manifest,
        steps * batch_size * args.devices * args.num_nodes,
        batch_size,
        stem_fraction=args.stem_fraction,
        stem_draw=args.stem_draw,
        augment=augment,
        num_workers=args.num_workers,
        segment=args.segment,
        n_fft=args.n_fft,
        hop_length=args.hop_length,
        seed=args.seed,
        sounding=harmonic.sounding(args),
        **options,
    )
