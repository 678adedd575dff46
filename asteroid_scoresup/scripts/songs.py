"""What ``separate`` and ``transcribe`` share: their arguments, and the way through the songs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..evaluation.decoding import Decoding
    from ..inference.outputs import OutputOptions
    from ..inference.score_informed import ScoreInformedSeparator
    from ..inference.separator import Separator

# A copy of inference.separator.PRECISIONS: importing takes seconds.
PRECISIONS = ("float32", "bfloat16")


def add_song_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that `separate` and `transcribe` share.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    add = parser.add_argument
    add("songs", nargs="*", help="audio files (WAV, FLAC, OGG, MP3…) or folders of them")
    add(
        "-n",
        "--model",
        help="model: a file such as the recipe's best_model.pth, a folder, or user/name on the "
        "Hugging Face Hub (default: the bundled one)",
    )
    add("--transcriptor", help="transcriptor file, if the model file does not include one")
    add(
        "-o", "--out_dir", default="separated", help="write to OUT_DIR/<song>/ (default: separated)"
    )
    add("-d", "--device", default="cpu", help="cpu, cuda or mps (default: cpu)")
    add(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="bfloat16 is faster on CPUs and GPUs that support it (default: float32)",
    )
    add(
        "-j",
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="songs that are processed at a time; each needs its own memory (default: 1)",
    )
    add(
        "--csv",
        "--save-note-events",
        action="store_true",
        help="also write the notes as a table (score.csv): start, end, pitch, velocity, class",
    )
    add(
        "--threshold",
        metavar="P",
        help="lowest probability of a sounding note, 0 to 1, for all classes or as "
        "bass=0.3,piano=0.5 (default: those of the model)",
    )
    add(
        "--onset-threshold",
        metavar="P",
        help="the same for the beginning of a note, if the transcriptor predicts onsets",
    )
    add(
        "--min-note",
        metavar="SECONDS",
        help="length of the shortest note, in the same form (default: those of the model)",
    )
    add("--list-models", action="store_true", help="list the bundled models and exit")
    add("--overwrite", action="store_true", help="overwrite existing files")
    add("--quiet", action="store_true", help="print only warnings and errors")
    parser.set_defaults(usage_error=parser.error)


def requires_songs(args: argparse.Namespace) -> bool:
    """Whether songs are to be processed, which must then be named; else models are listed.

    Args:
        args (argparse.Namespace): The arguments of :func:`add_song_arguments`.
    """
    if args.list_models:
        return False
    if not args.songs:
        args.usage_error("the following arguments are required: songs")
    return True


def list_models() -> int:
    """Lists the bundled models, as ``asteroid-scoresup models list`` does."""
    from .models import run as run_models

    return run_models(argparse.Namespace(action="list", models=[], json=False))


def process_all(args: argparse.Namespace, options: OutputOptions, verb: str) -> int:
    """Separates or transcribes all songs.

    Args:
        args (argparse.Namespace): The arguments of :func:`add_song_arguments`.
        options (OutputOptions): Files to write for each song.
        verb (str): Name of the command, for messages.

    Returns:
        int: Exit status: 0, or 1 if a song failed.
    """
    from ..inference.outputs import require_classes
    from ..inference.separator import Separator

    separator = Separator.from_pretrained(
        args.model,
        args.transcriptor,
        args.device,
        precision=args.precision,
        factorize=getattr(args, "factorize", False),
    )
    if options.notes and separator.transcriptor is None:
        raise ValueError(
            f"{args.model} includes no transcriptor: name one with --transcriptor (for example "
            "transcriptor/best_model.pth of the recipe)."
        )
    require_classes(separator.names, only=options.only, without=options.without)
    separator.decoding = _decoding(args, separator)
    return print_results(args, options, verb, separator)


def _decoding(args: argparse.Namespace, separator: Separator) -> Decoding:
    """How the command line wants note probabilities to become notes."""
    from dataclasses import replace

    decoding, names = separator.decoding, separator.names
    if args.threshold is not None:
        values = _per_class("--threshold", args.threshold, names, decoding.threshold, 1)
        decoding = replace(decoding, threshold=values)
    if args.onset_threshold is not None:
        if separator.transcriptor is None or separator.transcriptor.n_heads < 2:
            raise ValueError(
                "--onset-threshold: the transcriptor of this model predicts no onsets."
            )
        values = _per_class(
            "--onset-threshold", args.onset_threshold, names, decoding.onset_threshold, 1
        )
        decoding = replace(decoding, onset_threshold=values)
    if args.min_note is not None:
        values = _per_class("--min-note", args.min_note, names, decoding.min_seconds, 60)
        decoding = replace(decoding, min_seconds=values)
    return decoding


def _per_class(
    option: str, text: str, names: list[str], values: Sequence[float], most: float
) -> tuple[float, ...]:
    """Reads one value for all classes, or CLASS=VALUE,…; the other classes keep theirs."""
    chosen = dict(zip(names, values))
    for item in text.split(","):
        name, has_name, number = item.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = -1
        if not 0 <= value <= most:
            raise ValueError(
                f"{option} has the value {number!r}, expected a number from 0 to {most}."
            )
        if has_name and name not in chosen:
            raise ValueError(f"{option} names {name!r}, but the classes are {', '.join(names)}.")
        chosen.update({name: value} if has_name else dict.fromkeys(names, value))
    return tuple(chosen[name] for name in names)


def print_results(
    args: argparse.Namespace,
    options: OutputOptions,
    verb: str,
    separator: Separator | Callable[[Path], ScoreInformedSeparator],
) -> int:
    """Processes the songs, and prints what was written and what failed.

    Args:
        args (argparse.Namespace): The arguments of :func:`add_song_arguments`.
        options (OutputOptions): Files to write for each song.
        verb (str): Name of the command, for messages.
        separator (Separator or callable): See
            :func:`~asteroid_scoresup.inference.processing.process_songs`.

    Returns:
        int: Exit status: 0, or 1 if a song failed.
    """
    from ..inference.processing import process_songs

    failed, bar = 0, _Bar(args.quiet or args.jobs > 1)  # bars of several songs would mix
    for path, result in process_songs(separator, args.songs, args.out_dir, options, bar, args.jobs):
        bar.close()
        if isinstance(result, ValueError):
            failed += 1
            print(f"asteroid-scoresup {verb}: {result}", file=sys.stderr)
            continue
        for warning in result.warnings:
            print(f"asteroid-scoresup {verb}: warning: {path}: {warning}.", file=sys.stderr)
        if not args.quiet:
            kept = f" ({len(result.kept)} kept; --overwrite replaces them)" if result.kept else ""
            print(f"{result.folder}: {len(result.written)} written{kept}")
    return 1 if failed else 0


class _Bar:
    """A progress bar for each song, in seconds of audio, shown from its first report."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.bar: Any = None

    def __call__(self, name: str, done: float, total: float) -> None:
        from tqdm import tqdm

        if self.bar is None:
            form = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s [{elapsed}<{remaining}]"
            self.bar = tqdm(desc=name, total=total, disable=self.quiet, bar_format=form)
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
