"""How songs are prepared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..alignment import ALIGN_MODES
from .classes import ClassMap
from .slakh import parse_label_shift

#: What the mixture of a prepared track is: the sum of the classes, or the whole song.
MIXTURES = ("submix", "song")


@dataclass(frozen=True)
class Settings:
    """How songs are prepared: equal settings give equal tracks.

    Args:
        classes (ClassMap): The classes.
        sample_rate (int): Working rate, in Hz.
        mixture (str): ``"submix"`` (sum of the classes) or ``"song"`` (everything).
        label_shift (str): See :func:`~asteroid_scoresup.data.slakh.parse_label_shift`.
        align (str): When own songs are aligned with their scores, one of
            :data:`~asteroid_scoresup.alignment.align.ALIGN_MODES`.

    Raises:
        ValueError: on invalid values.
    """

    classes: ClassMap
    sample_rate: int = 16000
    mixture: str = "submix"
    label_shift: str = "auto"
    align: str = "auto"

    def __post_init__(self) -> None:
        if self.mixture not in MIXTURES:
            raise ValueError(f"mixture must be one of {list(MIXTURES)}, found {self.mixture!r}.")
        if int(self.sample_rate) != self.sample_rate or not 4000 <= self.sample_rate <= 192000:
            raise ValueError(
                f"sample_rate must be a whole number of Hz from 4000 to 192000, found "
                f"{self.sample_rate}."
            )
        if self.align not in ALIGN_MODES:
            raise ValueError(f"align must be one of {list(ALIGN_MODES)}, found {self.align!r}.")
        parse_label_shift(self.label_shift, self.classes.names)

    def to_dict(self) -> dict[str, Any]:
        """The settings as they are written to files; the classes as one string."""
        # The folders of earlier versions, without this setting, are those of the default.
        align = {} if self.align == "auto" else {"align": self.align}
        return {
            "classes": str(self.classes),
            "sample_rate": self.sample_rate,
            "mixture": self.mixture,
            "label_shift": self.label_shift,
            **align,
        }
