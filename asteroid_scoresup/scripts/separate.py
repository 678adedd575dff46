"""``asteroid-scoresup separate``: separates songs into stems, with MIDI and a listening page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..inference.outputs import OutputOptions
    from ..inference.score_informed import ScoreInformedSeparator
    from ..inference.separator import Separator

# Copies of PRECISIONS, ALIGN_MODES and FORMATS in inference: importing takes seconds.
PRECISIONS = ("float32", "bfloat16")
# Options of networks, which a score does not need, and their defaults.
_OF_NETWORKS = {"model": None, "transcriptor": None, "device": "cpu", "precision": "float32"}
ALIGN_MODES = ("auto", "always", "never")
FORMATS = ("wav16", "wav24", "wav32f", "flac")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command to its parser.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    add_song_arguments(parser)
    add = parser.add_argument
    add("--midi", action="store_true", help="also write the transcription as MIDI (score.mid)")
    add("--residual", action="store_true", help="also write the residual: the song minus all stems")
    add("--report", action="store_true", help="also write a listening page (page/index.html)")
    add(
        "--format",
        choices=list(FORMATS),
        default="wav32f",
        help="format of the stems; 16 and 24 bits clip at full scale (default: wav32f, float)",
    )
    for option, file_format in (("--int24", "wav24"), ("--float32", "wav32f")):
        add(
            option,
            action="store_const",
            dest="format",
            const=file_format,
            help=f"the same as --format {file_format}",
        )
    add("--only", metavar="CLASS", help="write only this stem")
    add("--without", metavar="CLASS", help="write the song without this stem (without_CLASS)")
    add(
        "--two-stems",
        metavar="CLASS",
        help="write this stem and the song without it: --only and --without together",
    )
    add(
        "--score",
        metavar="PATH",
        help="separate with the score of the song (MIDI or MusicXML), without a network; for "
        "several songs a folder with a score of the same name for each",
    )
    add(
        "--classes",
        metavar="LIST",
        help="with --score: the stems and their programs (default: bass, guitar and piano)",
    )
    add(
        "--align",
        choices=ALIGN_MODES,
        help="with --score: align it with the song; auto refuses the score of another song, and "
        "leaves alone what is aligned already (default: auto)",
    )


def add_song_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that `separate` and `transcribe` share.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    add = parser.add_argument
    add("songs", nargs="+", help="audio files (WAV, FLAC, OGG, MP3…) or folders of them")
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
    add("--overwrite", action="store_true", help="overwrite existing files")
    add("--quiet", action="store_true", help="print only warnings and errors")


def run(args: argparse.Namespace) -> int:
    """Runs the command. If a song fails, it is reported and the next one follows.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        int: Exit status: 0, or 1 if a song failed.
    """
    from ..inference.outputs import OutputOptions

    _require_consistent(args)
    if args.two_stems is not None:
        args.only = args.without = args.two_stems
    options = OutputOptions(
        residual=args.residual,
        midi=args.midi,
        page=args.report,
        only=args.only,
        without=args.without,
        file_format=args.format,
        overwrite=args.overwrite,
    )
    if args.score is not None:
        return _report(args, options, "separate", _informed_separators(args))
    return process_all(args, options, "separate")


def _require_consistent(args: argparse.Namespace) -> None:
    """Refuses options that would do nothing."""
    if args.two_stems is not None and (args.only is not None or args.without is not None):
        raise ValueError("--two-stems is --only and --without together: leave those out.")
    if args.score is None:
        if args.classes is not None:
            raise ValueError(
                "--classes is for --score; the stems of a model are those it was trained for."
            )
        if args.align is not None:
            raise ValueError("--align is for --score, which is missing.")
        return
    for option, default in _OF_NETWORKS.items():
        if getattr(args, option) != default:
            raise ValueError(
                f"--{option} is for networks, and --score separates without one: leave out one of "
                "the two."
            )


def _informed_separators(args: argparse.Namespace) -> Callable[[Path], ScoreInformedSeparator]:
    """What separates each song with its score."""
    from ..data.classes import DEFAULT_CLASSES, ClassMap
    from ..inference.inputs import SongScores, find_audio_files
    from ..inference.outputs import require_classes
    from ..inference.score_informed import ScoreInformedSeparator

    classes = ClassMap.parse(args.classes or DEFAULT_CLASSES)
    require_classes(classes.names, only=args.only, without=args.without)
    scores = SongScores(args.score)
    if not scores.is_folder and len(songs := find_audio_files(args.songs, args.out_dir)) > 1:
        raise ValueError(
            f"--score names one file, {args.score}, for {len(songs)} songs: name a folder with a "
            "score for each."
        )
    return lambda song: ScoreInformedSeparator(scores.of(song), classes, args.align or "auto")


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
        args.model, args.transcriptor, args.device, precision=args.precision
    )
    if options.midi and separator.transcriptor is None:
        raise ValueError(
            f"{args.model} includes no transcriptor: name one with --transcriptor (for example "
            "transcriptor/best_model.pth of the recipe)."
        )
    require_classes(separator.names, only=options.only, without=options.without)
    return _report(args, options, verb, separator)


def _report(
    args: argparse.Namespace,
    options: OutputOptions,
    verb: str,
    separator: Separator | Callable[[Path], ScoreInformedSeparator],
) -> int:
    """Processes the songs, and prints what was written and what failed."""
    from ..inference.processing import process_songs

    failed, bar = 0, _Bar(args.quiet)
    for path, result in process_songs(separator, args.songs, args.out_dir, options, bar):
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
