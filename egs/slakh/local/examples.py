"""Examples of stage 5: audio, a plot and a listening page per song."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import soundfile as sf
import torch

from asteroid_scoresup.dsp import STFT
from asteroid_scoresup.evaluation.evaluate import TestTrack
from asteroid_scoresup.report import plot_separation
from asteroid_scoresup.report.page import write_page
from asteroid_scoresup.score import Notes, piano_roll


def write_example(
    folder: Path,
    song: TestTrack,
    estimates: torch.Tensor,
    masks_of: Callable[[torch.Tensor], torch.Tensor],
    stft: STFT,
    notes: Notes | None,
    numbers: list[tuple[str, dict[str, float]]],
) -> None:
    """Writes audio, a plot and a listening page for one song.

    Args:
        folder (Path): Folder to write.
        song (TestTrack): The song, with stems.
        estimates (:class:`torch.Tensor`): :math:`(n_src, time)`.
        masks_of (callable): Mixture waveform → masks :math:`(n_src, freq, frames)`.
        stft (STFT): The STFT of the masks.
        notes (Notes, optional): Transcribed notes.
        numbers (list): Scores for the page, see :func:`page_numbers`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rate = int(stft.sample_rate)
    sf.write(folder / "mixture.wav", song.mixture.numpy(), rate, subtype="FLOAT")
    for name, estimate in zip(song.names, estimates):
        sf.write(folder / f"{name}_estimate.wav", estimate.numpy(), rate, subtype="FLOAT")
        sf.write(folder / f"{name}.wav", song.stems[name].numpy(), rate, subtype="FLOAT")
    seconds = min(10.0, len(song.mixture) / rate)
    start = max(len(song.mixture) / rate - seconds, 0) / 2
    frames = slice(
        int(start * rate / stft.hop_length), int((start + seconds) * rate / stft.hop_length)
    )

    def magnitudes(wav: torch.Tensor) -> torch.Tensor:
        return stft.magnitude(stft(wav.reshape(-1, wav.shape[-1])))[..., frames]

    figure = plot_separation(
        magnitudes(song.mixture)[0],
        rate,
        stft.hop_length,
        masks=masks_of(song.mixture)[..., frames],
        estimates=magnitudes(estimates),
        stems=magnitudes(torch.stack(list(song.stems.values()))),
        roll=piano_roll(song.notes, *song.roll_size(stft))[..., frames],
        names=song.names,
        start=start,
        title=f"{song.track.split}/{song.track.id}",
    )
    figure.savefig(folder / "separation.png")
    write_page(
        folder / "page",
        f"{song.track.split}/{song.track.id}",
        folder / "mixture.wav",
        {name: folder / f"{name}_estimate.wav" for name in song.names},
        transcription=notes,
        score=song.notes,
        numbers=numbers,
    )


def page_numbers(records: Iterable[dict[str, Any]], row: str) -> list[tuple[str, dict[str, float]]]:
    """The scores of one row for the listening page, by class."""
    titles = {"si_sdr": "SI-SDR (dB)", "si_sdr_imp": "SI-SDRi (dB)"}
    titles["note_accuracy_mixture"] = "note accuracy"
    own = [record for record in records if record["row"] == row]
    return [
        (title, {record["instrument"]: record[key] for record in own if key in record})
        for key, title in titles.items()
        if any(key in record for record in own)
    ]
