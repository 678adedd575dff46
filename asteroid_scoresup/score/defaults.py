"""Default options of sounding rolls, harmonic templates and score-informed masks.

The paper (Hung et al. 2021) publishes none of them; all are our choice. The library's functions
and the recipe's ``conf.yml`` use the same values, so that a loss built in Python is that of
the recipe.
"""

from __future__ import annotations

#: Frames that a note may sound before its onset is centered, and after its offset.
SOUND_BEFORE, SOUND_AFTER = 1, 2
#: Seconds in which a struck note decays by a factor e.
FADE = 1.0
#: Whether louder notes get more of a bin.
USE_VELOCITY = True

#: Partials drawn per note.
N_PARTIALS = 40
#: Half-width of a partial, relative to its frequency: a tenth of a semitone.
RELATIVE_WIDTH = 0.006
#: Amplitude of a partial relative to the one below it.
PARTIAL_DECAY = 0.65
#: Coefficient of a stiff string; 0 for exact multiples of the fundamental.
INHARMONICITY = 0.0
#: Exponent applied to the weights before bins are split between classes.
SOFT_POWER = 1.0
#: The same for score-informed masks, and the number of NMF updates.
INFORMED_POWER, INFORMED_ITERATIONS = 1.5, 10
#: Components of no class, where the mixture contains more than the classes.
N_FREE = 6

#: Frames before the onset of a hit that are part of it; seconds in which it decays by a factor e,
#: and after which it is over.
HIT_BEFORE, HIT_DECAY, HIT_SECONDS = 1, 0.1, 1.0
#: Initial weight of a hit's bins, relative to a fundamental.
HIT_WEIGHT = 0.1
#: How far the gains of a class are drawn toward their mean in each update of a factorization.
GAIN_SHRINKAGE = 0.3
