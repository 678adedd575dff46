"""The paper's two tables, and one with all details.

Every table is made from the output of :func:`~asteroid_scoresup.evaluation.summarize`, one per test
set. The last mean is over seeds; ± is the sample standard deviation over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .summary import (
    MEAN,
    REFERENCE_FREE,
    SIGNALS,
    TRANSCRIPTION,
    instruments_of,
    select_test_set,
)
from .table import Table

if TYPE_CHECKING:  # importing it takes long, and separation needs none of it
    import pandas as pd

INPUT_MIXTURE = "input mixture"
SCORE_ORACLE = "score oracle"
SUPERVISED = "supervised"
#: Rows of every separation table, with a dash if they were not evaluated.
ALWAYS = (INPUT_MIXTURE, SCORE_ORACLE)
#: Column with the fraction of the way from the mixture to the supervised row.
GAP = "gap closed (%)"


def separation_table(
    summary: pd.DataFrame,
    test_set: str | None = None,
    order: Sequence[str] = (),
    instruments: Sequence[str] | None = None,
    supervised: str = SUPERVISED,
    always: Sequence[str] = ALWAYS,
) -> Table:
    """The paper's separation table: SI-SDR per class and its mean, per row.

    Two columns are added: the mean improvement over the mixture (SI-SDRi), and the ratio of this
    improvement to that of the row `supervised`, in percent.

    Args:
        summary (:class:`pandas.DataFrame`): Output of
            :func:`~asteroid_scoresup.evaluation.summarize`.
        test_set (str, optional): Which test set; optional if there is only one.
        order (sequence of str): Rows in the desired order; others follow in order of
            appearance. Rows without SI-SDR are left out, except those of `always`.
        instruments (sequence of str, optional): Columns in the desired order. Default: all.
        supervised (str): Row that closes the gap; without it the column is left out.
        always (sequence of str): Rows with a dash if they were not evaluated; by default *input
            mixture* and *score oracle*.

    Returns:
        Table: Values in dB; ``gap closed`` in percent.

    Raises:
        ValueError: if the test set is not in `summary`, or none is named and there are several.
    """
    part, test_set = select_test_set(summary, test_set)
    instruments = instruments_of(part, instruments)
    rows = _rows(part[part.metric == "si_sdr"], order, always)
    value, spread = _over_seeds(part, "si_sdr", rows, instruments)
    better, better_spread = _over_seeds(part, "si_sdr_imp", rows, [MEAN])
    value["SI-SDRi"], spread["SI-SDRi"] = better[MEAN], better_spread[MEAN]
    decimals = {**dict.fromkeys(value.columns, 1), GAP: 0}
    # A supervised row that is no better than the mixture leaves no gap to close.
    if value["SI-SDRi"].get(supervised, np.nan) > 0:
        value[GAP] = 100 * value["SI-SDRi"] / value.loc[supervised, "SI-SDRi"]
        spread[GAP] = np.nan
    caption = _caption(part[part.metric == "si_sdr"], instruments, "is silent in")
    title = f"SI-SDR in dB, {test_set}"
    return Table("separation", test_set, title, value, spread, decimals, caption)


def transcription_table(
    summary: pd.DataFrame,
    test_set: str | None = None,
    order: Sequence[str] = (),
    instruments: Sequence[str] | None = None,
    score: str = "note_accuracy",
    signals: Sequence[str] = SIGNALS,
) -> Table:
    """The paper's transcription table: a score of the transcriptor per class and input signal.

    Args:
        summary (:class:`pandas.DataFrame`): Output of
            :func:`~asteroid_scoresup.evaluation.summarize`.
        test_set (str, optional): Which test set; optional if there is only one.
        order (sequence of str): Rows in the desired order; others follow in order of
            appearance.
        instruments (sequence of str, optional): Columns in the desired order. Default: all.
        score (str): ``note_accuracy``, ``note_f1`` or ``note_f1_offset``.
        signals (sequence of str): Blocks of columns: the transcriptor on the ``mixture``, on
            ``isolated`` stems, on ``separated`` stems. Blocks without a number are left out.

    Returns:
        Table: Values in [0, 1]; columns such as ``mixture bass``.

    Raises:
        ValueError: if the test set or the score is unknown.
    """
    import pandas as pd

    if score not in TRANSCRIPTION:
        raise ValueError(f"score must be one of {list(TRANSCRIPTION)}, found {score!r}.")
    part, test_set = select_test_set(summary, test_set)
    instruments = instruments_of(part, instruments)
    part = part[part.metric.isin([f"{score}_{signal}" for signal in signals])]
    present = part[part.value.notna()]
    rows = _rows(present, order)
    values, spreads = [], []
    for signal in signals:
        metric = f"{score}_{signal}"
        if metric in set(present.metric):
            pair = _over_seeds(part, metric, rows, instruments)
            values.append(pair[0].add_prefix(f"{signal} "))
            spreads.append(pair[1].add_prefix(f"{signal} "))
    value = pd.concat(values, axis=1) if values else pd.DataFrame(index=pd.Index(rows))
    spread = pd.concat(spreads, axis=1) if spreads else value.copy()
    caption = _caption(part[part.row.isin(rows)], instruments, "has no note in")
    title = f"{TRANSCRIPTION[score]} of the transcriptor, {test_set}"
    return Table(score, test_set, title, value, spread, dict.fromkeys(value.columns, 2), caption)


def detail_table(
    summary: pd.DataFrame,
    test_set: str | None = None,
    order: Sequence[str] = (),
    instruments: Sequence[str] | None = None,
) -> Table:
    """All separation scores, one line per row and class.

    Args:
        summary (:class:`pandas.DataFrame`): Output of
            :func:`~asteroid_scoresup.evaluation.summarize`.
        test_set (str, optional): Which test set; optional if there is only one.
        order (sequence of str): Rows in the desired order; others follow in order of
            appearance.
        instruments (sequence of str, optional): Classes in the desired order. Default: all.

    Returns:
        Table: Rows such as ``isolated c, bass``; mean and median SI-SDR, mean SI-SDRi, leakage
        into silent tracks (all in dB), and the numbers of counted and of silent tracks.

    Raises:
        ValueError: if the test set is not in `summary`, or none is named and there are several.
    """
    import pandas as pd

    part, test_set = select_test_set(summary, test_set)
    instruments = instruments_of(part, instruments)
    rows = _rows(part[part.metric == "si_sdr"], order)
    columns = {
        "mean": ("si_sdr", "value"),
        "median": ("si_sdr", "median"),
        "SI-SDRi": ("si_sdr_imp", "value"),
        "leakage": ("leakage_db", "value"),
        "n counted": ("si_sdr", "n_counted"),
        "n silent": ("si_sdr", "n_silent"),
    }
    means, deviations = {}, {}
    for title, (metric, column) in columns.items():
        pair = _over_seeds(part, metric, rows, instruments, column)
        means[title], deviations[title] = (_lines(frame) for frame in pair)
    value, spread = pd.DataFrame(means), pd.DataFrame(deviations)
    spread[["n counted", "n silent"]] = np.nan
    for frame in (value, spread):
        frame.index = [f"{row}, {instrument}" for row, instrument in frame.index]
    decimals = {**dict.fromkeys(columns, 1), "n counted": 0, "n silent": 0}
    caption = _caption(part[part.metric == "si_sdr"], instruments, "is silent in")
    title = f"SI-SDR and leakage in dB, {test_set}"
    return Table("detail", test_set, title, value, spread, decimals, caption)


def reference_free_table(
    summary: pd.DataFrame,
    test_set: str | None = None,
    order: Sequence[str] = (),
    instruments: Sequence[str] | None = None,
) -> Table:
    """The scores that need no stems, see :mod:`~asteroid_scoresup.evaluation.reference_free`.

    Args:
        summary, test_set, order, instruments: See :func:`detail_table`.

    Returns:
        Table: Rows such as ``network, bass``; scores of notes in [0, 1], levels in dB.

    Raises:
        ValueError: as :func:`detail_table`.
    """
    import pandas as pd

    part, test_set = select_test_set(summary, test_set)
    instruments = [name for name in instruments_of(part, instruments) if name != MEAN]
    rows = _rows(part[part.metric.isin(REFERENCE_FREE)], order)
    present = [m for m in REFERENCE_FREE if part.value[part.metric == m].notna().any()]
    columns = {}
    for metric in present:
        columns[metric] = _lines(_over_seeds(part, metric, rows, instruments)[0])
    value = pd.DataFrame(columns).dropna(how="all")
    value.index = [f"{row}, {instrument}" for row, instrument in value.index]
    decimals = {metric: 1 if metric.endswith("_db") else 2 for metric in present}
    title = f"Scores without stems, {test_set}"
    empty = value.astype(float) * np.nan
    return Table("reference_free", test_set, title, value, empty, decimals)


def tables(
    summary: pd.DataFrame,
    order: Sequence[str] = (),
    instruments: Sequence[str] | None = None,
    supervised: str = SUPERVISED,
) -> list[Table]:
    """All tables: per test set separation, note accuracy and F1 of notes, if they were measured.

    Args:
        summary (:class:`pandas.DataFrame`): Output of
            :func:`~asteroid_scoresup.evaluation.summarize`.
        order (sequence of str): Rows in the desired order; others follow in order of
            appearance.
        instruments (sequence of str, optional): Columns in the desired order. Default: all.
        supervised (str): See :func:`separation_table`.

    Returns:
        list of Table
    """
    found = []
    for test_set in dict.fromkeys(summary.test_set):
        if "si_sdr" in set(summary.metric[summary.test_set == test_set]):
            found.append(separation_table(summary, test_set, order, instruments, supervised))
        for score in TRANSCRIPTION:
            table = transcription_table(summary, test_set, order, instruments, score)
            if len(table.values.columns):
                found.append(table)
    return found


def _rows(part: pd.DataFrame, order: Sequence[str], always: Sequence[str] = ()) -> list[str]:
    """Rows in the given order, those `always` shown, then the others in order of appearance."""
    present = list(dict.fromkeys(part.row))
    ordered = [row for row in order if row in present or row in always]
    leading = [row for row in always if row not in ordered]
    return [*leading, *ordered, *(row for row in present if row not in {*ordered, *leading})]


def _over_seeds(
    part: pd.DataFrame,
    metric: str,
    rows: Sequence[str],
    instruments: Sequence[str],
    column: str = "value",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean and sample standard deviation over seeds, rows by instruments."""
    lines = part[part.metric == metric]
    groups = lines.groupby(["row", "instrument"], sort=False)[column]
    mean, deviation = (
        series.unstack("instrument").reindex(index=rows, columns=instruments)
        for series in (groups.mean(), groups.std())
    )
    return mean, deviation


def _lines(frame: pd.DataFrame) -> pd.Series:
    """One line per (row, instrument), including empty ones, which ``DataFrame.stack`` keeps or
    drops depending on the version of pandas."""
    import pandas as pd

    index = pd.MultiIndex.from_product([frame.index, frame.columns])
    return pd.Series(frame.to_numpy(dtype=float).ravel(), index=index)


def _caption(lines: pd.DataFrame, instruments: Sequence[str], silent: str) -> str:
    """The numbers of tracks and seeds that a table is based on."""
    if not len(lines):
        return ""
    lines = lines[lines.instrument != MEAN]
    seeds = lines.groupby("row", sort=False).seed.nunique(dropna=False)
    fewest, most = seeds[seeds > 1].min(), seeds.max()
    many = most if fewest == most else f"{fewest} to {most}"
    spread = f"± is the standard deviation over {many} seeds." if most > 1 else ""
    tracks = lines.n_counted + lines.n_silent
    if tracks.isna().all():  # read from a file of means
        return spread
    text = f"{tracks.max()} whole tracks"
    if tracks.min() < tracks.max():
        # Means over different tracks are not comparable.
        text = f"{tracks.min()} to {tracks.max()} whole tracks: not the same ones in every row"
    n_silent = lines.groupby("instrument", sort=False).n_silent.max()
    left_out = [f"{name} {silent} {n_silent[name]}" for name in instruments if n_silent.get(name)]
    text += f"; left out of the means: {', '.join(left_out)}" if left_out else ""
    return f"{text}; {spread}" if spread else f"{text}."
