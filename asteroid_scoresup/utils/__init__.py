"""Helpers for files, processes and streams; independent of music."""
