"""``asteroid-scoresup infer``: Asteroid's own ``asteroid-infer``, with our models known to it.

Asteroid reads mono files at the model's rate or, with ``--resample``, the first channel of any, and
rescales the sum of the estimates to the mixture; ``asteroid-scoresup separate`` does neither.
"""

from __future__ import annotations

import tempfile
from pathlib import Path


def add_arguments(parser):
    """Adds the verb's arguments to its parser: those of asteroid-infer, in any order."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="model file of this package or of Asteroid")
    add("--files", nargs="+", required=True, help="audio files, folders or patterns")
    add("-f", "--force-overwrite", action="store_true", help="overwrite files that exist")
    add("-r", "--resample", action="store_true", help="resample files of another rate")
    add("-w", "--ola-window", type=int, metavar="SAMPLES", help="window of overlap-add")
    add("--ola-hop", type=int, metavar="SAMPLES", help="its hop (default: half the window)")
    add("--ola-window-type", default="hann", metavar="NAME", help="its window (%(default)s)")
    add("--ola-no-reorder", action="store_true", help="keep the order of the outputs")
    add("-o", "--output-dir", metavar="DIR", help="where to write (default: beside each file)")
    add("-d", "--device", help="for example cuda:0 (default: cuda where there is one, or cpu)")


def run(args):
    """Hands the model and the arguments to Asteroid.

    Returns:
        int: 0.

    Raises:
        ValueError: if Asteroid cannot do it, or the file is no model that may be loaded.
        FileNotFoundError: if there is no such model file.
    """
    import torch
    from asteroid.scripts import asteroid_cli

    from ..models.loading import first_line

    if not Path(args.model).is_file():
        raise FileNotFoundError(f"There is no model file {args.model}.")
    package = _read(args.model)
    with tempfile.TemporaryDirectory() as folder:
        # Asteroid reads pickles with torch before 2.6, and later none that name torch's version:
        # it is given what was read safely, written anew.
        copy = str(Path(folder) / "model.pth")
        torch.save(package, copy)
        try:
            asteroid_cli.infer([copy, *_options(args)])
        except RuntimeError as error:
            raise ValueError(first_line(error)) from None
    return 0


def _read(path):
    """The parts of a package that Asteroid needs, read without running code and checked."""
    from ..models.loading import load_package, require_package
    from ..models.source_model import SourceModel, known_model

    package = load_package(path)
    require_package(package, path)
    name = package["model_name"]
    kind = known_model(name)
    if kind is None:
        raise ValueError(f"{path} holds a {name}, which is no model of Asteroid or this package.")
    if issubclass(kind, SourceModel):
        SourceModel.from_package(package, path)
    return {key: package[key] for key in ("model_name", "model_args", "state_dict")}


def _options(args):
    options = ["--files", *args.files, "--ola-window-type", args.ola_window_type]
    for flag in ("force_overwrite", "resample", "ola_no_reorder"):
        if getattr(args, flag):
            options.append("--" + flag.replace("_", "-"))
    for name in ("ola_window", "ola_hop", "output_dir", "device"):
        if getattr(args, name) is not None:
            options += ["--" + name.replace("_", "-"), str(getattr(args, name))]
    return options
