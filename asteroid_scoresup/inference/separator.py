"""A trained model and a song: stems and score."""

from __future__ import annotations

import contextlib
import json
import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..dsp.level import LevelMeter
from ..evaluation.decoding import Decoding, pitch_levels
from ..models import WaveformSeparator, unpack
from ..models.checkpoint import read_transcriptor, require_pair
from ..models.fingerprint import loaded_model_hash
from ..utils.stream import Recording, chunks, resampled
from .collector import NoteCollector
from .waveform_piece import waveform_piece

#: Seconds that are separated at a time: at least so many, and so many times the context.
CORE_SECONDS, CORE_CONTEXTS = 30.0, 16
#: Numbers in which the networks' products can be computed.
PRECISIONS = ("float32", "bfloat16")
#: Names that no class can have: files of a song have them.
RESERVED_NAMES = ("mixture", "residual", "score", "page")
#: Levels above are no audio: numbers of 32 bits overflow on the way through a model.
_LOUD = 1e6
#: The model file that is used where none is named.
BUNDLED_MODEL = Path(__file__).parents[1] / "pretrained" / "band.pth"


class Piece(NamedTuple):
    r"""What the networks make of a stretch of a recording, at the model's rate.

    Args:
        stems (array): float32, shape :math:`(time, n\_src, channels)`, or None.
        probabilities (array): Note probabilities in steps of 1 / 255, uint8,
            :math:`(n\_src, 88, frames)`, or None.
        levels (array): See :func:`~asteroid_scoresup.evaluation.decoding.pitch_levels`, or None.
    """

    stems: np.ndarray | None
    probabilities: np.ndarray | None
    levels: np.ndarray | None


class Separator:
    """Separates and transcribes recordings of any length, rate and number of channels.

    The masks come from the energy of the channels together (the root of their mean square, bin by
    bin, so that opposite phases do not cancel) and are applied to each of them, so stems of a
    stereo song stay stereo. Levels are the mixture's; nothing is rescaled. The model hears up to
    half its sample rate; what lies above is in no stem. Recordings are worked through in pieces
    with as much context as the network can hear: the result is that of the whole.

    Args:
        model (TCNSeparator or WaveformSeparator): The trained network.
        transcriptor (ScoreTranscriptor, optional): For :meth:`transcribe`.
        decoding (Decoding, optional): How its probabilities become notes.
        programs (dict, optional): General MIDI program that stands for each class, by name.
        device (str or torch.device): Where to compute: ``cpu``, ``cuda``, ``mps``…
        core_seconds (float, optional): Length of a piece, in seconds. By default 30, or 16 times
            what the networks hear to each side of it, so that little is computed twice.
        precision (str): Of the networks' products: ``"float32"`` or ``"bfloat16"``, which is faster
            on processors that compute it (AVX-512 BF16, AMX) and on GPUs, and slower on others;
            what it changes lies 50 dB below the stems.

    Raises:
        ValueError: if the models do not belong together, a class has a name that no file can
            have, the device is not there, or the precision is none of these.

    Examples
        >>> from asteroid_scoresup.models import TCNSeparator
        >>> song = np.random.default_rng(0).standard_normal((2, 22050)).astype("float32")
        >>> separator = Separator(TCNSeparator(["bass", "piano"], n_blocks=2, bn_chan=8))
        >>> {name: stem.shape for name, stem in separator.separate(song, 44100).items()}
        {'bass': (2, 22050), 'piano': (2, 22050)}
    """

    def __init__(
        self,
        model,
        transcriptor=None,
        decoding=None,
        programs=None,
        device="cpu",
        core_seconds=None,
        precision="float32",
    ):
        self.device = _device(device)
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {' or '.join(PRECISIONS)}, found {precision!r}.")
        self.precision = precision
        for name in model.sources:
            # They become names of files, beside "mixture" and "residual".
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or name in RESERVED_NAMES:
                raise ValueError(
                    f"The model has a class {name!r}: expected letters, digits, _ and -, and none "
                    f"of {', '.join(RESERVED_NAMES)}."
                )
        self.model = model.to(self.device).eval()
        self.transcriptor = None
        if transcriptor is not None:
            require_pair(model, transcriptor)
            if isinstance(model, WaveformSeparator):
                model.stft = transcriptor.stft  # it has none of its own
            self.transcriptor = transcriptor.to(self.device).eval()
        self.decoding = decoding or Decoding.default(model.n_src)
        self.programs = programs or {}
        hop = model.stft.hop_length
        if core_seconds is None:
            core_seconds = max(CORE_SECONDS, CORE_CONTEXTS * self.context / model.sample_rate)
        models = [model] + ([transcriptor] if transcriptor is not None else [])
        if not all(m.is_local for m in models):
            core_seconds = 1e6  # such a norm hears the whole recording, so it comes in one piece
        self.core = max(int(core_seconds * model.sample_rate) // hop, 1) * hop

    @classmethod
    def from_pretrained(cls, path=None, transcriptor=None, device="cpu", **kwargs):
        """Loads a model file such as a recipe's ``best_model.pth``.

        Args:
            path (str or Path, optional): The file; by default the model that comes with the
                package.
            transcriptor (str or Path, optional): File of a transcriptor (or of a model in which
                one is packed), where there is none with the separator or another is wanted.
            device (str): See :class:`Separator`.

        Raises:
            FileNotFoundError, ValueError: if a file is missing or not the model it should be.
        """
        if path is None and not BUNDLED_MODEL.is_file():
            raise FileNotFoundError(
                f"{BUNDLED_MODEL} is missing from the installed package: install it again, or name "
                "a model file (--model)."
            )
        model, packed, decoding, programs = unpack(BUNDLED_MODEL if path is None else path)
        if transcriptor is not None:
            packed, decoding = read_transcriptor(transcriptor)
        decoding = Decoding.from_plain(decoding, model.n_src)
        return cls(model, packed, decoding, programs, device, **kwargs)

    @property
    def names(self):
        """list of str: names of the stems, in order."""
        return self.model.sources

    def identity(self, notes=False):
        """What decides what this separator makes of a song, as plain values.

        Args:
            notes (bool): Whether of its notes; else of its stems.

        Returns:
            dict: hashes of the models, and the other settings.
        """
        facts = {"model": loaded_model_hash(self.model), "precision": self.precision}
        if notes and self.transcriptor is not None:
            settings = [self.decoding.plain(), self.programs]
            facts["transcriptor"] = loaded_model_hash(self.transcriptor)
            facts["decoding"] = json.loads(json.dumps(settings, default=float))
        return facts

    def separate(self, audio, sample_rate=None, progress=None):
        r"""Separates one recording, in memory.

        Args:
            audio (array, str or Path): Shape :math:`(time)` or :math:`(channels, time)`, floats or
                integers (see :class:`~asteroid_scoresup.utils.stream.Recording`); or a file,
                which gives :math:`(channels, time)`.
            sample_rate (int, optional): Rate of an array, in Hz.
            progress (callable, optional): Called with the seconds done and those there are.

        Returns:
            dict of str to array: stems by name, float32, with the shape of `audio`.

        Raises:
            ValueError: if `audio` is empty, unreadable, or holds NaN or infinite samples, or if the
                model makes such of it.
        """
        recording = Recording(audio, sample_rate)
        stems = np.concatenate(list(self.stem_blocks(recording, progress)))
        shape = (recording.n_channels, recording.n_samples)
        if recording.samples is not None and np.ndim(audio) == 1:
            shape = shape[1:]
        return {
            name: np.ascontiguousarray(stems[:, i].T).reshape(shape)
            for i, name in enumerate(self.names)
        }

    def transcribe(self, audio, sample_rate=None, progress=None):
        """Transcribes one recording.

        Args:
            audio, sample_rate, progress: See :meth:`separate`.

        Returns:
            pretty_midi.PrettyMIDI: One General MIDI track per class, in order.

        Raises:
            ValueError: as :meth:`separate`, or if there is no transcriptor.
        """
        recording = Recording(audio, sample_rate)
        collected = NoteCollector(self)
        for piece in self.pieces(recording, stems=False, notes=True, progress=progress):
            collected.add(piece)
        return collected.midi()

    def stem_blocks(self, recording, progress=None, listen=None):
        r"""The stems of a recording, block after block.

        Args:
            recording (Recording): The recording.
            progress (callable, optional): See :meth:`separate`.
            listen (callable, optional): Called with each :class:`Piece`, notes included.

        Yields:
            array: float32, shape :math:`(time, n\_src, channels)`; as many samples in all as the
            recording has.
        """
        shape = (len(self.names), recording.n_channels)

        def flat():
            for piece in self.pieces(recording, notes=listen is not None, progress=progress):
                if listen is not None:
                    listen(piece)
                yield piece.stems.reshape(len(piece.stems), -1)

        n_channels = shape[0] * shape[1]
        back = resampled(flat(), self.model.sample_rate, recording.sample_rate, n_channels)
        left = recording.n_samples
        for block in back:
            block = block[:left]
            left -= len(block)
            yield block.reshape(len(block), *shape)
        if left:  # rounding at two rates can make the end differ by a sample or two
            yield np.zeros((left, *shape), dtype=np.float32)

    @torch.no_grad()
    def pieces(self, recording, stems=True, notes=False, progress=None):
        """What the networks make of a recording, piece after piece.

        Args:
            recording (Recording): The recording.
            stems (bool): Whether to give stems.
            notes (bool): Whether to give note probabilities and levels.
            progress (callable, optional): See :meth:`separate`.

        Yields:
            Piece
        """
        if notes and self.transcriptor is None:
            raise ValueError(
                "This model file holds no transcriptor: name one (--transcriptor, the recipe's "
                "transcriptor/best_model.pth)."
            )
        level = self._level(recording)
        rate, hop = self.model.sample_rate, self.model.stft.hop_length
        done = 0
        for chunk in chunks(self._heard(recording), self.core, self.context):
            wav = torch.from_numpy(np.ascontiguousarray(chunk.samples)).to(self.device)
            first = chunk.start // hop
            last = None if chunk.last else (chunk.start + chunk.length) // hop
            piece = self._piece(wav, level, chunk, slice(first, last), stems, notes)
            self._require_finite(piece, recording, done / rate, level)
            yield piece
            done += chunk.length
            if progress is not None:
                # Rounding at two rates can make the end differ by a sample or two.
                told = recording.seconds if chunk.last else min(done / rate, recording.seconds)
                progress(told, recording.seconds)

    @property
    def context(self):
        """int: Samples on each side of a piece that can change it."""
        stft = self.model.stft
        models = [self.model] + ([self.transcriptor] if self.transcriptor else [])
        frames = max(model.receptive_field for model in models)
        # An STFT frame reaches half a window to each side, and so does its inverse.
        frames += 2 * math.ceil(stft.n_fft / 2 / stft.hop_length)
        return frames * stft.hop_length

    def _heard(self, recording):
        rate = self.model.sample_rate
        return resampled(recording.blocks(), recording.sample_rate, rate, recording.n_channels)

    def _level(self, recording):
        """The level of the whole recording; see :class:`LevelMeter`."""
        meter = LevelMeter(self.model.sample_rate)
        for block in self._heard(recording):
            meter.add(block)
        return meter.level

    def _require_finite(self, piece, recording, start, level):
        for values in (piece.stems, piece.levels):
            if values is not None and not np.isfinite(values).all():
                if level > _LOUD:
                    why = f"its level is {level:.3g} where 1 is full scale: scale it down"
                else:
                    why = "the model file is damaged, or its training failed"
                raise ValueError(
                    f"{recording.name}: the model gives NaN or infinite values from {start:.1f} s "
                    f"on; {why}."
                )

    def _half(self):
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _piece(self, wav, level, chunk, frames, stems, notes):
        model, stft = self.model, self.model.stft
        if isinstance(model, WaveformSeparator):
            core = slice(chunk.start, chunk.start + chunk.length)
            with self._half():
                return Piece(
                    *waveform_piece(
                        model, self.transcriptor, wav, level, core, frames, stems, notes
                    )
                )
        _, gain = model.normalize(wav[:1, :1], level)
        spectrum = stft(wav)  # of every channel
        mixture = _magnitude(stft, spectrum).mul_(gain)
        n_frames = mixture.shape[-1]
        # Frames that sound in the core of the piece; the others are only heard.
        reach = math.ceil(stft.n_fft / 2 / stft.hop_length)
        first, last, _ = frames.indices(n_frames)
        sounding = slice(max(first - reach, 0), min(last + reach, n_frames))
        wanted = sounding if stems else slice(first, last)
        levels = []

        def masks():
            start = wanted.start
            for part in model.iter_masks(mixture, wanted):
                stop = start + part.shape[-1]
                if notes:
                    sources = part * mixture[..., start:stop].unsqueeze(1)
                    levels.append(pitch_levels(sources, stft.n_fft, stft.sample_rate).half())
                yield part
                start = stop

        sounds = None
        with self._half():
            if stems:
                start = chunk.start - sounding.start * stft.hop_length
                stop = start + chunk.length
                waves = stft.separated(spectrum[..., sounding], masks(), stop)[..., start:]
                sounds = waves.permute(2, 1, 0).cpu().numpy()
            elif notes:
                for _ in masks():
                    pass
            if notes:
                logits = self.transcriptor.outputs(mixture)[0, ..., frames]
        if not notes:
            return Piece(sounds, None, None)
        if not bool(logits.isfinite().all()):
            levels = [torch.full_like(part, torch.nan) for part in levels]
        # Notes of long songs are kept until the end, so in few bytes.
        probabilities = (255 * logits.sigmoid()).round().byte().cpu().numpy()
        levels = torch.cat(levels, -1)[0, ..., first - wanted.start : last - wanted.start]
        return Piece(sounds, probabilities, levels.cpu().numpy())


def _magnitude(stft, spectrum):
    """Root mean square over the channels: equal channels give what one of them gives."""
    if len(spectrum) == 1:
        return stft.magnitude(spectrum)
    squares = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
    return squares.mean(0, keepdim=True).sqrt_().mul_(stft.scale)


def _device(name):
    """A device that computes."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).add(1).cpu()
    except Exception as error:  # torch raises many kinds, some of many lines
        reason = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]
        raise ValueError(
            f"The device {str(name)!r} cannot be used here: {reason[:200].rstrip('.')}."
        ) from None
    return device
