"""Lists the SoundFonts that options may name: licenses, and which of them are installed.

python local/soundfonts.py                       the table
python local/soundfonts.py --training band …     those that a preset and more names train with
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":  # also as a script
    sys.path.insert(0, str(Path(__file__).parents[1]))

from local.options import song_counts

from asteroid_scoresup.synthesis.soundfont_catalog import CATALOG, find_soundfont, table

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument(
    "--training",
    nargs="+",
    metavar=("PRESET", "NAME"),
    help="check that the SoundFonts of a preset, and more by name, are installed and free for "
    "training; print them with their licenses",
)


def cite(names: list[str]) -> str:
    """Names SoundFonts with their licenses.

    Raises:
        ValueError: if one is not in the catalog, or not free for training.
        FileNotFoundError: if one is not installed.
    """
    known = {font.name: font for font in CATALOG}
    free = ", ".join(font.name for font in CATALOG if font.free)
    for name in names:
        if name not in known:
            raise ValueError(f"{name} is not a SoundFont of known license: use some of {free}.")
        if not known[name].free:
            raise ValueError(
                f"the SoundFont {name} is under {known[name].license}, which restricts what is "
                f"learned from it: use some of {free}."
            )
        find_soundfont(name)
    cited = [f"{name} ({known[name].license})" for name in names]
    return " and ".join(filter(None, [", ".join(cited[:-1]), cited[-1]]))


def main(args: argparse.Namespace) -> None:
    if args.training is None:
        print(table())
        return
    preset, *more = args.training
    names = song_counts(preset).get("soundfont", [])
    if not names:
        raise SystemExit(f"the preset {preset} names no SoundFont: use the preset band.")
    try:
        print(cite([*names, *more]))
    except (ValueError, OSError) as error:
        raise SystemExit(f"train_bundled.sh: {error}") from None


if __name__ == "__main__":
    main(parser.parse_args())
