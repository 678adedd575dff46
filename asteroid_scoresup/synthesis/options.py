"""Checks the options of :func:`~asteroid_scoresup.synthesis.synthesize`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .effects import MP3_RATES
from .mma import require_mma
from .track_job import FIRST_NUMBER, LAST_NUMBER

#: Longest song, in seconds; a track is kept in memory while it is made.
LONGEST = 3600.0


def check_room(split: str, count: float) -> None:
    """Checks that there are numbers for the tracks of a split.

    Args:
        split (str): A key of :data:`~asteroid_scoresup.synthesis.track_job.FIRST_NUMBER`.
        count (int): Number of tracks.

    Raises:
        ValueError: if there are not.
    """
    room = LAST_NUMBER[split] - FIRST_NUMBER[split] + 1
    if count > room:
        raise ValueError(f"too many tracks for {split}: there are numbers for {room} only.")


def _check_counts(counts: Mapping[str, float]) -> None:
    for split, count in counts.items():
        if not _is_whole(count):
            raise ValueError(f"n_{split} is {count}, expected a whole number from 0.")
    if not any(counts.values()):
        raise ValueError("no songs requested: all of n_train, n_validation, ... are 0.")


def check_options(
    counts: Mapping[str, float],
    seconds: float,
    seed: float,
    sample_rate: float,
    jobs: float | None,
    max_seconds: float | None,
    others: float,
    augmentation: Mapping[str, float],
    fractions: Sequence[float],
) -> None:
    """Checks the numbers among the options of a data set, without rendering anything.

    Args:
        counts (dict): Number of composed songs by split.
        augmentation (dict): ``level_spread``, ``color_db``, ``synthetic`` and ``varispeed``.
        seconds, seed, sample_rate, jobs, max_seconds, others, fractions: See
            :func:`~asteroid_scoresup.synthesis.synthesize`.

    Raises:
        ValueError: if one makes no sense; the message names it.
    """
    _check_counts(counts)
    _check_fractions(fractions)
    for split, count in counts.items():
        check_room(split, count)
    lengths = f"at least 1, at most {LONGEST:g}"
    whole_rate = _is_whole(sample_rate) and 4000 <= sample_rate <= 192000
    checks: dict[str, tuple[float | None, bool, str]] = {
        "seconds": (seconds, 1 <= seconds <= LONGEST, lengths),
        "seed": (seed, _is_whole(seed), "a whole number from 0"),
        "others": (others, _is_whole(others) and others <= 16, "a whole number from 0 to 16"),
        "sample_rate": (sample_rate, whole_rate, "4000 to 192000 Hz"),
        "jobs": (jobs, jobs is None or _is_whole(jobs) and jobs >= 1, "at least 1"),
        "max_seconds": (max_seconds, max_seconds is None or 1 <= max_seconds <= LONGEST, lengths),
    }
    bounds = {
        "level_spread": (20, "0 to 20 dB"),
        "color_db": (20, "0 to 20 dB"),
        "synthetic": (1, "a probability, 0 to 1"),
        "varispeed": (12, "0 to 12 semitones"),
    }
    for name, (largest, expected) in bounds.items():
        value = augmentation[name]
        checks[name] = (value, 0 <= value <= largest, expected)
    for name, (option, good, expected) in checks.items():
        if not good:
            raise ValueError(f"{name} is {option}, expected {expected}.")


def check_words(programs: str, mixing: str, sample_rate: int) -> None:
    """Checks the options that are words.

    Args:
        programs, mixing, sample_rate: See :func:`~asteroid_scoresup.synthesis.synthesize`.

    Raises:
        ValueError: if one is unknown, or impossible at the sample rate.
    """
    if mixing not in ("plain", "produced"):
        raise ValueError(f"mixing is {mixing!r}, expected plain or produced.")
    if mixing == "produced" and sample_rate not in MP3_RATES:
        raise ValueError(
            f"mixing is 'produced', which encodes some songs as MP3, and MP3 files have no sample "
            f"rate of {sample_rate} Hz: use one of {', '.join(map(str, MP3_RATES))}."
        )
    if programs not in ("split", "all"):
        raise ValueError(f"programs is {programs!r}, expected split or all.")


def check_mma(mma: float, programs: str, from_midi: bool) -> None:
    """Checks whether MMA can write songs.

    Args:
        mma, programs: See :func:`~asteroid_scoresup.synthesis.synthesize`.
        from_midi (bool): Whether the songs are MIDI files.

    Raises:
        ValueError: if the probability is none, or makes no sense with the other options.
        FileNotFoundError: if MMA is not installed.
    """
    if not 0 <= mma <= 1:
        raise ValueError(f"mma is {mma}, expected a probability, 0 to 1.")
    if mma and from_midi:
        raise ValueError("mma is for new songs, and midi_dir renders existing ones: omit one.")
    if mma and programs != "all":
        raise ValueError(
            "MMA chooses the programs of its songs, so that test_unseen could have no programs of "
            "its own: use it with programs 'all'."
        )
    if mma:
        require_mma()


def _check_fractions(fractions: Sequence[float]) -> None:
    usable = len(fractions) == 3 and all(0 <= fraction < math.inf for fraction in fractions)
    if not usable or not 0 < sum(fractions) < math.inf:
        raise ValueError(
            f"fractions are {list(fractions)}, expected three numbers from 0, not all 0: those of "
            "train, validation and test."
        )


def _is_whole(value: float) -> bool:
    """Whether a value is a whole number from 0."""
    return math.isfinite(value) and value == int(value) and value >= 0
