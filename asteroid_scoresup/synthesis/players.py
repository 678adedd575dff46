"""Plays the parts of a song: which SoundFont and which timbre each has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pretty_midi

from .augment import render_varied
from .channel import random_channel
from .production import draw_layer, humanize, part_kind, treat_part
from .render import render_instrument
from .soundfont_reader import has_preset
from .track_job import TrackJob


def draw_soundfonts(song: pretty_midi.PrettyMIDI, soundfont: Path, job: TrackJob) -> list[Path]:
    """Which SoundFont plays each part of a song.

    Args:
        song (pretty_midi.PrettyMIDI): The song.
        soundfont (Path): The SoundFont of the song, unless its parts have their own.
        job (TrackJob): The track.

    Returns:
        list of Path: One per part.

    Raises:
        ValueError: if no SoundFont has an instrument of the song.
    """
    rng = job.generator(2)
    fonts = [Path(font) for font in job.soundfonts] if job.mix_soundfonts else [soundfont]
    chosen = []
    for part in song.instruments:
        fitting = _fitting(fonts, part)
        if not fitting:
            names = " and ".join(font.name for font in fonts)
            has, lacks = ("has", "lacks") if len(fonts) == 1 else ("have", "lack")
            if part.is_drum:
                raise ValueError(f"has drums, and {names} {has} no drum kit")
            raise ValueError(f"uses program {part.program}, which {names} {lacks}")
        chosen.append(fitting[int(rng.integers(len(fitting)))])
    return chosen


def play_parts(
    song: pretty_midi.PrettyMIDI, seconds: float, fonts: list[Path], job: TrackJob
) -> list[np.ndarray]:
    r"""Renders the parts of a song.

    Parts of composed training songs have random timbres (:mod:`.augment`, :mod:`.channel`). Parts
    of produced songs are played less exactly than they are written, some of them by two
    instruments, and pass through effects (:mod:`.production`).

    Args:
        song (pretty_midi.PrettyMIDI): The song.
        seconds (float): Its length.
        fonts (list of Path): The SoundFont of each part.
        job (TrackJob): The track.

    Returns:
        list of :class:`numpy.ndarray`: float32, shape :math:`(time,)`, one per part.

    Raises:
        OSError: if rendering fails.
    """
    varied = job.generator(1) if job.midi is None and job.split == "train" else None
    produced = job.generator(3) if job.mixing == "produced" else None

    def render(part: pretty_midi.Instrument, font: Path) -> np.ndarray:
        how = (seconds, job.sample_rate, font, job.renderer)
        if varied is None:
            return render_instrument(part, *how)
        stem = render_varied(part, *how, varied, job.synthetic, job.varispeed)
        return random_channel(stem, job.sample_rate, job.color_db, varied)

    stems = []
    for part, font in zip(song.instruments, fonts):
        if produced is None:
            stems.append(render(part, font))
            continue
        stem = render(humanize(part, seconds, produced), font)
        layer = draw_layer(part, produced)
        if layer is not None:
            same = layer.program == part.program  # then another SoundFont, or it would be an echo
            fitting = _fitting([Path(path) for path in job.soundfonts], layer)
            fitting = [other for other in fitting if not same or other != font]
            if fitting:
                second = fitting[int(produced.integers(len(fitting)))]
                added = render(humanize(layer, seconds, produced), second)
                stem = stem + np.float32(10 ** (produced.uniform(-9, 0) / 20)) * _as_loud(
                    added, stem
                )
        stems.append(treat_part(stem, part_kind(part), job.sample_rate, produced))
    return stems


def _fitting(fonts: list[Path], part: pretty_midi.Instrument) -> list[Path]:
    """The SoundFonts that can play a part."""
    return [font for font in fonts if has_preset(font, part.program, part.is_drum)]


def _as_loud(signal: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A signal, scaled to the energy of another."""
    energy = float(np.sum(np.square(signal, dtype=np.float64)))
    wanted = float(np.sum(np.square(other, dtype=np.float64)))
    return signal * np.float32(np.sqrt(wanted / energy)) if energy else signal
