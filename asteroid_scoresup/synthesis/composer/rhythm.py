"""Rhythm: nine methods to draw the onsets of a part, in any meter."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from .meter import Meter
from .sampling import random_choice
from .section import Hit, Part, Section

# Common rhythmic cells, in sixteenths of a 4/4 bar.
_CELLS = (
    (0, 3, 6, 10, 12),  # son clave, 3-2
    (0, 3, 6, 10, 13),  # bossa
    (0, 3, 6, 8, 11, 14),  # tresillo
    (0, 6),  # charleston
    (2, 6, 10, 14),  # offbeats
    (4, 12),  # backbeat
    (0, 4, 6, 10, 12, 14),  # folk strum
    (0, 2, 4, 6, 8, 10, 12, 14),
    (0, 6, 8, 14),
    (0, 3, 4, 7, 10, 12, 15),
    (0, 2, 3, 4, 6, 8, 10, 11, 12, 14),  # gallop
    (0, 7, 10),
    (0, 4, 7, 8, 12, 15),
    (0, 3, 8, 11),
    (2, 5, 8, 11, 14),
)


RHYTHMS = {
    "chords": 1.2,
    "pulse": 1.0,
    "grid": 1.2,
    "weighted": 2.0,
    "euclid": 1.5,
    "cell": 1.8,
    "offbeat": 0.7,
    "triplet": 0.4,
    "push": 0.7,
}
"""Methods to draw a rhythm, with their weights."""


def _grid(rng: Generator, meter: Meter, tempo: float, density: float) -> float:
    """Finest step of a rhythm, in quarter notes: at most about nine notes per second."""
    steps = [2.0, 1.0, 0.5, 0.25] if meter.pulse == 1.0 else [3.0, 1.5, 0.5, 0.25]
    steps = [step for step in steps if 60 / tempo * step > 0.11]
    wanted = density * (len(steps) - 1) + rng.normal(0, 0.6)
    return steps[int(np.clip(round(wanted), 0, len(steps) - 1))]


def draw_rhythm(
    rng: Generator, section: Section, density: float, kind: str | None = None
) -> list[Hit]:
    """Draws a rhythm for a section: a cell of one, two or four bars, repeated with variations.

    Args:
        rng (numpy.random.Generator): Random generator.
        section (Section): The section.
        density (float): 0 (one onset per chord) to 1 (as fast as playable).
        kind (str, optional): One of :data:`RHYTHMS`. Default: random.

    Returns:
        list of Hit: Sorted, without overlap, never empty.
    """
    meter = section.meter
    pulses = int(round(meter.beats / meter.pulse))
    if kind is None:
        kind = random_choice(rng, RHYTHMS, RHYTHMS.values())
    step = _grid(rng, meter, section.tempo, density)
    cell_bars = int(random_choice(rng, [1, 2, 4], [0.45, 0.4, 0.15]))
    beats = meter.beats
    steps = max(1, int(round(beats / step)))
    cell = []
    for bar in range(cell_bars):
        if kind == "chords":
            own = [0.0]
        elif kind == "pulse":
            own = [k * meter.pulse for k in range(pulses)]
        elif kind == "grid":
            own = [k * step for k in range(steps)]
        elif kind == "weighted":
            own = [
                k * step
                for k in range(steps)
                if rng.random() < 0.25 + 0.35 * density + 0.5 * meter.weight(k * step) - 0.15
            ]
        elif kind == "euclid":
            fine = max(4, int(round(beats / max(0.25, min(step, 0.5)))))
            hits = int(np.clip(round(fine * (0.2 + 0.45 * density)), 2, fine))
            turn = int(rng.integers(fine)) if rng.random() < 0.5 else 0
            own = sorted(((k * fine // hits + turn) % fine) * beats / fine for k in range(hits))
        elif kind == "cell":
            own = [
                sixteenth / 4 for sixteenth in random_choice(rng, _CELLS) if sixteenth / 4 < beats
            ]
            if meter.pulse == 1.5:  # compound time counts in eighths
                own = sorted({round(position * 2) / 2 for position in own})
            if section.tempo > 135:
                own = [position for position in own if position % 0.5 == 0]
        elif kind == "offbeat":
            own = [(k + 0.5) * meter.pulse for k in range(pulses)]
        elif kind == "triplet":
            third = meter.pulse / 3 if section.tempo < 150 else 2 * meter.pulse / 3
            third = third if meter.pulse == 1.0 else 0.5
            own = [k * third for k in range(int(round(beats / third)))]
        else:  # push: the chord of the next bar comes an eighth early
            own = [0.0] if bar == 0 else []
            own += [k * meter.pulse for k in range(1, pulses - 1)]
            own.append(beats - 0.5)
        own = own or [0.0]
        cell.append([(position, rng.uniform(-0.1, 0.1)) for position in own])
    drop, starts = float(random_choice(rng, [0.0, 0.05, 0.12])), []
    # A very sparse rhythm also has an onset at every chord change.
    changes = {round(start, 4) for start, _ in section.chords} if kind == "chords" else set()
    for bar in range(section.bars):
        for position, tilt in cell[bar % cell_bars]:
            if position == 0.0 or rng.random() >= drop:
                accent = 0.45 + 0.4 * meter.weight(position) + tilt
                starts.append((bar * beats + position, accent))
    known = {round(start, 4) for start, _ in starts}
    starts += [(change, 0.8) for change in changes if change not in known]
    starts.sort()
    ends = [start for start, _ in starts[1:]] + [section.length]
    return [Hit(s, e - s, float(np.clip(a, 0.1, 1))) for (s, a), e in zip(starts, ends) if e > s]


def articulate(rng: Generator, hits: list[Hit], feel: str | None = None) -> list[Hit]:
    """Changes the lengths of hits.

    Args:
        rng (numpy.random.Generator): Random generator.
        hits (list of Hit): The rhythm.
        feel (str, optional): ``legato``, ``detached``, ``mixed`` or ``over`` (overlapping).
            Default: random.

    Returns:
        list of Hit
    """
    feel = feel or random_choice(
        rng, ["legato", "detached", "mixed", "over"], [0.45, 0.25, 0.22, 0.08]
    )
    factor = {"legato": 0.97, "detached": rng.uniform(0.45, 0.75), "mixed": 0.9, "over": 1.25}[feel]
    result = []
    for hit in hits:
        own = rng.uniform(0.45, 1.0) if feel == "mixed" else factor
        result.append(hit._replace(length=max(0.1, hit.length * own)))
    return result


def draw_hits(
    rng: Generator,
    part: Part,
    density: float | None = None,
    kind: str | None = None,
    feel: str | None = None,
) -> list[Hit]:
    """The shared rhythm of the band, or a rhythm of its own.

    Args:
        rng (numpy.random.Generator): Random generator.
        part (Part): The part.
        density (float, optional): See :func:`draw_rhythm`. Default: that of the part.
        kind (str, optional): See :func:`draw_rhythm`; with a kind the rhythm is not shared.
        feel (str, optional): See :func:`articulate`.

    Returns:
        list of Hit
    """
    if part.shared is not None and kind is None and rng.random() < 0.35:
        return articulate(rng, part.shared, feel)
    density = part.density if density is None else density
    return articulate(rng, draw_rhythm(rng, part.section, density, kind), feel)
