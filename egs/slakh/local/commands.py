"""Checks the options that run.sh passes to the commands of stages 0 and 1, before they start."""

from __future__ import annotations

import argparse
import contextlib
import io
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from asteroid_scoresup_cli import read_arguments


def split_words(text: str) -> list[str]:
    """The words of an option, quoted as in a shell.

    Raises:
        ValueError: if a quote is not closed.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not quoted as in a shell: {error}.") from None


def check_prepare(classes: str, options: Sequence[str]) -> int:
    """Checks what stage 1 passes to ``asteroid-scoresup prepare``.

    Args:
        classes (str): The option ``--classes`` of run.sh; empty for the default.
        options (sequence of str): The words of ``--prepare_opts``.

    Returns:
        int: The number of classes.

    Raises:
        ValueError: if an option is unknown or invalid.
    """
    args = _parse("prepare", ["in", "out", *options], "prepare_opts")
    if not classes and not options:
        return len(args.classes.split(";"))
    # Here, because it imports torch, which takes seconds.
    from asteroid_scoresup.data import ClassMap
    from asteroid_scoresup.data.settings import Settings
    from asteroid_scoresup.data.splits import Splits, assign_splits

    if classes:
        with _named("classes"):
            ClassMap.parse(classes)
    # In --prepare_opts it comes later on the command line, and so counts.
    again = any(word.partition("=")[0] == "--classes" for word in options)
    with _named("prepare_opts"):
        class_map = ClassMap.parse(args.classes if again or not classes else classes)
        Settings(class_map, args.sample_rate, args.mixture, args.label_shift)
        Splits.load(args.splits)
        assign_splits([], args.validation_fraction, args.test_fraction)
    return len(class_map.names)


def check_synthesize(options: Sequence[str]) -> None:
    """Checks what stage 0 passes to ``asteroid-scoresup synthesize``.

    Args:
        options (sequence of str): The numbers of songs, and the words of ``--synthesize_opts``.

    Raises:
        ValueError: if an option is unknown or invalid.
    """
    args = _parse("synthesize", ["out", *options], "synthesize_opts")
    from asteroid_scoresup.scripts.synthesize import song_counts
    from asteroid_scoresup.synthesis.options import check_options

    augmentation = ("level_spread", "color_db", "synthetic", "varispeed")
    with _named("synthesize_opts"):
        check_options(
            song_counts(args),
            args.seconds,
            args.seed,
            args.sample_rate,
            args.jobs,
            args.max_seconds,
            args.others,
            {name: getattr(args, name) for name in augmentation},
            args.fractions,
        )


def song_words(songs: Mapping[str, Any]) -> list[str]:
    """The options of ``asteroid-scoresup synthesize`` that a preset has under `songs`, as words.

    A list stands for an option that is repeated, ``true`` for one without a value.
    """
    words = []
    for name, value in songs.items():
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{name}"] if one is True else [f"--{name}", str(one)]
    return words


@contextlib.contextmanager
def _named(option: str):
    """Prepends the name of an option to the message of an error."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise ValueError(f"--{option}: {error}") from None


def _parse(verb: str, words: Sequence[str], option: str) -> argparse.Namespace:
    """Parses a command line as the command does."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
            return read_arguments([verb, *words])[1]
    except SystemExit:
        _, found, reason = printed.getvalue().strip().rpartition("error: ")
        reason = reason if found else "expected options with values, found a request for help"
        raise ValueError(f"--{option}: {reason.rstrip('.')}.") from None
