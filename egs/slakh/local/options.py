"""The recipe's settings: reads conf.yml, presets.yml and losses/, and checks the values.

As a script it checks options before anything starts, mostly without waiting for torch, and prints
how many songs stage 0 synthesizes: ``python -m local.options --preset mini --given "--clip 1"``.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from .commands import check_prepare, check_synthesize, song_words, split_words
from .rules import RULES, WEIGHT, BadOption, Rule, check_together

HERE = Path(__file__).parent
#: Options of all training scripts that may be given among the settings.
FLAGS = ("quiet",)
PRESETS = ("mini", "bundled", "band", "small", "long", "paper")
ADVERSARIAL = ("none", "aml", "atl", "aml+atl")
#: The kinds of supervision and the default loss of each, a file in losses/; empty for the
#: weights in conf.yml, which are those of clip+informed.yml.
DEFAULT_LOSS = {"score": "", "activity": "frame", "stems": "stems", "semi": "semi"}
SUPERVISION = tuple(DEFAULT_LOSS)
#: Settings of `model` that are models of this package: they predict masks.
OURS = ("tcn", "pitch")


def read_yaml(path: Path) -> dict[str, dict[str, Any]]:
    """Reads a YAML file of sections.

    Raises:
        BadOption: if it cannot be read, or does not consist of sections.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadOption(f"{path} cannot be read: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise BadOption(f"{path} is damaged: expected sections with settings in them.")
    return content


def presets() -> dict[str, dict[str, Any]]:
    """What each preset changes, by its name."""
    return read_yaml(HERE / "presets.yml")


def song_counts(preset: str) -> dict[str, Any]:
    """How many songs stage 0 synthesizes for a preset, their length and how: its options."""
    return presets()[preset].get("songs", {})


@functools.cache
def rules() -> dict[str, Rule]:
    """What each setting may be, with the weights of the loss terms."""
    weights = read_yaml(HERE / "conf.yml").get("loss", {})
    return {**RULES, **dict.fromkeys(weights, WEIGHT)}


def read_loss(name: str) -> dict[str, float]:
    """Reads the weights of all loss terms from ``losses/NAME.yml`` or from another file.

    Args:
        name (str): Name of a file in ``losses/``, or a path that ends in ``.yml``.

    Returns:
        dict: A weight per term; 0 for those that the file does not name.

    Raises:
        BadOption: if there is no such file, or it does not contain weights of known terms.
    """
    path = Path(name) if name.endswith(".yml") else HERE / "losses" / f"{name}.yml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in (HERE / "losses").glob("*.yml")))
        raise BadOption(
            f"there is no loss {name!r}: --loss is one of {known}, or the path of a .yml file."
        )
    content = read_yaml(path)
    if set(content) != {"loss"}:
        raise BadOption(f"{path} is damaged: expected `loss: {{term: weight, ...}}`.")
    terms = list(read_yaml(HERE / "conf.yml")["loss"])
    for term in set(content["loss"]) - set(terms):
        raise BadOption(f"{path} has a term {term!r}; the terms are {', '.join(terms)}.")
    chosen = {term: checked(term, w, f"{path}: {term}") for term, w in content["loss"].items()}
    return {**dict.fromkeys(terms, 0.0), **chosen}


def read_conf(preset: str, loss: str = "") -> dict[str, dict[str, Any]]:
    """Reads conf.yml by section, as changed by a preset and by the choice of a loss.

    Args:
        preset (str): Name of the preset.
        loss (str): See :func:`read_loss`; empty for the weights in conf.yml.

    Raises:
        BadOption: if a file cannot be read, or has a setting that is unknown or invalid.
    """
    path, changes = HERE / "conf.yml", presets()
    if preset not in changes:
        raise BadOption(f"--preset is one of {', '.join(changes)}, found {preset!r}.")
    conf = read_yaml(path)
    known = {key for values in conf.values() for key in values}
    for key in known - set(rules()):
        raise BadOption(f"{path} has a setting {key!r} that {HERE / 'options.py'} does not know.")
    for key in set(RULES) - known:
        raise BadOption(f"{path} lacks the setting {key!r}.")
    for key, value in changes[preset].items():
        if key == "songs":
            continue
        if key not in known:
            raise BadOption(
                f"{HERE / 'presets.yml'}: {preset} changes {key!r}, which is not a setting."
            )
        section = next(values for values in conf.values() if key in values)
        section[key] = value
    for values in conf.values():
        for key, value in values.items():
            values[key] = checked(key, value, f"{path} and presets.yml: {key}")
    if loss:
        conf["loss"] = read_loss(loss)
    return conf


def checked(key: str, value: object, name: str | None = None) -> Any:
    """Converts a setting to the type in which it is used.

    Raises:
        BadOption: if it is invalid.
    """
    rule = rules()[key]
    found = rule.read(value)
    if found is None:
        raise BadOption(f"{name or f'--{key}'} is {rule}, found {value!r}.")
    return found


def flat(conf: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Settings without their sections."""
    return {key: value for section in conf.values() for key, value in section.items()}


def given_settings(words: Iterable[str]) -> dict[str, Any]:
    """Reads the settings of a command line, ``["--s_epochs", "20", …]``, by name.

    Raises:
        BadOption: if one is unknown, has no value, or is invalid.
    """
    words, found = list(words), {}
    while words:
        word = words.pop(0)
        name, has_value, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or (name not in rules() and name not in FLAGS):
            near = difflib.get_close_matches(name, rules(), 1)
            hint = f"; did you mean --{near[0]}?" if near else "."
            raise BadOption(f"there is no setting {word!r} in local/conf.yml{hint}")
        if name in FLAGS:
            if has_value:
                raise BadOption(f"--{name} takes no value, found {value!r}.")
            continue
        if not has_value:
            if not words or words[0].startswith("--"):
                raise BadOption(f"--{name} needs a value: {rules()[name]}.")
            value = words.pop(0)
        found[name] = checked(name, value)
    return found


def check_loss(weights: Mapping[str, float], supervision: str, model: str = "tcn") -> None:
    """Checks the loss terms against the supervision and the model.

    Args:
        weights (dict): A weight per term.
        supervision (str): One of :data:`SUPERVISION`.
        model (str): The separator, as the setting `model` names it.

    Raises:
        BadOption: if every weight is 0, or a term needs something that is missing.
    """
    # Here, because it imports torch, which takes seconds.
    from asteroid_scoresup.losses import TERMS, terms_that_need, terms_that_read

    with_stems, with_waveforms = terms_that_read("sources"), terms_that_need("waveforms")
    with_pitch = terms_that_need("templates") | terms_that_read("soft_masks")
    chosen = [term for term, weight in weights.items() if weight]
    stems = [term for term in chosen if term in with_stems]
    scores = [term for term in chosen if term not in with_stems]
    with_pitch |= terms_that_need("notes")
    if not chosen:
        raise BadOption("the weights of all loss terms are 0: nothing would be learned.")
    for term in chosen:
        if model != "pitch" and term in terms_that_need("notes"):
            raise BadOption(
                f"the loss term {term!r} needs a separator that predicts notes; use --model pitch."
            )
        if supervision == "activity" and term in with_pitch | with_stems:
            raise BadOption(
                f"--supervision activity: the term {term!r} needs more than who plays when; use "
                "clip or frame, as in --loss frame."
            )
        if supervision == "score" and term in with_stems:
            raise BadOption(
                f"--supervision score: the term {term!r} needs stems; use --supervision stems or "
                "semi."
            )
        if model in OURS and term in with_waveforms:
            raise BadOption(
                f"the loss term {term!r} needs waveforms, and --model {model} returns masks; use "
                "magnitude_approximation or mask_approximation."
            )
    if supervision in ("stems", "semi") and not stems:
        fitting = " or ".join(term for term in TERMS if term in with_stems)
        raise BadOption(
            f"--supervision {supervision}: no loss term compares with stems; give {fitting} a "
            f"weight, as in --loss {DEFAULT_LOSS[supervision]}."
        )
    if supervision == "semi" and not scores:
        raise BadOption(
            "--supervision semi: no loss term reads the scores of songs without stems; see "
            "--loss semi."
        )


def check_stages(
    values: Mapping[str, Any], supervision: str, stages: range, adversarial: str, n_classes: int
) -> None:
    """Checks the settings against the stages that will run.

    Args:
        values (dict): The settings, without their sections.
        supervision (str): One of :data:`SUPERVISION`.
        stages (range): Numbers of the stages.
        adversarial (str): The adversarial losses of step 3, as in run.sh.
        n_classes (int): Number of classes.

    Raises:
        BadOption: if a stage cannot run with the settings.
    """
    model, fine_tunes = values["model"], 4 in stages and supervision == "score"
    if model not in OURS and (fine_tunes or 5 in stages):
        raise BadOption(
            f"--model {model} ends with step 2: use --stop_stage separator, and run_baselines.sh "
            "to evaluate it."
        )
    if fine_tunes and values["devices"] * values["num_nodes"] > 1:
        raise BadOption(
            "step 3 trains two networks in turn, on one device: omit --devices, or use "
            "--stop_stage separator."
        )
    if fine_tunes and "aml" in adversarial and values["f_batch_size"] < n_classes:
        raise BadOption(
            f"--adversarial {adversarial}: remixes of {n_classes} classes need --f_batch_size "
            f"{n_classes} or more, found {values['f_batch_size']}."
        )


def pretrained_folder() -> Path:
    """The folder of the bundled models, found without importing the package, which takes seconds.

    The package may be installed elsewhere than beside the recipe.
    """
    spec = importlib.util.find_spec("asteroid_scoresup")
    return Path(spec.origin).with_name("pretrained")


def check_start(name: str) -> None:
    """Checks the separator that a training starts from, without reading it.

    Raises:
        BadOption: if it is no file or folder, no bundled model, and cannot be one of the Hub.
    """
    # Those that train_refiner.py trains are no starting points here.
    files = pretrained_folder().glob("*.pth")
    bundled = sorted({path.stem for path in files} - {"refiner", "guided"})
    on_the_hub = name.count("/") == 1 and not Path(name).suffix
    if name and not Path(name).exists() and name not in bundled and not on_the_hub:
        raise BadOption(
            f"--start {name} is neither a file nor a bundled model ({', '.join(bundled)})."
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--preset", required=True)
    parser.add_argument("--given", default="", help="settings, quoted as in a shell")
    parser.add_argument("--loss", default="", help="as for the training scripts")
    parser.add_argument("--supervision", default="score", choices=SUPERVISION)
    parser.add_argument("--transcriptor", default="", help="as for run.sh")
    parser.add_argument("--stages", type=int, nargs=2, default=(0, 0), help="the first and last")
    parser.add_argument("--adversarial", default="none", help="as for run.sh")
    for name in ("start", "classes", "prepare_opts", "synthesize_opts", "midi_dir"):
        parser.add_argument(f"--{name}", default="", help="as for run.sh")
    args = parser.parse_args()
    try:
        values = flat(read_conf(args.preset))
        given = given_settings(split_words(args.given))
        values.update(given)
        check_together(values)
        check_start(args.start)
        weights = read_conf(args.preset, args.loss or DEFAULT_LOSS[args.supervision])["loss"]
        changed = {key: given[key] for key in given if key in weights}
        chosen = {**weights, **changed}
        if args.transcriptor == "none" and (not chosen["notes"] or chosen["transcription"]):
            raise BadOption(
                "--transcriptor none: separator and transcriptor are trained as one network, which "
                "takes the loss term notes and not transcription: --loss informed+notes "
                '--train_opts "--model pitch".'
            )
        if args.loss or changed:  # the defaults suit every supervision and model
            check_loss(chosen, args.supervision, values["model"])
        songs = song_words(song_counts(args.preset))
        if args.synthesize_opts:
            source = ["--midi_dir", args.midi_dir] if args.midi_dir else songs
            check_synthesize([*source, *split_words(args.synthesize_opts)])
        n_classes = check_prepare(args.classes, split_words(args.prepare_opts))
        stages = range(args.stages[0], args.stages[1] + 1)
        check_stages(values, args.supervision, stages, args.adversarial, n_classes)
        print(*songs, sep="\n")
    except ValueError as error:
        print(f"run.sh: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
