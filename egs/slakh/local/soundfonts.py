"""Lists the SoundFonts that options may name: licenses, and which of them are installed.

python local/soundfonts.py              the table
python local/soundfonts.py --free       names that are installed and free for training, a line
"""

from __future__ import annotations

import argparse

from asteroid_scoresup.synthesis.soundfont_catalog import CATALOG, installed, table

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument(
    "--free", action="store_true", help="only the names of installed ones, free for training"
)


def main(args: argparse.Namespace) -> None:
    if not args.free:
        print(table())
        return
    names = [font.name for font in CATALOG if font.free and installed(font.name)]
    if not names:
        raise SystemExit(
            "no SoundFont with a license that allows any use is installed (Debian: apt install "
            "fluid-soundfont-gm musescore-general-soundfont-small)."
        )
    print(*names)


if __name__ == "__main__":
    main(parser.parse_args())
