"""The allowed values of each setting of conf.yml, and of settings together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

NORMS = ("gLN", "cLN", "cgLN", "fgLN", "bN")
PRECISIONS = (
    "auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true", "32", "64",
)  # fmt: skip


class BadOption(ValueError):
    """An invalid setting."""


class Number:
    """A finite number between two limits.

    Args:
        kind (type): int or float.
        low, high (float): The limits, inclusive.
        above (bool): Whether `low` itself is excluded.
        odd (bool): Whether it must be odd.
    """

    def __init__(
        self, kind: type, low: float = 0, high: float = 1e9, above: bool = False, odd: bool = False
    ):
        self.kind, self.low, self.high, self.above, self.odd = kind, low, high, above, odd

    def __str__(self) -> str:
        kind = "a whole number" if self.kind is int else "a number"
        kind = "an odd number" if self.odd else kind
        low = f"above {self.low}" if self.above else f"from {self.low}"
        return f"{kind} {low} to {self.high:.10g}"

    def read(self, value: object) -> float | None:
        """Converts a string or a number; None if it is not allowed."""
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
    """One of several words."""

    def __init__(self, *words: str):
        self.words = words

    def __str__(self) -> str:
        return f"one of {', '.join(self.words)}"

    def read(self, value: object) -> str | None:
        """The word; None if it is not allowed."""
        return str(value) if str(value) in self.words else None


class Switch:
    """True or false, in the spellings of YAML and of Asteroid's parser."""

    def __str__(self) -> str:
        return "true or false"

    def read(self, value: object) -> bool | None:
        """The Boolean; None if it is not one."""
        words = {"true": True, "yes": True, "y": True, "1": True}
        words |= {"false": False, "no": False, "n": False, "0": False}
        return words.get(str(value).lower())


class SwitchOrAuto(Switch):
    """True, false or auto."""

    def __str__(self) -> str:
        return "true, false or auto"

    def read(self, value: object) -> bool | str | None:  # type: ignore[override]
        """The Boolean or "auto"; None if it is neither."""
        return "auto" if str(value).lower() == "auto" else super().read(value)


class Text:
    """Any string but an empty one."""

    def __str__(self) -> str:
        return "a string that is not empty"

    def read(self, value: object) -> str | None:
        """The string; None if it is empty or not a string."""
        return value if isinstance(value, str) and value.strip() else None


Rule = Number | Choice | Switch | Text
COUNT, WEIGHT, FRACTION = Number(int, 1, 10**8), Number(float, 0, 1e6), Number(float, 0, 1)
BATCH, LENGTH, RATE = Number(int, 1, 65536), Number(int, 1, 10**6), Number(float, 0, 10, above=True)
#: What each setting of conf.yml may be, except those of the section `loss`, which are weights.
#: A new setting needs a line here too.
RULES: dict[str, Rule] = {
    "data_dir": Text(),
    "segment": Number(float, 0, 3600, above=True),
    "gain_db": Number(float, 0, 60),
    "eq_db": Number(float, 0, 40),
    "varispeed": Number(int, 0, 12),
    "saliency": FRACTION,
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
    "t_minutes": Number(float, 0, 1e6),
    "t_steps": COUNT,
    "t_batch_size": BATCH,
    "t_lr": RATE,
    "t_remix": FRACTION,
    "t_simulate": FRACTION,
    "t_model": Choice("tcn", "pitch"),
    "pitch_chan": BATCH,
    "t_parts": Text(),
    "t_parts_fraction": FRACTION,
    "model": Choice("tcn", "pitch", "ConvTasNet", "OpenUnmix"),
    "s_epochs": COUNT,
    "s_minutes": Number(float, 0, 1e6),
    "s_steps": COUNT,
    "s_batch_size": BATCH,
    "s_lr": RATE,
    "mask_act": Choice("sigmoid", "softmax"),
    "start_from_transcriptor": Switch(),
    "stem_fraction": Number(float, 0, 1, above=True),
    "stem_draw": FRACTION,
    "critic_classes": Number(int, 0, 128),
    "f_epochs": COUNT,
    "f_minutes": Number(float, 0, 1e6),
    "f_steps": COUNT,
    "f_batch_size": BATCH,
    "f_lr_separator": RATE,
    "f_lr_transcriptor": RATE,
    "aml": WEIGHT,
    "atl": WEIGHT,
    "audible_notes": WEIGHT,
    "eval_minutes": Number(float, 0, 1e6),
    "n_examples": Number(int, 0, 10**6),
    "r_channels": BATCH,
    "r_blocks": Number(int, 1, 20),
    "r_segment": Number(float, 0, 3600, above=True),
    "r_variants": COUNT,
    "r_bins": Number(int, 1, 1e5),
    "r_epochs": COUNT,
    "r_minutes": Number(float, 0, 1e6),
    "r_steps": COUNT,
    "r_batch_size": BATCH,
    "r_lr": RATE,
    "r_score_dropout": FRACTION,
    "gradient_clip": Number(float, 0, 1e9),
    "ema_decay": Number(float, 0, 0.999999),
    "warmup_steps": Number(int, 0, 10**8),
    "devices": Number(int, 1, 1024),
    "num_nodes": Number(int, 1, 65536),
    "strategy": Text(),
    "compile": SwitchOrAuto(),
    "logger": Choice("csv", "tensorboard", "wandb"),
    "profile": Switch(),
    "precision": Choice(*PRECISIONS),
    "seed": Number(int, 0, 2**32 - 1),
}


def check_together(values: Mapping[str, Any]) -> None:
    """Checks settings against each other.

    Raises:
        BadOption: if they contradict each other.
    """
    if values["hop_length"] > values["n_fft"]:
        raise BadOption(
            f"--hop_length {values['hop_length']} is above --n_fft {values['n_fft']}: samples "
            "between two windows would be lost."
        )
    if values["n_fft"] % 2:
        raise BadOption(f"--n_fft {values['n_fft']} is odd; use an even number.")
    for key in ("t_minutes", "s_minutes", "f_minutes", "r_minutes"):
        if values[key] and values["devices"] * values["num_nodes"] > 1:
            raise BadOption(f"--{key} needs a single device: every process has a clock of its own.")
