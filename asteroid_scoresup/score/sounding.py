"""How long and how strongly a note sounds, beyond what the score says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .defaults import FADE, SOUND_AFTER, SOUND_BEFORE, USE_VELOCITY


@dataclass(frozen=True)
class SoundingOptions:
    """Options of :func:`~asteroid_scoresup.score.rolls.sounding_roll`.

    The label of a note ends at note-off, but its sound does not, and an STFT frame contains part of
    a note before its onset is centered. The defaults are those of the recipe.

    Args:
        before (int): Frames added before the onset.
        after (int): Frames added after the last frame in which the note is on.
        fade (float or sequence of float, optional): Seconds in which a struck note decays by a
            factor e, counted from its onset, for all classes or per class; ``inf``, 0 or None for
            a sound that keeps its level.
        use_velocity (bool): Whether the amplitude follows the velocity (velocity / 127).

    Examples
        >>> SoundingOptions(fade=[0.5, 2.0]).fade
        (0.5, 2.0)
        >>> SoundingOptions.of({"after": 4}) == SoundingOptions(after=4)
        True
    """

    before: int = SOUND_BEFORE
    after: int = SOUND_AFTER
    fade: float | tuple[float, ...] | None = FADE
    use_velocity: bool = USE_VELOCITY

    def __post_init__(self) -> None:
        if self.fade is not None and not isinstance(self.fade, (int, float)):
            object.__setattr__(self, "fade", tuple(self.fade))

    @classmethod
    def of(cls, options: SoundingOptions | Mapping[str, Any] | None) -> SoundingOptions:
        """Options from a mapping that names those that differ from the defaults.

        Args:
            options (SoundingOptions, dict or None): Options as they are, a mapping, or None for
                the defaults.

        Raises:
            TypeError: if the mapping has a key that is not an option.
        """
        if isinstance(options, SoundingOptions):
            return options
        return cls(**(options or {}))
