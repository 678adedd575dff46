"""From scores per track to the paper's two tables.

Everything here starts from one tidy table with the columns ``row, seed, test_set, track,
instrument, metric, value`` (:data:`COLUMNS`): `row` is a line of the paper's tables, `seed` the
training run behind it, `test_set` one body of test tracks. Means are taken in the paper's order:
first over the tracks of an instrument, then over instruments (so a class that is often silent
weighs as much as the others), and last over seeds, where ± is the sample standard deviation.
NaN values (silent classes, classes without notes) are left out of every mean and counted. Which
values are NaN depends on the references alone, so rows of one test set are means over the same
tracks.

Test sets are never pooled: each has its own tables.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.files import atomic_path, write_json

#: Columns of the tidy table.
COLUMNS = ("row", "seed", "test_set", "track", "instrument", "metric", "value")
#: Scores of separation, in dB.
SEPARATION = ("si_sdr", "si_sdr_imp", "input_si_sdr", "leakage_db")
#: What the transcriptor listens to.
SIGNALS = ("mixture", "isolated", "separated")
#: Scores of transcription, and what they are called in tables.
TRANSCRIPTION = {
    "note_accuracy": "Note accuracy (frames)",
    "note_f1": "F1 of note onsets",
    "note_f1_offset": "F1 of notes, onset and offset",
}
#: All scores of the tidy table.
METRICS = SEPARATION + tuple(f"{score}_{signal}" for score in TRANSCRIPTION for signal in SIGNALS)

INPUT_MIXTURE = "input mixture"
SCORE_ORACLE = "score oracle"
SUPERVISED = "supervised"
#: Lines that stand in every separation table, with a dash where they were not evaluated.
ALWAYS = (INPUT_MIXTURE, SCORE_ORACLE)

MEAN = "mean"
GAP = "gap closed (%)"
_GROUP = ["row", "seed", "test_set", "instrument", "metric"]


def tidy(records):
    """Brings one record per track and class into the tidy form.

    Args:
        records (list of dict or :class:`pandas.DataFrame`): Each with ``row``, ``test_set``,
            ``track``, ``instrument``, optionally ``seed`` (0 by default), and any scores of
            :data:`METRICS`; other keys are ignored. NaN in one track is a class that does not
            count there; NaN in all tracks of a row is a score that was not measured.

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
            f"The records hold none of the scores {list(METRICS)}; found {list(frame.columns)}."
        )
    long = frame.melt(identifiers, metrics, var_name="metric", value_name="value")
    long = long.astype({"value": float})
    measured = long.groupby(["row", "seed", "test_set", "metric"], dropna=False).value
    measured = measured.transform("count") > 0
    return long.loc[measured, list(COLUMNS)].reset_index(drop=True)


def all_metrics(frame):
    """The tidy table with one line per track and class: the content of ``all_metrics.csv``.

    Args:
        frame (:class:`pandas.DataFrame`): Tidy table, see :data:`COLUMNS`.

    Returns:
        :class:`pandas.DataFrame`: Columns ``row, seed, test_set, track, instrument``, then one
        per score, in the order of :data:`METRICS`.
    """
    frame = _validated(frame)
    identifiers = list(COLUMNS[:5])
    metrics = _ordered(frame.metric, METRICS)
    keys = frame[identifiers].drop_duplicates()
    wide = frame.set_index([*identifiers, "metric"]).value.unstack("metric")
    # Lines stay in the order in which they came; unstack sorts them.
    wide = wide.reindex(pd.MultiIndex.from_frame(keys))[metrics]
    return wide.reset_index().rename_axis(columns=None)


def summarise(frame):
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
        ValueError: if a column is missing, a line stands twice, or an instrument is called
            ``mean``.

    Examples
        >>> values = {"bass": [8.0, 10.0], "piano": [5.0, float("nan")]}
        >>> records = [{"row": "isolated c", "test_set": "test", "track": track, "instrument": name,
        ...             "si_sdr": values[name][track]} for name in values for track in (0, 1)]
        >>> summary = summarise(tidy(records))
        >>> summary[["instrument", "value", "n_counted", "n_silent"]].values.tolist()
        [['bass', 9.0, 2, 0], ['piano', 5.0, 1, 1], ['mean', 7.0, 3, 1]]
    """
    frame = _validated(frame)
    groups = frame.groupby(_GROUP, sort=False, dropna=False).value
    summary = groups.agg(value="mean", median="median", n_counted="count", n_tracks="size")
    summary = summary.reset_index()
    left_out = summary.n_tracks - summary.n_counted
    summary["n_silent"] = left_out.where(summary.metric != "leakage_db", summary.n_counted)

    over = [column for column in _GROUP if column != "instrument"]
    groups = summary.groupby(over, sort=False, dropna=False)
    mean = groups.agg(
        value=("value", "mean"),
        median=("median", "mean"),
        n_counted=("n_counted", "sum"),
        n_silent=("n_silent", "sum"),
    )
    mean = mean.reset_index().assign(instrument=MEAN)
    columns = [*_GROUP, "value", "median", "n_counted", "n_silent"]
    return pd.concat([summary[columns], mean[columns]], ignore_index=True)


@dataclass
class Table:
    """One table, numbers and all.

    Args:
        kind (str): ``separation``, a key of :data:`TRANSCRIPTION`, or ``detail``.
        test_set (str): Where the numbers come from.
        title (str): Heading, with the unit.
        values (:class:`pandas.DataFrame`): One line per row of the table; NaN where there is none.
        spread (:class:`pandas.DataFrame`): Standard deviation over seeds, same shape; NaN for one
            seed.
        decimals (dict of str to int): Decimals per column.
        caption (str): What the reader must know: counts, seeds.
    """

    kind: str
    test_set: str
    title: str
    values: pd.DataFrame
    spread: pd.DataFrame
    decimals: dict
    caption: str = ""

    def to_markdown(self):
        """The table as GitHub Markdown, aligned so that it reads well in a terminal too."""
        head = ["", *map(str, self.values.columns)]
        body = [
            [_escape(row), *(self._cell(row, column) for column in self.values.columns)]
            for row in self.values.index
        ]
        widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
        widths = [max(width, 3) for width in widths]

        def line(cells):
            first, *others = (cell for cell in zip(cells, widths))
            text = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
            return "| " + " | ".join(text) + " |"

        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        lines = [f"**{self.title}**", "", line(head), line(rule), *map(line, body)]
        return "\n".join([*lines, "", self.caption, ""] if self.caption else [*lines, ""])

    def to_frame(self):
        """The numbers as one flat frame: ``test_set``, ``row``, then value and ``… std`` columns.

        A ``std`` column is there only where some row has several seeds.
        """
        columns = {"test_set": self.test_set, "row": list(self.values.index)}
        for column in self.values.columns:
            columns[column] = self.values[column].to_numpy()
            if self.spread[column].notna().any():
                columns[f"{column} std"] = self.spread[column].to_numpy()
        return pd.DataFrame(columns)

    def to_dict(self):
        """Plain Python types for JSON; a missing number is None."""
        records = self.to_frame().drop(columns="test_set").to_dict("records")
        rows = [{key: _plain(value) for key, value in record.items()} for record in records]
        about = {"kind": self.kind, "test_set": self.test_set, "title": self.title}
        return {**about, "caption": self.caption, "rows": rows}

    def _cell(self, row, column):
        value, spread = self.values.loc[row, column], self.spread.loc[row, column]
        if not np.isfinite(value):
            return "—"
        decimals = self.decimals[column]
        # Adding 0.0 turns the "-0.0" that rounding makes of small losses into "0.0".
        text = f"{round(value, decimals) + 0.0:.{decimals}f}"
        return f"{text} ± {spread:.{decimals}f}" if np.isfinite(spread) else text


def separation_table(summary, test_set=None, order=(), instruments=None, supervised=SUPERVISED):
    """The paper's table of separation: SI-SDR per class and mean, per row.

    Two columns are added: the mean improvement over the mixture (SI-SDRi), and how much of the way
    from the mixture to the row `supervised` a row goes (the ratio of their SI-SDRi, in percent).

    Args:
        summary (:class:`pandas.DataFrame`): What :func:`summarise` returned.
        test_set (str, optional): Which test set; may be left out if there is only one.
        order (sequence of str): Rows in the order wanted; others follow as they come. Rows without
            SI-SDR are left out, except *input mixture* and *score oracle*, which stand in every
            table, with a dash if they were not evaluated.
        instruments (sequence of str, optional): Columns in the order wanted. Default: all.
        supervised (str): Name of the row that closes the gap; no such column without it.

    Returns:
        Table: values in dB; ``gap closed`` in percent.

    Raises:
        ValueError: if the test set is not in `summary`, or not named and there are several.
    """
    part, test_set = _part(summary, test_set)
    instruments = _instruments(part, instruments)
    rows = _rows(part[part.metric == "si_sdr"], order, ALWAYS)
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
    summary, test_set=None, order=(), instruments=None, score="note_accuracy", signals=SIGNALS
):
    """The paper's table of transcription: note accuracy per class, per signal listened to.

    Args:
        summary (:class:`pandas.DataFrame`): What :func:`summarise` returned.
        test_set, order, instruments: As in :func:`separation_table`.
        score (str): A key of :data:`TRANSCRIPTION`.
        signals (sequence of str): Blocks of columns: the transcriptor on the ``mixture``, on
            ``isolated`` references, on ``separated`` stems. Blocks without a number are left out.

    Returns:
        Table: values in [0, 1]; columns such as ``mixture bass``.

    Raises:
        ValueError: if the test set or the score is unknown.
    """
    if score not in TRANSCRIPTION:
        raise ValueError(f"score must be one of {list(TRANSCRIPTION)}, found {score!r}.")
    part, test_set = _part(summary, test_set)
    instruments = _instruments(part, instruments)
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


def detail_table(summary, test_set=None, order=(), instruments=None):
    """Everything about the separation of each row and class, one line each.

    Args:
        summary (:class:`pandas.DataFrame`): What :func:`summarise` returned.
        test_set, order, instruments: As in :func:`separation_table`.

    Returns:
        Table: lines such as ``isolated c, bass``; mean and median SI-SDR, mean SI-SDRi, leakage
        into silent tracks (all in dB), and how many tracks counted and how many were silent.

    Raises:
        ValueError: if the test set is not in `summary`, or not named and there are several.
    """
    part, test_set = _part(summary, test_set)
    instruments = _instruments(part, instruments)
    rows = _rows(part[part.metric == "si_sdr"], order)
    columns = {
        "mean": ("si_sdr", "value"),
        "median": ("si_sdr", "median"),
        "SI-SDRi": ("si_sdr_imp", "value"),
        "leakage": ("leakage_db", "value"),
        "n counted": ("si_sdr", "n_counted"),
        "n silent": ("si_sdr", "n_silent"),
    }
    value, spread = {}, {}
    for title, (metric, column) in columns.items():
        pair = _over_seeds(part, metric, rows, instruments, column)
        value[title], spread[title] = (_lines(frame) for frame in pair)
    value, spread = pd.DataFrame(value), pd.DataFrame(spread)
    spread[["n counted", "n silent"]] = np.nan
    for frame in (value, spread):
        frame.index = [f"{row}, {instrument}" for row, instrument in frame.index]
    decimals = {**dict.fromkeys(columns, 1), "n counted": 0, "n silent": 0}
    caption = _caption(part[part.metric == "si_sdr"], instruments, "is silent in")
    title = f"SI-SDR and leakage in dB, {test_set}"
    return Table("detail", test_set, title, value, spread, decimals, caption)


def tables(summary, order=(), instruments=None, supervised=SUPERVISED):
    """Every table: per test set separation, note accuracy and F1 of notes, if there are numbers.

    Args:
        summary (:class:`pandas.DataFrame`): What :func:`summarise` returned.
        order, instruments, supervised: As in :func:`separation_table`.

    Returns:
        list of Table
    """
    made = []
    for test_set in dict.fromkeys(summary.test_set):
        if "si_sdr" in set(summary.metric[summary.test_set == test_set]):
            made.append(separation_table(summary, test_set, order, instruments, supervised))
        for score in TRANSCRIPTION:
            table = transcription_table(summary, test_set, order, instruments, score)
            if len(table.values.columns):
                made.append(table)
    return made


def write_tables(folder, made, stem="tables"):
    """Writes tables as Markdown, JSON, and one CSV per kind, atomically.

    Args:
        folder (str or Path): Where to; made if it is not there.
        made (list of Table): What :func:`tables` returned.
        stem (str): Names are ``<stem>.md``, ``<stem>.json`` and one ``<stem>_<kind>.csv`` per
            kind of table (``separation``, those of :data:`TRANSCRIPTION`, ``detail``).

    Returns:
        str: the Markdown, for printing.
    """
    folder = Path(folder)
    markdown = "\n".join(table.to_markdown() for table in made)
    with atomic_path(folder / f"{stem}.md") as temporary:
        temporary.write_text(markdown, encoding="utf-8")
    write_json(folder / f"{stem}.json", [table.to_dict() for table in made])
    for kind in dict.fromkeys(table.kind for table in made):
        frame = pd.concat([t.to_frame() for t in made if t.kind == kind], ignore_index=True)
        with atomic_path(folder / f"{stem}_{kind}.csv") as temporary:
            frame.to_csv(temporary, index=False)
    return markdown


def flat_metrics(summary, row, test_set=None):
    """The scores of one row under Asteroid's flat keys: the content of ``final_metrics.json``.

    Args:
        summary (:class:`pandas.DataFrame`): What :func:`summarise` returned.
        row (str): Which row.
        test_set (str, optional): Which test set; may be left out if there is only one.

    Returns:
        dict: ``si_sdr``, ``si_sdr_imp``, ``input_si_sdr``, ``leakage_db``,
        ``note_accuracy_mixture``… (means over instruments), ``si_sdr_median``, ``n_counted``,
        ``n_silent``, and the same per instrument as ``bass/si_sdr``…. Floats are means over
        seeds, counts are of one seed; a number that does not exist is None.

    Raises:
        ValueError: if the row or the test set is not in `summary`.
    """
    part, test_set = _part(summary, test_set)
    if row not in set(part.row):
        known = list(dict.fromkeys(part.row))
        raise ValueError(f"There is no row {row!r} for {test_set!r}, only {known}.")
    part = part[part.row == row]
    flat = {}
    for instrument in [MEAN, *_instruments(part, None)[:-1]]:
        prefix = "" if instrument == MEAN else f"{instrument}/"
        lines = part[part.instrument == instrument]
        for metric in _ordered([*lines.metric, "leakage_db"], METRICS):
            flat[prefix + metric] = _plain(lines[lines.metric == metric].value.mean())
        # Separation counts tracks by the references; a run without it counts by the notes.
        leading = lines[lines.metric == _ordered(lines.metric, METRICS)[0]]
        if leading.metric.iloc[0] == "si_sdr":
            flat[prefix + "si_sdr_median"] = _plain(leading["median"].mean())
        flat[prefix + "n_counted"] = int(leading.n_counted.iloc[0])
        flat[prefix + "n_silent"] = int(leading.n_silent.iloc[0])
    json.dumps(flat, allow_nan=False)  # a promise to the readers of final_metrics.json
    return flat


def _validated(frame):
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise ValueError(
            f"The table of scores lacks the columns {missing}; found {list(frame.columns)}."
        )
    if not len(frame):
        raise ValueError("The table of scores is empty.")
    repeated = frame.duplicated(list(COLUMNS[:-1]))
    if repeated.any():
        line = frame[repeated].iloc[0][list(COLUMNS[:-1])].to_dict()
        raise ValueError(f"{int(repeated.sum())} scores stand twice, the first is {line}.")
    if MEAN in set(frame.instrument):
        raise ValueError("No instrument may be called 'mean': the tables use it for the mean.")
    return frame.reset_index(drop=True)


def _part(summary, test_set):
    """The lines of one test set, and its name."""
    known = list(dict.fromkeys(summary.test_set))
    if test_set is None and len(known) == 1:
        test_set = known[0]
    if test_set not in known:
        raise ValueError(f"test_set must be one of {known}, found {test_set!r}.")
    return summary[summary.test_set == test_set], test_set


def _instruments(part, instruments):
    """The instruments in order, with the mean last."""
    found = dict.fromkeys(part.instrument) if instruments is None else instruments
    return [*(name for name in found if name != MEAN), MEAN]


def _rows(part, order, always=()):
    """Rows in the caller's order, those `always` shown, and the others as they come."""
    present = list(dict.fromkeys(part.row))
    ordered = [row for row in order if row in present or row in always]
    leading = [row for row in always if row not in ordered]
    return [*leading, *ordered, *(row for row in present if row not in {*ordered, *leading})]


def _over_seeds(part, metric, rows, instruments, column="value"):
    """Mean and sample standard deviation over seeds, rows by instruments."""
    lines = part[part.metric == metric]
    groups = lines.groupby(["row", "instrument"], sort=False)[column]
    return tuple(
        column.unstack("instrument").reindex(index=rows, columns=instruments)
        for column in (groups.mean(), groups.std())
    )


def _lines(frame):
    """One line per (row, instrument), empty ones too (pandas' own ``stack`` drops them or not,
    depending on its version)."""
    index = pd.MultiIndex.from_product([frame.index, frame.columns])
    return pd.Series(frame.to_numpy(dtype=float).ravel(), index=index)


def _caption(lines, instruments, silent):
    """How many tracks stand behind the numbers, and how many seeds."""
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
        # Means over different tracks must not be compared; the reader has to know.
        text = f"{tracks.min()} to {tracks.max()} whole tracks: not the same ones in every row"
    n_silent = lines.groupby("instrument", sort=False).n_silent.max()
    left_out = [f"{name} {silent} {n_silent[name]}" for name in instruments if n_silent.get(name)]
    text += f"; left out of the means: {', '.join(left_out)}" if left_out else ""
    return f"{text}; {spread}" if spread else f"{text}."


def _ordered(found, order):
    """Distinct values in a given order, unknown ones after."""
    found = list(dict.fromkeys(found))
    return [*(x for x in order if x in found), *(x for x in found if x not in order)]


def _escape(text):
    return str(text).replace("|", "\\|")


def _plain(value):
    """A Python number or text; None for a number that is not one."""
    if isinstance(value, str):
        return value
    value = float(value)
    return value if math.isfinite(value) else None
