"""Whole-track scoring: oracles, separators, transcriptors, tracks without stems."""

import numpy as np
import pytest
import torch
from tiny import NET, stft, templates, write_folder

from asteroid_scoresup.data import ScoreInformedMasks
from asteroid_scoresup.evaluation import (
    INFORMED_ORACLE,
    INPUT_MIXTURE,
    RATIO_ORACLE,
    SCORE_ORACLE,
    SOFT_ORACLE,
    TestTrack,
    score_separation,
    score_transcription,
    tracks_to_score,
)
from asteroid_scoresup.models import ScoreTranscriptor, TCNSeparator
from asteroid_scoresup.score import piano_roll


@pytest.fixture
def song(tmp_path):
    manifest = write_folder(tmp_path)
    track = TestTrack(manifest, manifest.select("test")[0])
    track.manifest = manifest
    return track


class PerfectSeparator(torch.nn.Module):
    """A separator whose output is the true stems."""

    def __init__(self, song):
        super().__init__()
        self.answer = torch.nn.Parameter(torch.stack(list(song.stems.values())))

    def forward(self, wav):
        return self.answer


def by_row(records, score):
    rows = {}
    for record in records:
        rows.setdefault(record["row"], []).append(record[score])
    return {row: float(np.mean(values)) for row, values in rows.items()}


def test_rows_are_in_the_order_of_theory(song):
    informed = ScoreInformedMasks(song.manifest, NET["n_fft"], NET["hop_length"], n_partials=6)
    perfect = {"perfect": PerfectSeparator(song)}
    records, estimates = score_separation(song, perfect, stft(), templates(), informed)
    means = by_row(records, "si_sdr")
    assert means["perfect"] == pytest.approx(30, abs=1e-3)  # the limit of the metric
    assert means[INPUT_MIXTURE] < 2
    assert means[INPUT_MIXTURE] + 5 < means[SCORE_ORACLE] <= means[SOFT_ORACLE] + 0.5
    assert means[SOFT_ORACLE] < means[INFORMED_ORACLE] < means["perfect"]
    assert means[SOFT_ORACLE] < means[RATIO_ORACLE] < means["perfect"]
    assert by_row(records, "si_sdr_imp")[INPUT_MIXTURE] == 0
    assert set(estimates) == set(means)
    for row in (SCORE_ORACLE, SOFT_ORACLE, RATIO_ORACLE):
        assert estimates[row].shape == (3, len(song.mixture))


def test_the_ratio_mask_follows_the_formula(song):
    _, estimates = score_separation(song, {}, stft(), templates())
    window = torch.hann_window(NET["n_fft"])
    options = dict(n_fft=NET["n_fft"], hop_length=NET["hop_length"], window=window)
    sources = torch.stack(list(song.stems.values()))
    stems = torch.stft(sources, **options, return_complex=True)
    mixture = torch.stft(song.mixture, **options, return_complex=True)
    masked = stems.abs() / stems.abs().sum(0).clamp(min=1e-8) * mixture
    expected = torch.istft(masked, **options, length=len(song.mixture))
    torch.testing.assert_close(estimates[RATIO_ORACLE], expected, rtol=1e-3, atol=5e-4)


def test_the_estimates_of_a_separator_are_those_of_its_forward(song):
    separator = TCNSeparator(song.names, **NET).eval()
    records, estimates = score_separation(song, {"net": separator}, stft(), templates())
    with torch.no_grad():
        expected = separator(song.mixture, level=song.level)
    torch.testing.assert_close(estimates["net"], expected)
    assert {record["instrument"] for record in records if record["row"] == "net"} == set(song.names)
    assert all(record["track"] == song.track.id for record in records)


class PerfectTranscriptor(ScoreTranscriptor):
    """A transcriptor whose output is the true roll, of all classes even for single stems."""

    def __init__(self, song, roll):
        super().__init__(song.names, **NET)
        self.roll = roll

    def note_probs(self, wav, level=None):
        assert level == pytest.approx(float(self.level))
        probs = self.roll[None]
        return probs if wav.ndim == 1 else probs.expand(len(wav), *probs.shape)


def test_a_perfect_transcriptor_has_perfect_scores_on_every_signal(song):
    transcriptor = PerfectTranscriptor(song, piano_roll(song.notes, *song.roll_size(stft())))
    transcriptor.level = song.level  # stems are normalized by the level of the mixture
    separated = torch.stack(list(song.stems.values()))
    records = score_transcription(song, "perfect", transcriptor, separated)
    for record in records:
        for signal in ("mixture", "isolated", "separated"):
            assert record[f"note_accuracy_{signal}"] == 1
            assert record[f"note_f1_{signal}"] == pytest.approx(1)


def test_without_stems_only_the_mixture_is_transcribed(tmp_path):
    manifest = write_folder(tmp_path, stems=False)
    song = TestTrack(manifest, manifest.select("test")[0])
    records = score_transcription(song, "net", ScoreTranscriptor(song.names, **NET).eval())
    assert all("note_accuracy_mixture" in record for record in records)
    assert not any("note_accuracy_isolated" in record for record in records)
    with pytest.raises(ValueError, match="Track00000 lacks stems"):
        score_separation(song, {}, stft(), templates())


class OtherStems(torch.nn.Module):
    """A separator that is perfect, except for noise between two times, in seconds."""

    def __init__(self, song, start, stop):
        super().__init__()
        answer = torch.stack(list(song.stems.values()))
        part = slice(round(start * NET["sample_rate"]), round(stop * NET["sample_rate"]))
        answer[:, part] += torch.randn(answer[:, part].shape, generator=torch.manual_seed(0))
        self.answer = torch.nn.Parameter(answer)

    def forward(self, wav):
        return self.answer


def test_separation_is_not_scored_where_the_score_is_uncertain(song):
    separators = {"noisy": OtherStems(song, 1.0, 2.0)}
    assert by_row(score_separation(song, separators)[0], "si_sdr")["noisy"] < 10
    song.track.uncertain = [[1.0, 2.0]]
    records, estimates = score_separation(song, separators)
    assert by_row(records, "si_sdr")["noisy"] == pytest.approx(30, abs=1e-3)
    assert estimates["noisy"].shape[-1] == len(song.mixture)


def test_transcription_is_not_scored_where_the_score_is_uncertain(song):
    size, true = song.roll_size(stft()), song.notes
    # The transcription is right up to 2 s, and empty from there on.
    early = true.select(true.onset < 2.0)
    logits = 20 * piano_roll(early.clipped(0.0, 2.0), *size) - 10

    class Early(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stft, self.bias = stft(), torch.nn.Parameter(torch.zeros(1))

        def note_probs(self, wav, level=None):
            probs = logits.sigmoid()[None]
            return probs if wav.ndim == 1 else probs.expand(len(wav), *probs.shape)

    def mean(measure):
        records = score_transcription(song, "early", Early())
        return np.mean([record[measure] for record in records])

    assert mean("note_accuracy_mixture") < 0.9 and mean("note_f1_mixture") < 0.9
    song.track.uncertain = [[2.0, 4.0]]
    assert mean("note_accuracy_mixture") == pytest.approx(1)
    assert mean("note_f1_mixture") == pytest.approx(1)


def test_tracks_that_are_uncertain_throughout_are_not_scored(song, caplog):
    assert tracks_to_score(song.manifest, "test") == [song.track]
    song.track.uncertain = [[0.0, 10.0]]
    assert tracks_to_score(song.manifest, "test") == []
    assert "1 tracks of test are left out" in caplog.text
