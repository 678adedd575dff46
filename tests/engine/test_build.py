"""Separators, losses and loaders from plain settings."""

import pytest
from tiny import CLASSES, NAMES, NET, separator, templates, transcriptor, write_folder

from asteroid_scoresup.data.classes import ClassMap
from asteroid_scoresup.engine import (
    build_loss,
    build_separator,
    read_separator,
    require_match,
    save_model,
    training_loaders,
)
from asteroid_scoresup.losses import ScoreSupervisedLoss, SemiSupervisedLoss
from asteroid_scoresup.models import TCNSeparator, WaveformSeparator

STFT = {"n_fft": NET["n_fft"], "hop_length": NET["hop_length"]}


def test_a_tcn_starts_from_the_trunk_that_is_given():
    critic = transcriptor(seed=3)
    network = {"sources": NAMES, **NET}
    made = build_separator("tcn", network, "softmax", critic)
    assert isinstance(made, TCNSeparator) and made.get_model_args()["mask_act"] == "softmax"
    weights = dict(critic.trunk.named_parameters())
    same = [(made.trunk.get_parameter(name) == weights[name]).all() for name in weights
            if made.trunk.get_parameter(name).shape == weights[name].shape]  # fmt: skip
    assert all(same) and len(same) > 4
    other = build_separator("tcn", network)
    assert any((other.trunk.get_parameter(n) != w).any() for n, w in weights.items()
               if other.trunk.get_parameter(n).shape == w.shape)  # fmt: skip


def test_separators_of_waveforms_have_their_published_size():
    made = build_separator("ConvTasNet", {"sources": NAMES, **NET})
    assert isinstance(made, WaveformSeparator) and made.sample_rate == NET["sample_rate"]


def test_only_separators_are_read_as_such(tmp_path):
    save_model(separator(), tmp_path / "s.pth")
    save_model(transcriptor(), tmp_path / "t.pth")
    assert isinstance(read_separator(tmp_path / "s.pth"), TCNSeparator)
    with pytest.raises(ValueError, match="a ScoreTranscriptor, which is not a separator"):
        read_separator(tmp_path / "t.pth")


def test_models_for_other_data_are_refused(tmp_path):
    manifest = write_folder(tmp_path)
    require_match(separator(), manifest, **STFT)
    with pytest.raises(ValueError, match="for .classes, Hz, n_fft, hop. = .*256.* have .*512"):
        require_match(separator(), manifest, 512, STFT["hop_length"])
    manifest.classes = ClassMap.parse(";".join(CLASSES.split(";")[::-1]))
    with pytest.raises(ValueError, match="'bass', 'guitar', 'piano'"):
        require_match(separator(), manifest, **STFT)


def test_the_critic_is_part_of_the_loss_only_if_it_has_a_weight():
    critic = transcriptor()
    loss = build_loss({"clip": 0.5, "transcription": 0.0}, critic, templates())
    assert isinstance(loss, ScoreSupervisedLoss) and loss.critic is None
    loss = build_loss({"clip": 0.5, "transcription": 0.2}, critic, templates(), 1, residual=True)
    assert loss.critic is critic and loss.critic_classes == 1 and loss.residual


def test_semi_supervision_separates_the_terms_that_read_stems():
    weights = {"clip": 0.5, "transcription": 0.2, "mask_approximation": 3.0}
    loss = build_loss(weights, transcriptor(), templates(), semi=True)
    assert isinstance(loss, SemiSupervisedLoss)
    assert loss.score_loss.weights == {"clip": 0.5, "transcription": 0.2}
    assert loss.stem_loss.weights == {"mask_approximation": 3.0}


@pytest.mark.parametrize(
    "supervision, train, validation",
    [
        ("score", "score", "score"),
        ("activity", "score", "score"),
        ("stems", "both", "both"),
        ("semi", "both", "score"),
    ],
)
def test_loaders_open_stems_only_where_they_are_needed(tmp_path, supervision, train, validation):
    manifest = write_folder(tmp_path)
    pair = training_loaders(manifest, 6, 3, supervision, segment=1.0, **STFT)
    assert [loader.dataset.targets for loader in pair] == [train, validation]
    assert len(pair[0]) == 2
    assert (pair[0].dataset.with_stems is None) == (train == "score")


def test_without_validation_songs_training_songs_are_used(tmp_path, caplog):
    manifest = write_folder(tmp_path, splits={"train": 2})
    augment = {"gain_db": 6.0}
    _, validation = training_loaders(manifest, 2, 1, augment=augment, segment=1.0, **STFT)
    assert validation.dataset.split == "train" and validation.dataset.gain_db == 0
    assert "there is no validation split" in caplog.text
    with pytest.raises(ValueError, match="supervision is one of score"):
        training_loaders(manifest, 2, 1, "labels")
