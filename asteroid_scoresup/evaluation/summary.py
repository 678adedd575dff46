"""Scores per track in one tidy table, and their means.

The tidy table has the columns ``row, seed, test_set, track, instrument, metric, value``
(:data:`COLUMNS`): `row` is a row of the paper's tables, `seed` the training run behind it,
`test_set` one set of test tracks. Means are taken in the paper's order: first over the tracks of an
instrument, then over instruments, so that a class that is often silent weighs as much as the
others. The mean over seeds comes last (:mod:`asteroid_scoresup.evaluation.tables`). NaN values
(silent classes, classes without notes) are left out of every mean and counted. Which values are
NaN depends on the stems and scores alone, so the rows of one test set are means over the
same tracks.

Test sets are never pooled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing it takes long, and separation needs none of it
    import pandas as pd


#: Columns of the tidy table.
COLUMNS = ("row", "seed", "test_set", "track", "instrument", "metric", "value")
#: Separation scores, in dB.
SEPARATION = ("si_sdr", "si_sdr_imp", "input_si_sdr", "leakage_db")
#: Scores that need no stems, see :mod:`~asteroid_scoresup.evaluation.reference_free`.
REFERENCE_FREE = ("note_f1", "note_precision", "note_recall", "note_leakage", "rest_db", "sum_db")
#: Signals that the transcriptor receives.
SIGNALS = ("mixture", "isolated", "separated")
#: Transcription scores, and their titles in tables.
TRANSCRIPTION = {
    "note_accuracy": "Note accuracy (frames)",
    "note_f1": "F1 of note onsets",
    "note_f1_offset": "F1 of notes, onset and offset",
}
#: All scores of the tidy table.
METRICS = (
    SEPARATION
    + tuple(f"{score}_{signal}" for score in TRANSCRIPTION for signal in SIGNALS)
    + REFERENCE_FREE
)
#: Name of the mean over instruments.
MEAN = "mean"

_GROUP = ["row", "seed", "test_set", "instrument", "metric"]


def tidy(records: Iterable[Mapping] | pd.DataFrame) -> pd.DataFrame:
    """Converts one record per track and class to the tidy form.

    Args:
        records (list of dict or :class:`pandas.DataFrame`): Each with ``row``, ``test_set``,
            ``track``, ``instrument``, optionally ``seed`` (default: 0), and any scores of
            :data:`METRICS`; other keys are ignored. NaN in one track means that the class does
            not count there; NaN in all tracks of a row, that the score was not measured.

    Returns:
        :class:`pandas.DataFrame`: One line per score, with the columns :data:`COLUMNS`.

    Raises:
        ValueError: if a column is missing or there is no score at all.

    Examples
        >>> record = {"row": "isolated c+h", "test_set": "test", "track": "a",
        ...           "instrument": "bass", "si_sdr": 8.0, "si_sdr_imp": 7.0}
        >>> tidy([record]).value.tolist()
        [8.0, 7.0]
    """
    import pandas as pd

    frame = pd.DataFrame(records)
    if "seed" not in frame:
        frame["seed"] = 0
    identifiers = list(COLUMNS[:5])
    missing = [column for column in identifiers if column not in frame]
    metrics = [metric for metric in METRICS if metric in frame]
    if missing:
        raise ValueError(f"The records lack {missing}; found {list(frame.columns)}.")
    if not metrics:
        raise ValueError(
            f"The records contain none of the scores {list(METRICS)}; found {list(frame.columns)}."
        )
    long = frame.melt(identifiers, metrics, var_name="metric", value_name="value")
    long = long.astype({"value": float})
    measured = long.groupby(["row", "seed", "test_set", "metric"], dropna=False).value
    measured = measured.transform("count") > 0
    return long.loc[measured, list(COLUMNS)].reset_index(drop=True)


def all_metrics(frame: pd.DataFrame) -> pd.DataFrame:
    """The tidy table with one line per track and class: the content of ``all_metrics.csv``.

    Args:
        frame (:class:`pandas.DataFrame`): Tidy table, see :data:`COLUMNS`.

    Returns:
        :class:`pandas.DataFrame`: Columns ``row, seed, test_set, track, instrument``, then one
        per score, in the order of :data:`METRICS`.

    Raises:
        ValueError: as :func:`summarize`.
    """
    import pandas as pd

    frame = _validated(frame)
    identifiers = list(COLUMNS[:5])
    metrics = _ordered(frame.metric, METRICS)
    keys = frame[identifiers].drop_duplicates()
    wide = frame.set_index([*identifiers, "metric"]).value.unstack("metric")
    # unstack sorts the lines; this restores their order.
    wide = wide.reindex(pd.MultiIndex.from_frame(keys))[metrics]
    return wide.reset_index().rename_axis(columns=None)


def summarize(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over tracks, per row, seed, test set, instrument and score.

    Args:
        frame (:class:`pandas.DataFrame`): Tidy table, see :data:`COLUMNS`.

    Returns:
        :class:`pandas.DataFrame`: Columns ``row, seed, test_set, instrument, metric, value`` (mean
        over tracks), ``median``, ``n_counted`` (tracks in the mean) and ``n_silent`` (tracks in
        which the class is silent or has no note; for ``leakage_db`` these *are* the counted ones).
        The instrument ``mean`` is the mean of the instruments' means and of their medians, with
        the sums of their counts. NaN where no track counts.

    Raises:
        ValueError: if a column is missing, a line is duplicated, or an instrument is called
            ``mean``.

    Examples
        >>> values = {"bass": [8.0, 10.0], "piano": [5.0, float("nan")]}
        >>> records = [{"row": "isolated c", "test_set": "test", "track": track, "instrument": name,
        ...             "si_sdr": values[name][track]} for name in values for track in (0, 1)]
        >>> summary = summarize(tidy(records))
        >>> summary[["instrument", "value", "n_counted", "n_silent"]].values.tolist()
        [['bass', 9.0, 2, 0], ['piano', 5.0, 1, 1], ['mean', 7.0, 3, 1]]
    """
    import pandas as pd

    frame = _validated(frame)
    groups = frame.groupby(_GROUP, sort=False, dropna=False).value
    summary = groups.agg(value="mean", median="median", n_counted="count", n_tracks="size")
    summary = summary.reset_index()
    left_out = summary.n_tracks - summary.n_counted
    summary["n_silent"] = left_out.where(summary.metric != "leakage_db", summary.n_counted)

    over = [column for column in _GROUP if column != "instrument"]
    mean = summary.groupby(over, sort=False, dropna=False).agg(
        value=("value", "mean"),
        median=("median", "mean"),
        n_counted=("n_counted", "sum"),
        n_silent=("n_silent", "sum"),
    )
    mean = mean.reset_index().assign(instrument=MEAN)
    columns = [*_GROUP, "value", "median", "n_counted", "n_silent"]
    return pd.concat([summary[columns], mean[columns]], ignore_index=True)


def without_partial_means(summary: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Drops the means over instruments of rows that lack one: they are of other instruments.

    Args:
        summary (:class:`pandas.DataFrame`): Output of :func:`summarize`.
        names (sequence of str): All instruments.

    Returns:
        :class:`pandas.DataFrame`: The other lines.

    Examples
        >>> records = [{"row": row, "test_set": "test", "track": 0, "instrument": name,
        ...             "si_sdr": 1.0}
        ...            for row, name in (("x", "bass"), ("x", "piano"), ("y", "bass"))]
        >>> summary = without_partial_means(summarize(tidy(records)), ["bass", "piano"])
        >>> summary[summary.instrument == MEAN].row.tolist()
        ['x']
    """
    counts = summary[summary.instrument != MEAN].groupby("row").instrument.nunique()
    partial = counts.index[counts < len(names)]
    return summary[~((summary.instrument == MEAN) & summary.row.isin(partial))]


def flat_metrics(
    summary: pd.DataFrame, row: str, test_set: str | None = None
) -> dict[str, float | int | None]:
    """The scores of one row under Asteroid's flat keys: the content of ``final_metrics.json``.

    Args:
        summary (:class:`pandas.DataFrame`): Output of :func:`summarize`.
        row (str): Which row.
        test_set (str, optional): Which test set; optional if there is only one.

    Returns:
        dict: ``si_sdr``, ``si_sdr_imp``, ``input_si_sdr``, ``leakage_db``,
        ``note_accuracy_mixture``… (means over instruments), ``si_sdr_median``, ``n_counted``,
        ``n_silent``, and the same per instrument as ``bass/si_sdr``…. Floats are means over
        seeds, counts are those of one seed; a missing number is None.

    Raises:
        ValueError: if the row or the test set is not in `summary`.
    """
    part, test_set = select_test_set(summary, test_set)
    if row not in set(part.row):
        known = list(dict.fromkeys(part.row))
        raise ValueError(f"There is no row {row!r} for {test_set!r}, only {known}.")
    part = part[part.row == row]
    flat: dict[str, float | int | None] = {}
    for instrument in [MEAN, *instruments_of(part)[:-1]]:
        prefix = "" if instrument == MEAN else f"{instrument}/"
        lines = part[part.instrument == instrument]
        for metric in _ordered([*lines.metric, "leakage_db"], METRICS):
            flat[prefix + metric] = finite_or_none(lines[lines.metric == metric].value.mean())
        # Separation counts the tracks with a stem; a run without separation, those with notes.
        leading = lines[lines.metric == _ordered(lines.metric, METRICS)[0]]
        if leading.metric.iloc[0] == "si_sdr":
            flat[prefix + "si_sdr_median"] = finite_or_none(leading["median"].mean())
        flat[prefix + "n_counted"] = int(leading.n_counted.iloc[0])
        flat[prefix + "n_silent"] = int(leading.n_silent.iloc[0])
    json.dumps(flat, allow_nan=False)  # final_metrics.json is standard JSON
    return flat


def select_test_set(summary: pd.DataFrame, test_set: str | None) -> tuple[pd.DataFrame, str]:
    """The lines of one test set, and its name.

    Args:
        summary (:class:`pandas.DataFrame`): Any table with a column ``test_set``.
        test_set (str, optional): Which test set; optional if there is only one.

    Raises:
        ValueError: if there is no such test set, or none is named and there are several.
    """
    known = list(dict.fromkeys(summary.test_set))
    if test_set is None and len(known) == 1:
        test_set = known[0]
    if test_set not in known:
        raise ValueError(f"test_set must be one of {known}, found {test_set!r}.")
    return summary[summary.test_set == test_set], str(test_set)


def instruments_of(summary: pd.DataFrame, order: Sequence[str] | None = None) -> list[str]:
    """The instruments in the given order, or in order of appearance, with :data:`MEAN` last."""
    found = dict.fromkeys(summary.instrument) if order is None else order
    return [*(name for name in found if name != MEAN), MEAN]


def finite_or_none(value: float) -> float | None:
    """A plain Python float; None instead of NaN or infinity, which JSON cannot represent."""
    value = float(value)
    return value if math.isfinite(value) else None


def _validated(frame: pd.DataFrame) -> pd.DataFrame:
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise ValueError(
            f"The table of scores lacks the columns {missing}; found {list(frame.columns)}."
        )
    if not len(frame):
        raise ValueError("The table of scores is empty.")
    refuse_duplicates(frame, COLUMNS[:-1], "The table of scores")
    if MEAN in set(frame.instrument):
        raise ValueError("No instrument may be called 'mean': the tables use it for the mean.")
    return frame.reset_index(drop=True)


def refuse_duplicates(frame: pd.DataFrame, keys: Sequence[str], label: str) -> None:
    """Raises an error if two lines agree in all of `keys`.

    Args:
        frame (:class:`pandas.DataFrame`): Any table.
        keys (sequence of str): Columns that identify a line.
        label (str): What the table is, for the message.

    Raises:
        ValueError: with the number of duplicates and the first of them.
    """
    repeated = frame.duplicated(list(keys))
    if repeated.any():
        line = frame[repeated].iloc[0][list(keys)].to_dict()
        raise ValueError(
            f"{label} contains duplicate lines ({int(repeated.sum())}); the first is {line}."
        )


def _ordered(found: Iterable[str], order: Sequence[str]) -> list[str]:
    """Distinct values in the given order, unknown ones last."""
    distinct = list(dict.fromkeys(found))
    return [*(x for x in order if x in distinct), *(x for x in distinct if x not in order)]
