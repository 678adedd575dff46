"""Metrics of stems and notes on whole tracks, and their tables; silence is excluded and counted."""

from .decoding import Decoding, choose_decoding, to_midi
from .evaluate import (
    INFORMED_ORACLE,
    RATIO_ORACLE,
    SOFT_ORACLE,
    TestTrack,
    fit_decoding,
    oracle_masks,
    ratio_masks,
    score_separation,
    score_transcription,
    tracks_to_score,
)
from .external import ExternalSeparator, parse_external
from .reference_free import TranscriptorReader, reference_free_scores
from .results import RESULT_COLUMNS, read_results, to_results
from .separation import separation_scores, si_sdr
from .summary import (
    METRICS,
    all_metrics,
    flat_metrics,
    summarize,
    tidy,
    without_partial_means,
)
from .table import Table, write_tables
from .tables import (
    INPUT_MIXTURE,
    SCORE_ORACLE,
    SUPERVISED,
    detail_table,
    reference_free_table,
    separation_table,
    tables,
    transcription_table,
)
from .transcription import (
    NOTE_THRESHOLD,
    frame_accuracy,
    note_scores,
    onset_scores,
    roll_to_notes,
)

__all__ = [
    "Decoding",
    "ExternalSeparator",
    "INFORMED_ORACLE",
    "INPUT_MIXTURE",
    "METRICS",
    "NOTE_THRESHOLD",
    "RATIO_ORACLE",
    "RESULT_COLUMNS",
    "SCORE_ORACLE",
    "SOFT_ORACLE",
    "SUPERVISED",
    "Table",
    "TestTrack",
    "TranscriptorReader",
    "all_metrics",
    "choose_decoding",
    "detail_table",
    "fit_decoding",
    "flat_metrics",
    "frame_accuracy",
    "note_scores",
    "onset_scores",
    "oracle_masks",
    "parse_external",
    "ratio_masks",
    "read_results",
    "reference_free_scores",
    "reference_free_table",
    "roll_to_notes",
    "score_separation",
    "score_transcription",
    "separation_scores",
    "separation_table",
    "si_sdr",
    "summarize",
    "tables",
    "tidy",
    "tracks_to_score",
    "to_midi",
    "to_results",
    "transcription_table",
    "without_partial_means",
    "write_tables",
]
