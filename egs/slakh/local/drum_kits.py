"""Drum kits from the CC0 samples of Sonic Pi, as the SoundFont that options call sonic_pi_kits.

python local/drum_kits.py ~/soundfonts/sonic_pi_kits.sf2
SOUNDFONT_PATH=~/soundfonts bash train_bundled.sh --soundfonts sonic_pi_kits
"""

from __future__ import annotations

import argparse

from asteroid_scoresup.synthesis.drum_kits import SAMPLES, write_drum_kits

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("out", help="SoundFont to write")
parser.add_argument("--samples", default=SAMPLES, help="folder of the samples")
parser.add_argument("--seed", type=int, default=0, help="another seed gives other kits")


def main(args: argparse.Namespace) -> None:
    try:
        write_drum_kits(args.out, args.samples, args.seed)
    except (OSError, ValueError) as error:
        raise SystemExit(f"drum_kits.py: {error}") from None
    print(f"{args.out}: drum kits from {args.samples}.")


if __name__ == "__main__":
    main(parser.parse_args())
