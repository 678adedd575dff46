"""Numbers to publish: means per row, seed, test set and class, in a file that anyone can read."""

from __future__ import annotations

import pandas as pd

#: Columns of a file of results.
RESULT_COLUMNS = ("row", "seed", "test_set", "instrument", "metric", "value")
_NAMES = {"si_sdr_imp": "si_sdr_i"}


def to_results(summary):
    """The means of a summary in the tidy form that is published.

    Args:
        summary (:class:`pandas.DataFrame`): What :func:`~asteroid_scoresup.metrics.summarise`
            returned.

    Returns:
        :class:`pandas.DataFrame`: Columns :data:`RESULT_COLUMNS`; metrics as in the summary, but
        the improvement of SI-SDR is called ``si_sdr_i``. Numbers that do not exist are left out,
        the others rounded to four decimals.

    Examples
        >>> from asteroid_scoresup.metrics import summarise, tidy
        >>> record = {"row": "isolated c", "test_set": "test", "track": "a",
        ...           "instrument": "bass", "si_sdr_imp": 7.00001}
        >>> to_results(summarise(tidy([record]))).values.tolist()[0]
        ['isolated c', 0, 'test', 'bass', 'si_sdr_i', 7.0]
    """
    results = summary[summary.value.notna()].replace({"metric": _NAMES})
    return results[list(RESULT_COLUMNS)].round({"value": 4}).reset_index(drop=True)


def read_results(path):
    """Reads a file of results so that tables can be made of it.

    Args:
        path (str or Path): A CSV file with the columns :data:`RESULT_COLUMNS`.

    Returns:
        :class:`pandas.DataFrame`: As :func:`~asteroid_scoresup.metrics.summarise` returns it;
        medians and numbers of tracks are not known.

    Raises:
        ValueError: if a column is missing or a number stands twice.
    """
    frame = pd.read_csv(path)
    missing = [column for column in RESULT_COLUMNS if column not in frame]
    if missing:
        raise ValueError(f"{path} lacks the columns {missing}; found {list(frame.columns)}.")
    repeated = frame.duplicated(list(RESULT_COLUMNS[:-1]))
    if repeated.any():
        line = frame[repeated].iloc[0][list(RESULT_COLUMNS[:-1])].to_dict()
        raise ValueError(f"{path}: {int(repeated.sum())} numbers stand twice, the first is {line}.")
    back = {there: here for here, there in _NAMES.items()}
    unknown = dict.fromkeys(("median", "n_counted", "n_silent"), float("nan"))
    return frame.replace({"metric": back}).assign(**unknown)
