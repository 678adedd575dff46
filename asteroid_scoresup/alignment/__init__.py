"""Alignment: where in a recording each moment of a score sounds."""

from .align import ALIGN_MODES, Alignment, align
from .mismatch import UnalignableScoreError, WrongScoreError
from .warp import Span, Warp

__all__ = [
    "ALIGN_MODES",
    "Alignment",
    "Span",
    "UnalignableScoreError",
    "Warp",
    "WrongScoreError",
    "align",
]
