"""Published numbers: means per row, seed, test set and class in a CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .summary import refuse_duplicates

if TYPE_CHECKING:  # importing it takes long, and separation needs none of it
    import pandas as pd

#: Columns of a results file.
RESULT_COLUMNS = ("row", "seed", "test_set", "instrument", "metric", "value")
_NAMES = {"si_sdr_imp": "si_sdr_i"}


def to_results(summary: pd.DataFrame) -> pd.DataFrame:
    """Converts a summary to the tidy form in which results are published.

    Args:
        summary (:class:`pandas.DataFrame`): Output of
            :func:`~asteroid_scoresup.evaluation.summarize`.

    Returns:
        :class:`pandas.DataFrame`: Columns :data:`RESULT_COLUMNS`; metrics as in the summary, but
        the SI-SDR improvement is named ``si_sdr_i``. Missing numbers are left out, the others
        are rounded to four decimals.

    Examples
        >>> from asteroid_scoresup.evaluation import summarize, tidy
        >>> record = {"row": "isolated c", "test_set": "test", "track": "a",
        ...           "instrument": "bass", "si_sdr_imp": 7.00001}
        >>> to_results(summarize(tidy([record]))).values.tolist()[0]
        ['isolated c', 0, 'test', 'bass', 'si_sdr_i', 7.0]
    """
    results = summary[summary.value.notna()].replace({"metric": _NAMES})
    return results[list(RESULT_COLUMNS)].round({"value": 4}).reset_index(drop=True)


def read_results(path: str | Path) -> pd.DataFrame:
    """Reads a results file, as input for the tables.

    Args:
        path (str or Path): A CSV file with the columns :data:`RESULT_COLUMNS`.

    Returns:
        :class:`pandas.DataFrame`: In the form of :func:`~asteroid_scoresup.evaluation.summarize`;
        medians and numbers of tracks are unknown (NaN).

    Raises:
        ValueError: if the file is not CSV, a column is missing or a line is duplicated.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path)
    except ValueError as error:  # empty, not text, or lines of unequal length
        raise ValueError(f"{path} is not a CSV file of results: {error}.") from None
    missing = [column for column in RESULT_COLUMNS if column not in frame]
    if missing:
        raise ValueError(f"{path} lacks the columns {missing}; found {list(frame.columns)}.")
    refuse_duplicates(frame, RESULT_COLUMNS[:-1], str(path))
    internal = {published: name for name, published in _NAMES.items()}
    unknown = dict.fromkeys(("median", "n_counted", "n_silent"), float("nan"))
    return frame.replace({"metric": internal}).assign(**unknown)
