"""Alignment: where in a recording each moment of a score sounds."""

from .align import ALIGN_MODES, Alignment, WrongScoreError, align
from .warp import Span, Warp

__all__ = ["ALIGN_MODES", "Alignment", "Span", "Warp", "WrongScoreError", "align"]
