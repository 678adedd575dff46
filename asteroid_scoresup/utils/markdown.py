"""Tables in GitHub's Markdown.

``pandas.DataFrame.to_markdown`` would need the package ``tabulate``, whose ``github`` format has
no column alignment and does not escape ``|`` in cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table in GitHub's Markdown, padded so that it also reads well in a terminal.

    Args:
        header (sequence of str): Column titles. The first column contains the row names and is
            aligned to the left, all others to the right.
        rows (iterable of sequence): Cells of each row, already formatted.

    Returns:
        str: The lines of the table, without a newline at the end.

    Raises:
        ValueError: if a row does not have one cell per column.

    Examples
        >>> print(markdown_table(["row", "SI-SDR"], [["isolated c", "4.3"], ["a|b", "-2.3"]]))
        | row        | SI-SDR |
        | ---------- | -----: |
        | isolated c |    4.3 |
        | a\\|b       |   -2.3 |
    """
    lines = [[_cell(value) for value in line] for line in (header, *rows)]
    odd = next((line for line in lines if len(line) != len(lines[0])), None)
    if odd is not None:
        raise ValueError(
            f"The table has {len(lines[0])} columns {lines[0]}, but the row {odd} has {len(odd)} "
            "cells."
        )
    # Three characters are the shortest rule that every Markdown parser accepts.
    widths = [max(3, *map(len, column)) for column in zip(*lines)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [
        [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:]))]
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])


def _cell(value: object) -> str:
    # A line break would end the row, a bar the cell.
    return " ".join(str(value).splitlines()).replace("|", "\\|")
