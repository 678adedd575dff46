"""The wrapper of step 2: weighted sum, frozen critic, waveforms of any model, errors."""

import pytest
import torch
from asteroid.models import ConvTasNet
from tiny import (
    HOP,
    N_FFT,
    NAMES,
    NET,
    RATE,
    differing,
    separator,
    state_of,
    stft,
    templates,
    transcriptor,
    write_folder,
)

from asteroid_scoresup.data import ScoreDataset
from asteroid_scoresup.dsp import Spectrograms
from asteroid_scoresup.losses import (
    ScoreSupervisedLoss,
    clip_mixture_loss,
    frame_mixture_loss,
    harmonic_mixture_loss,
    magnitude_approximation_loss,
    separated_transcription_loss,
    soft_harmonic_loss,
    transcription_loss,
)
from asteroid_scoresup.models import ActivityClassifier, ScoreTranscriptor

ALL = {
    "transcription": 0.2,
    "clip": 0.5,
    "frame": 0.3,
    "harmonic": 0.15,
    "soft_harmonic": 1.0,
    "magnitude_approximation": 0.7,
}


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    manifest = write_folder(tmp_path_factory.mktemp("data"))
    data = ScoreDataset(manifest, "train", "both", 1.0, n_fft=N_FFT, hop_length=HOP)
    return torch.utils.data.default_collate([data[i] for i in range(3)])


def make(weights, critic=None, **kwargs):
    critic = transcriptor(norm_type="bN", **kwargs) if critic is None else critic
    return ScoreSupervisedLoss(weights, stft(), critic, templates())


def test_it_is_the_weighted_sum_of_the_pure_functions(batch):
    wav, targets = batch
    loss = make(ALL)
    loss.train()
    mixture, sources = estimates = separator().spectrograms(wav)
    stems = stft().magnitude(stft()(targets["sources"].flatten(0, 1))).unflatten(0, (3, 3))
    roll, sounding, drawn = targets["roll"], targets["sounding"], loss.templates
    expected = {
        "transcription": separated_transcription_loss(loss.critic.outputs, sources, roll),
        "clip": clip_mixture_loss(sources, mixture, roll),
        "frame": frame_mixture_loss(sources, mixture, sounding),
        "harmonic": harmonic_mixture_loss(sources, mixture, sounding, drawn),
        "soft_harmonic": soft_harmonic_loss(sources, mixture, sounding, drawn),
        "magnitude_approximation": magnitude_approximation_loss(sources, stems, mixture),
    }
    total = loss(estimates, targets)
    torch.testing.assert_close(total, sum(ALL[name] * expected[name] for name in ALL))
    torch.testing.assert_close(loss.last_terms, {k: v.detach() for k, v in expected.items()})
    assert not any(term.requires_grad for term in loss.last_terms.values())
    assert len({round(term.item(), 6) for term in expected.values()}) == len(ALL)


def test_terms_of_weight_zero_are_not_computed(batch):
    critic = transcriptor()
    critic.outputs = None  # would raise if it were called
    loss = make({"clip": 1.0, "transcription": 0.0}, critic)
    loss(separator().spectrograms(batch[0]), batch[1])
    assert set(loss.last_terms) == {"clip"}


@pytest.mark.parametrize("kind", ["transcriptor", "classifier"])
@pytest.mark.parametrize("mode", [None, True, False])
def test_gradients_pass_through_the_critic_and_do_not_change_it(batch, kind, mode):
    wav, targets = batch
    if kind == "transcriptor":
        critic = transcriptor(norm_type="bN")
    else:
        critic = ActivityClassifier(NAMES, **{**NET, "norm_type": "bN"})
    loss, model = make({"transcription": 1.0}, critic.train()), separator(seed=2)
    if mode is not None:
        loss.train(mode)
    assert not any(module.training for module in critic.modules())
    before, weights = state_of(critic), state_of(model)
    optimizer = torch.optim.SGD([*model.parameters(), *critic.parameters()], lr=0.1)
    loss(model.spectrograms(wav), targets).backward()
    optimizer.step()
    assert not differing(before, state_of(critic))
    assert all(weight.grad is None for weight in critic.parameters())
    assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)
    assert differing(weights, state_of(model))


def test_the_critic_receives_some_classes_in_training_and_all_in_validation(batch):
    wav, targets = batch
    sizes, critic = [], transcriptor()
    outputs = critic.outputs
    critic.outputs = lambda magnitude: (sizes.append(len(magnitude)), outputs(magnitude))[1]
    loss = ScoreSupervisedLoss({"transcription": 1.0}, stft(), critic, critic_classes=1)
    whole = ScoreSupervisedLoss({"transcription": 1.0}, stft(), critic)
    estimates = separator().spectrograms(wav)
    torch.manual_seed(0)
    values = [loss.train()(estimates, targets).item() for _ in range(100)]
    assert set(sizes) == {len(wav)} and len(set(values)) > 5
    expected = whole(estimates, targets).item()
    assert sum(values) / 100 == pytest.approx(expected, rel=0.05)
    assert loss.eval()(estimates, targets).item() == pytest.approx(expected)


def test_waveforms_have_the_same_loss_as_their_spectrograms(batch):
    wav, targets = batch
    waveforms = torch.stack([0.6 * wav, 0.3 * wav, 0.1 * wav], dim=1)
    magnitude = stft().magnitude(stft()(wav))
    sources = stft().magnitude(stft()(waveforms.flatten(0, 1))).unflatten(0, (3, 3))
    loss = make(ALL)
    expected = loss(Spectrograms(magnitude, sources), targets)
    torch.testing.assert_close(loss(waveforms, targets), expected)
    torch.testing.assert_close(loss((magnitude, sources), targets), expected)


@pytest.mark.parametrize("term", ["transcription", "soft_harmonic"])
def test_gradients_reach_a_model_of_asteroid(batch, term):
    wav, targets = batch
    torch.manual_seed(0)
    model = ConvTasNet(
        3, n_filters=32, kernel_size=16, n_blocks=2, n_repeats=1, bn_chan=16, hid_chan=16,
        skip_chan=16, sample_rate=RATE,
    )  # fmt: skip
    make({term: 1.0})(model(wav), targets).backward()
    assert model.encoder.filterbank._filters.grad.abs().sum() > 0
    assert model.masker.mask_net[1].weight.grad.abs().sum() > 0


def test_the_state_dict_has_the_critic_and_not_the_templates(batch):
    names = set(make(ALL).state_dict())
    assert any(name.startswith("critic.trunk") for name in names)
    assert not any(name.startswith("templates") for name in names)


@pytest.mark.parametrize(
    "weights, message",
    [
        ({"clip": 1.0, "harm": 1.0}, r"Unknown loss terms \['harm'\]; there are \['transcription'"),
        ({"clip": 0.0}, "Every loss weight is 0"),
        ({}, "Every loss weight is 0"),
        ({"transcription": 1.0}, "needs a critic"),
        ({"harmonic": 1.0}, r"need templates \(HarmonicTemplates\)"),
        ({"soft_harmonic": 0.1}, r"need templates \(HarmonicTemplates\)"),
    ],
)
def test_wrong_settings_are_refused_at_construction(weights, message):
    with pytest.raises(ValueError, match=message):
        ScoreSupervisedLoss(weights, stft())


@pytest.mark.parametrize("name", ["roll", "sounding"])
@pytest.mark.parametrize("cut", [lambda roll: roll[..., 1:], lambda roll: roll[:, :2]])
def test_rolls_for_another_stft_or_other_classes_are_refused(batch, name, cut):
    wav, targets = batch
    with pytest.raises(ValueError, match=rf"targets\['{name}'\].*same classes and the same STFT"):
        make({"clip": 1.0})(separator().spectrograms(wav), {**targets, name: cut(targets[name])})


def test_a_missing_stem_is_named(batch):
    wav, targets = batch
    targets = {name: value for name, value in targets.items() if name != "sources"}
    with pytest.raises(ValueError, match="make the dataset with targets='both'"):
        make({"magnitude_approximation": 1.0})(separator().spectrograms(wav), targets)


def song_with_a_residual():
    """Waveforms and targets of two mixtures of two classes and a residual without a score."""
    torch.manual_seed(0)
    time = torch.arange(8192) / RATE
    parts = torch.stack([torch.sin(2 * torch.pi * f * time) for f in (110.0, 440.0)])
    parts = torch.stack([parts, parts.flip(-1)])
    rest = 0.5 * torch.randn(2, 1, 8192)
    mixture = parts.sum(1) + rest[:, 0]
    roll = torch.zeros(2, 2, 88, 8192 // HOP + 1)
    roll[:, 0, 45 - 21], roll[:, 1, 69 - 21] = 1, 1
    targets = {"mixture": mixture, "roll": roll, "sounding": roll, "sources": parts}
    return torch.cat([parts, rest], 1), targets


def test_a_residual_source_explains_the_rest_of_the_mixture():
    stems, targets = song_with_a_residual()
    loss = ScoreSupervisedLoss(
        {"clip": 1.0, "harmonic": 1.0}, stft(), None, templates(), residual="source"
    )
    classes_only = ScoreSupervisedLoss({"clip": 1.0}, stft())
    without = classes_only.terms(stems[:, :2], targets)
    with_rest = loss.terms(stems, targets)
    # Not 0, since magnitudes do not add up where sources overlap.
    assert with_rest["clip"] < 0.6 * without["clip"]
    nothing = torch.cat([stems[:, :2], 0 * stems[:, 2:]], 1)
    assert loss.terms(nothing, targets)["clip"] == pytest.approx(float(without["clip"]), rel=1e-3)


def test_bins_without_a_note_belong_to_the_residual():
    stems, targets = song_with_a_residual()
    loss = ScoreSupervisedLoss(
        {"soft_harmonic": 1.0, "magnitude_approximation": 1.0},
        stft(),
        None,
        templates(),
        residual="source",
    )
    magnitude = stft().magnitude(stft()(targets["mixture"]))
    masks = templates().soft_mask(targets["sounding"])
    wanted = torch.cat([masks, 1 - masks.sum(1, keepdim=True)], 1) * magnitude.unsqueeze(1)
    best = loss.terms((magnitude, wanted), targets)
    assert best["soft_harmonic"] < 1e-3
    swapped = loss.terms((magnitude, wanted.roll(1, 1)), targets)
    assert swapped["soft_harmonic"] > 1
    assert loss.terms(stems, targets)["magnitude_approximation"] < 1e-4


def test_the_critic_should_find_no_notes_in_the_residual():
    stems, targets = song_with_a_residual()
    critic = ScoreTranscriptor(("a", "b"), **NET)
    loss = ScoreSupervisedLoss({"transcription": 1.0}, stft(), critic, residual="source").eval()
    found = loss.terms(stems, targets)["transcription"]
    logits = [critic.outputs(stft().magnitude(stft()(stems[:, i]))) for i in range(3)]
    expected = 0
    for i, found_logits in enumerate(logits):
        label = torch.zeros_like(found_logits)
        if i < 2:
            label[:, i] = targets["roll"][:, i]
        expected += transcription_loss(found_logits, label) / 3
    torch.testing.assert_close(found, expected)


def test_two_sources_too_many_are_refused():
    stems, targets = song_with_a_residual()
    loss = ScoreSupervisedLoss({"clip": 1.0}, stft(), residual="source")
    with pytest.raises(ValueError, match="and a residual"):
        loss(torch.cat([stems, stems[:, :1]], 1), targets)
