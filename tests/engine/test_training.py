"""Fitting: the schedule, the folder, resuming, choosing, learning; and no stem anywhere."""

import csv
import functools
import math
import os
import shutil
import subprocess
import sys

import pytest
import soundfile as sf
import torch
import yaml
from asteroid.engine.system import System
from asteroid.losses import singlesrc_neg_sisdr
from asteroid.models import ConvTasNet
from pytorch_lightning import Callback
from tiny import (
    HOP,
    N_FFT,
    RATE,
    differing,
    loaders,
    separator,
    state_of,
    step_one,
    step_three,
    step_two,
    stft,
    templates,
    transcriptor,
    write_folder,
)

from asteroid_scoresup.data import Manifest, ScoreDataset
from asteroid_scoresup.data import manifest as manifest_module
from asteroid_scoresup.engine import (
    Clock,
    LogLossTerms,
    LogValidationSISDR,
    fit,
    lock_experiment,
    save_model,
    warmup_cosine,
)
from asteroid_scoresup.losses import ScoreSupervisedLoss, transcription_loss
from asteroid_scoresup.models import ScoreTranscriptor, TCNSeparator
from asteroid_scoresup.utils.files import read_audio


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("prepared"))


# ---------------------------------------------------------------- the learning rate


@pytest.mark.parametrize("n_steps, warmup, hold", [(100, 10, 0.3), (100, 50, 0.3), (20, 0, 0.0)])
def test_learning_rate(n_steps, warmup, hold):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    schedule = warmup_cosine(optimizer, n_steps, warmup, hold)
    begin = max(warmup, int(hold * n_steps))
    for step in range(n_steps + 5):
        if step < warmup:
            expected = 2.0 * (step + 1) / warmup
        elif step < begin:
            expected = 2.0
        else:
            turn = math.pi * min((step - begin) / (n_steps - begin), 1)
            expected = 0.02 + 1.98 * (1 + math.cos(turn)) / 2
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.02)


def test_learning_rate_by_the_clock():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    clock = Clock(minutes=10)
    schedule = warmup_cosine(optimizer, n_steps=7, warmup=2, hold=0.25, clock=clock)
    for seconds, expected in [
        (0, 1.0), (60, 2.0), (120, 2.0), (150, 2.0), (375, 1.01), (600, 0.02), (700, 0.02)
    ]:  # fmt: skip
        clock.seconds = seconds
        schedule.step(0 if seconds == 0 else max(seconds // 60, 1))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected), seconds


# ---------------------------------------------------------------- the folder


CONF = {"optim": {"lr": 0.001, "seed": 0}, "training": {"s_epochs": 3}, "main_args": None}


def test_a_folder_belongs_to_its_configuration(tmp_path):
    folder, ignore = tmp_path / "exp" / "run", {"s_epochs"}
    lock_experiment(folder, CONF, ignore)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"")
    assert yaml.safe_load((folder / "conf.yml").read_text()) == CONF
    lock_experiment(
        folder, {**CONF, "training": {"s_epochs": 9}}, ignore
    )  # going on for longer is allowed
    assert yaml.safe_load((folder / "conf.yml").read_text())["training"] == {"s_epochs": 9}
    message = r"run contains a run with another configuration: optim.lr \(0.001 → 0.1\). .*--tag"
    with pytest.raises(ValueError, match=message):
        lock_experiment(folder, {**CONF, "optim": {"lr": 0.1, "seed": 0}}, ignore)
    later = {**CONF, "optim": {**CONF["optim"], "later": 0.0}}
    lock_experiment(folder, later, ignore)  # a setting that an earlier version did not have, off
    lock_experiment(folder, CONF, {*ignore, "later"})
    with pytest.raises(ValueError, match=r"optim.new \(None → 1\), optim.seed \(0 → None\)"):
        lock_experiment(folder, {**CONF, "optim": {"lr": 0.001, "new": 1}}, ignore)
    assert yaml.safe_load((folder / "conf.yml").read_text())["optim"] == CONF["optim"]


def test_a_folder_without_results_is_not_locked(tmp_path):
    lock_experiment(tmp_path, {"optim": {"lr": float("nan")}})
    (tmp_path / "logs").mkdir()
    lock_experiment(tmp_path, CONF)
    assert yaml.safe_load((tmp_path / "conf.yml").read_text()) == CONF
    (tmp_path / "best_model.pth").write_bytes(b"")
    with pytest.raises(ValueError, match="contains a run with another configuration"):
        lock_experiment(tmp_path, {**CONF, "optim": {"lr": 0.1}})


@pytest.mark.parametrize(
    "damage", ["", "[1, 2]", "optim: 3", "a: [", "a: b: c", "\x00", b"\xff\xfe", None]
)
def test_a_damaged_configuration_is_named(tmp_path, damage):
    lock_experiment(tmp_path, CONF)
    path = tmp_path / "conf.yml"
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage if isinstance(damage, bytes) else damage.encode())
    (tmp_path / "best_model.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"conf.yml cannot be read \(.*another --tag, or delete"):
        lock_experiment(tmp_path, CONF)
    (tmp_path / "best_model.pth").unlink()
    lock_experiment(tmp_path, CONF)  # nothing depends on it
    assert yaml.safe_load(path.read_text()) == CONF


def test_half_written_files_of_dead_processes_are_swept(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "checkpoints").mkdir()
    gone = [
        tmp_path / f".conf.{dead.pid}.part.yml",
        tmp_path / "checkpoints" / f".epoch=000-val_loss=1.2345.{dead.pid}.part.ckpt",
        tmp_path / "checkpoints" / f".last.{dead.pid}.part",
    ]
    kept = [
        tmp_path / f".model.{os.getpid()}.part.pth",
        tmp_path / f"mine.{dead.pid}.part.yml",
        tmp_path / ".notes.part.yml",
    ]
    for path in (*gone, *kept):
        path.write_bytes(b"half")
    for path in (*gone, *kept[1:]):
        os.utime(path, (0, 0))  # files of the last seconds are kept
    lock_experiment(tmp_path, CONF)
    assert [path for path in (*gone, *kept) if path.exists()] == kept


# ---------------------------------------------------------------- choosing and going on


class Scripted(System):
    """Its weight counts the steps; its validation losses are given beforehand."""

    losses = (3.0, 1.0, 2.0, 4.0, 5.0, 6.0)

    def __init__(self, manifest):
        net = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(net.weight)
        optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
        super().__init__(net, optimizer, None, *loaders(manifest, steps=2))

    def training_step(self, batch, batch_nb):
        return -self.model.weight.sum()

    def validation_step(self, batch, batch_nb):
        self.log("val_loss", torch.tensor(self.losses[self.current_epoch]), on_epoch=True)


@pytest.mark.slow
def test_the_best_epoch_is_chosen_and_the_last_is_resumed(manifest, tmp_path):
    system = Scripted(manifest)
    best = fit(system, tmp_path, 5, quiet=True)
    assert system.model.weight.item() == 4.0  # two steps an epoch, the second epoch was best
    assert not system.training
    assert best["best_val_loss"] == 1.0 and best["epochs"] == 5
    assert "epoch=001" in best["best_model_path"]
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["state_dict"]["model.weight"] == 10.0
    saved = yaml.safe_load((tmp_path / "best_k_models.json").read_text())
    assert sorted(saved.values()) == [1.0, 2.0, 3.0]
    assert all((tmp_path / "checkpoints" / name).is_file() for name in saved)

    again = fit(Scripted(manifest), tmp_path, 5, quiet=True)  # nothing left to do
    assert again == best
    system = Scripted(manifest)
    system.losses = (9.0,) * 5 + (0.5,)
    longer = fit(system, tmp_path, 6, quiet=True)
    assert system.model.weight.item() == 12.0 and longer["best_val_loss"] == 0.5


class SeesValidation(Callback):
    """Notes the weight that is validated."""

    def __init__(self):
        self.seen = []

    def on_validation_epoch_end(self, trainer, pl_module):
        self.seen.append(pl_module.model.weight.item())


@pytest.mark.slow
def test_the_moving_average_is_validated_saved_and_resumed(manifest, tmp_path):
    expected, average = [], 1.0  # the weight counts the steps
    for step in range(2, 7):
        average = 0.8 * average + 0.2 * step
        expected += [average] if step % 2 == 0 else []
    look = SeesValidation()
    fit(Scripted(manifest), tmp_path / "a", 2, callbacks=[look], quiet=True, ema_decay=0.8)
    system = Scripted(manifest)
    fit(system, tmp_path / "a", 3, callbacks=[look], quiet=True, ema_decay=0.8)
    assert look.seen == pytest.approx(expected)
    assert system.model.weight.item() == pytest.approx(expected[1])  # the second epoch was best
    last = torch.load(tmp_path / "a" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["state_dict"]["model.weight"].item() == pytest.approx(expected[2])
    assert last["current_model_state"]["model.weight"].item() == 6.0


class Killed(Exception):
    pass


class KillAt(Callback):
    """Stops the run at a batch, as a power cut would."""

    def __init__(self, epoch, batch):
        self.place = epoch, batch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == self.place:
            raise Killed


def run(build, manifest, folder, epochs, *callbacks, **options):
    torch.manual_seed(7)  # as the recipe seeds itself whenever it starts
    system = build(manifest)
    fit(system, folder, epochs, callbacks=callbacks, quiet=True, **options)
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def whole_run(manifest, tmp_path_factory):
    """The last checkpoint of three epochs that nothing interrupted; each kind is trained once."""

    @functools.cache
    def whole(build, decay=0.0):
        return run(build, manifest, tmp_path_factory.mktemp("whole"), 3, ema_decay=decay)

    return whole


def three_with_aml(manifest):
    return step_three(manifest, aml=0.1, atl=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("decay", [0.0, 0.9])
@pytest.mark.parametrize("build", [step_one, step_two, three_with_aml])
def test_a_resumed_run_equals_an_uninterrupted_one(manifest, whole_run, tmp_path, build, decay):
    whole = whole_run(build, decay)
    run(build, manifest, tmp_path / "parts", 1, ema_decay=decay)
    parts = run(build, manifest, tmp_path / "parts", 3, ema_decay=decay)
    assert whole["global_step"] == parts["global_step"] > 6
    assert not differing(whole["state_dict"], parts["state_dict"])
    assert whole["lr_schedulers"] == parts["lr_schedulers"] != []


@pytest.mark.slow
@pytest.mark.parametrize("build", [step_one, step_two, three_with_aml])
def test_a_killed_run_resumes_from_its_last_checkpoint(manifest, whole_run, tmp_path, build):
    whole = whole_run(build)
    with pytest.raises(Killed):
        run(build, manifest, tmp_path / "killed", 3, KillAt(1, 2))
    starts = []

    class Watch(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            starts.append(trainer.current_epoch)

    resumed = run(build, manifest, tmp_path / "killed", 3, Watch())
    assert starts == [1, 2]
    assert not differing(whole["state_dict"], resumed["state_dict"])


def test_a_run_killed_before_its_first_checkpoint_starts_again(manifest, tmp_path):
    whole = run(step_one, manifest, tmp_path / "whole", 1)
    with pytest.raises(Killed):
        run(step_one, manifest, tmp_path / "killed", 1, KillAt(0, 1))
    again = run(step_one, manifest, tmp_path / "killed", 1)
    assert not differing(whole["state_dict"], again["state_dict"])


def test_loaded_models_train_in_training_mode_and_the_critic_does_not(manifest, tmp_path):
    system, modes = step_two(manifest), []
    system.model.eval()  # as from_pretrained leaves it

    class Watch(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            separator_modes = {module.training for module in system.model.modules()}
            critic_modes = {module.training for module in system.loss_func.critic.modules()}
            modes.append((separator_modes, critic_modes))

    fit(system, tmp_path, 2, callbacks=[Watch()], quiet=True)
    assert modes == [({True}, {False})] * 6  # also after the first validation


@pytest.mark.slow
def test_a_truncated_checkpoint_is_skipped(manifest, whole_run, tmp_path, caplog):
    whole = whole_run(step_one)
    run(step_one, manifest, tmp_path / "cut", 2)
    last = tmp_path / "cut" / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    again = run(step_one, manifest, tmp_path / "cut", 3)
    assert "last.ckpt cannot be read and is skipped" in caplog.text
    assert not differing(whole["state_dict"], again["state_dict"])


# ---------------------------------------------------------------- learning


@pytest.fixture(scope="module")
def batch(manifest):
    data = ScoreDataset(manifest, "train", "both", 2.048, n_fft=N_FFT, hop_length=HOP)
    return torch.utils.data.default_collate([data[i] for i in (0, 2)])


def si_sdr(model, batch):
    wav, targets = batch
    with torch.no_grad():
        estimates = model(wav, level=torch.full((len(wav),), 0.1))
    flat = estimates.flatten(0, 1), targets["sources"].flatten(0, 1)
    return -float(singlesrc_neg_sisdr(*flat).mean())


@pytest.fixture(scope="module")
def critic(batch):
    """A transcriptor that reads this batch's stems, alone and mixed at any level."""
    targets, generator = batch[1], torch.Generator().manual_seed(0)
    model = transcriptor(bn_chan=32)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        gains = torch.rand(2, 4, 3, generator=generator)
        gains = gains.where(torch.rand(2, 4, 3, generator=generator) > 0.4, 0.0)
        sounds = (gains[..., None] * targets["sources"][:, None]).sum(2).flatten(0, 1)
        rolls = (targets["roll"][:, None] * (gains > 0.25)[..., None, None]).flatten(0, 1)
        logits = model.outputs(stft().magnitude(stft()(sounds)))
        loss = transcription_loss(logits, rolls)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1
    return model


# Loss weights; how far the loss must fall; SI-SDR to reach, in dB (at the start: -3.8). A net that
# overfits finds ways to please the clip-level loss and the critic that are no separation, so there
# only the loss counts.
OVERFIT = {
    "clip": ({"clip": 1.0}, 0.05, None),
    "clip, critic": ({"transcription": 0.2, "clip": 0.5}, 0.1, None),
    "frame, critic": ({"transcription": 0.2, "frame": 0.5}, 0.1, 3.0),
    "harmonic, critic": ({"transcription": 0.2, "harmonic": 0.5}, 0.1, 10.0),
    "soft": ({"soft_harmonic": 1.0}, 0.1, 12.0),
    "all": ({"transcription": 0.2, "clip": 0.5, "soft_harmonic": 1.0}, 0.2, 10.0),
    "supervised": ({"magnitude_approximation": 1.0}, 0.1, 14.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("row", OVERFIT)
def test_a_tiny_separator_overfits_one_batch(batch, critic, row):
    wav, targets = batch
    weights, fall, decibels = OVERFIT[row]
    loss_func = ScoreSupervisedLoss(weights, stft(), critic, templates())
    model = separator(bn_chan=32)
    model.load_trunk(critic)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    losses = []

    def has_learned():
        fallen = losses[-1] < fall * losses[0]
        return fallen and (decibels is None or si_sdr(model, batch) > decibels)

    for step in range(150):
        loss = loss_func(model.spectrograms(wav), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 5 == 4 and has_learned():
            break
    assert has_learned(), (losses[0], losses[-1], si_sdr(model, batch))


@pytest.mark.slow
def test_any_model_of_asteroid_trains_with_the_loss_on_the_stock_system(manifest, tmp_path):
    torch.manual_seed(0)
    model = ConvTasNet(
        3, n_filters=32, kernel_size=16, n_blocks=2, n_repeats=1, bn_chan=16, hid_chan=32,
        skip_chan=16, sample_rate=RATE,
    )  # fmt: skip
    critic = transcriptor()
    loss = ScoreSupervisedLoss({"transcription": 0.1, "clip": 1.0}, stft(), critic)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    before = state_of(critic)
    system = System(model, optimizer, loss, *loaders(manifest, steps=15))
    fit(system, tmp_path, 4, callbacks=[LogLossTerms()], gradient_clip=5.0, quiet=True)
    (path,) = tmp_path.glob("logs/*/metrics.csv")
    losses = [float(row["val_loss"]) for row in csv.DictReader(path.open()) if row["val_loss"]]
    assert losses[-1] < 0.95 * losses[0]
    assert not differing(before, state_of(critic))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.slow
def test_fused_optimizers_are_clipped_too(manifest, tmp_path, precision):
    moved = []
    for clip in (None, 1e-3):
        torch.manual_seed(0)
        system = step_two(manifest, steps=1, critic=transcriptor(seed=3))
        system.scheduler = None
        before = state_of(system.model)
        system.optimizer = torch.optim.SGD(system.model.parameters(), lr=1.0, fused=True)
        system.val_loader = system.train_loader
        folder = tmp_path / str(clip)
        fit(system, folder, 1, gradient_clip=clip, precision=precision, quiet=True)
        after = system.model.state_dict()
        moved.append(torch.cat([(after[key] - before[key]).flatten() for key in before]))
    free, clipped = moved
    assert free.norm() > 1e-2
    torch.testing.assert_close(clipped, 1e-3 * free / free.norm(), rtol=0.05, atol=1e-6)


# ---------------------------------------------------------------- without stems


@pytest.fixture
def bare(manifest, tmp_path):
    """The prepared set with its stems deleted."""
    shutil.copytree(manifest.root, tmp_path / "bare")
    for folder in (tmp_path / "bare").rglob("stems"):
        shutil.rmtree(folder)
    return Manifest.load(tmp_path / "bare")


def columns(folder):
    paths = folder.glob("logs/*/metrics.csv")
    return {name for path in paths for name in csv.DictReader(path.open()).fieldnames}


@pytest.mark.slow
def test_three_steps_without_a_stem(bare, tmp_path):
    losses = []
    one = step_one(bare, steps=10, total=20)
    for epochs in (1, 2):
        best = fit(one, tmp_path / "1", epochs, gradient_clip=5.0, quiet=True)
        losses.append(best["best_val_loss"])
    assert losses[1] < losses[0]
    save_model(one.model.transcriptor, tmp_path / "critic.pth", training=best)

    critic = ScoreTranscriptor.from_pretrained(tmp_path / "critic.pth")
    two = step_two(bare, critic=critic)
    model = two.model.separator
    look = [LogLossTerms(), LogValidationSISDR(model, bare)]
    best = fit(two, tmp_path / "2", 2, callbacks=look, gradient_clip=5.0, quiet=True)
    save_model(model, tmp_path / "separator.pth", training=best)

    model = TCNSeparator.from_pretrained(tmp_path / "separator.pth")
    three = step_three(bare, model, critic, aml=0.1, atl=0.1)
    look = [LogLossTerms(), LogValidationSISDR(model, bare)]
    best = fit(three, tmp_path / "3", 2, callbacks=look, quiet=True)
    assert math.isfinite(best["best_val_loss"])
    assert differing(TCNSeparator.from_pretrained(tmp_path / "separator.pth").state_dict(),
                     state_of(model))  # fmt: skip
    for step in "123":
        assert "val_loss" in columns(tmp_path / step)
        assert not any("si_sdr" in name for name in columns(tmp_path / step))


@pytest.mark.slow
def test_si_sdr_of_validation_stems_is_logged_and_chooses_nothing(
    manifest, bare, tmp_path, monkeypatch
):
    opened = []

    class Logged(sf.SoundFile):
        def __init__(self, file, *args, **kwargs):
            opened.append(os.fsdecode(file))
            super().__init__(file, *args, **kwargs)

    def read_logged(path):
        opened.append(str(path))
        return read_audio(path)

    monkeypatch.setattr(sf, "SoundFile", Logged)
    monkeypatch.setattr(manifest_module, "read_audio", read_logged)
    last = []
    for name, data in (("seen", manifest), ("bare", bare)):
        torch.manual_seed(0)
        system = step_two(data)
        callbacks = [LogValidationSISDR(system.model.separator, data)]
        best = fit(system, tmp_path / name, 2, callbacks=callbacks, quiet=True)
        last.append((best["best_val_loss"], state_of(system)))
    assert {"val_si_sdr", "val_si_sdr_bass"} <= columns(tmp_path / "seen")
    assert last[0][0] == last[1][0] and not differing(last[0][1], last[1][1])
    stems = [path for path in opened if "/stems/" in path]
    assert stems and all("validation" in path for path in stems)


# ---------------------------------------------------------------- a budget of minutes


class Slow(Scripted):
    """Its updates take a second by a clock that the test turns."""

    losses = (5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.4, 0.3, 0.2)
    now = 0.0

    def training_step(self, batch, batch_nb):
        Slow.now += 1.0
        return super().training_step(batch, batch_nb)

    def validation_step(self, batch, batch_nb):
        Slow.now += 100.0
        super().validation_step(batch, batch_nb)


def test_training_ends_after_its_minutes_and_continues_with_more(manifest, tmp_path, monkeypatch):
    monkeypatch.setattr("asteroid_scoresup.engine.training.time.monotonic", lambda: Slow.now)
    # Two updates an epoch: five seconds are over in the third one. Validation does not count.
    system = Slow(manifest)
    best = fit(system, tmp_path, -1, quiet=True, clock=Clock(5 / 60))
    assert system.model.weight.item() == 5.0
    assert best["minutes"] == best["best_minutes"] == pytest.approx(5 / 60)
    # What is at its end stays as it is.
    again = Slow(manifest)
    assert fit(again, tmp_path, -1, quiet=True, clock=Clock(5 / 60)) == best
    assert again.model.weight.item() == 5.0
    # With more minutes it resumes.
    again = Slow(manifest)
    best = fit(again, tmp_path, -1, quiet=True, clock=Clock(8 / 60))
    assert again.model.weight.item() == 8.0 and best["minutes"] == pytest.approx(8 / 60)
    # Without a limit the minutes are told all the same.
    free = fit(Slow(manifest), tmp_path / "free", 2, quiet=True)
    assert free["minutes"] == pytest.approx(4 / 60) and free["epochs"] == 2
