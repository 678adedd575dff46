"""``asteroid-scoresup infer``: Asteroid's own ``asteroid-infer``, with our models known to it.

Asteroid reads mono files at the model's rate or, with ``--resample``, the first channel of any, and
rescales the sum of the estimates to the mixture; ``asteroid-scoresup separate`` does neither.
"""

from __future__ import annotations

import argparse
from pathlib import Path


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
        int: 0.

    Raises:
        ValueError: if Asteroid cannot do it.
        FileNotFoundError: if there is no such model file.
    """
    from asteroid.scripts import asteroid_cli

    import asteroid_scoresup  # noqa: F401  (registers the models)

    model = next(iter(args.arguments), "")
    if model and not model.startswith("-") and not Path(model).is_file():
        raise FileNotFoundError(f"There is no model file {model}.")
    try:
        asteroid_cli.infer(args.arguments)
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    return 0
