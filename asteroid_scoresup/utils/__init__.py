"""Helpers for files, processes and streams that know nothing of music."""
