"""Names of rows in results of earlier versions."""

from __future__ import annotations

import pandas as pd

#: Present names of the rows of local/experiments.yml by their earlier ones.
EARLIER_NAMES = {
    "pre-train, imitating separation": "pre-train, simulated separation",
    "isolated c, imitating critic": "isolated c, simulated separation",
    "isolated c+h, imitating critic": "isolated c+h, simulated separation",
    "isolated c+h, all classes heard": "isolated c+h, all classes",
    "fine-tune c+h, truthful critic": "fine-tune c+h, critic adaptation",
    "c+h, aml all along": "c+h, aml from the start",
    "c+h, aml all along, faster critic": "c+h, aml from the start, faster critic",
    "c+h, truthful critic all along": "c+h, critic adaptation from the start",
    "soft": "soft harmonic",
    "supervised, shares": "supervised, mask approximation",
}


def with_present_names(results: pd.DataFrame) -> pd.DataFrame:
    """Renames the rows of results of earlier versions.

    Args:
        results (:class:`pandas.DataFrame`): Results with a column ``row``.

    Returns:
        :class:`pandas.DataFrame`: The same with the names of local/experiments.yml.
    """
    return results.replace({"row": EARLIER_NAMES})
