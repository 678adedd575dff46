"""The recipe's settings: reading conf.yml and presets.yml, and what each setting may be.

Run as a script it checks options before anything is started, without waiting for torch:
``python local/options.py --preset mini --given "--s_epochs 20"``.
"""

import argparse
import difflib
import math
import shlex
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).parent
NORMS = ("gLN", "cLN", "cgLN", "fgLN", "bN")
PRECISIONS = (
    "auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true", "32", "64",
)  # fmt: skip


class Number:
    """A finite number between two limits.

    Args:
        kind (type): int or float.
        low, high (float): The limits, which belong to it.
        above (bool): Whether `low` does not belong to it.
        odd (bool): Whether it must be odd.
    """

    def __init__(self, kind, low=0, high=1e9, above=False, odd=False):
        self.kind, self.low, self.high, self.above, self.odd = kind, low, high, above, odd

    def __str__(self):
        kind = "a whole number" if self.kind is int else "a number"
        kind = "an odd number" if self.odd else kind
        low = f"above {self.low}" if self.above else f"from {self.low}"
        return f"{kind} {low} to {self.high:.10g}"

    def read(self, value):
        """The value of a text or of a number; None if it is not allowed."""
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return None
        try:
            number = self.kind(value) if isinstance(value, str) else value
        except ValueError:
            return None
        if not math.isfinite(number) or (self.kind is int and number != int(number)):
            return None
        inside = self.low < number if self.above else self.low <= number
        inside = inside and number <= self.high and not (self.odd and number % 2 == 0)
        return self.kind(number) if inside else None


class Choice:
    """One of some words."""

    def __init__(self, *words):
        self.words = words

    def __str__(self):
        return f"one of {', '.join(self.words)}"

    def read(self, value):
        """The word; None if it is not allowed."""
        return str(value) if str(value) in self.words else None


class Switch:
    """True or false, as YAML and as Asteroid's parser read it."""

    def __str__(self):
        return "true or false"

    def read(self, value):
        """The truth value; None if it is none."""
        words = {"true": True, "yes": True, "y": True, "1": True}
        words |= {"false": False, "no": False, "n": False, "0": False}
        return words.get(str(value).lower())


class Text:
    """Any text but an empty one."""

    def __str__(self):
        return "a text that is not empty"

    def read(self, value):
        """The text; None if it is empty or no text."""
        return value if isinstance(value, str) and value.strip() else None


COUNT, WEIGHT, SHARE = Number(int, 1, 10**8), Number(float, 0, 1e6), Number(float, 0, 1)
BATCH, LENGTH, RATE = Number(int, 1, 65536), Number(int, 1, 10**6), Number(float, 0, 10, above=True)
#: What each setting of conf.yml may be. A new setting has a line here too.
RULES = {
    "data_dir": Text(),
    "segment": Number(float, 0, 3600, above=True),
    "gain_db": Number(float, 0, 60),
    "eq_db": Number(float, 0, 40),
    "varispeed": Number(int, 0, 12),
    "saliency": SHARE,
    "num_workers": Number(int, 0, 512),
    "n_fft": Number(int, 16, 2**17),
    "hop_length": Number(int, 1, 2**17),
    "n_blocks": Number(int, 1, 24),
    "n_repeats": Number(int, 1, 64),
    "bn_chan": BATCH,
    "hid_chan": BATCH,
    "conv_kernel_size": Number(int, 1, 63, odd=True),
    "norm_type": Choice(*NORMS),
    "sound_before": Number(int, 0, 10000),
    "sound_after": Number(int, 0, 10000),
    "use_velocity": Switch(),
    "fade": Number(float, 0, 1e6),
    "n_partials": Number(int, 1, 1000),
    "relative_width": Number(float, 0, 0.5, above=True),
    "partial_decay": Number(float, 0, 1, above=True),
    "inharmonicity": Number(float, 0, 0.1),
    "soft_power": Number(float, 0, 10, above=True),
    "informed_power": Number(float, 0, 10, above=True),
    "informed_iterations": Number(int, 1, 10000),
    "t_epochs": COUNT,
    "t_steps": COUNT,
    "t_batch_size": BATCH,
    "t_lr": RATE,
    "t_remix": SHARE,
    "t_simulate": SHARE,
    "model": Choice("tcn", "ConvTasNet", "OpenUnmix"),
    "s_epochs": COUNT,
    "s_minutes": Number(float, 0, 1e6),
    "s_steps": COUNT,
    "s_batch_size": BATCH,
    "s_lr": RATE,
    "mask_act": Choice("sigmoid", "softmax"),
    "start_from_transcriptor": Switch(),
    "transcription_weight": WEIGHT,
    "stem_loss": Choice("magnitudes", "shares", "si_sdr", "multi_domain"),
    "stem_fraction": Number(float, 0, 1, above=True),
    "stem_draw": SHARE,
    "critic_classes": Number(int, 0, 128),
    "clip_weight": WEIGHT,
    "frame_weight": WEIGHT,
    "harmonic_weight": WEIGHT,
    "soft_weight": WEIGHT,
    "informed_weight": WEIGHT,
    "f_epochs": COUNT,
    "f_steps": COUNT,
    "f_batch_size": BATCH,
    "f_lr_separator": RATE,
    "f_lr_transcriptor": RATE,
    "aml_weight": WEIGHT,
    "atl_weight": WEIGHT,
    "truth_weight": WEIGHT,
    "gradient_clip": Number(float, 0, 1e9),
    "warmup_steps": Number(int, 0, 10**8),
    "devices": Number(int, 1, 1024),
    "num_nodes": Number(int, 1, 65536),
    "strategy": Text(),
    "compile": Switch(),
    "precision": Choice(*PRECISIONS),
    "seed": Number(int, 0, 2**32 - 1),
}
#: Options of all training scripts that may stand among the settings.
FLAGS = ("quiet",)
SUPERVISION = ("score", "activity", "stems", "semi")
ADVERSARIAL = ("none", "aml", "atl", "aml+atl", "truth")
MIXTURE = ("clip", "frame", "harmonic", "soft", "informed")


class BadOption(ValueError):
    """A setting that cannot be, in one sentence."""


def read_yaml(path):
    """A YAML file of sections.

    Raises:
        BadOption: if it cannot be read, or is something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadOption(f"{path} cannot be read: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise BadOption(f"{path} is damaged: expected sections with settings in them.")
    return content


def presets():
    """What each preset changes, by its name."""
    return read_yaml(HERE / "presets.yml")


def read_conf(preset):
    """conf.yml by section, as the preset changes it.

    Raises:
        BadOption: if a file cannot be read, or has a setting that is unknown or cannot be.
    """
    path, changes = HERE / "conf.yml", presets()
    if preset not in changes:
        raise BadOption(f"--preset is one of {', '.join(changes)}, found {preset!r}.")
    conf = read_yaml(path)
    known = {key for values in conf.values() for key in values}
    for key in known - set(RULES):
        raise BadOption(f"{path} has a setting {key!r} that {HERE / 'options.py'} does not know.")
    for key in set(RULES) - known:
        raise BadOption(f"{path} lacks the setting {key!r}.")
    for key, value in changes[preset].items():
        if key not in known:
            raise BadOption(f"{HERE / 'presets.yml'}: {preset} changes {key!r}, no such setting.")
        section = next(values for values in conf.values() if key in values)
        section[key] = value
    for values in conf.values():
        for key, value in values.items():
            values[key] = checked(key, value, f"{path} and presets.yml: {key}")
    return conf


def checked(key, value, name=None):
    """A setting as it is used.

    Raises:
        BadOption: if it cannot be.
    """
    found = RULES[key].read(value)
    if found is None:
        raise BadOption(f"{name or f'--{key}'} is {RULES[key]}, found {value!r}.")
    return found


def flat(conf):
    """Settings without their sections."""
    return {key: value for section in conf.values() for key, value in section.items()}


def given_settings(words):
    """Settings of a command line, ``["--s_epochs", "20", …]``, by name.

    Raises:
        BadOption: if one is unknown, has no value, or cannot be.
    """
    words, found = list(words), {}
    while words:
        word = words.pop(0)
        name, has_value, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or (name not in RULES and name not in FLAGS):
            near = difflib.get_close_matches(name, RULES, 1)
            hint = f"; did you mean --{near[0]}" if near else ""
            raise BadOption(f"there is no setting {word!r} in local/conf.yml{hint}.")
        if name in FLAGS:
            if has_value:
                raise BadOption(f"--{name} takes no value, found {value!r}.")
            continue
        if not has_value:
            if not words or words[0].startswith("--"):
                raise BadOption(f"--{name} needs a value: {RULES[name]}.")
            value = words.pop(0)
        found[name] = checked(name, value)
    return found


def check_together(values):
    """What settings say of each other.

    Raises:
        BadOption: if they cannot be together.
    """
    if values["hop_length"] > values["n_fft"]:
        raise BadOption(
            f"--hop_length {values['hop_length']} is above --n_fft {values['n_fft']}: samples "
            "between two windows would be lost."
        )
    if values["n_fft"] % 2:
        raise BadOption(f"--n_fft {values['n_fft']} is odd; use an even number.")
    if values["s_minutes"] and values["devices"] * values["num_nodes"] > 1:
        raise BadOption(
            "--s_minutes: a training by the clock of one process cannot have several devices."
        )


def check_mixture_loss(text, supervision):
    """The names of the mixture losses.

    Raises:
        BadOption: if one is unknown, or needs pitches where there are none.
    """
    names = text.split("+")
    for name in names:
        if name not in MIXTURE:
            raise BadOption(
                f"--mixture_loss {text}: {name!r} is none of {', '.join(MIXTURE)} "
                "(join them with +)."
            )
        if supervision == "activity" and name not in ("clip", "frame"):
            raise BadOption(
                f"--mixture_loss {text}: the weak baseline knows who plays when and "
                "no pitch; use clip or frame."
            )
    if len(set(names)) < len(names):
        raise BadOption(f"--mixture_loss {text} has a loss twice.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--preset", required=True)
    parser.add_argument("--given", default="", help="settings, quoted as in a shell")
    parser.add_argument("--mixture_loss", default="clip")
    parser.add_argument("--supervision", default="score")
    args = parser.parse_args()
    try:
        values = flat(read_conf(args.preset))
        try:
            words = shlex.split(args.given)
        except ValueError as error:
            raise BadOption(f"{args.given!r} is not quoted as in a shell: {error}.") from None
        values.update(given_settings(words))
        check_together(values)
        check_mixture_loss(args.mixture_loss, args.supervision)
    except BadOption as error:
        print(f"run.sh: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
