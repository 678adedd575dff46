"""Reading a pair of an audio file and a score: one mixture, no stems."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np

from ..alignment import Alignment
from ..checks.bends import resolve_bends
from ..midi.reader import DRUMS, Instrument, join_instruments
from ..notation.reader import read_score
from ..score import Notes
from ..utils.files import read_audio
from .drops import drop_record, score_drops
from .pairs import Pair
from .settings import Settings
from .slakh import parse_label_shift
from .song import Song


def read_pair_song(pair: Pair, settings: Settings, alignment: Alignment | None = None) -> Song:
    """Reads a pair; the instruments of the score give the classes of their notes.

    Args:
        pair (Pair): The files.
        settings (Settings): How they are read.
        alignment (Alignment, optional): Where the recording plays the score. Default: where the
            file says.

    Raises:
        ValueError: if a file cannot be read.
    """
    classes = settings.classes
    label_shift = parse_label_shift(settings.label_shift, classes.names)
    shifts = dict.fromkeys(classes.names, 0) if isinstance(label_shift, str) else label_shift
    score = read_score(pair.midi, drums=classes.wants_drums)
    remarks: list[str] = []
    mixture, _ = read_audio(pair.audio, settings.sample_rate, remarks)
    instruments = [_aligned(instrument, alignment) for instrument in score.instruments]
    context = join_instruments(instruments)
    tables, others = [], set()
    programs: dict[str, list[int]] = defaultdict(list)
    bends: dict[str, list[str]] = defaultdict(list)
    for instrument in instruments:
        index = classes.index_of(instrument.program, track_name=instrument.name)
        if index is None:
            others.add(instrument.program)
            continue
        name = classes.names[index]
        notes = join_instruments([instrument], index)
        # At the pitch of the file, like the context.
        notes, verdict = resolve_bends(notes, mixture, settings.sample_rate, context)
        if verdict:
            bends[name].append(verdict)
        tables.append(notes.replace(pitch=notes.pitch + shifts[name]))
        programs[name].append(instrument.program)
    facts: dict[str, Any] = {
        "generated": False,
        "programs": dict(programs),
        "drops": score_drops(score.dropped, score.remarks),
    }
    if remarks:
        facts["remarks"] = remarks
    facts["label_shift"] = {name: [shifts[name]] for name in programs}
    if bends:
        facts["bends"] = dict(bends)
    if alignment is not None:
        n_before = sum(len(instrument.notes) for instrument in score.instruments)
        played = alignment.warp.to_audio
        n_played = sum(int(np.isfinite(played(i.notes.onset)).sum()) for i in score.instruments)
        if n_played < n_before:
            drop = drop_record("notes", "not played in the recording", notes=n_before - n_played)
            facts["drops"].append(drop)
    if others:
        facts["other_programs"] = sorted(others)
    return Song(mixture.astype(np.float32), {}, Notes.concatenate(tables), facts)


def _aligned(instrument: Instrument, alignment: Alignment | None) -> Instrument:
    """An instrument with its notes where, and as high as, the recording plays them."""
    if alignment is None:
        return instrument
    move = alignment.warp.notes if instrument.program == DRUMS else alignment.notes
    return replace(instrument, notes=move(instrument.notes))
