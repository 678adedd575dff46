"""``asteroid-scoresup separate``: songs in, stems out."""

from __future__ import annotations

import sys

from tqdm import tqdm

from ..inference.separator import Separator


def add_arguments(parser):
    """Adds the verb's arguments to its parser."""
    parser.add_argument("songs", nargs="+", help="audio files (WAV, FLAC, OGG, MP3)")
    parser.add_argument("--model", required=True, help="best_model.pth of the recipe")
    parser.add_argument("--out_dir", default="separated", help="folder of the results")
    parser.add_argument("--residual", action="store_true", help="write what is in no stem, too")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args):
    """Separates each song; a song that fails is reported and the others go on.

    Returns:
        int: 0, or 1 if any song failed.
    """
    separator = Separator.from_pretrained(args.model, args.device)
    failed = 0
    for path in tqdm(args.songs, unit="song", disable=args.quiet):
        try:
            separator.separate_file(path, args.out_dir, args.residual)
        except ValueError as error:
            failed += 1
            print(f"asteroid-scoresup separate: {error}", file=sys.stderr)
    return 1 if failed else 0
