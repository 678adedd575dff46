"""``asteroid-scoresup models``: a list of models, or the card of one."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command to its parser.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    add = parser.add_argument
    add("action", choices=["list", "card"], help="list: a table; card: the whole model card")
    add(
        "models",
        nargs="*",
        metavar="MODEL",
        help="model files or folders, or user/name on the Hugging Face Hub (default: bundled ones)",
    )
    add("--json", action="store_true", help="list: print all facts as JSON")


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        int: Exit status, 0.

    Raises:
        FileNotFoundError, ValueError: if one of the models does not exist or is not a model.
    """
    from ..models.card import model_card
    from ..models.hub import bundled_models, read_with_card
    from ..utils.markdown import markdown_table

    found = [(name, *_read(name, read_with_card)) for name in args.models or bundled_models()]
    if args.action == "card":
        for name, facts, package, text in found:
            print(f"{_header(name, facts)}\n{text}" if text else model_card(package, name))
    elif args.json:
        print(json.dumps({name: facts._asdict() for name, facts, *_ in found}, indent=2))
    else:
        header = ["model", "license", "classes", "MIDI", "Hz", "weights", "MB", "SI-SDRi (dB)"]
        print(markdown_table(header, [_row(name, facts) for name, facts, *_ in found]))
    return 0


def _read(name: str, read: Any) -> tuple[Any, dict, str | None]:
    """Facts, package and card of a checked model."""
    from ..models.card import model_facts
    from ..models.source_model import SourceModel

    package, metadata, text = read(name)
    SourceModel.from_package(package, name)
    return model_facts(package, metadata), package, text


def _row(name: str, facts: Any) -> list[str]:
    improvement = facts.numbers.get("si_sdr_imp")
    return [
        name,
        facts.license or "not stated",
        ", ".join(facts.classes) or "any, with their score",
        "yes" if facts.transcribes else "no",
        f"{facts.sample_rate:g}",
        f"{facts.n_weights / 1e6:.2f} M",
        f"{facts.n_bytes / 1e6:.1f}",
        "not stated" if improvement is None else f"{improvement:.1f}",
    ]


def _header(name: str, facts: Any) -> str:
    """The facts of a model above its card, whose text may not repeat them."""
    return (
        f"{name}: {facts.kind} of {', '.join(facts.classes) or 'any classes'}; "
        f"{facts.sample_rate:g} Hz; "
        f"{facts.n_weights / 1e6:.2f} million weights, {facts.n_bytes / 1e6:.1f} MB; license of "
        f"the weights: {facts.license or 'not stated'}\n"
    )
