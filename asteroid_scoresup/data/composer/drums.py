"""What the drummer plays: kick, snare and cymbal."""

from __future__ import annotations

from .rhythm import draw_rhythm
from .section import Tone


def drum_tones(rng, section):
    """Kick, snare and cymbal in rhythms that are drawn like all others."""
    meter, tones = section.meter, []
    cymbal = int(rng.choice([42, 51, 46]))
    for hit in draw_rhythm(rng, section, 0.6, "grid"):
        tones.append(Tone(hit.beat, 0.2, cymbal, 0.4 + 0.3 * hit.accent))
    for hit in draw_rhythm(rng, section, 0.4):
        tones.append(Tone(hit.beat, 0.2, 36, hit.accent))
    for k in range(int(round(section.length / meter.pulse))):
        if k % 2 == 1 or (meter.beats == 3.0 and meter.pulse == 1.0 and k % 3 == 2):
            tones.append(Tone(k * meter.pulse, 0.2, 38, 0.85))
    return tones
