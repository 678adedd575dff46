"""From the files of a song to audio and notes in memory, whatever its layout."""

from __future__ import annotations

import numpy as np

from ..alignment import Alignment
from ..dsp.level import SILENCE
from ..score import LOWEST_PITCH, N_PITCHES
from .discovery import SongSource
from .drops import UnusableSongError, drop_record
from .pair_reader import read_pair_song
from .pairs import Pair
from .settings import Settings
from .slakh_reader import read_slakh_song
from .song import Song, fit_notes


def read_song(
    source: SongSource,
    settings: Settings,
    find_defects: bool = True,
    alignment: Alignment | None = None,
) -> Song:
    """Reads a song.

    Args:
        source (SongSource): Its files.
        settings (Settings): How it is read.
        find_defects (bool): Whether to look for stems that are noise or a single tone, see
            :mod:`~asteroid_scoresup.checks.noise`.
        alignment (Alignment, optional): Where the recording of a pair plays its score.

    Raises:
        UnusableSongError: if nothing of it can be used.
        ValueError: if files cannot be read.
    """
    if isinstance(source.files, Pair):
        song = read_pair_song(source.files, settings, alignment)
    else:
        song = read_slakh_song(source.files, settings, find_defects)
    names = settings.classes.names
    possible = (song.notes.pitch >= 0) & (song.notes.pitch <= 127)
    if not possible.all():
        drop = drop_record("notes", "not a MIDI pitch", notes=(~possible).sum())
        song.facts["drops"].append(drop)
        song.notes = song.notes.select(possible)
    song.notes = fit_notes(song.notes, len(song.mixture) / settings.sample_rate, song.facts)
    if not len(song.notes) and song.facts.get("has_score", True):
        reasons = sorted({f"{drop['reason']}" for drop in song.facts["drops"] if drop["notes"]})
        others = song.facts.get("other_programs")
        if others:
            reasons.append(f"programs of no class: {', '.join(map(str, others))}")
        raise UnusableSongError(f"no notes of {', '.join(names)} are left", "; ".join(reasons))
    if not np.abs(song.mixture).max(initial=0) > SILENCE:
        raise UnusableSongError("the mixture is silent")
    outside = (song.notes.pitch < LOWEST_PITCH) | (song.notes.pitch >= LOWEST_PITCH + N_PITCHES)
    if outside.any():
        song.facts["notes_outside_88_keys"] = int(outside.sum())
    return song
