"""``asteroid-scoresup infer``: Asteroid's own ``asteroid-infer``, with our models known to it.

It takes the first channel only, and rescales the sum of the estimates to the mixture, as Asteroid
does; ``asteroid-scoresup separate`` does neither.
"""

from __future__ import annotations

import argparse


def add_arguments(parser):
    """Adds the verb's arguments to its parser."""
    parser.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="MODEL --files FILE [FILE ...]",
        help="the arguments of asteroid-infer; `infer MODEL --help` lists them",
    )


def run(args):
    """Hands the arguments to Asteroid.

    Returns:
        int: 0; Asteroid raises where it fails.
    """
    from asteroid.scripts import asteroid_cli

    import asteroid_scoresup  # noqa: F401  (registers the models)

    asteroid_cli.infer(args.arguments)
    return 0
