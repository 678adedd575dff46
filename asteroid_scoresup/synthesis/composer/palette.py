"""General MIDI programs and pitch range of each class."""

from __future__ import annotations

from dataclasses import dataclass

PROGRAM_RANGES = {"piano": range(8), "guitar": range(24, 32), "bass": range(32, 40)}
"""General MIDI programs of the three classes."""

OTHER_PROGRAMS = tuple(
    program
    for first, last in ((16, 23), (40, 45), (48, 54), (56, 81), (88, 95))
    for program in range(first, last + 1)
)
"""General MIDI programs of players outside the three classes: organs, strings, choirs, winds, leads
and pads."""

PITCH_RANGES = {"piano": (28, 96), "guitar": (40, 86), "bass": (28, 60), "other": (48, 88)}
"""Lowest and highest MIDI note number of each class and of other players, both inclusive."""


@dataclass(frozen=True)
class Palette:
    """General MIDI programs that a song can use.

    Args:
        piano (tuple of int): Programs of the piano class, within 0 to 7.
        guitar (tuple of int): Programs of the guitar class, within 24 to 31.
        bass (tuple of int): Programs of the bass class, within 32 to 39.
        kits (tuple of int): Programs of drum kits, within 0 to 127; General MIDI 2 and GS have
            standard (0), room (8), power (16), electronic (24), analog (25), jazz (32), brush (40)
            and orchestra (48). A SoundFont without a kit plays its standard one.

    Raises:
        ValueError: if a class has no program, or one outside its range.
    """

    piano: tuple[int, ...]
    guitar: tuple[int, ...]
    bass: tuple[int, ...]
    kits: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        for name, allowed in PROGRAM_RANGES.items():
            programs = getattr(self, name)
            wrong = [program for program in programs if program not in allowed]
            if not programs or wrong:
                raise ValueError(
                    f"palette: {name} programs are {list(programs)}, expected one or more of "
                    f"{allowed.start} to {allowed.stop - 1}."
                )
        if not self.kits or not all(0 <= kit <= 127 for kit in self.kits):
            raise ValueError(
                f"palette: drum kits are {list(self.kits)}, expected one or more of 0 to 127."
            )


# Checked for TimGM6mb.sf2, by the samples that each program uses and by rendered spectra:
# - Pianos 0, 1, 2 and 3 share their samples, so all of them are in one palette.
# - Bass 39 uses samples of 33 and 35, which are in different palettes: left out.
# - Guitar 31 (harmonics) sounds an octave above the written pitch: left out.
TRAIN_PALETTE = Palette(
    piano=(0, 1, 2, 3, 5, 7),
    guitar=(24, 26, 28, 29, 30),
    bass=(32, 34, 35, 37, 38),
    kits=(0, 8, 16, 24, 32),
)
"""Programs for training, validation and the in-domain test."""

UNSEEN_PALETTE = Palette(piano=(4, 6), guitar=(25, 27), bass=(33, 36), kits=(25, 40))
"""Programs that share no sample with :data:`TRAIN_PALETTE` in the default SoundFont; its drum kits
have some samples in common."""

ALL_PALETTE = Palette(
    piano=tuple(PROGRAM_RANGES["piano"]),
    guitar=tuple(program for program in PROGRAM_RANGES["guitar"] if program != 31),
    bass=tuple(PROGRAM_RANGES["bass"]),
    kits=(0, 8, 16, 24, 25, 32, 40, 48),
)
"""All programs but guitar harmonics, for songs that are unseen because of their SoundFont."""


def palette_of(split: str, programs: str = "split") -> Palette:
    """The palette of a split.

    Args:
        split (str): ``train``, ``validation``, ``test`` or ``test_unseen``.
        programs (str): ``split`` for other programs in `test_unseen` than in the other splits,
            ``all`` for the same palette everywhere.

    Returns:
        Palette

    Examples
        >>> set(palette_of("test_unseen").piano) & set(palette_of("train").piano)
        set()
    """
    if programs == "all":
        return ALL_PALETTE
    return UNSEEN_PALETTE if split == "test_unseen" else TRAIN_PALETTE
