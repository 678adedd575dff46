"""Mismatches that shapes do not reveal are refused with a clear message."""

import pytest
import torch
from asteroid.losses import multisrc_neg_sisdr
from tiny import (
    HOP,
    N_FFT,
    NAMES,
    NET,
    RATE,
    loaders,
    step_three,
    stft,
    templates,
    transcriptor,
    write_folder,
)

from asteroid_scoresup.data import ScoreDataset, ScoreInformedMasks
from asteroid_scoresup.dsp import STFT, Spectrograms
from asteroid_scoresup.engine import FineTuneSystem, save_model
from asteroid_scoresup.losses import ScoreSupervisedLoss, SemiSupervisedLoss, TranscriptionLoss
from asteroid_scoresup.models import ScoreTranscriptor
from asteroid_scoresup.score import HarmonicTemplates

WEIGHTS = {"transcription": 0.2, "clip": 0.5, "soft_harmonic": 3.0}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("prepared"))


def dataset(manifest, **options):
    return ScoreDataset(manifest, "train", **{"n_fft": N_FFT, "hop_length": HOP, **options})


def critic(tmp_path, names=NAMES, **sizes):
    save_model(ScoreTranscriptor(names, **{**NET, **sizes}), tmp_path / "critic.pth")
    return tmp_path / "critic.pth"


def test_matching_parts_are_accepted(manifest, tmp_path):
    data = dataset(manifest)
    loss = ScoreSupervisedLoss.from_transcriptor(critic(tmp_path), WEIGHTS, dataset=data)
    assert loss.residual is False and loss.templates.n_fft == N_FFT
    manifest.mixture = "song"
    try:
        whole = ScoreSupervisedLoss.from_transcriptor(critic(tmp_path), WEIGHTS, dataset=data)
    finally:
        manifest.mixture = "submix"
    assert whole.residual is True


@pytest.mark.parametrize(
    ("names", "sizes", "message"),
    [
        (NAMES[::-1], {}, r"critic.pth: The dataset and the critic .* classes is \['bass'"),
        (("bass", "guitar", "organ"), {}, "classes is"),
        (NAMES, {"sample_rate": 8000}, "sample_rate is 4000 in the one, 8000 in the other"),
        (NAMES, {"n_fft": 512}, "n_fft is 256 in the one, 512 in the other"),
        (NAMES, {"hop_length": 128}, "hop_length is 64 in the one, 128 in the other"),
    ],
)
def test_a_transcriptor_for_other_data_is_refused(names, sizes, message, manifest, tmp_path):
    path = critic(tmp_path, names, **sizes)
    with pytest.raises(ValueError, match=message):
        ScoreSupervisedLoss.from_transcriptor(path, WEIGHTS, dataset=dataset(manifest))


def test_a_dataset_without_the_needs_of_a_term_is_refused(manifest, tmp_path):
    path, informed = critic(tmp_path), {"informed": 1.0}
    with pytest.raises(ValueError, match="soft_masks=ScoreInformedMasks"):
        ScoreSupervisedLoss.from_transcriptor(path, informed, dataset=dataset(manifest))
    with pytest.raises(ValueError, match="targets='score' or targets='both'"):
        stems = dataset(manifest, targets="stems")
        ScoreSupervisedLoss.from_transcriptor(path, WEIGHTS, dataset=stems)
    masks = ScoreInformedMasks(manifest, N_FFT, HOP, sounding={"fade": 2.0})
    with pytest.raises(ValueError, match="fade is 1.0 in the one, 2.0 in the other"):
        data = dataset(manifest, soft_masks=masks)
        ScoreSupervisedLoss.from_transcriptor(path, informed, dataset=data)
    data = dataset(manifest, soft_masks=ScoreInformedMasks(manifest, N_FFT, HOP))
    ScoreSupervisedLoss.from_transcriptor(path, informed, dataset=data)


def test_critic_and_templates_of_another_stft_are_refused():
    for other in (STFT(N_FFT, HOP, 2 * RATE), STFT(2 * N_FFT, HOP, RATE), STFT(N_FFT, 32, RATE)):
        with pytest.raises(ValueError, match="The critic and the STFT of the loss do not belong"):
            ScoreSupervisedLoss(WEIGHTS, other, transcriptor(), templates())
    with pytest.raises(ValueError, match="The templates and the STFT .* sample_rate is 8000"):
        ScoreSupervisedLoss(WEIGHTS, stft(), transcriptor(), HarmonicTemplates(2 * RATE, N_FFT))


def test_fine_tuning_compares_its_data_and_needs_templates(manifest):
    system = step_three(manifest, steps=1)
    parts = (system.separator, system.transcriptor)
    optimizers = [torch.optim.SGD(part.parameters(), 0.1) for part in parts]
    loss = ScoreSupervisedLoss({"transcription": 1.0}, stft(), parts[1])
    with pytest.raises(ValueError, match="audible_notes.*templates"):
        FineTuneSystem(*parts, loss, optimizers, *loaders(manifest), audible_notes=1.0)
    names = NAMES[::-1]
    manifest.classes.classes = manifest.classes.classes[::-1]
    try:
        assert manifest.names == names
        with pytest.raises(ValueError, match="The dataset and the critic do not belong together"):
            FineTuneSystem(*parts, loss, optimizers, *loaders(manifest))
    finally:
        manifest.classes.classes = manifest.classes.classes[::-1]


@pytest.mark.parametrize("missing", ["roll", "sounding", "mixture"])
def test_a_missing_target_is_named(missing, manifest):
    mixture, targets = next(iter(loaders(manifest)[0]))
    loss = ScoreSupervisedLoss(WEIGHTS, stft(), transcriptor(), templates())
    estimates = mixture.unsqueeze(1).expand(-1, 3, -1)
    del targets[missing]
    with pytest.raises(ValueError, match=rf"targets\['{missing}'\]"):
        loss(estimates, targets)
    with pytest.raises(ValueError, match="reads a dict of targets.*found a Tensor"):
        loss(estimates, estimates)


def test_terms_that_read_stems_only_need_no_score(manifest):
    mixture, targets = next(iter(loaders(manifest, targets="both")[0]))
    for name in ("magnitude_approximation", "si_sdr", "multi_domain"):
        few = {key: targets[key] for key in ("mixture", "sources")}
        loss = ScoreSupervisedLoss({name: 1.0}, stft())
        assert torch.isfinite(loss(targets["sources"] + 0.1 * mixture.unsqueeze(1), few))


def test_other_losses_name_a_missing_roll(manifest):
    mixture, targets = next(iter(loaders(manifest)[0]))
    logits = torch.zeros_like(targets.pop("roll"))
    with pytest.raises(ValueError, match=r"targets\['roll'\]"):
        TranscriptionLoss()(logits, targets)
    semi = SemiSupervisedLoss(ScoreSupervisedLoss({"clip": 1.0}, stft()), multisrc_neg_sisdr).eval()
    with pytest.raises(ValueError, match=r"targets\['roll'\]"):
        semi(mixture.unsqueeze(1).expand(-1, 3, -1), targets)


@pytest.mark.parametrize("shape", [(4096,), (3, 4096), (3, 3, 1, 4096)])
def test_estimates_of_a_wrong_number_of_dimensions_are_refused(shape, manifest):
    _, targets = next(iter(loaders(manifest)[0]))
    loss = ScoreSupervisedLoss(WEIGHTS, stft(), transcriptor(), templates())
    with pytest.raises(ValueError, match=r"Expected waveforms of shape \(batch, n_src, time\)"):
        loss(torch.randn(shape), targets)
    with pytest.raises(ValueError, match="Expected Spectrograms of shapes"):
        loss(Spectrograms(torch.rand(3, 129, 65), torch.rand(3, 129, 65)), targets)
    with pytest.raises(ValueError, match="found a list"):
        loss([torch.randn(3, 3, 4096)], targets)
