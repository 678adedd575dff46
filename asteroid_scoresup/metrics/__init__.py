"""Scores of stems and notes, with silence left out of the means and counted."""

from .markdown import markdown_table
from .report import (
    INPUT_MIXTURE,
    SCORE_ORACLE,
    SUPERVISED,
    detail_table,
    separation_table,
    tables,
    transcription_table,
)
from .results import RESULT_COLUMNS, read_results, to_results
from .separation import separation_scores, si_sdr
from .summary import METRICS, all_metrics, flat_metrics, summarize, tidy
from .table import Table, write_tables
from .transcription import NOTE_THRESHOLD, frame_accuracy, note_scores, roll_to_notes

__all__ = [
    "INPUT_MIXTURE",
    "METRICS",
    "NOTE_THRESHOLD",
    "RESULT_COLUMNS",
    "SCORE_ORACLE",
    "SUPERVISED",
    "Table",
    "all_metrics",
    "detail_table",
    "flat_metrics",
    "frame_accuracy",
    "markdown_table",
    "note_scores",
    "read_results",
    "roll_to_notes",
    "separation_scores",
    "separation_table",
    "si_sdr",
    "summarize",
    "tables",
    "tidy",
    "to_results",
    "transcription_table",
    "write_tables",
]
