"""The commands of ``asteroid-scoresup``, one per module."""
