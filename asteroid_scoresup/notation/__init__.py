"""Reading scores in any format: MusicXML here, MIDI in :mod:`asteroid_scoresup.midi`."""

from .reader import MUSICXML_SUFFIXES, SCORE_SUFFIXES, read_score

__all__ = ["MUSICXML_SUFFIXES", "SCORE_SUFFIXES", "read_score"]
