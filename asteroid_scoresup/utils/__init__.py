"""Helpers for files, processes and streams; they know nothing about music."""
