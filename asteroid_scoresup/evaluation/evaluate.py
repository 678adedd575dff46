"""Scores of separators, oracles and transcriptors on whole test tracks.

Apart from preparation and training on stems, this is the only place that reads stems.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..data import Manifest, PreparedTrack, ScoreInformedMasks
from ..data.song import fit_notes
from ..data.stretches import certain_frames, certain_notes, certain_signal, partly_certain
from ..dsp import STFT, FrameGrid
from ..dsp.level import gated_rms
from ..losses import allowed_bins
from ..models import ScoreTranscriptor, SourceModel, WaveformSeparator
from ..score import (
    HarmonicTemplates,
    SoundingOptions,
    frame_activity,
    piano_roll,
    sounding_roll,
)
from .decoding import Decoding, choose_decoding
from .separation import separation_scores
from .tables import INPUT_MIXTURE, SCORE_ORACLE
from .transcription import NOTE_THRESHOLD, frame_accuracy, note_scores

logger = logging.getLogger(__name__)

SOFT_ORACLE = "score oracle, soft"
INFORMED_ORACLE = "score oracle, informed"
RATIO_ORACLE = "ideal ratio mask"


def tracks_to_score(manifest: Manifest, split: str) -> list[PreparedTrack]:
    """The tracks of a split that can be scored.

    Tracks whose scores are uncertain throughout are left out, with a warning.

    Args:
        manifest (Manifest): The prepared data.
        split (str): The split.

    Raises:
        ValueError: if there are no tracks in the split.
    """
    tracks = manifest.select(split)
    kept = partly_certain(tracks, manifest.sample_rate)
    if len(kept) < len(tracks):
        logger.warning(
            f"Warning: {len(tracks) - len(kept)} tracks of {split} are left out, since the "
            "alignment of their scores is uncertain throughout."
        )
    return kept


class TestTrack:
    """A whole track with everything that scoring needs, read once.

    ``stems`` is empty if a stem is missing: your own songs have none.

    Args:
        manifest (Manifest): The prepared data.
        track (PreparedTrack): The track.
    """

    __test__ = False  # pytest would collect it by its name

    def __init__(self, manifest: Manifest, track: PreparedTrack) -> None:
        self.track, self.names, self.sample_rate = track, manifest.names, manifest.sample_rate
        self.mixture = torch.from_numpy(manifest.read_mixture(track))
        self.stems = {}
        if manifest.has_stems(track):
            stems = ((name, manifest.read_stem(track, name)) for name in manifest.names)
            self.stems = {name: torch.from_numpy(stem) for name, stem in stems}
        self.notes = manifest.notes(track)
        # The level that separating a whole song uses; the manifests of older folders lack its gate.
        self.level = gated_rms(self.mixture.numpy(), manifest.sample_rate)

    def roll_size(self, stft: STFT) -> tuple[int, int, FrameGrid]:
        """Number of classes, number of frames and grid: the size of a roll."""
        return len(self.names), stft.n_frames(len(self.mixture)), stft.grid

    def certain(self, signal: torch.Tensor) -> torch.Tensor:
        """A signal of the track without the stretches where its score is uncertain."""
        return certain_signal(signal, self.track, self.sample_rate)


def oracle_masks(
    song: TestTrack,
    stft: STFT,
    templates: HarmonicTemplates,
    informed_masks: ScoreInformedMasks | None = None,
    sounding: SoundingOptions | Mapping[str, Any] | None = None,
) -> dict[str, torch.Tensor]:
    r"""Masks that need no training: from the score alone, and from the stems.

    The score oracles use the harmonic mask itself as the separator. Bins of several classes are
    split evenly (binary), by the weights of their partials (soft), or by score-informed NMF of the
    mixture (informed). Bins without a note go to the classes that are active in the frame.

    Args:
        song (TestTrack): The track.
        stft (STFT): The STFT.
        templates (HarmonicTemplates): Makes the harmonic masks.
        informed_masks (ScoreInformedMasks, optional): For the informed oracle.
        sounding (SoundingOptions or dict, optional): How long and how strongly notes sound.

    Returns:
        dict: name of the row → masks of shape :math:`(1, n\_src, freq, frames)`.
    """
    roll = sounding_roll(song.notes, *song.roll_size(stft), sounding).unsqueeze(0)
    allowed = allowed_bins(templates.mask(roll), roll, unpitched=templates.unpitched).float()
    binary = allowed / allowed.sum(1, keepdim=True).clamp(min=1)
    active = frame_activity(roll).unsqueeze(2).float()
    free = (active / active.sum(1, keepdim=True).clamp(min=1)).expand_as(binary)

    def completed(masks: torch.Tensor) -> torch.Tensor:
        return masks.where(masks.sum(1, keepdim=True) > 0, free)

    masks = {SCORE_ORACLE: binary, SOFT_ORACLE: completed(templates.soft_mask(roll))}
    if informed_masks is not None:
        masks[INFORMED_ORACLE] = completed(informed_masks.read(song.track).unsqueeze(0))
    masks[RATIO_ORACLE] = ratio_masks(song, stft)
    return masks


def ratio_masks(song: TestTrack, stft: STFT) -> torch.Tensor:
    r"""Ideal ratio masks: the magnitude of each stem relative to all of them and the residual.

    Args:
        song (TestTrack): The track, with stems.
        stft (STFT): The STFT.

    Returns:
        :class:`torch.Tensor`: shape :math:`(1, n\_src, freq, frames)`.
    """
    stems = stft.magnitude(stft(torch.stack(list(song.stems.values()))))
    rest = song.mixture - sum(song.stems.values())
    total = stems.sum(0) + stft.magnitude(stft(rest.unsqueeze(0)))[0]
    return (stems / total.clamp(min=1e-8)).unsqueeze(0)


@torch.no_grad()
def score_separation(
    song: TestTrack,
    separators: Mapping[str, torch.nn.Module],
    stft: STFT | None = None,
    templates: HarmonicTemplates | None = None,
    informed_masks: ScoreInformedMasks | None = None,
    sounding: SoundingOptions | Mapping[str, Any] | None = None,
    given: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> tuple[list[dict], dict[str, torch.Tensor]]:
    r"""Scores of separators on one track, and of the input mixture and the oracles.

    Args:
        song (TestTrack): The track.
        separators (dict): Name of the row → TCNSeparator, or any model that maps a waveform
            :math:`(time)` to :math:`(n\_src, time)`.
        stft (STFT, optional): For the oracles.
        templates (HarmonicTemplates, optional): For the oracles; without `stft` or `templates`, the
            oracles and the input mixture are left out.
        informed_masks (ScoreInformedMasks, optional): For the informed oracle.
        sounding (SoundingOptions or dict, optional): How long and how strongly notes sound.
        given (dict, optional): Name of the row → estimates by class, of all classes or of some,
            each of shape :math:`(time,)`, for separators that are no modules.

    Returns:
        tuple: list of records (``row``, ``track``, ``instrument`` and the scores of
        :func:`~asteroid_scoresup.evaluation.separation_scores`), and the estimates by row, without
        those that were given.

    Raises:
        ValueError: if the track has no stems.
    """
    if not song.stems:
        raise ValueError(f"{song.track.id} lacks stems, so its separation cannot be scored.")
    estimates = {}
    if templates is not None and stft is not None:
        spectrum = stft(song.mixture.unsqueeze(0))
        estimates[INPUT_MIXTURE] = song.mixture.expand(len(song.names), -1)
        for row, masks in oracle_masks(song, stft, templates, informed_masks, sounding).items():
            estimates[row] = stft.separated(spectrum, masks, len(song.mixture))[0]
    for row, separator in separators.items():
        device = next(separator.parameters()).device
        mixture = song.mixture.to(device)
        if isinstance(separator, WaveformSeparator):
            estimates[row] = separator.in_chunks(mixture, song.level).cpu()
        elif isinstance(separator, SourceModel):
            estimates[row] = separator(mixture, level=song.level).cpu()
        else:
            estimates[row] = separator(mixture).cpu()
    records = []
    stems = {name: song.certain(stem) for name, stem in song.stems.items()}
    for row, separated in estimates.items():
        records += _records(song, row, stems, dict(zip(song.names, song.certain(separated))))
    for row, arrays in (given or {}).items():
        named = {name: song.certain(torch.from_numpy(wav)) for name, wav in arrays.items()}
        records += _records(song, row, {name: stems[name] for name in named}, named)
    return records, estimates


def _records(
    song: TestTrack,
    row: str,
    stems: Mapping[str, torch.Tensor],
    estimates: Mapping[str, torch.Tensor],
) -> list[dict]:
    """The separation scores of a row on one track."""
    scores = separation_scores(stems, estimates, song.certain(song.mixture))
    return [{"row": row, "track": song.track.id, **score} for score in scores]


@torch.no_grad()
def score_transcription(
    song: TestTrack,
    row: str,
    transcriptor: ScoreTranscriptor,
    separated: torch.Tensor | None = None,
    decoding: Decoding | None = None,
    threshold: float = NOTE_THRESHOLD,
) -> list[dict]:
    r"""Note accuracy and note F1 of a transcriptor on one track.

    The transcriptor receives the mixture and, if there are any, each true stem (at its level in the
    mixture) and each separated stem. On a single stem only the notes of its class count.

    Args:
        song (TestTrack): The track.
        row (str): Name of the row.
        transcriptor (ScoreTranscriptor): The model.
        separated (:class:`torch.Tensor`, optional): Estimates, :math:`(n\_src, time)`.
        decoding (Decoding, optional): How probabilities become notes, for F1.
        threshold (float): Lowest probability of a cell that sounds, for the note accuracy.

    Returns:
        list of dict: one record per class.
    """
    stft, names = transcriptor.stft, song.names
    decoding = decoding or Decoding.default(len(names))
    device = next(transcriptor.parameters()).device
    uncertain = song.track.uncertain
    certain = certain_frames(song.track, song.roll_size(stft)[1], stft.grid)
    score = piano_roll(song.notes, *song.roll_size(stft))[..., certain]
    true = certain_notes(song.notes, uncertain)
    signals = {"mixture": song.mixture}
    if song.stems:
        signals["isolated"] = torch.stack(list(song.stems.values()))
    if separated is not None:
        signals["separated"] = separated
    records: list[dict[str, Any]] = [
        {"row": row, "track": song.track.id, "instrument": name} for name in names
    ]
    for signal, wav in signals.items():
        predicted = transcriptor.note_probs(wav.to(device), level=song.level).cpu()
        if wav.ndim == 2:
            predicted = torch.stack([predicted[i, :, i] for i in range(len(names))], 1)
        accuracy = frame_accuracy(score, predicted[0][..., certain], threshold)
        notes = decoding.notes(predicted.numpy(), stft.hop_length, stft.sample_rate)
        rows = note_scores(true, certain_notes(notes, uncertain), names)
        for record, value, note_row in zip(records, accuracy, rows):
            record[f"note_accuracy_{signal}"] = float(value)
            for measure in ("note_f1", "note_f1_offset"):
                record[f"{measure}_{signal}"] = note_row[measure]
    return records


#: Number of songs that :func:`fit_decoding` uses, and seconds of each: matching notes is slow.
N_DECODED, SECONDS_DECODED = 24, 60.0


@torch.no_grad()
def fit_decoding(
    manifest: Manifest, transcriptor: ScoreTranscriptor, split: str = "validation"
) -> Decoding:
    """Chooses how a transcriptor's probabilities become notes, on the mixtures of a split.

    The transcriptor receives the first :data:`SECONDS_DECODED` seconds of :data:`N_DECODED` songs,
    evenly spaced in the split.

    Args:
        manifest (Manifest): The prepared data. No stem is opened.
        transcriptor (ScoreTranscriptor): The model.
        split (str): Split to use; not a test split.

    Returns:
        Decoding: See :func:`~asteroid_scoresup.evaluation.decoding.choose_decoding`; the default if
        there is no such split.
    """
    tracks = manifest.in_split(split)
    tracks = tracks[:: max(math.ceil(len(tracks) / N_DECODED), 1)]
    device = next(transcriptor.parameters()).device
    stft = transcriptor.stft
    songs = []
    for track in tracks:
        wav = manifest.read_mixture(track)[: round(SECONDS_DECODED * manifest.sample_rate)]
        seconds = len(wav) / manifest.sample_rate
        signal = torch.from_numpy(wav).to(device)
        probabilities = transcriptor.note_probs(signal, level=track.rms).cpu().numpy()
        probabilities[..., ~certain_frames(track, probabilities.shape[-1], stft.grid).numpy()] = 0
        notes = fit_notes(certain_notes(manifest.notes(track), track.uncertain), seconds)
        songs.append((notes, probabilities, stft.hop_length, stft.sample_rate))
    return choose_decoding(songs, manifest.names)
