"""Step 3: whose turn it is, what each turn moves, and what the adversarial losses pull at."""

import pytest
import torch
from tiny import (
    differing,
    loaders,
    separator,
    state_of,
    step_three,
    stft,
    transcriptor,
    write_folder,
)

from asteroid_scoresup.engine import FineTuneSystem, fit
from asteroid_scoresup.losses import ScoreSupervisedLoss, transcription_loss

TURNS = ["plain", "aml", "atl", "aml and atl"]


def build(manifest, turn="plain", **kwargs):
    """With batch normalization, whose running statistics are state that could leak."""
    model, critic = separator(seed=1, norm_type="bN"), transcriptor(norm_type="bN")
    weights = {name: 0.1 for name in ("aml", "atl") if name in turn}
    return step_three(manifest, model, critic, **weights, **kwargs)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("prepared"))


def states(system):
    return (
        state_of(system.separator),
        state_of(system.transcriptor),
        state_of(system.validation_critic),
    )


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.slow
def test_a_turn_moves_one_network_and_nothing_of_the_other(manifest, tmp_path, turn):
    system = build(manifest, turn, steps=2)
    moments = []
    update, step = system._update, system.training_step

    def watched_update(*args):
        update(*args)
        moments.append(states(system))

    def watched_step(*args):
        moments.append(states(system))
        step(*args)
        moments.append(states(system))

    system._update, system.training_step = watched_update, watched_step
    fit(system, tmp_path, 1, quiet=True)
    assert len(moments) == 2 * 4
    for start, after_separator, after_transcriptor, end in (moments[:4], moments[4:]):
        # The separator's turn: its weights and statistics, and nothing of the transcriptor.
        moved = differing(start[0], after_separator[0])
        assert any(name.endswith("running_mean") for name in moved)
        assert any(name.endswith("weight") for name in moved)
        assert not differing(start[1], after_separator[1])
        # The transcriptor's: the other way round.
        assert not differing(after_separator[0], end[0])
        moved = differing(after_separator[1], after_transcriptor[1])
        assert any(name.endswith("running_mean") for name in moved)
        assert any(name.endswith("weight") for name in moved)
        # The validation_critic stays what the transcriptor was at the start.
        assert not differing(start[2], end[2])


def gradients(network):
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in network.named_parameters()
    }


def first_gradients(manifest, tmp_path, turn):
    """Gradients of both turns of the first batch, before clipping changes them."""
    system, found = build(manifest, turn, steps=1, gradient_clip=1e9), []
    update = system._update

    def watched(optimizer, network, loss):
        update(optimizer, network, loss)
        found.append(gradients(network))

    system._update = watched
    torch.manual_seed(0)
    fit(system, tmp_path / turn, 1, quiet=True)
    return found


@pytest.mark.slow
def test_which_network_each_adversarial_loss_trains(manifest, tmp_path):
    plain, aml, atl = (
        first_gradients(manifest, tmp_path, turn) for turn in ("plain", "aml", "atl")
    )
    # AML pulls at both. In its turn the separator knows nothing of ATL, its side of which is
    # the ordinary transcription loss.
    assert differing(plain[0], aml[0])
    assert not differing(plain[0], atl[0])
    # The transcriptor's turn follows the separator's, whose estimates are those of before.
    assert differing(plain[1], aml[1]) and differing(plain[1], atl[1])


def test_the_separator_learns_the_loss_of_step_two(manifest, tmp_path):
    system = build(manifest, steps=1)
    twin = build(manifest, steps=1)
    batch = next(iter(twin.train_loader))
    twin.separator.train()
    twin.loss_func.train()
    twin.loss_func(twin.model(batch[0]), batch[1]).backward()
    expected = gradients(twin.separator)
    torch.nn.utils.clip_grad_norm_(twin.separator.parameters(), 5.0)
    found = []
    update = system._update

    def watched(*args):
        update(*args)
        found.append(gradients(args[1]))

    system._update, system.gradient_clip = watched, 1e9
    fit(system, tmp_path, 1, precision="32-true", quiet=True)
    torch.testing.assert_close(found[0], expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("clip", [1e-3, 0.1])
@pytest.mark.slow
def test_each_network_is_clipped_by_its_own_norm(manifest, tmp_path, clip):
    system = build(manifest, "aml", steps=2, gradient_clip=clip)
    norms = []
    update = system._update

    def watched(optimizer, network, loss):
        update(optimizer, network, loss)
        norms.append(float(torch.stack([g.norm() for g in gradients(network).values()]).norm()))

    system._update = watched
    fit(system, tmp_path, 1, quiet=True)
    assert len(norms) == 4 and max(norms) <= clip * 1.001
    assert min(norms) > 0.9 * clip  # both would have been larger


def test_both_schedules_step_with_every_batch(manifest, tmp_path):
    system = build(manifest, steps=3, total=6, lr=0.01)
    rates = []

    def note(*args):
        rates.append([group["lr"] for o in system.optimizer for group in o.param_groups])

    system.on_train_batch_end = note
    fit(system, tmp_path, 2, quiet=True)
    separator_rates, transcriptor_rates = zip(*rates)
    factors = [rate / 0.01 for rate in separator_rates]
    assert factors[0] == 1.0 and factors[-1] == pytest.approx(0.01)
    assert len(set(factors)) == 5  # full rate after the first two steps
    assert [rate / 0.005 for rate in transcriptor_rates] == pytest.approx(factors)


def test_without_schedules_the_rate_stays(manifest, tmp_path):
    made = build(manifest, steps=2)
    networks = made.separator, made.transcriptor
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.01) for network in networks]
    loaders = made.train_loader, made.val_loader
    system = FineTuneSystem(*networks, made.loss_func, optimizers, *loaders)
    before = states(system)
    fit(system, tmp_path, 1, quiet=True)
    assert [o.param_groups[0]["lr"] for o in optimizers] == [0.01, 0.01]
    assert all(differing(before[i], states(system)[i]) for i in (0, 1))


def test_validation_adds_the_critics_loss_and_transcription_of_the_mixture(manifest, tmp_path):
    system = build(manifest, steps=2)
    start = ScoreSupervisedLoss(
        system.loss_func.weights, stft(), transcriptor(norm_type="bN"), system.loss_func.templates
    )
    best = fit(system, tmp_path, 1, precision="32-true", quiet=True)
    system.eval()
    (wav, targets), = system.val_loader  # fmt: skip
    with torch.no_grad():
        estimates = system.model(wav)
        separation = start(estimates, targets)
        logits = system.transcriptor.outputs(estimates.mixture)
        transcription = transcription_loss(logits, targets["roll"])
        moved = system.loss_func(estimates, targets)
    assert best["best_val_loss"] == pytest.approx(float(separation + 0.2 * transcription), rel=1e-4)
    assert abs(float(moved - separation)) > 1e-4  # the present transcriptor says otherwise


@pytest.mark.slow
def test_networks_learn_together(manifest, tmp_path):
    losses = []
    for epochs in (1, 6):
        system = step_three(manifest, steps=8, total=48)
        best = fit(system, tmp_path / str(epochs), epochs, quiet=True)
        losses.append(best["best_val_loss"])
    assert losses[1] < 0.8 * losses[0]


def test_remixing_needs_as_many_segments_as_classes(manifest, tmp_path):
    system = build(manifest, "aml")
    system.train_loader, _ = loaders(manifest, batch_size=2)
    with pytest.raises(ValueError, match="needs a batch of at least 3, found 2"):
        fit(system, tmp_path, 1, quiet=True)


def test_a_critic_that_is_not_the_transcriptor_is_refused(manifest):
    model, critic = separator(), transcriptor()
    loss = ScoreSupervisedLoss({"transcription": 1.0}, stft(), transcriptor())
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.1) for net in (model, critic)]
    with pytest.raises(ValueError, match="critic of loss_func must be the transcriptor"):
        FineTuneSystem(model, critic, loss, optimizers, None)
