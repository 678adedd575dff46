"""The listening page: a mixture and its stems side by side, with their spectrograms and notes.

The page is a folder that any current browser opens from the disk (``file://``) without a network:
``index.html`` with its style, script and notes, ``audio/`` with a FLAC copy of each file, and
``tiles/`` with spectrogram images of 30 s each, loaded as they come into view. Audio is read in
blocks, so a song of two hours takes no more memory than one of two minutes.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np
import pandas as pd
from matplotlib.image import imsave

from ..score import LOWEST_PITCH, Notes
from ..utils.files import atomic_path, audio_writers
from ..utils.stream import Recording, chunks
from .plots import RANGE_DB, class_colors
from .semitones import FRAME_RATE, SemitoneSpectrum, highest_pitch, n_rows

#: Length of a tile, in seconds.
TILE_SECONDS = 30
#: Name of the residual, the signal that is in no stem; it has no notes and no color.
RESIDUAL = "residual"
# Color of the mixture and the residual.
_GRAY = "#868b94"
# The limit of FLAC.
_MOST_CHANNELS = 8
# Steps of the gray levels, about 1.1 dB each: finer steps look the same and make larger files.
_N_LEVELS = 64


def write_page(
    folder: str | Path,
    title: str,
    mixture: str | Path,
    stems: Mapping[str, str | Path],
    *,
    transcription: Notes | None = None,
    score: Notes | None = None,
    numbers: Sequence[tuple[str, Mapping[str, float | str]]] = (),
    remark: str = "",
) -> Path:
    """Writes a page that plays a song and its stems in sync, and shows their spectrograms.

    Spectrograms show the channels together (the root of their mean square), with levels in dB
    below the loudest point of the mixture. The audio keeps its sample rate and channels; samples
    beyond full scale are clipped and nothing is rescaled, so that stems can be compared. If writing
    fails, there is no ``index.html``.

    Args:
        folder (str or Path): Output folder; created if it does not exist.
        title (str): Title of the page.
        mixture (str or Path): Audio file of the mixture, in any format that soundfile reads.
        stems (dict of str to Path): Name of each stem → its audio file, in order. A last stem
            called ``residual`` has no notes.
        transcription (Notes, optional): The predicted notes; `class_index` is the position of the
            stem in `stems`.
        score (Notes, optional): The score. Next to a transcription it is called the true score.
        numbers (sequence of tuple): Rows of a table: a label such as ``"SI-SDR (dB)"`` and a
            mapping from stems to numbers or texts.
        remark (str): A sentence below the title.

    Returns:
        Path: ``index.html``.

    Raises:
        ValueError: if a file cannot be read or contains NaN or more than 8 channels, or if notes or
            numbers do not fit the stems.

    Examples
        >>> from tempfile import TemporaryDirectory
        >>> import soundfile as sf
        >>> tone = 0.3 * np.sin(2 * np.pi * 220 / 8000 * np.arange(8000))
        >>> with TemporaryDirectory() as folder:
        ...     sf.write(f"{folder}/bass.wav", tone, 8000)
        ...     page = write_page(
        ...         f"{folder}/page",
        ...         "One note",
        ...         f"{folder}/bass.wav",
        ...         {"bass": f"{folder}/bass.wav"},
        ...         transcription=Notes([0.0], [1.0], [57], [0], [90]),
        ...         numbers=[("SI-SDR (dB)", {"bass": 12.3})],
        ...     )
        ...     sorted(str(p.relative_to(page.parent)) for p in page.parent.rglob("*.*"))
        ['audio/01-mixture.flac', 'audio/02-bass.flac', 'index.html',
         'tiles/01-mixture/000.png', 'tiles/02-bass/000.png']
    """
    if not stems:
        raise ValueError(f"The page of {mixture} has no stems, expected at least one.")
    folder = Path(folder)
    names = list(stems)
    classes = [n for i, n in enumerate(names) if n != RESIDUAL or i < len(names) - 1]
    colors = dict.fromkeys(names, _GRAY) | class_colors(classes)
    score_label = "Score" if transcription is None else "True score"
    for label, notes in (("transcription", transcription), (score_label.lower(), score)):
        _require_classes(label, notes, classes)
    table = _table_html(numbers, names)
    parts = [("mixture", mixture, _GRAY), *((name, stems[name], colors[name]) for name in names)]
    tracks = [_Track(folder, i, *part) for i, part in enumerate(parts, start=1)]

    index = folder / "index.html"
    index.unlink(missing_ok=True)
    for track in tracks:
        track.copy()
    highest = highest_pitch(tracks[0].recording.sample_rate)
    n_frames = max(track.n_frames for track in tracks)
    _write_tiles(tracks, highest, n_frames)

    song = {
        "seconds": n_frames / FRAME_RATE,
        "tileSeconds": TILE_SECONDS,
        "lowest": LOWEST_PITCH,
        "highest": highest,
        "tracks": [
            {
                "name": track.name,
                "color": track.color,
                "audio": track.audio,
                "tiles": track.tiles,
                "seconds": track.seconds,
                "transcription": _note_rows(transcription, i),
                "score": _note_rows(score, i),
            }
            for i, track in enumerate(tracks, start=-1)
        ],
    }
    assets = resources.files(__package__) / "page_assets"
    page, style, script = (
        (assets / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")
    )
    text = Template(page).substitute(
        title=html.escape(str(title)),
        style=style,
        script=script,
        table=table,
        score=score_label,
        remark=f"<p>{html.escape(remark)}</p>" if remark else "",
        range=round(RANGE_DB),
        # JSON without "<" cannot end the element that contains it.
        song=json.dumps(song, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    )
    with atomic_path(index) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return index


class _Track:
    """One audio file, and the paths of its copy and its tiles."""

    def __init__(self, folder: Path, number: int, name: str, path: str | Path, color: str):
        self.recording = Recording(Path(path))
        if self.recording.n_channels > _MOST_CHANNELS:
            raise ValueError(
                f"{path} has {self.recording.n_channels} channels, expected at most "
                f"{_MOST_CHANNELS}, which is what FLAC can hold."
            )
        self.folder, self.name, self.color = folder, str(name), color
        # ASCII without spaces is safe in any file system and URL.
        plain = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:40]
        slug = f"{number:02d}-{plain or 'track'}"
        self.audio = f"audio/{slug}.flac"
        self.tiles = f"tiles/{slug}"

    def copy(self) -> None:
        """Writes a copy that every browser plays, and counts the samples of the file."""
        recording, n_samples = self.recording, 0
        rate = recording.sample_rate
        shape = (rate, recording.n_channels, "PCM_16", "FLAC")
        with audio_writers([self.folder / self.audio], *shape) as (write,):
            for block in recording.blocks():
                write(np.clip(block, -1, 1))
                n_samples += len(block)
        self.seconds = n_samples / rate
        self.n_frames = math.ceil(n_samples * FRAME_RATE / rate)

    def levels(self, highest: int) -> Generator[np.ndarray, None, None]:
        """Magnitudes of successive tiles, (rows, frames)."""
        rate = self.recording.sample_rate
        spectrum = SemitoneSpectrum(rate, highest)
        margin, core = spectrum.margin, TILE_SECONDS * rate
        for chunk in chunks(self.recording.blocks(), core, margin):
            n_frames = math.ceil(chunk.length * FRAME_RATE / rate)
            n_needed = 2 * margin + math.ceil(n_frames * rate / FRAME_RATE)
            # Equal channels are computed once. Others are shown by their energy: a mean would
            # cancel opposite phases.
            equal = all(np.array_equal(chunk.samples[0], other) for other in chunk.samples[1:])
            squares = 0
            for samples in chunk.samples[: 1 if equal else None]:
                samples = np.pad(samples, (margin - chunk.start, 0))
                samples = np.pad(samples, (0, max(n_needed - len(samples), 0)))
                squares = squares + np.square(spectrum(samples, n_frames))
            yield np.sqrt(squares / (1 if equal else len(chunk.samples)))


def _write_tiles(tracks: Sequence[_Track], highest: int, n_frames: int) -> None:
    """Writes the tiles of all tracks, black on white."""
    loudest = max(float(tile.max()) for tile in tracks[0].levels(highest)) or 1.0
    n_tile = TILE_SECONDS * FRAME_RATE
    for track in tracks:
        with closing(track.levels(highest)) as levels:
            for tile, first in enumerate(range(0, n_frames, n_tile)):
                magnitude = np.zeros((n_rows(highest), min(n_tile, n_frames - first)))
                part = next(levels, magnitude[:, :0])  # a track that ended is silent
                magnitude[:, : part.shape[1]] = part[:, : magnitude.shape[1]]
                decibels = 20 * np.log10(np.maximum(magnitude / loudest, 1e-10))
                steps = np.round(np.clip(1 + decibels / RANGE_DB, 0, 1) * (_N_LEVELS - 1))
                # The exponent makes noise fade; vmax keeps the notes more prominent.
                ink = (steps / (_N_LEVELS - 1)) ** 1.5
                path = track.folder / track.tiles / f"{tile:03d}.png"
                with atomic_path(path) as temporary:
                    imsave(temporary, ink, cmap="gray_r", vmin=0, vmax=1.15, origin="lower")


def _require_classes(label: str, notes: Notes | None, classes: Sequence[str]) -> None:
    unknown = (
        [] if notes is None else sorted(set(notes.class_index.tolist()) - {*range(len(classes))})
    )
    if unknown:
        raise ValueError(
            f"The {label} has notes of the classes {unknown}, but there are {len(classes)} stems "
            f"with notes: {classes}."
        )


def _note_rows(notes: Notes | None, class_index: int) -> list[list[float]]:
    """Onset, offset (s) and pitch of the notes of one stem."""
    if notes is None:
        return []
    kept = notes.select(notes.class_index == class_index)
    times = np.stack([kept.onset, kept.offset], axis=1).round(3).tolist()
    return [[*span, pitch] for span, pitch in zip(times, kept.pitch.tolist())]


def _table_html(rows: Sequence[tuple[str, Mapping[str, float | str]]], names: Sequence[str]) -> str:
    """The numbers as an HTML table, with a column for each stem that has any."""
    for row in rows:
        if not (isinstance(row, (tuple, list)) and len(row) == 2 and isinstance(row[1], Mapping)):
            raise ValueError(f"A row of numbers is {row!r}, expected (label, {{stem: value}}).")
        unknown = [name for name in row[1] if name not in names]
        if unknown:
            raise ValueError(
                f"The row {row[0]!r} has numbers of {unknown}, but the stems are {names}."
            )
    if not any(values for _, values in rows):
        return ""
    frame = pd.DataFrame({label: dict(values) for label, values in rows}, dtype=object).T
    frame = frame[[name for name in names if name in frame]]
    return frame.to_html(na_rep="–", float_format="{:.2f}".format, border=0)
