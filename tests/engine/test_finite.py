"""NaN or infinite losses and weights end a training."""

import math

import pytest
import torch
from pytorch_lightning import Callback
from tiny import (
    differing,
    separator,
    state_of,
    step_one,
    step_three,
    step_two,
    transcriptor,
    write_folder,
)

from asteroid_scoresup.engine import StopOnNonFinite, fit, save_model


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("prepared"))


def three_with_aml(manifest):
    return step_three(manifest, aml=0.1, atl=0.1)


STEPS = {"1": step_one, "2": step_two, "3": three_with_aml}


def broken(function, value, at):
    """Calls a function, and spoils what it gives from its call number `at` on."""
    count = iter(range(10**6))

    def call(*args, **kwargs):
        result = function(*args, **kwargs)
        return result * value if next(count) >= at else result

    return call


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.slow
def test_a_bad_training_loss_ends_the_training(manifest, tmp_path, step, value, monkeypatch):
    system = STEPS[step](manifest)
    # Three steps and as many batches of validation in an epoch: a step of the second epoch.
    if step == "3":
        monkeypatch.setattr(
            "asteroid_scoresup.engine.finetune_system.remix_transcriptor_loss",
            broken(lambda logits: logits.sum() * 0 + 1, value, 4),
        )
    else:
        forward = system.common_step
        spoiled = broken(forward, value, 4)
        system.common_step = lambda *args, train=True: (
            spoiled(*args, train=train) if train else forward(*args, train=train)
        )
    with pytest.raises(FloatingPointError) as found:
        fit(system, tmp_path, 4, quiet=True)
    term = "transcriptor_aml" if step == "3" else "loss"
    message = str(found.value)
    assert f"Training stopped in epoch 1: {term} became NaN or infinite in step 1" in message
    # Segments 9 and on are those of the second epoch; three are in a batch.
    data = system.train_loader.dataset
    assert ", ".join(data.place(number) for number in (12, 13, 14)) in message
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 0
    for path in tmp_path.glob("checkpoints/*.ckpt"):
        weights = torch.load(path, weights_only=True)["state_dict"]
        assert all(bool(weight.isfinite().all()) for weight in weights.values())


def test_the_term_of_the_loss_is_named(manifest, tmp_path, monkeypatch):
    system = step_two(manifest)
    terms = system.loss_func.terms

    def spoiled(*args):
        found = terms(*args)
        return {**found, "clip": found["clip"] * math.nan}

    monkeypatch.setattr(system.loss_func, "terms", spoiled)
    with pytest.raises(FloatingPointError, match="clip, loss became NaN or infinite in step 0"):
        fit(system, tmp_path, 1, quiet=True)
    assert not list(tmp_path.glob("checkpoints/*"))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.slow
def test_a_bad_validation_loss_ends_the_training(manifest, tmp_path, step):
    system = STEPS[step](manifest)
    loss = system.validation_critic if step == "3" else system.loss_func
    batches = len(system.val_loader)
    forward, calls = loss.forward, []

    def spoiled(*args):
        calls.append(system.trainer.validating or system.trainer.sanity_checking)
        value = forward(*args)
        late = system.current_epoch == 1 and not torch.is_grad_enabled()
        return value * math.nan if late else value

    loss.forward = spoiled
    with pytest.raises(FloatingPointError, match="in epoch 1: the validation loss is nan"):
        fit(system, tmp_path, 4, quiet=True)
    assert batches and calls
    names = sorted(path.name for path in tmp_path.glob("checkpoints/*"))
    assert len(names) == 2 and names[0].startswith("epoch=000") and names[1] == "last.ckpt"


class Spoil(Callback):
    """Makes a weight infinite after the last step of an epoch, as a bad gradient would."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.current_epoch == 1 and batch_idx == 2:
            next(iter(pl_module.model.parameters())).data.view(-1)[0] = math.inf


def test_bad_weights_are_not_saved_though_every_loss_was_good(manifest, tmp_path):
    with pytest.raises(FloatingPointError, match="epoch 1: the weights of the model are NaN or"):
        fit(step_one(manifest), tmp_path, 4, callbacks=[Spoil()], quiet=True)
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 0


def test_infinite_gradients_that_a_scaler_skips_do_not_end_training(manifest, tmp_path):
    """Float16 trains with scaled losses: a step whose gradients overflow is left out."""
    system, seen = step_one(manifest), []

    class Overflow(Callback):
        def on_after_backward(self, trainer, pl_module):
            if trainer.current_epoch == 0:
                for weight in pl_module.parameters():
                    weight.grad.fill_(math.inf)

        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            seen.append(all(bool(g.isfinite().all()) for g in gradients))
            if not seen[-1]:
                pl_module.zero_grad()  # what a scaler does: no update

    fit(system, tmp_path, 2, callbacks=[Overflow()], quiet=True)
    assert seen == [False] * 3 + [True] * 3


def test_on_a_gpu_losses_are_checked_every_few_steps(monkeypatch):
    looked = []

    class Trainer:
        world_size, current_epoch = 1, 0

        class strategy:  # noqa: N801
            @staticmethod
            def reduce_boolean_decision(decision, all):
                looked.append(decision)
                return decision

    class Module:
        device = torch.device("cuda")
        loss_func = None

    stop = StopOnNonFinite(every_n_steps=10)
    for step in range(25):
        stop.on_train_batch_end(Trainer, Module, {"loss": torch.tensor(1.0)}, None, step)
    assert looked == [False, False] and len(stop.waiting) == 5
    stop.on_train_epoch_end(Trainer, Module)
    assert looked == [False] * 3 and not stop.waiting


def test_checkpoints_with_bad_weights_are_no_place_to_resume(manifest, tmp_path, caplog):
    fit(step_one(manifest), tmp_path, 1, quiet=True)
    good = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    bad = {**good, "epoch": 5, "state_dict": dict(good["state_dict"])}
    name = next(name for name, w in good["state_dict"].items() if w.is_floating_point())
    bad["state_dict"][name] = good["state_dict"][name] * math.nan
    torch.save(bad, tmp_path / "checkpoints" / "last.ckpt")
    system = step_one(manifest)
    fit(system, tmp_path, 1, quiet=True)
    assert "last.ckpt contains NaN or infinite weights and is skipped" in caplog.text
    assert not differing(state_of(system), good["state_dict"])


@pytest.mark.parametrize("build", [separator, transcriptor])
def test_bad_weights_are_not_written_as_a_model(tmp_path, build):
    model = build()
    next(model.parameters()).data.view(-1)[-1] = math.nan
    with pytest.raises(ValueError, match="model.pth is not written: weights of the model are NaN"):
        save_model(model, tmp_path / "model.pth")
    assert not list(tmp_path.iterdir())
