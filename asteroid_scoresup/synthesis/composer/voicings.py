"""Keyboard voicings: the pitches of a chord."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from .chords import Chord, near
from .sampling import random_choice
from .section import Hit, Part


def draw_voicings(
    rng: Generator,
    part: Part,
    hits: Sequence[Hit],
    style: str | None = None,
    size: int | None = None,
) -> list[list[int]]:
    """Draws a keyboard voicing for every hit, close to the previous one, in one style.

    Args:
        rng (numpy.random.Generator): Random generator.
        part (Part): Section and register.
        hits (list of Hit): The rhythm of the chords.
        style (str, optional): ``close``, ``open``, ``shell``, ``rootless``, ``doubled`` or ``add``.
            Default: random.
        size (int, optional): Largest number of chord tones. Default: random.

    Returns:
        list of list of int: MIDI note numbers of every hit, sorted.
    """
    style = style or random_choice(
        rng, ["close", "open", "shell", "rootless", "doubled", "add"], [3, 1.5, 1, 1, 0.6, 0.6]
    )
    size = size or int(random_choice(rng, [2, 3, 4, 5], [0.45, 0.4, 0.12, 0.03]))
    center = part.center
    result: list[list[int]] = []
    before: dict[Chord, list[int]] = {}
    for hit in hits:
        # A hit just before a chord change anticipates the next chord.
        ahead = hit.beat + min(0.5, hit.length * 0.5) if hit.length >= 0.5 else hit.beat
        chord = part.section.chord_at(min(ahead, part.section.length - 0.01))
        if chord in before:
            voicing = before[chord]
        else:
            tones = list(chord.tones)
            if style == "shell" and len(tones) > 3:
                tones = [tones[1], tones[3]] + ([tones[-1]] if len(tones) > 4 else [])
            elif style == "rootless" and len(tones) > 3:
                tones = tones[1:]
            elif style == "add":
                tones += [random_choice(rng, part.section.scale_at(hit.beat))]
            tones = tones[:size]
            top = center + rng.integers(-3, 4)
            candidates: list[tuple[float, list[int]]] = []
            for turn in range(len(tones)):
                rotated = tones[turn:] + tones[:turn]
                pitch = near(rotated[0], center - 6, part.low, part.high)
                stack = [pitch]
                for tone in rotated[1:]:
                    stack.append(stack[-1] + ((tone - stack[-1]) % 12 or 12))
                if style == "open" and len(stack) > 2:
                    stack[1] += 12
                if style == "doubled":
                    stack.append(stack[0] + 12)
                middle = float(np.mean(stack))
                cost = abs(middle - float(np.mean(result[-1]) if result else top))
                candidates.append((cost + 0.3 * abs(middle - center), sorted(stack)))
            voicing = min(candidates)[1]
            voicing = sorted({p for p in voicing if part.low <= p <= part.high}) or [
                near(chord.root, center, part.low, part.high)
            ]
            before[chord] = voicing
        result.append(voicing)
    return result
