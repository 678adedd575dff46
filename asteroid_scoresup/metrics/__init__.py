"""How good stems and notes are, with silence left out of the means and counted."""

from .report import (
    INPUT_MIXTURE,
    METRICS,
    SCORE_ORACLE,
    SUPERVISED,
    Table,
    all_metrics,
    detail_table,
    flat_metrics,
    separation_table,
    summarise,
    tables,
    tidy,
    transcription_table,
    write_tables,
)
from .results import RESULT_COLUMNS, read_results, to_results
from .separation import separation_scores, si_sdr
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
    "note_scores",
    "read_results",
    "roll_to_notes",
    "separation_scores",
    "separation_table",
    "si_sdr",
    "summarise",
    "tables",
    "tidy",
    "to_results",
    "transcription_table",
    "write_tables",
]
