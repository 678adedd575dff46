"""Alignment: where in a recording each moment of a score sounds."""

from .warp import Span, Warp

__all__ = ["Span", "Warp"]
