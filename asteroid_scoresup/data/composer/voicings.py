"""Keyboard voicings: which tones of a chord sound, and where."""

from __future__ import annotations

import numpy as np

from .chance import choose
from .chords import near


def draw_voicings(rng, part, hits, style=None, size=None):
    """A piano voicing for every hit: close to the one before, in one style.

    Args:
        rng (numpy.random.Generator): Source of chance.
        part (Part): Section and register.
        hits (list of Hit): When chords are struck.
        style (str, optional): ``close, open, shell, rootless, doubled, add``.
        size (int, optional): Number of tones.

    Returns:
        list: A sorted list of MIDI note numbers for every hit.
    """
    style = style or choose(
        rng, ["close", "open", "shell", "rootless", "doubled", "add"], [3, 1.5, 1, 1, 0.6, 0.6]
    )
    size = size or int(choose(rng, [2, 3, 4, 5], [0.45, 0.4, 0.12, 0.03]))
    centre, result, before = part.centre, [], {}
    for hit in hits:
        # A hit just before a chord change belongs to the next chord already (anticipation).
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
                tones += [choose(rng, part.section.scale_at(hit.beat))]
            tones = tones[:size]
            top = centre + rng.integers(-3, 4)
            voicing = []
            for turn in range(len(tones)):
                rotated = tones[turn:] + tones[:turn]
                pitch = near(rotated[0], centre - 6, part.low, part.high)
                stack = [pitch]
                for tone in rotated[1:]:
                    stack.append(stack[-1] + ((tone - stack[-1]) % 12 or 12))
                if style == "open" and len(stack) > 2:
                    stack[1] += 12
                if style == "doubled":
                    stack.append(stack[0] + 12)
                cost = abs(np.mean(stack) - (np.mean(result[-1]) if result else top))
                voicing.append((cost + 0.3 * abs(np.mean(stack) - centre), sorted(stack)))
            voicing = min(voicing)[1]
            voicing = sorted({p for p in voicing if part.low <= p <= part.high}) or [
                near(chord.root, centre, part.low, part.high)
            ]
            before[chord] = voicing
        result.append(voicing)
    return result
