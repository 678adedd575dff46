"""Alignment: where in a recording each moment of a score sounds."""

from .align import Alignment, WrongScoreError, align
from .warp import Span, Warp

__all__ = ["Alignment", "Span", "Warp", "WrongScoreError", "align"]
