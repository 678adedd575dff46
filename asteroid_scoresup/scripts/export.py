"""``asteroid-scoresup export``: writes a model in another form: ONNX, a folder, a file."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command to its parser.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        help="a model file or folder, user/name on the Hugging Face Hub, or band (the bundled one)",
    )
    add(
        "out",
        metavar="OUT",
        help="NAME.onnx: the separator's network, for programs without torch; NAME.pth: a model "
        "file; another name: a folder to share (config.json, model.safetensors, README.md)",
    )
    add("--license", help="license of the weights, for the model card, e.g. cc-by-4.0")
    add("--int8", action="store_true", help="NAME.onnx with weights of 8 bits: a third of the size")
    add("--overwrite", action="store_true", help="overwrite an existing file or model folder")


def run(args: argparse.Namespace) -> int:
    """Runs the command.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        int: Exit status, 0.

    Raises:
        ValueError: if the model cannot be exported, or the output exists.
    """
    from ..models import save_model, unpack
    from ..models.card import model_card, model_facts, with_facts
    from ..models.folder import CONFIG, TRANSCRIPTOR, write_folder
    from ..models.hub import read_with_card
    from ..models.onnx_export import export_onnx
    from ..models.source_model import SourceModel

    out = Path(args.out)
    written = out if out.suffix in (".onnx", ".pth") else out / CONFIG
    if args.int8 and out.suffix != ".onnx":
        raise ValueError(f"--int8 is for ONNX files, and {out} is none.")
    if written.exists() and not args.overwrite:
        raise ValueError(f"{written} exists: name another file, or add --overwrite.")
    package, metadata, _ = read_with_card(args.model)
    SourceModel.from_package(package, args.model)  # checks it
    if TRANSCRIPTOR in package:
        unpack(package, args.model)
    terms = args.license or model_facts(package, metadata).license
    package = with_facts(package, license=terms)
    if out.suffix == ".onnx":
        separator = unpack(package, args.model).separator
        facts = {"license": terms} if terms else {}
        export_onnx(separator, out, args.int8, **facts)  # type: ignore[arg-type]  # it checks it
    elif out.suffix == ".pth":
        save_model(package, out)
    else:
        write_folder(package, out, model_card(package, out.resolve().name))
    print(f"{out}: {_size(out) / 1e6:.1f} MB")
    if out.suffix == ".onnx" and TRANSCRIPTOR in package:
        print("It contains the separator; the transcriptor is in the model file only.")
    return 0


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    return sum(file.stat().st_size for file in files)
