"""``asteroid-scoresup infer``: Asteroid's own ``asteroid-infer``, with the models of this package.

Asteroid reads mono files at the sample rate of the model, or with ``--resample`` the first channel
of any file, and rescales the sum of the estimates to the mixture. ``asteroid-scoresup separate``
does neither.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command to its parser: those of asteroid-infer, in any order.

    Args:
        parser (argparse.ArgumentParser): The parser.
    """
    add = parser.add_argument
    add("model", metavar="MODEL", help="model of this package, or model file of Asteroid")
    add("--files", nargs="+", required=True, help="audio files, folders or glob patterns")
    add("-f", "--force-overwrite", action="store_true", help="overwrite existing files")
    add("-r", "--resample", action="store_true", help="resample files with another sample rate")
    add("-w", "--ola-window", type=int, metavar="SAMPLES", help="length of the overlap-add window")
    add(
        "--ola-hop",
        type=int,
        metavar="SAMPLES",
        help="its hop (default: half its length)",
    )
    add(
        "--ola-window-type",
        default="hann",
        metavar="NAME",
        help="its type (default: %(default)s)",
    )
    add("--ola-no-reorder", action="store_true", help="keep the order of the outputs")
    add("-o", "--output-dir", metavar="DIR", help="folder to write to (default: that of each file)")
    add("-d", "--device", help="for example cuda:0 (default: cuda if available, else cpu)")


def run(args: argparse.Namespace) -> int:
    """Runs Asteroid's command with the model.

    Args:
        args (argparse.Namespace): The parsed arguments.

    Returns:
        int: Exit status, 0.

    Raises:
        ValueError: if Asteroid fails, or the model file is not valid.
        FileNotFoundError: if there is no such model file.
    """
    import torch
    from asteroid.scripts import asteroid_cli

    from ..models.loading import first_line

    package = _read(args.model)
    with tempfile.TemporaryDirectory() as folder:
        # Asteroid unpickles files unsafely with torch before 2.6, and with later versions refuses
        # those that contain the version of torch. It gets a copy of what was read safely.
        copy = str(Path(folder) / "model.pth")
        torch.save(package, copy)
        try:
            asteroid_cli.infer([copy, *_options(args)])
        except RuntimeError as error:
            raise ValueError(first_line(error)) from None
    return 0


def _read(path: str) -> dict[str, Any]:
    """Reads the parts of a model file that Asteroid needs, safely, and checks them."""
    from ..models.hub import read_package
    from ..models.loading import require_package
    from ..models.source_model import SourceModel, known_model

    package = read_package(path)
    require_package(package, path)
    name = package["model_name"]
    kind = known_model(name)
    if kind is None:
        raise ValueError(
            f"{path} contains a {name}, which is not a model of Asteroid or this package."
        )
    if issubclass(kind, SourceModel):
        SourceModel.from_package(package, path)
    return {key: package[key] for key in ("model_name", "model_args", "state_dict")}


def _options(args: argparse.Namespace) -> list[str]:
    options = ["--files", *args.files, "--ola-window-type", args.ola_window_type]
    for flag in ("force_overwrite", "resample", "ola_no_reorder"):
        if getattr(args, flag):
            options.append("--" + flag.replace("_", "-"))
    for name in ("ola_window", "ola_hop", "output_dir", "device"):
        if getattr(args, name) is not None:
            options += ["--" + name.replace("_", "-"), str(getattr(args, name))]
    return options
