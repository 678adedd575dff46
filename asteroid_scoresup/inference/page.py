"""A page to listen to: the mixture and its stems together, with their spectrograms and notes.

The page is a folder that opens from the disk (``file://``) in any browser of today and asks the
network for nothing: ``index.html`` with its style, script and notes inside, ``audio/`` with a FLAC
copy of each file, ``tiles/`` with pictures of 30 s each that the browser loads as they come into
view. Audio is read in blocks, so a song of two hours needs no more memory than one of two minutes.
"""

from __future__ import annotations

import html
import json
import math
import numbers as numeric
import re
from contextlib import ExitStack, closing
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np

from ..data.files import atomic_path, audio_writers
from ..score import LOWEST_PITCH
from .plots import RANGE_DB, class_colours
from .semitones import FRAME_RATE, SemitoneSpectrum, highest_pitch, n_rows
from .stream import Recording, chunks

#: Length of a tile, in seconds.
TILE_SECONDS = 30
#: Name of what is in no stem; it has no notes and no colour of its own.
RESIDUAL = "residual"
_RESIDUAL_COLOUR = "#8a8f98"
_MIXTURE_COLOUR = "#6b7280"
# More channels do not fit into FLAC.
_MOST_CHANNELS = 8
# Steps of the levels, some 1.1 dB each: finer ones cannot be told apart.
_N_LEVELS = 64
# Steps of the masks, and of their opacity: together no more than a palette holds.
_N_SHARES, _N_OPACITIES = 31, 8
# From this level on a mask is opaque, in dB below the mixture's loudest point.
_OPAQUE_DB = 30
_N_PEAKS = 800


def write_page(
    folder,
    title,
    mixture,
    stems,
    *,
    notes=None,
    truth=None,
    numbers=None,
    colours=None,
    progress=None,
):
    """Writes a page on which a song and its stems can be heard and seen together.

    Spectrograms show the channels together (the root of their mean square), with levels in dB
    below the loudest point of the mixture; masks show the magnitude of a stem divided by the
    mixture's, fainter where the mixture is soft. The audio keeps its rate and channels; samples
    beyond full scale are clipped and nothing is rescaled, so that stems compare. If writing breaks
    off, there is no ``index.html``.

    Args:
        folder (str or Path): Where to write; made if it does not exist.
        title (str): Title of the page.
        mixture (str or Path): Audio file of the mixture: anything soundfile reads.
        stems (dict): Name of each stem to its audio file, in order. A last stem that is called
            ``residual`` has no notes.
        notes (Notes, optional): The transcription; `source` is the place of the stem in `stems`.
        truth (Notes, optional): The true score.
        numbers (sequence of tuple, optional): Rows of a table: a label such as ``"SI-SDR (dB)"``
            and a dict from stems to numbers or texts.
        colours (dict, optional): Colours of some stems, as matplotlib names them. Default: those of
            :func:`~asteroid_scoresup.inference.class_colours`.
        progress (callable, optional): Called with the seconds done and those there are.

    Returns:
        Path: ``index.html``.

    Raises:
        ValueError: if a file cannot be read or holds NaN or more than 8 channels, or if notes,
            numbers or colours do not fit the stems: one sentence that names what is wrong.
        ImportError: if matplotlib is missing.

    Examples
        >>> from tempfile import TemporaryDirectory
        >>> from asteroid_scoresup.score import Notes
        >>> tone = 0.3 * np.sin(2 * np.pi * 220 / 8000 * np.arange(8000))
        >>> import soundfile as sf
        >>> with TemporaryDirectory() as folder:
        ...     sf.write(f"{folder}/bass.wav", tone, 8000)
        ...     page = write_page(
        ...         f"{folder}/page",
        ...         "One note",
        ...         f"{folder}/bass.wav",
        ...         {"bass": f"{folder}/bass.wav"},
        ...         notes=Notes([0.0], [1.0], [57], [0], [90]),
        ...         numbers=[("SI-SDR (dB)", {"bass": 12.3})],
        ...     )
        ...     sorted(str(p.relative_to(page.parent)) for p in page.parent.rglob("*.*"))
        ['audio/01-mixture.flac', 'audio/02-bass.flac', 'index.html',
         'tiles/01-mixture/spectrogram-000.png', 'tiles/02-bass/mask-000.png',
         'tiles/02-bass/spectrogram-000.png']
    """
    if not stems:
        raise ValueError(f"The page of {mixture} has no stems, expected at least one.")
    folder = Path(folder)
    names = list(stems)
    classes = [n for i, n in enumerate(names) if n != RESIDUAL or i < len(names) - 1]
    painter = _Painter()
    colours = _colours(classes, names, colours or {}, painter.to_hex)
    for label, table in (("transcription", notes), ("true score", truth)):
        _check_notes(label, table, classes)
    table = _table(numbers or [], names)
    tracks = [_Track(folder, 1, "mixture", mixture, _MIXTURE_COLOUR)]
    tracks += [
        _Track(folder, i, name, stems[name], colours[name]) for i, name in enumerate(names, start=2)
    ]

    index = folder / "index.html"
    index.unlink(missing_ok=True)
    outline, *_ = [_copy(track) for track in tracks]
    seconds = max(track.seconds for track in tracks)
    pitches = highest_pitch(tracks[0].recording.sample_rate)
    n_frames = math.ceil(seconds * FRAME_RATE)
    _write_tiles(tracks, pitches, n_frames, painter, progress)

    song = {
        "seconds": seconds,
        "tileSeconds": TILE_SECONDS,
        "nFrames": n_frames,
        "frameRate": FRAME_RATE,
        "lowest": LOWEST_PITCH,
        "highest": pitches,
        "range": RANGE_DB,
        "peaks": _peaks(outline, n_frames),
        "hasNotes": notes is not None,
        "hasTruth": truth is not None,
        "tracks": [track.facts() for track in tracks],
    }
    for i, facts in enumerate(song["tracks"][1:]):
        facts["notes"], facts["truth"] = _note_rows(notes, i), _note_rows(truth, i)
    with atomic_path(index) as temporary:
        temporary.write_text(_html(title, song, table), encoding="utf-8")
    return index


class _Track:
    """One audio file, and where its copy and its pictures go."""

    def __init__(self, folder, number, name, path, colour):
        self.recording = Recording(Path(path))
        if self.recording.n_channels > _MOST_CHANNELS:
            raise ValueError(
                f"{path} has {self.recording.n_channels} channels, expected at most "
                f"{_MOST_CHANNELS}, which is what FLAC can hold."
            )
        self.folder, self.name, self.colour = folder, str(name), colour
        # ASCII without blanks, so that it means the same in any file system and in a URL.
        plain = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:40]
        self.slug = f"{number:02d}-{plain or 'track'}"
        self.audio = f"audio/{self.slug}.flac"
        self.tiles = f"tiles/{self.slug}"

    def facts(self):
        """What the page needs to know of it."""
        return {
            "name": self.name,
            "colour": self.colour,
            "audio": self.audio,
            "tiles": self.tiles,
            "seconds": self.seconds,
            "rate": self.recording.sample_rate,
        }

    def levels(self, highest):
        """The magnitudes of one tile after the other, (rows, frames)."""
        rate = self.recording.sample_rate
        spectrum = SemitoneSpectrum(rate, highest)
        margin, core = spectrum.margin, TILE_SECONDS * rate
        for chunk in chunks(self.recording.blocks(), core, margin):
            n_frames = math.ceil(chunk.length * FRAME_RATE / rate)
            n_needed = 2 * margin + math.ceil(n_frames * rate / FRAME_RATE)
            # Equal channels are one. Others are shown by their energy: a mean would hide what is
            # in opposite phase.
            one = all(np.array_equal(chunk.samples[0], other) for other in chunk.samples[1:])
            squares = 0
            for samples in chunk.samples[: 1 if one else None]:
                samples = np.pad(samples, (margin - chunk.start, 0))
                samples = np.pad(samples, (0, max(n_needed - len(samples), 0)))
                squares = squares + np.square(spectrum(samples, n_frames))
            yield np.sqrt(squares / (1 if one else len(chunk.samples)))


class _Painter:
    """Draws pictures with few colours: small files, quickly written."""

    def __init__(self):
        try:
            from matplotlib import colormaps
            from matplotlib.colors import to_hex
            from PIL import Image
        except ImportError:
            raise ImportError(
                "The page needs matplotlib, which the recipe's extra brings: "
                "pip install 'asteroid-scoresup[recipe]' or pip install matplotlib."
            ) from None
        self.to_hex, self._image = to_hex, Image
        # Black ink of growing density, which the page turns into white where it is dark. The curve
        # lets noise recede behind partials; its end leaves notes the strongest colour.
        self._ink = np.zeros((_N_LEVELS, 4), dtype=np.uint8)
        self._ink[:, 3] = (220 * np.linspace(0, 1, _N_LEVELS) ** 1.5).round()
        shares = colormaps["viridis"](np.linspace(0, 1, _N_SHARES), bytes=True)
        self._share = np.tile(shares, (_N_OPACITIES, 1))
        self._share[:, 3] = np.repeat(np.linspace(0, 255, _N_OPACITIES).round(), _N_SHARES)

    def spectrogram(self, path, decibels):
        """Levels from -70 to 0 dB, (rows, frames), lowest row first."""
        self._write(path, _steps(1 + decibels / RANGE_DB, _N_LEVELS), self._ink)

    def mask(self, path, share, decibels):
        """Shares from 0 to 1; they fade where the level of the mixture is low."""
        opacity = _steps((RANGE_DB + decibels) / (RANGE_DB - _OPAQUE_DB), _N_OPACITIES)
        self._write(path, opacity * _N_SHARES + _steps(share, _N_SHARES), self._share)

    def _write(self, path, steps, colours):
        image = self._image.fromarray(np.ascontiguousarray(steps[::-1]))
        image.putpalette(colours[:, :3].tobytes())
        with atomic_path(path) as temporary:
            image.save(temporary, transparency=colours[:, 3].tobytes())


def _steps(values, n_steps):
    return np.round(np.clip(values, 0, 1) * (n_steps - 1)).astype(np.uint8)


def _colours(classes, names, wanted, to_hex):
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise ValueError(f"colours names {unknown}, which are no stems; the stems are {names}.")
    colours = {name: _RESIDUAL_COLOUR for name in names} | class_colours(classes)
    for name, colour in wanted.items():
        try:
            colours[name] = to_hex(colour)
        except ValueError:
            raise ValueError(
                f"The colour of {name!r} is {colour!r}, expected one that matplotlib knows, such "
                "as '#0072B2'."
            ) from None
    return colours


def _check_notes(label, notes, classes):
    unknown = [] if notes is None else sorted(set(notes.source.tolist()) - {*range(len(classes))})
    if unknown:
        raise ValueError(
            f"The {label} has notes of the sources {unknown}, but there are {len(classes)} stems "
            f"with notes: {classes}."
        )


def _note_rows(notes, source):
    """Onset, offset (s) and pitch of the notes of one stem, sorted by onset."""
    if notes is None:
        return []
    kept = notes.select(notes.source == source)
    kept = kept.select(np.argsort(kept.onset, kind="stable"))
    times = np.stack([kept.onset, kept.offset], axis=1).round(3).tolist()
    return [[*span, pitch] for span, pitch in zip(times, kept.pitch.tolist())]


def _table(rows, names):
    """The numbers as lines of texts, the first of them the heads; stems without any left out."""
    for row in rows:
        if not (isinstance(row, (tuple, list)) and len(row) == 2 and isinstance(row[1], dict)):
            raise ValueError(f"A row of numbers is {row!r}, expected (label, {{stem: value}}).")
        unknown = [name for name in row[1] if name not in names]
        if unknown:
            raise ValueError(
                f"The row {row[0]!r} has numbers of {unknown}, which are no stems; the stems are "
                f"{names}."
            )
    heads = [name for name in names if any(name in values for _, values in rows)]
    lines = [[str(label), *(_text(values.get(n)) for n in heads)] for label, values in rows]
    return [["", *map(str, heads)], *lines] if lines else []


def _text(value):
    if value is None or (isinstance(value, numeric.Real) and not math.isfinite(value)):
        return "–"
    if isinstance(value, numeric.Integral) or not isinstance(value, numeric.Real):
        return str(value)
    return f"{float(value):.2f}".replace("-", "−")


def _copy(track):
    """Writes a copy that every browser plays, and measures what there really is of the track.

    Returns:
        array: The outline: the largest sample of each frame's time.
    """
    recording = track.recording
    rate, done = recording.sample_rate, 0
    outline = np.zeros(0, dtype=np.float32)
    shape = (rate, recording.n_channels, "PCM_16", "FLAC")
    with audio_writers([track.folder / track.audio], *shape) as (write,):
        for block in recording.blocks():
            write(np.clip(block, -1, 1))
            frame = np.arange(done, done + len(block)) * FRAME_RATE // rate
            starts = np.nonzero(np.diff(frame, prepend=-1))[0]
            outline = np.pad(outline, (0, frame[-1] + 1 - len(outline)))
            np.maximum.at(
                outline, frame[starts], np.maximum.reduceat(np.abs(block).max(axis=1), starts)
            )
            done += len(block)
    track.seconds = done / rate
    return outline


def _peaks(outline, n_frames):
    """At most 800 points of an outline over the time of `n_frames`, per cent of the largest."""
    outline = np.pad(outline, (0, n_frames - len(outline)))
    starts = np.unique(np.linspace(0, n_frames, _N_PEAKS, endpoint=False).astype(int))
    peaks = np.maximum.reduceat(outline, starts)
    return (100 * peaks / (peaks.max() or 1)).round().astype(int).tolist()


def _write_tiles(tracks, highest, n_frames, painter, progress):
    """Writes the pictures of all tracks, stretch of time after stretch of time."""
    loudest = max(float(tile.max()) for tile in tracks[0].levels(highest)) or 1.0
    floor = loudest * 10 ** (-RANGE_DB / 20)
    n_tile = TILE_SECONDS * FRAME_RATE
    with ExitStack() as stack:
        streams = [stack.enter_context(closing(track.levels(highest))) for track in tracks]
        for tile, first in enumerate(range(0, n_frames, n_tile)):
            width = min(n_tile, n_frames - first)
            parts = (_fitted(next(stream, None), highest, width) for stream in streams)
            for track, part in zip(tracks, parts):
                path = track.folder / track.tiles
                decibels = 20 * np.log10(np.maximum(part, floor) / loudest)
                painter.spectrogram(path / f"spectrogram-{tile:03d}.png", decibels)
                if track is tracks[0]:
                    mixture, mixture_decibels = np.maximum(part, floor), decibels
                else:
                    painter.mask(path / f"mask-{tile:03d}.png", part / mixture, mixture_decibels)
            if progress is not None:
                progress((first + width) / FRAME_RATE, n_frames / FRAME_RATE)


def _fitted(levels, highest, width):
    """Levels of exactly `width` frames; a track that has ended is silent."""
    fitted = np.zeros((n_rows(highest), width), dtype=np.float32)
    if levels is not None:
        fitted[:, : levels.shape[1]] = levels[:, :width]
    return fitted


def _html(title, song, table):
    assets = resources.files(__package__) / "page_assets"
    page, style, script = (
        (assets / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", "page.js")
    )
    return Template(page).substitute(
        title=html.escape(str(title)),
        style=style,
        script=script,
        table=_table_html(table),
        song=_embedded(song),
    )


def _embedded(value):
    """JSON that can stand in a script element, whatever its texts hold."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _table_html(table):
    if not table:
        return ""
    heads, *lines = [[html.escape(text) for text in line] for line in table]
    head = "".join(f'<th scope="col">{text}</th>' for text in heads[1:])
    body = "".join(
        f'<tr><th scope="row">{line[0]}</th>{"".join(f"<td>{text}</td>" for text in line[1:])}</tr>'
        for line in lines
    )
    return (
        '<div class="numbers"><table aria-label="Numbers">'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
