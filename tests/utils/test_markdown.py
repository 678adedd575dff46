"""One writer of Markdown tables: what a parser reads is what was put in."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asteroid_scoresup.utils.markdown import markdown_table

CELL = st.text(st.characters(categories=("L", "N", "P", "Zs"), exclude_characters="\\"))


def read(text):
    """The cells of a table, split as GitHub's parser does: at bars without a backslash."""
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.split("\n")]
    return [[cell.strip().replace("\\|", "|") for cell in line] for line in lines]


def test_the_text_is_aligned():
    assert markdown_table(["", "bass"], [["mixture", "1.2"], ["isolated c+h", "—"]]) == (
        "|              | bass |\n"
        "| ------------ | ---: |\n"
        "| mixture      |  1.2 |\n"
        "| isolated c+h |    — |"
    )


def test_short_columns_have_a_rule_that_parsers_accept():
    assert markdown_table(["a", "b"], []) == "| a   |   b |\n| --- | --: |"


@given(st.integers(1, 4), st.data())
def test_cells_are_read_back(n_columns, data):
    line = st.lists(CELL, min_size=n_columns, max_size=n_columns)
    lines = data.draw(st.lists(line, min_size=1, max_size=6))
    header, *rows = lines
    found = read(markdown_table(header, rows))
    assert found[:1] + found[2:] == [[cell.strip() for cell in line] for line in lines]
    assert all(set(rule) <= {"-", ":"} and len(rule) >= 3 for rule in found[1])


def test_line_breaks_do_not_end_a_row():
    assert markdown_table(["a"], [["one\ntwo"]]).splitlines()[2] == "| one two |"


def test_a_row_of_another_length_is_named():
    with pytest.raises(ValueError, match=r"2 columns \['row', 'bass'\], but the row \['x'\] has 1"):
        markdown_table(["row", "bass"], [["x"]])
