"""One way to choose, for everything that the composer draws."""

from __future__ import annotations

import numpy as np


def choose(rng, options, odds=None):
    """One of the options, which may be of any type; `odds` need not sum to one."""
    options = list(options)
    if odds is not None:
        odds = np.fromiter(odds, dtype=float)
        odds = odds / odds.sum()
    return options[int(rng.choice(len(options), p=odds))]
