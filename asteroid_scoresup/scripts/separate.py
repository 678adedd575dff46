"""``asteroid-scoresup separate``: separates songs into stems, with MIDI and a listening page."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .songs import add_song_arguments, list_models, print_results, process_all, requires_songs
from .standard_input import add_stream_arguments, is_standard_input, separate_standard_input

if TYPE_CHECKING:
    from ..inference.score_informed import ScoreInformedSeparator

# Copies of ALIGN_MODES, FORMATS, CLIP_MODES and DEFAULT_TEMPLATE in inference: importing takes
# seconds.
# Options of networks, which a score does not need, and their defaults.
_OF_NETWORKS = {
    "model": None,
    "transcriptor": None,
    "device": "cpu",
    "precision": "float32",
    "threshold": None,
    "onset_threshold": None,
    "min_note": None,
    "factorize": False,
}
# Those of them that are for notes.
_OF_NOTES = ("threshold", "onset_threshold", "min_note")
ALIGN_MODES = ("auto", "always", "never")
# Values of --refiner: no network, and the default, a copy of AUTO in inference.
NO_REFINER, AUTO = "none", "auto"
FORMATS = ("wav16", "wav24", "wav32f", "flac", "mp3")
CLIP_MODES = ("rescale", "clamp", "none")
FILENAME = "{track}/{stem}.{ext}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command to its parser.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    add_song_arguments(parser)
    add = parser.add_argument
    add("--midi", action="store_true", help="also write the transcription as MIDI (score.mid)")
    add(
        "--factorize",
        action="store_true",
        help="also factorize the song with the notes that the model transcribes, and average the "
        "masks: often better, and slower",
    )
    add("--residual", action="store_true", help="also write the residual: the song minus all stems")
    add("--report", action="store_true", help="also write a listening page (page/index.html)")
    add(
        "--format",
        choices=list(FORMATS),
        default="wav32f",
        help="format of the stems; all but wav32f clip at full scale (default: wav32f, float)",
    )
    shorthands = {"--int24": "wav24", "--float32": "wav32f", "--flac": "flac", "--mp3": "mp3"}
    for option, file_format in shorthands.items():
        add(
            option,
            action="store_const",
            dest="format",
            const=file_format,
            help=f"the same as --format {file_format}",
        )
    add(
        "--mp3-bitrate",
        type=int,
        metavar="KBIT/S",
        help="of MP3 files (default: 320, or the highest for the sample rate)",
    )
    add(
        "--clip-mode",
        choices=CLIP_MODES,
        default="none",
        help="samples above full scale: one gain for all stems of the song (rescale), set to full "
        "scale (clamp), or kept by wav32f and clipped by others (none, the default)",
    )
    add(
        "--filename",
        default=FILENAME,
        metavar="TEMPLATE",
        help="names of the stems in OUT_DIR, with the fields {track}, {trackext}, {stem} and {ext} "
        f"(default: {FILENAME})",
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
        help="separate with the score of the song (MIDI or MusicXML); for "
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
    add(
        "--refiner",
        metavar="MODEL",
        help="with --score: the network that corrects the masks: guided, refiner, or a file of "
        "train_refiner.py; none takes less time (default: guided if all classes are among bass, "
        "drums, guitar and piano, otherwise refiner)",
    )
    add_stream_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the command. If a song fails, it is reported and the next one follows.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        int: Exit status: 0, or 1 if a song failed.
    """
    if not requires_songs(args):
        return list_models()
    if is_standard_input(args):
        return separate_standard_input(args)
    from ..inference.outputs import OutputOptions

    _require_consistent(args)
    if args.two_stems is not None:
        args.only = args.without = args.two_stems
    options = OutputOptions(
        residual=args.residual,
        midi=args.midi,
        csv=args.csv,
        page=args.report,
        only=args.only,
        without=args.without,
        file_format=args.format,
        mp3_bitrate=args.mp3_bitrate or 320,
        clip_mode=args.clip_mode,
        filename=args.filename,
        overwrite=args.overwrite,
    )
    if args.score is not None:
        return print_results(args, options, "separate", _informed_separators(args))
    return process_all(args, options, "separate")


def _require_consistent(args: argparse.Namespace) -> None:
    """Refuses options that would do nothing."""
    if args.two_stems is not None and (args.only is not None or args.without is not None):
        raise ValueError("--two-stems is --only and --without together: leave those out.")
    if args.mp3_bitrate is not None and args.format != "mp3":
        raise ValueError(f"--mp3-bitrate is for --mp3, and the format is {args.format}.")
    given = [name for name in _OF_NOTES if getattr(args, name) is not None]
    if given and not (args.midi or args.csv or args.report):
        raise ValueError(
            f"--{given[0].replace('_', '-')} is for notes: add --midi, --csv or --report."
        )
    if args.score is None:
        if args.classes is not None:
            raise ValueError(
                "--classes is for --score; the stems of a model are those it was trained for."
            )
        for option in ("align", "refiner"):
            if getattr(args, option) is not None:
                raise ValueError(f"--{option} is for --score, which is missing.")
        return
    for option, default in _OF_NETWORKS.items():
        if getattr(args, option) != default:
            raise ValueError(
                f"--{option.replace('_', '-')} is for models, and --score separates by the notes: "
                "leave out one of the two. (--refiner names the network that corrects its masks.)"
            )


def _informed_separators(args: argparse.Namespace) -> Callable[[Path], ScoreInformedSeparator]:
    """What separates each song with its score."""
    from ..data.classes import DEFAULT_CLASSES, ClassMap
    from ..inference.inputs import SongScores, find_audio_files
    from ..inference.mask_correction import load_refiner
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
    name = args.refiner or AUTO
    refiner = None if name == NO_REFINER else load_refiner(name, classes.names)
    align = args.align or "auto"
    return lambda song: ScoreInformedSeparator(scores.of(song), classes, align, refiner)
