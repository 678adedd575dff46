"""``asteroid-scoresup separate``: songs in; stems, score and a page to listen to out."""

from __future__ import annotations

import sys

# inference.separator.PRECISIONS and inference.songs.FORMATS, whose import would make --help wait.
PRECISIONS = ("float32", "bfloat16")
FORMATS = ("wav16", "wav24", "wav32f", "flac")


def add_arguments(parser):
    """Adds the verb's arguments to its parser."""
    add_song_arguments(parser)
    add = parser.add_argument
    add("--midi", action="store_true", help="write the score as MIDI, too (score.mid)")
    add("--residual", action="store_true", help="write what is in no stem, too")
    add("--report", action="store_true", help="write a page to listen to, too (page/index.html)")
    add(
        "--format",
        choices=list(FORMATS),
        default="wav32f",
        help="of the stems; 16 and 24 bits clip at full scale (default: wav32f, float)",
    )


def add_song_arguments(parser):
    """Adds the arguments that all verbs share that take songs."""
    add = parser.add_argument
    add("songs", nargs="+", help="audio files (WAV, FLAC, OGG, MP3…), or folders of them")
    add("--model", help="best_model.pth of the recipe (default: the model in the package)")
    add("--transcriptor", help="transcriptor, where it is not packed with the model")
    add("--out_dir", default="separated", help="results go to OUT_DIR/<song>/ (default: separated)")
    add("--device", default="cpu", help="cpu, cuda or mps (default: cpu)")
    add(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="bfloat16: faster where the processor or GPU computes it (default: float32)",
    )
    add("--overwrite", action="store_true", help="write files anew that exist")
    add("--quiet", action="store_true", help="no progress bar, nothing but warnings and errors")


def run(args):
    """Separates each song; a song that fails is reported and the others go on.

    Returns:
        int: 0, or 1 if any song failed.
    """
    from ..inference.songs import OutputOptions

    request = OutputOptions(
        residual=args.residual,
        midi=args.midi,
        page=args.report,
        file_format=args.format,
        overwrite=args.overwrite,
    )
    return process_all(args, request, "separate")


def process_all(args, request, verb):
    """What :func:`run` does, for any request.

    Args:
        args (argparse.Namespace): What :func:`add_song_arguments` declared.
        request (OutputOptions): What is wanted of every song.
        verb (str): Name of the verb, for messages.

    Returns:
        int: 0, or 1 if any song failed.
    """
    from ..inference.separator import Separator
    from ..inference.songs import process_songs

    separator = Separator.from_pretrained(
        args.model, args.transcriptor, args.device, precision=args.precision
    )
    if request.midi and separator.transcriptor is None:
        raise ValueError(
            f"{args.model} holds no transcriptor: name one with --transcriptor (the recipe's "
            "transcriptor/best_model.pth)."
        )
    failed, bar = 0, _Bar(args.quiet)
    for path, made in process_songs(separator, args.songs, args.out_dir, request, bar):
        bar.close()
        if isinstance(made, ValueError):
            failed += 1
            print(f"asteroid-scoresup {verb}: {made}", file=sys.stderr)
            continue
        for warning in made.warnings:
            print(f"asteroid-scoresup {verb}: warning: {path}: {warning}.", file=sys.stderr)
        if not args.quiet:
            kept = f" ({len(made.kept)} kept; --overwrite replaces them)" if made.kept else ""
            print(f"{made.folder}: {len(made.written)} written{kept}")
    return 1 if failed else 0


class _Bar:
    """A progress bar for each song, in seconds of audio, from its first report on."""

    def __init__(self, quiet):
        self.quiet, self.bar = quiet, None

    def __call__(self, name, done, total):
        from tqdm import tqdm

        if self.bar is None:
            form = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s [{elapsed}<{remaining}]"
            self.bar = tqdm(desc=name, total=total, disable=self.quiet, bar_format=form)
        self.bar.update(done - self.bar.n)

    def close(self):
        if self.bar is not None:
            self.bar.close()
            self.bar = None
