"""``asteroid-scoresup``: one command, one verb a job."""

from __future__ import annotations

import argparse
import importlib
import sys

from .signals import STATUS, terminable

#: Verb → one line of help; the module of the same name has `add_arguments` and `run`.
VERBS = {
    "synthesize": "make a Slakh-format data set from composed songs or a folder of MIDI files",
    "prepare": "prepare Slakh folders, or own pairs of audio and MIDI, for training",
    "check": "hold the labels of a folder against its audio: pitch, tuning, offset, silent notes",
    "separate": "separate songs into stems, with their score and a page to listen to if wanted",
    "transcribe": "write the score of songs as MIDI",
    "infer": "run asteroid-infer, Asteroid's own command, on a model of ours",
}


def main(argv=None):
    """Entry point of the console script.

    Args:
        argv (list of str, optional): Arguments; default: those of the process.

    Returns:
        int: Exit status: 0, or 1 after one sentence on what was wrong; 130 or 143 if it was
        interrupted or told to end.
    """
    try:
        with terminable():  # from here on: imports take seconds
            return _main(argv)
    except KeyboardInterrupt as error:
        print("asteroid-scoresup: interrupted; run it again to go on.", file=sys.stderr)
        return STATUS[type(error)]


def _main(argv):
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="asteroid-scoresup", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    # Only the chosen verb is imported: the others need not even be installable.
    chosen = next((a for a in argv if a in VERBS), None)
    module = None
    for verb, text in VERBS.items():
        sub = verbs.add_parser(verb, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if verb == chosen:
            module = importlib.import_module(f"asteroid_scoresup.scripts.{verb}")
            module.add_arguments(sub)
    args = parser.parse_args(argv)
    try:
        return module.run(args)
    except (ValueError, OSError) as error:
        print(f"asteroid-scoresup {args.verb}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
