"""How `run.sh --minutes` divides its time: how many songs it makes, how long each step trains.

`songs` prints how many songs can be synthesized in the time that is left, from the speed at which
the first ones were made. `plan` tries some updates of each step, and prints how long each step
trains and how often it validates, as settings of the training scripts. A plan is written next to
the models, and used again when an interrupted run is resumed.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Of the whole time: for making and preparing songs, and for the evaluation.
SONGS, EVALUATION = 0.25, 0.2
#: How the training time is divided among steps 1 to 3, by the prefix of their settings.
FRACTIONS = {"t": 0.25, "s": 0.5, "f": 0.25}
#: Wanted number of validations in a step, and largest fraction of its time that they take.
VALIDATIONS, VALIDATING = 8, 0.15
#: Updates of a trial before they are timed, and seconds of the timed ones.
WARM_UP, TRIAL_SECONDS = 3, 3.0
#: Seconds in which a script starts, if the trial was faster.
STARTING = 3.0


def song_counts(wanted: dict[str, float], made: dict[str, int], spent: float, left: float) -> dict:
    """How many songs of each split there can be.

    Args:
        wanted (dict): ``n_train``, ``n_validation``, ``n_test``, ``n_test_unseen`` and other
            options of the preset, which are kept.
        made (dict): How many were made in a trial.
        spent (float): Seconds that they took.
        left (float): Seconds for all songs, with those of the trial.

    Returns:
        dict: At least those of the trial, at most those that are wanted.
    """
    total = sum(value for key, value in wanted.items() if key.startswith("n_"))
    affordable = left / spent * sum(made.values())
    part = min(affordable / total, 1.0)
    return {
        key: value if key not in made else int(max(made[key], min(part * value, value)))
        for key, value in wanted.items()
    }


def divide(
    left: float, updates: dict[str, float], validation: float, starting: float, evaluates: bool
) -> tuple[dict[str, float], dict[str, int]]:
    """Divides the time that is left.

    Args:
        left (float): Seconds for all steps and the evaluation.
        updates (dict): Seconds of an update of each step that will run, by ``t``, ``s``, ``f``.
        validation (float): Seconds of a validation.
        starting (float): Seconds in which a script starts.
        evaluates (bool): Whether an evaluation follows.

    Returns:
        tuple: minutes of training by ``t_minutes`` …; and updates between two validations, by
        ``t_steps`` ….

    Raises:
        ValueError: if there is no time for training.
    """
    scripts = len(updates) + evaluates
    evaluation = EVALUATION * left if evaluates else 0.0
    free = left - evaluation - scripts * starting - len(updates) * validation
    if free <= 0:
        raise ValueError(
            f"{left:.0f} s are left for training and evaluation, and starting the scripts and "
            "validating takes longer: give more --minutes, or prepare the data in an earlier "
            "command (--stop_stage prepare) and train in the next (--stage transcriptor)."
        )
    total = sum(FRACTIONS[step] for step in updates)
    minutes, steps = {}, {}
    for step, seconds in updates.items():
        own = FRACTIONS[step] / total * free
        count = min(VALIDATIONS, int(VALIDATING * own / max(validation, 1e-9)))
        own -= count * validation
        minutes[f"{step}_minutes"] = round(own / 60, 4)
        steps[f"{step}_steps"] = max(int(own / seconds / max(count, 1)), 1)
    return minutes, steps


def timed(work: Callable[[], object], seconds: float = TRIAL_SECONDS) -> float:
    """Mean time of a call in s, on the device that computes."""
    import torch

    def wait() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    for _ in range(WARM_UP):
        work()
    wait()
    start, count = time.perf_counter(), 0
    while not count or time.perf_counter() < start + seconds:
        work()
        count += 1
    wait()
    return (time.perf_counter() - start) / count


def trials(args: Any, steps: list[str]) -> tuple[dict[str, float], float]:
    """Seconds of an update of each step, with its data, and of a validation."""
    import torch
    from local import harmonic, settings
    from pytorch_lightning.utilities import move_data_to_device

    from asteroid_scoresup.data import Manifest
    from asteroid_scoresup.engine import FineTuneSystem, adam, computes_bfloat16
    from asteroid_scoresup.losses import TranscriptionLoss
    from asteroid_scoresup.models import ActivityClassifier, ScoreTranscriptor

    manifest = Manifest.load(args.data_dir)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    half = args.precision == "bf16-mixed" or (args.precision == "auto" and computes_bfloat16())
    kind = ActivityClassifier if args.supervision == "activity" else ScoreTranscriptor
    reader = kind(**settings.network(args, manifest)).to(device)
    model = settings.separator(args, manifest).to(device)
    loss = settings.loss(args, manifest, reader).to(device)
    masks = harmonic.fitted_masks(args, manifest)
    spectrograms = getattr(model, "spectrograms", model)

    def loaders(step: str) -> tuple[Any, Any]:
        more: dict[str, Any] = {"soft_masks": masks, "supervision": args.supervision}
        if step == "t":
            more = {"remix": args.t_remix}
        return settings.loaders(args, manifest, 10**4, getattr(args, f"{step}_batch_size"), **more)

    def value(step: str, batch: Any) -> torch.Tensor:
        wav, targets = batch
        if step == "t":
            magnitude = reader.stft.magnitude(reader.stft(wav))
            return TranscriptionLoss()(reader.outputs(magnitude), targets)
        return loss(spectrograms(wav), targets)

    def update_of(step: str) -> Callable[[Any], object]:
        if step == "f":
            pair = [adam(network, 1e-4, args.precision) for network in (model, reader)]
            system = FineTuneSystem(model, reader, loss, pair, None,
                                    aml=args.aml * ("aml" in args.adversarial),
                                    atl=args.atl * ("atl" in args.adversarial))  # fmt: skip
            system.optimizers, system._schedulers = lambda: pair, list
            system.manual_backward = lambda loss: loss.backward()
            system.log = system.log_dict = lambda *args, **kwargs: None
            return lambda batch: system.training_step(batch, 0)
        reader.requires_grad_(step == "t").train(step == "t")
        network = reader if step == "t" else model.train()
        optimizer = adam(network, 1e-4, args.precision)

        def update(batch: Any) -> None:
            result = value(step, batch)
            optimizer.zero_grad()
            result.backward()
            optimizer.step()

        return update

    found, validation = {}, 0.0
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        for step in steps:
            train, fixed = loaders(step)
            batches, update = iter(train), update_of(step)
            found[step] = timed(lambda b=batches, u=update: u(move_data_to_device(next(b), device)))
            if step == steps[-1]:
                one = itertools.cycle([move_data_to_device(next(iter(fixed)), device)])
                with torch.no_grad():
                    each = timed(lambda s=step, b=one: value("s" if s == "f" else s, next(b)), 0.5)
                validation = each * len(fixed)
            del batches
    return found, validation


def plan() -> None:
    """Prints the plan of a run, made or read."""
    from local import settings

    from asteroid_scoresup.utils.files import read_json, write_json

    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--left", type=float, required=True, help="seconds that are left")
    parser.add_argument("--steps", required=True, help="of t, s and f, those that train")
    parser.add_argument("--evaluates", type=int, choices=[0, 1], default=1)
    parser.add_argument("--supervision", default="score")
    parser.add_argument("--loss", default="")
    parser.add_argument("--adversarial", default="none")

    def main(conf: settings.Conf, args: argparse.Namespace) -> None:
        path = Path(args.exp_dir) / "minutes.json"
        if path.is_file():
            chosen = read_json(path)
            print(f"  the plan of {path}, with which this run began", file=sys.stderr)
        else:
            updates, validation = trials(args, list(args.steps))
            spent = time.monotonic() - started
            minutes, steps = divide(
                args.left - spent, updates, validation, max(STARTING, 0.2 * spent),
                bool(args.evaluates),
            )  # fmt: skip
            for step, seconds in updates.items():
                own = minutes[f"{step}_minutes"]
                print(
                    f"  step {'tsf'.index(step) + 1}: {own:.2f} min, about "
                    f"{60 * own / seconds:.0f} updates of {1000 * seconds:.0f} ms, a validation "
                    f"every {steps[f'{step}_steps']}",
                    file=sys.stderr,
                )
            chosen = {**minutes, **steps}
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, chosen)
        for key, setting in chosen.items():
            print(f"--{key} {setting}")

    settings.run(main, parser)


def songs() -> None:
    """Prints how many songs to synthesize."""
    from local.commands import song_words
    from local.options import song_counts as counts_of

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--spent", type=float, default=0.0, help="seconds of the trial")
    parser.add_argument("--minutes", type=float, default=0.0, help="for all stages together")
    args = parser.parse_args()
    wanted = counts_of(args.preset)
    made = {key: 1 for key in wanted if key.startswith("n_")}
    made["n_train"] = max(2 * args.jobs, 3)
    if args.spent:
        chosen = song_counts(wanted, made, args.spent, SONGS * 60 * args.minutes)
    else:
        chosen = {**wanted, **made}
    print(*song_words(chosen), sep="\n")


if __name__ == "__main__":
    command = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if command not in ("songs", "plan"):
        sys.exit(f"minutes.py: found {command!r}, expected songs or plan.")
    songs() if command == "songs" else plan()
