"""Checkpoints: written whole or not at all, movable, and without what never changes."""

import shutil
import tempfile

import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import ModelCheckpoint
from tiny import (
    differing,
    state_of,
    step_one,
    step_three,
    step_two,
    transcriptor,
    write_folder,
)

from asteroid_scoresup.engine import fit, training
from asteroid_scoresup.engine.checkpoints import AtomicCheckpointIO, MovableCheckpoint, resume_point


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("prepared"))


class Scripted:
    """Validation losses that are given beforehand: the second epoch is best."""

    losses = (3.0, 1.0, 2.0, 4.0, 5.0, 6.0)


def scripted(manifest):
    system = step_one(manifest, steps=1)
    system.validation_step = lambda *args: system.log(
        "val_loss", torch.tensor(Scripted.losses[system.current_epoch])
    )
    return system


@pytest.mark.slow
@pytest.mark.parametrize("how", [shutil.move, shutil.copytree])
@pytest.mark.parametrize("lightning", [False, True])
def test_a_moved_folder_keeps_its_best_checkpoint(manifest, tmp_path, how, lightning, monkeypatch):
    if lightning:  # as earlier versions wrote it, with absolute paths
        monkeypatch.setattr(training, "MovableCheckpoint", ModelCheckpoint)
    first = fit(scripted(manifest), tmp_path / "old", 3, quiet=True)
    monkeypatch.undo()
    how(tmp_path / "old", tmp_path / "new")
    shutil.rmtree(tmp_path / "old", ignore_errors=True)
    # Nothing is left to do, and it is known what was best.
    again = fit(scripted(manifest), tmp_path / "new", 3, quiet=True)
    assert again["best_val_loss"] == first["best_val_loss"] == 1.0
    assert again["best_model_path"].startswith(str(tmp_path / "new"))
    # Trained on, it is still known.
    system = scripted(manifest)
    longer = fit(system, tmp_path / "new", 5, quiet=True)
    assert longer["best_val_loss"] == 1.0 and longer["epochs"] == 5
    best = torch.load(longer["best_model_path"], weights_only=True)
    assert not differing(best["state_dict"], system.state_dict())
    names = sorted(path.name for path in (tmp_path / "new" / "checkpoints").iterdir())
    assert [name.split("-")[0] for name in names] == [
        "epoch=000", "epoch=001", "epoch=002", "last.ckpt"
    ]  # fmt: skip


@pytest.mark.slow
def test_missing_checkpoints_are_not_among_the_best(manifest, tmp_path):
    best = fit(scripted(manifest), tmp_path, 3, quiet=True)
    (tmp_path / "checkpoints" / best["best_model_path"].rsplit("/")[-1]).unlink()
    assert fit(scripted(manifest), tmp_path, 3, quiet=True)["best_val_loss"] == 2.0
    for path in tmp_path.glob("checkpoints/epoch=*"):
        path.unlink()
    with pytest.raises(ValueError, match="lacks the best checkpoints of a finished training"):
        fit(scripted(manifest), tmp_path, 3, quiet=True)


def test_lightning_reads_the_state_by_its_own_name(tmp_path):
    ours = MovableCheckpoint(tmp_path, monitor="val_loss", save_top_k=3)
    theirs = ModelCheckpoint(tmp_path, monitor="val_loss", save_top_k=3)
    assert ours.state_key == theirs.state_key


def test_the_newest_checkpoint_is_known_by_its_content(manifest, tmp_path):
    fit(scripted(manifest), tmp_path, 3, quiet=True)
    folder = tmp_path / "checkpoints"
    assert resume_point(folder).name == "last.ckpt"
    oldest = min(folder.glob("epoch=*"))
    oldest.touch()  # as a copy would
    assert resume_point(folder).name == "last.ckpt"
    (folder / "last.ckpt").unlink()
    assert resume_point(folder).name.startswith("epoch=002")
    (folder / ".last.123.part.ckpt").write_bytes(max(folder.glob("epoch=*")).read_bytes())
    assert resume_point(folder).name.startswith("epoch=002")


@pytest.mark.slow
def test_checkpoints_that_a_killed_run_could_not_delete_are_deleted(manifest, tmp_path):
    fit(scripted(manifest), tmp_path, 3, quiet=True)
    left = tmp_path / "checkpoints" / "epoch=000-val_loss=9.0000.ckpt"
    shutil.copy(min(tmp_path.glob("checkpoints/epoch=*")), left)
    fit(scripted(manifest), tmp_path, 4, quiet=True)
    assert not left.exists() and len(list(tmp_path.glob("checkpoints/*"))) == 4


class Abort(BaseException):
    pass


def test_a_write_that_is_cut_short_leaves_the_old_file(tmp_path, monkeypatch):
    files = AtomicCheckpointIO()
    files.save_checkpoint({"epoch": 1}, tmp_path / "last.ckpt")
    seen = []

    def cut(value, stream):
        stream.write(b"half of it")
        seen.append(stream.name)
        raise Abort

    monkeypatch.setattr(torch, "save", cut)
    with pytest.raises(Abort):
        files.save_checkpoint({"epoch": 2}, tmp_path / "last.ckpt")
    assert str(seen[0]).startswith(str(tmp_path))  # the same file system: a rename is atomic
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
    assert files.load_checkpoint(tmp_path / "last.ckpt") == {"epoch": 1}


def test_nothing_goes_through_the_folder_for_temporary_files(manifest, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(tempfile, "mkstemp", lambda *args, **kwargs: made.append(args))
    fit(step_one(manifest), tmp_path, 1, quiet=True)
    assert not made


# ---------------------------------------------------------------- what never changes


def names_in(path):
    return set(torch.load(path, weights_only=True)["state_dict"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "build, left_out",
    [(step_one, None), (step_two, "loss_func.critic."), (step_three, "validation_critic.critic.")],
)
def test_checkpoints_have_no_frozen_critic(manifest, tmp_path, build, left_out):
    system = build(manifest)
    expected = {n for n in system.state_dict() if not (left_out and n.startswith(left_out))}
    assert (len(expected) < len(system.state_dict())) == (left_out is not None)
    fit(system, tmp_path, 1, quiet=True)
    for path in tmp_path.glob("checkpoints/*.ckpt"):
        assert names_in(path) == expected


@pytest.mark.slow
def test_another_critic_is_not_taken_for_the_one_of_the_start(manifest, tmp_path):
    fit(step_two(manifest, critic=transcriptor(seed=3)), tmp_path, 1, quiet=True)
    with pytest.raises(ValueError, match="ckpt was trained with another critic"):
        fit(step_two(manifest, critic=transcriptor(seed=4)), tmp_path, 2, quiet=True)
    critic = transcriptor(seed=3)
    before = state_of(critic)
    fit(step_two(manifest, critic=critic), tmp_path, 2, quiet=True)
    assert not differing(before, critic.state_dict())


def test_other_weights_that_are_missing_are_noticed(manifest, tmp_path):
    fit(step_two(manifest), tmp_path, 1, quiet=True)
    for path in tmp_path.glob("checkpoints/*.ckpt"):
        state = torch.load(path, weights_only=True)
        del state["state_dict"][next(n for n in state["state_dict"] if n.startswith("model."))]
        torch.save(state, path)
    with pytest.raises(RuntimeError, match="Missing key"):
        fit(step_two(manifest), tmp_path, 2, quiet=True)


@pytest.mark.slow
def test_checkpoints_of_earlier_versions_with_the_critic_are_resumed(manifest, tmp_path):
    class Whole(Callback):
        """Puts back what is left out now."""

        def on_train_end(self, trainer, pl_module):
            for path in tmp_path.glob("old/checkpoints/*.ckpt"):
                state = torch.load(path, weights_only=True)
                state.pop("frozen_weights")
                state["state_dict"] = {**pl_module.state_dict(), **state["state_dict"]}
                torch.save(state, path)

    fit(step_two(manifest), tmp_path / "old", 1, callbacks=[Whole()], quiet=True)
    fit(step_two(manifest), tmp_path / "new", 1, quiet=True)
    ends = []
    for name in ("old", "new"):
        torch.manual_seed(7)
        system = step_two(manifest)
        fit(system, tmp_path / name, 2, quiet=True)
        ends.append(state_of(system))
    assert not differing(*ends)


def test_a_loss_that_learns_keeps_its_weights(manifest, tmp_path):
    system = step_two(manifest)
    system.loss_func.scale = torch.nn.Linear(1, 1)
    weights = [*system.model.parameters(), *system.loss_func.scale.parameters()]
    system.optimizer, system.scheduler = torch.optim.Adam(weights), None
    fit(system, tmp_path, 1, quiet=True)
    assert "loss_func.scale.weight" in names_in(tmp_path / "checkpoints" / "last.ckpt")
