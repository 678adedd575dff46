"""One table of a report: numbers, their spread over seeds, and how they are written."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..utils.files import atomic_path, write_json
from ..utils.markdown import markdown_table
from .summary import finite_or_none

if TYPE_CHECKING:  # importing it takes long, and separation needs none of it
    import pandas as pd


@dataclass
class Table:
    """One table with all its numbers.

    Args:
        kind (str): ``separation``, ``detail``, or a transcription score such as ``note_accuracy``.
        test_set (str): Test set of the numbers.
        title (str): Heading, with the unit.
        values (:class:`pandas.DataFrame`): One line per row of the table; NaN where a number is
            missing.
        spread (:class:`pandas.DataFrame`): Standard deviation over seeds, of the same shape; NaN
            for one seed.
        decimals (dict of str to int): Decimals per column.
        caption (str): Notes for the reader: counts, seeds.
    """

    kind: str
    test_set: str
    title: str
    values: pd.DataFrame
    spread: pd.DataFrame
    decimals: dict[str, int]
    caption: str = ""

    def to_markdown(self) -> str:
        """The table as GitHub Markdown, with its title and caption."""
        table = markdown_table(
            ["", *self.values.columns],
            [[r, *(self._cell(r, c) for c in self.values.columns)] for r in self.values.index],
        )
        lines = [f"**{self.title}**", "", table, ""]
        return "\n".join([*lines, self.caption, ""] if self.caption else lines)

    def to_frame(self) -> pd.DataFrame:
        """The numbers as one flat table: ``test_set``, ``row``, then values and ``… std`` columns.

        A column has a ``std`` column only if some row has several seeds.
        """
        import pandas as pd

        columns = {"test_set": self.test_set, "row": list(self.values.index)}
        for column in self.values.columns:
            columns[column] = self.values[column].to_numpy()
            if self.spread[column].notna().any():
                columns[f"{column} std"] = self.spread[column].to_numpy()
        return pd.DataFrame(columns)

    def to_dict(self) -> dict[str, object]:
        """The table in plain Python types, for JSON; a missing number is None."""
        records = self.to_frame().drop(columns="test_set").to_dict("records")
        rows = [
            {key: v if isinstance(v, str) else finite_or_none(v) for key, v in record.items()}
            for record in records
        ]
        about = {"kind": self.kind, "test_set": self.test_set, "title": self.title}
        return {**about, "caption": self.caption, "rows": rows}

    def _cell(self, row: Hashable, column: str) -> str:
        value, spread = self.values.loc[row, column], self.spread.loc[row, column]
        if not np.isfinite(value):
            return "—"
        decimals = self.decimals[column]
        # Adding 0.0 turns the "-0.0" of a small rounded loss into "0.0".
        text = f"{round(value, decimals) + 0.0:.{decimals}f}"
        return f"{text} ± {spread:.{decimals}f}" if np.isfinite(spread) else text


def write_tables(folder: str | Path, tables: Sequence[Table], stem: str = "tables") -> str:
    """Writes tables as Markdown, JSON, and one CSV file per kind, atomically.

    Args:
        folder (str or Path): Output folder; created if it does not exist.
        tables (list of Table): The tables.
        stem (str): The files are named ``<stem>.md``, ``<stem>.json`` and, per kind of table,
            ``<stem>_<kind>.csv``.

    Returns:
        str: The Markdown, for printing.
    """
    import pandas as pd

    folder = Path(folder)
    markdown = "\n".join(table.to_markdown() for table in tables)
    with atomic_path(folder / f"{stem}.md") as temporary:
        temporary.write_text(markdown, encoding="utf-8")
    write_json(folder / f"{stem}.json", [table.to_dict() for table in tables])
    for kind in dict.fromkeys(table.kind for table in tables):
        frame = pd.concat([t.to_frame() for t in tables if t.kind == kind], ignore_index=True)
        with atomic_path(folder / f"{stem}_{kind}.csv") as temporary:
            frame.to_csv(temporary, index=False)
    return markdown
