"""Reads the recipe's settings and builds from them what every step needs."""

import argparse
import logging
import sys
import warnings
from pathlib import Path

import pytorch_lightning as pl
import torch
from asteroid.utils import parse_args_as_dict

from asteroid_scoresup.data import Manifest, ScoreDataset, ScoreInformedMasks, make_loader
from asteroid_scoresup.engine import lock_experiment
from asteroid_scoresup.engine.checkpoints import resume_epoch
from asteroid_scoresup.engine.folder import hash_inputs, is_finished
from asteroid_scoresup.engine.interrupt import ends_in_a_sentence
from asteroid_scoresup.models import SourceModel, TCNSeparator, WaveformSeparator
from asteroid_scoresup.score import HarmonicTemplates, SoundingOptions

from . import options
from .options import flat, presets, read_conf

__all__ = ["flat", "presets", "read_conf"]
# Settings that change how a result is computed, and not the result.
FREE = ("num_workers", "precision", "strategy", "compile")
STEM_LOSSES = {
    "magnitudes": ("magnitude_approximation", 1.0),
    "shares": ("mask_approximation", None),
    "si_sdr": ("si_sdr", 1.0),
    "multi_domain": ("multi_domain", 1.0),
}
MIXTURE_LOSSES = {
    "clip": ("clip", "clip_weight"),
    "frame": ("frame", "frame_weight"),
    "harmonic": ("harmonic", "harmonic_weight"),
    "soft": ("soft_harmonic", "soft_weight"),
    "informed": ("informed", "informed_weight"),
}


def parse(parser):
    """Settings of a run: conf.yml, then the preset, then the flags.

    A setting that cannot be ends the script with one sentence and exit code 2.
    """
    # Names must be whole: a setting that is cut short is a slip as often as not.
    parser.allow_abbrev = False
    parser.error = bad_option
    try:
        parser.add_argument("--exp_dir", required=True, help="folder of this step")
        parser.add_argument("--preset", default="mini", choices=sorted(presets()))
        parser.add_argument("--quiet", action="store_true", help="no progress bars")
        chosen = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        chosen.error = bad_option
        chosen.add_argument("--preset", default="mini")
        conf = read_conf(chosen.parse_known_args()[0].preset)
        for section, values in conf.items():
            group = parser.add_argument_group(section)
            for key, value in values.items():  # as text, which is read by the rules below
                group.add_argument(f"--{key}", default=str(value), help=str(options.RULES[key]))
        conf, args = parse_args_as_dict(parser, return_plain_args=True)
        # Asteroid's parser adds a group for positional arguments; we have none.
        conf = {name: values for name, values in conf.items() if values}
        for values in conf.values():
            for key in set(values) & set(options.RULES):
                values[key] = options.checked(key, values[key])
                setattr(args, key, values[key])
        options.check_together(vars(args))
        if hasattr(args, "mixture_loss"):
            options.check_mixture_loss(args.mixture_loss, getattr(args, "supervision", ""))
    except options.BadOption as error:
        bad_option(error)
    for key in ("help", "quiet"):
        conf["main_args"].pop(key, None)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    torch.set_float32_matmul_precision("high")
    pl.seed_everything(args.seed, workers=True, verbose=False)
    return conf, args


def bad_option(message):
    """Ends a script whose options cannot be, with one sentence."""
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    raise SystemExit(2)


def run(main, parser):
    """Runs a script: what is wrong, and what was interrupted, is said in one sentence."""
    folder = []

    def sentence():
        if not folder:
            return "interrupted; nothing was begun."
        epoch = resume_epoch(folder[0] / "checkpoints")
        place = f"resumes from epoch {epoch}" if epoch else "starts this stage again"
        return f"interrupted; the same command {place}."

    with ends_in_a_sentence(Path(sys.argv[0]).name, sentence):
        conf, args = parse(parser)
        folder.append(Path(args.exp_dir))
        main(conf, args)


def claim(conf, args, manifest, *sections, inputs=()):
    """Takes the experiment folder for these settings, data and input models, or refuses.

    Args:
        sections: Sections of the settings that this step uses besides the common ones.
        inputs: Model files that it starts from.
    """
    used = ["data", "stft", "network", "score", "optim", *sections]
    chosen = {name: conf[name] for name in used}
    chosen["main_args"] = {
        **conf["main_args"],
        "data_fingerprint": manifest.fingerprint(),
        "inputs": hash_inputs(args.exp_dir, inputs),
    }
    free = {"data_dir", "exp_dir", "critic", "separator", *FREE}
    free |= {"transcriptor", "t_epochs", "s_epochs", "f_epochs", "s_minutes"}
    lock_experiment(args.exp_dir, chosen, free)


def is_done(models, epochs, minutes=0.0):
    """Whether a step has written its models already; says so."""
    done = is_finished(models, epochs, minutes)
    if done:
        print(f"  done before: {', '.join(map(str, models))}")
    return done


def require_same(model, args, manifest):
    """A model from a file must hear what the data and the settings say."""
    found = [model.sources, model.sample_rate]
    wanted = [list(manifest.names), manifest.sample_rate]
    what = "classes, Hz"
    if not isinstance(model, WaveformSeparator):
        found += [model.stft.n_fft, model.stft.hop_length]
        wanted += [args.n_fft, args.hop_length]
        what += ", n_fft, hop"
    if found != wanted:
        raise SystemExit(
            f"The {type(model).__name__} is for ({what}) = {tuple(found)}, data and settings have "
            f"{tuple(wanted)}."
        )


def read_separator(path):
    """A separator of any kind from its model file."""
    model = SourceModel.from_pretrained(path)
    if not isinstance(model, (TCNSeparator, WaveformSeparator)):
        raise SystemExit(f"{path} holds a {type(model).__name__}, which is no separator.")
    return model


def build_separator(args, manifest, critic=None):
    """The separator that ``--model`` names; ours starts from the trunk of the critic."""
    if args.model != "tcn":
        sizes = {}
        if args.model == "OpenUnmix":
            sizes = {"n_fft": args.n_fft, "hop_length": args.hop_length}
        return WaveformSeparator(manifest.names, args.model, sizes, manifest.sample_rate)
    separator = TCNSeparator(mask_act=args.mask_act, **network(args))
    if critic is not None and args.start_from_transcriptor:
        separator.load_trunk(critic)
    return separator


def mixture_weights(args):
    """Loss weights of the chosen mixture losses, from ``--mixture_loss clip+harmonic``."""
    chosen = (MIXTURE_LOSSES[name] for name in args.mixture_loss.split("+"))
    return {term: getattr(args, key) for term, key in chosen}


def require_weights(weights):
    """Refuses a loss of which nothing is left."""
    if not any(weights.values()):
        bad_option(f"the weights of all losses are 0 ({', '.join(weights)}): nothing is learned.")
    return weights


def stem_weights(args):
    """Loss weights of the chosen distance to stems; shares weigh as those of the informed loss."""
    term, weight = STEM_LOSSES[args.stem_loss]
    return {term: args.informed_weight if weight is None else weight}


def hardware(args):
    """What training runs on, for :func:`~asteroid_scoresup.engine.fit`."""
    keys = ("precision", "quiet", "devices", "num_nodes", "strategy")
    return {key: getattr(args, key) for key in keys}


def compile_networks(args, *models):
    """Compiles the networks where ``--compile`` asks for it; weights and files stay the same."""
    if not args.compile:
        return
    # Separator and critic share one code, each in several shapes: more than torch expects.
    config = torch._dynamo.config
    limit = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, limit, 32)
    for model in models:
        whole = getattr(model, "trunk", getattr(model, "net", model))
        # What lies behind the STFT of Open-Unmix: inductor stumbles over its layout.
        for part in getattr(whole, "targets", [whole]):
            part.compile()


def network(args):
    """Arguments that every network shares."""
    keys = ("n_fft", "hop_length", "n_blocks", "n_repeats", "bn_chan", "hid_chan")
    keys += ("conv_kernel_size", "norm_type")
    manifest = Manifest.load(args.data_dir)
    frames = args.segment * manifest.sample_rate / args.hop_length
    if 2 ** (args.n_blocks - 1) >= frames:
        raise SystemExit(
            f"n_blocks {args.n_blocks} reaches {2 ** (args.n_blocks - 1)} frames to each side, "
            f"but a segment has {frames:.0f}: its outer taps would never be trained. "
            "Use fewer blocks or longer segments."
        )
    shared = {key: getattr(args, key) for key in keys}
    return {"sources": manifest.names, "sample_rate": manifest.sample_rate, **shared}


def adam(args, network, lr, **kwargs):
    """Adam in one pass over the weights: torch's own way takes a tenth of a short update."""
    # It divides by the scale of float16's losses itself, so that Lightning could not clip before.
    fused = args.precision != "16-mixed"
    return torch.optim.Adam(network.parameters(), lr=lr, fused=fused, **kwargs)


def loaders(args, steps, batch_size, remix=0.0, weights=()):
    """Training loader (random segments) and validation loader (fixed ones).

    Where `weights` has the informed term, its shares are fitted first, if they are not there yet.
    With stems for some songs only, supervised training draws from those alone.
    """
    supervision = getattr(args, "supervision", "score")
    targets = "both" if supervision in ("stems", "semi") else "score"
    stems = {}
    if targets == "both":
        stems = dict(stem_fraction=args.stem_fraction, stem_draw=args.stem_draw)
        if supervision == "stems":
            stems["stem_draw"] = 1.0
    manifest = Manifest.load(args.data_dir)
    soft_masks = score_informed_masks(args, manifest) if "informed" in weights else None
    if soft_masks is not None:
        tracks = [track for track in manifest.tracks if track.split in ("train", "validation")]
        soft_masks.fit_all(tracks, jobs=torch.get_num_threads(), progress=not args.quiet)
    shared = dict(
        segment=args.segment,
        n_fft=args.n_fft,
        hop_length=args.hop_length,
        soft_masks=soft_masks,
        seed=args.seed,
        sounding=sounding(args),
    )
    train = ScoreDataset(
        manifest,
        "train",
        n_segments=steps * batch_size * args.devices * args.num_nodes,
        gain_db=args.gain_db,
        eq_db=args.eq_db,
        varispeed=args.varispeed,
        saliency=args.saliency,
        remix=remix,
        targets=targets,
        **stems,
        **shared,
    )
    held_out = "validation"
    if not any(track.split == held_out for track in manifest.tracks):
        held_out = "train"
        print(
            "Warning: there is no validation split; checkpoints are chosen on the training songs."
        )
    targets = "both" if supervision == "stems" else "score"
    validation = ScoreDataset(manifest, held_out, targets=targets, **shared)
    return (
        make_loader(train, batch_size, args.num_workers),
        make_loader(validation, batch_size, args.num_workers),
    )


def score_informed_masks(args, manifest):
    """The score-informed shares of the settings."""
    return ScoreInformedMasks(
        manifest,
        args.n_fft,
        args.hop_length,
        iterations=args.informed_iterations,
        n_partials=args.n_partials,
        relative_width=args.relative_width,
        decay=args.partial_decay,
        inharmonicity=args.inharmonicity,
        power=args.informed_power,
        sounding=sounding(args),
    )


def sounding(args):
    """How long and how strongly notes sound, for the rolls behind harmonic masks."""
    return SoundingOptions(
        before=args.sound_before,
        after=args.sound_after,
        fade=args.fade,
        use_velocity=args.use_velocity,
    )


def templates(args, sample_rate):
    """Harmonic templates of the settings."""
    return HarmonicTemplates(
        sample_rate,
        args.n_fft,
        n_partials=args.n_partials,
        relative_width=args.relative_width,
        decay=args.partial_decay,
        inharmonicity=args.inharmonicity,
        power=args.soft_power,
    )
