"""Random choices of the composer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from numpy.random import Generator

T = TypeVar("T")


def random_choice(
    rng: Generator, options: Iterable[T], weights: Iterable[float] | None = None
) -> T:
    """Picks one option at random.

    Args:
        rng (numpy.random.Generator): Random generator.
        options (iterable): Objects of any type.
        weights (iterable of float, optional): One weight per option; they need not sum to one.
            Default: all options are equally likely.

    Returns:
        One of `options`.
    """
    options = list(options)
    p = None
    if weights is not None:
        weights = np.fromiter(weights, dtype=float)
        p = weights / weights.sum()
    return options[int(rng.choice(len(options), p=p))]
