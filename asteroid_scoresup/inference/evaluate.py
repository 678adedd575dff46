"""Whole test tracks through separators, oracles and transcriptors, and the scores that come out.

This is the one place outside preparation that reads references without being told to train on
them.
"""

from __future__ import annotations

import math

import torch

from ..data.files import read_audio
from ..data.songs import fit_notes
from ..losses import allowed_bins
from ..metrics import (
    INPUT_MIXTURE,
    NOTE_THRESHOLD,
    SCORE_ORACLE,
    frame_accuracy,
    note_scores,
    separation_scores,
)
from ..models import SourceModel, WaveformSeparator
from ..models.level import gated_rms
from ..score import frame_activity, piano_roll, sounding_roll
from .decoding import Decoding, choose_decoding

SOFT_ORACLE = "score oracle, soft"
INFORMED_ORACLE = "score oracle, informed"
RATIO_ORACLE = "ideal ratio mask"


class TestTrack:
    """A whole track with everything that scoring needs, read once.

    ``references`` is empty where a stem is missing: own songs have none.

    Args:
        manifest (Manifest): The prepared data.
        track (PreparedTrack): The track.
    """

    __test__ = False  # not a test, whatever pytest thinks of the name

    def __init__(self, manifest, track):
        paths = {name: manifest.reference_path(track, name) for name in manifest.names}
        self.track, self.names = track, manifest.names
        self.mixture = torch.from_numpy(manifest.read_mixture(track))
        self.references = {}
        if all(path.is_file() for path in paths.values()):
            self.references = {n: torch.from_numpy(read_audio(p)[0]) for n, p in paths.items()}
        self.notes = manifest.notes(track)
        # What separation of whole songs goes by; older folders have it without a gate.
        self.level = gated_rms(self.mixture.numpy(), manifest.sample_rate)

    def roll_size(self, stft):
        """Arguments of the rolls at the frames of an STFT."""
        frames = stft.n_frames(len(self.mixture))
        return len(self.names), frames, stft.hop_length, stft.sample_rate


def oracle_masks(song, stft, templates, shares=None, **sounding):
    r"""Masks that need no training: from the score alone, and from the stems.

    The score oracles take the harmonic mask itself as separator. Bins that several classes claim
    are split evenly (binary), by the weights of their partials (soft) or as score and mixture
    together tell (informed); bins that no note explains go to the classes active in the frame.

    Args:
        song (TestTrack): The track.
        stft (STFT): The STFT.
        templates (HarmonicTemplates): Draws the masks.
        shares (InformedShares, optional): For the informed oracle.
        **sounding: See :func:`~asteroid_scoresup.score.rolls.sounding_roll`.

    Returns:
        dict: name of the row → masks of shape :math:`(1, n\_src, freq, frames)`.
    """
    roll = sounding_roll(song.notes, *song.roll_size(stft), **sounding).unsqueeze(0)
    allowed = allowed_bins(templates.mask(roll), roll).float()
    binary = allowed / allowed.sum(1, keepdim=True).clamp(min=1)
    active = frame_activity(roll).unsqueeze(2).float()
    free = (active / active.sum(1, keepdim=True).clamp(min=1)).expand_as(binary)

    def completed(share):
        return share.where(share.sum(1, keepdim=True) > 0, free)

    masks = {SCORE_ORACLE: binary, SOFT_ORACLE: completed(templates.soft_mask(roll))}
    if shares is not None:
        masks[INFORMED_ORACLE] = completed(shares.read(song.track).unsqueeze(0))
    stems = stft.magnitude(stft(torch.stack(list(song.references.values()))))
    rest = song.mixture - sum(song.references.values())
    total = stems.sum(0) + stft.magnitude(stft(rest.unsqueeze(0)))[0]
    masks[RATIO_ORACLE] = (stems / total.clamp(min=1e-8)).unsqueeze(0)
    return masks


@torch.no_grad()
def score_separation(song, separators, stft=None, templates=None, shares=None, **sounding):
    r"""Scores of any separators on one track, and of the input mixture and the oracles.

    Args:
        song (TestTrack): The track.
        separators (dict): Name of the row → TCNSeparator, or any model from waveform
            :math:`(time)` to :math:`(n\_src, time)`.
        stft (STFT), templates (HarmonicTemplates), shares (InformedShares): For the oracles;
            without templates they and the mixture are left out.
        **sounding: See :func:`~asteroid_scoresup.score.rolls.sounding_roll`.

    Raises:
        ValueError: if the track has no references.

    Returns:
        tuple: list of records (``row``, ``track``, ``instrument`` and the scores of
        :func:`~asteroid_scoresup.metrics.separation_scores`), and the estimates by row.
    """
    if not song.references:
        raise ValueError(f"{song.track.id} lacks stems, so its separation cannot be scored.")
    estimates = {}
    if templates is not None:
        spectrum = stft(song.mixture.unsqueeze(0))
        estimates[INPUT_MIXTURE] = song.mixture.expand(len(song.names), -1)
        for row, masks in oracle_masks(song, stft, templates, shares, **sounding).items():
            estimates[row] = stft.separated(spectrum, masks, len(song.mixture))[0]
    for row, separator in separators.items():
        device = next(separator.parameters()).device
        mixture = song.mixture.to(device)
        if isinstance(separator, WaveformSeparator):
            estimates[row] = separator.in_pieces(mixture, song.level).cpu()
        elif isinstance(separator, SourceModel):
            estimates[row] = separator(mixture, level=song.level).cpu()
        else:
            estimates[row] = separator(mixture).cpu()
    records = []
    for row, sources in estimates.items():
        named = dict(zip(song.names, sources))
        scores = separation_scores(song.references, named, song.mixture)
        records += [{"row": row, "track": song.track.id, **score} for score in scores]
    return records, estimates


@torch.no_grad()
def score_transcription(
    song, row, transcriptor, separated=None, decoding=None, threshold=NOTE_THRESHOLD
):
    r"""Note accuracy and F1 of notes of a transcriptor on one track.

    It hears the mixture and, where there are any, the true stems one by one (at their level in the
    mixture) and separated stems. On single stems only the notes of that class count.

    Args:
        song (TestTrack): The track.
        row (str): Name of the row.
        transcriptor (ScoreTranscriptor): The model.
        separated (:class:`torch.Tensor`, optional): Estimates, :math:`(n\_src, time)`.
        decoding (Decoding, optional): How probabilities become notes, for the F1s.
        threshold (float): Probability from which a cell of the roll counts, for the accuracy.

    Returns:
        list of dict: one record per class.
    """
    stft, names = transcriptor.stft, song.names
    decoding = decoding or Decoding.default(len(names))
    device = next(transcriptor.parameters()).device
    truth = piano_roll(song.notes, *song.roll_size(stft))
    signals = {"mixture": song.mixture}
    if song.references:
        signals["isolated"] = torch.stack(list(song.references.values()))
    if separated is not None:
        signals["separated"] = separated
    records = [{"row": row, "track": song.track.id, "instrument": name} for name in names]
    for signal, wav in signals.items():
        found = transcriptor(wav.to(device), level=song.level).sigmoid().cpu()
        if wav.ndim == 2:
            found = torch.stack([found[i, i] for i in range(len(names))])
        accuracy = frame_accuracy(truth, found, threshold)
        notes = decoding.notes(found, stft.hop_length, stft.sample_rate)
        scores = note_scores(song.notes, notes, names)
        for record, value, score in zip(records, accuracy, scores):
            record[f"note_accuracy_{signal}"] = float(value)
            for measure in ("note_f1", "note_f1_offset"):
                record[f"{measure}_{signal}"] = score[measure]
    return records


#: Songs on which :func:`fit_decoding` chooses, and seconds of each: matching notes takes time.
N_DECODED, SECONDS_DECODED = 24, 60.0


@torch.no_grad()
def fit_decoding(manifest, transcriptor, split="validation"):
    """Chooses how a transcriptor's probabilities become notes, on the mixtures of a split.

    It hears the beginnings (:data:`SECONDS_DECODED`) of :data:`N_DECODED` songs, evenly spaced
    among all.

    Args:
        manifest (Manifest): The prepared data. No reference is opened.
        transcriptor (ScoreTranscriptor): The model.
        split (str): Not one that is tested on.

    Returns:
        Decoding: See :func:`~asteroid_scoresup.inference.decoding.choose_decoding`; the default
        where there is no such split.
    """
    tracks = [track for track in manifest.tracks if track.split == split]
    tracks = sorted(tracks, key=lambda track: track.id)
    tracks = tracks[:: max(math.ceil(len(tracks) / N_DECODED), 1)]
    device = next(transcriptor.parameters()).device
    stft = transcriptor.stft
    scores = []
    for track in tracks:
        wav = manifest.read_mixture(track)[: round(SECONDS_DECODED * manifest.sample_rate)]
        seconds = len(wav) / manifest.sample_rate
        probabilities = transcriptor(torch.from_numpy(wav).to(device), level=track.rms)
        probabilities = probabilities.sigmoid().cpu().numpy()
        notes = fit_notes(manifest.notes(track), seconds)
        scores.append((notes, probabilities, stft.hop_length, stft.sample_rate))
    return choose_decoding(scores, manifest.names)
