"""Stems and transcription of a recording, from a trained model."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import torch

from ..data.classes import ClassMap
from ..evaluation.decoding import Decoding
from ..models import (
    ScoreGuidedSeparator,
    ScoreTranscriptor,
    TCNSeparator,
    WaveformSeparator,
    pack,
    read_package,
    unpack,
)
from ..models.checkpoint import read_transcriptor, require_pair
from ..models.fingerprint import FACTS, loaded_model_hash
from ..models.hub import BUNDLED_FOLDER, HubMixin, split_options
from ..score import Notes
from ..utils import stream
from ..utils.stream import Chunk, Recording
from .chunk import (
    Progress,
    SeparatedChunk,
    join_stems,
    not_finite,
    separate_by_masks,
    separate_waveforms,
)
from .device import require_device
from .factorization import NoteFactorization
from .mask_correction import AUTO, Refiner
from .resampler import ModelInput, StemResampler
from .score_informed import ScoreInformedSeparator
from .song_score import default_classes
from .stem_writer import require_stem_names
from .streaming import SeparationStream
from .transcription import TranscriptionBuilder

#: Default length of a chunk's core: this many seconds, or this many times the context if longer.
CORE_SECONDS, CORE_CONTEXTS = 30.0, 16
#: Number formats in which the networks can multiply.
PRECISIONS = ("float32", "bfloat16")
#: The model file that is used if none is named.
BUNDLED_MODEL = BUNDLED_FOLDER / "band.pth"


class Separator(HubMixin):
    """Separates and transcribes recordings of any length, sample rate and number of channels.

    The masks are predicted from the energy of all channels (the root of their mean square, bin by
    bin, so that opposite phases do not cancel) and applied to each channel: the stems of a stereo
    song are stereo. Levels are those of the mixture; nothing is rescaled. The model receives
    frequencies up to half its sample rate; those above are in no stem.

    A recording is processed in chunks with as much context as the receptive field of the networks,
    in constant memory: the result is that of the whole recording (not with `factorize`).

    Args:
        model (TCNSeparator or WaveformSeparator): The trained network.
        transcriptor (ScoreTranscriptor, optional): For :meth:`transcribe`.
        decoding (Decoding, optional): How note probabilities become notes.
        programs (dict, optional): General MIDI program of each class, by name.
        device (str or torch.device): Where to compute: ``cpu``, ``cuda``, ``mps``…
        core_seconds (float, optional): Seconds of a chunk without its context. Default: 30, or 16
            times the context on one side if that is longer.
        precision (str): Of the networks' multiplications: ``"float32"`` or ``"bfloat16"``, which is
            faster where it is supported (AVX-512 BF16, AMX, GPUs), and slower elsewhere. It
            changes the stems by about -50 dB.
        factorize (bool): Whether to use a
            :class:`~asteroid_scoresup.inference.factorization.NoteFactorization`.

    Raises:
        ValueError: if the models do not belong together, a class has a name that no file can
            have, the device is not available, or an option does not fit.

    Examples
        >>> from asteroid_scoresup.models import TCNSeparator
        >>> song = np.random.default_rng(0).standard_normal((2, 22050)).astype("float32")
        >>> separator = Separator(TCNSeparator(["bass", "piano"], n_blocks=2, bn_chan=8))
        >>> {name: stem.shape for name, stem in separator.separate(song, 44100).items()}
        {'bass': (2, 22050), 'piano': (2, 22050)}
    """

    def __init__(
        self,
        model: TCNSeparator | WaveformSeparator,
        transcriptor: ScoreTranscriptor | None = None,
        decoding: Decoding | None = None,
        programs: Mapping[str, int] | None = None,
        device: str | torch.device = "cpu",
        core_seconds: float | None = None,
        precision: str = "float32",
        factorize: bool = False,
    ) -> None:
        self.device = require_device(device)
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {' or '.join(PRECISIONS)}, found {precision!r}.")
        self.precision = precision
        try:
            require_stem_names(model.sources)
        except ValueError as error:
            raise ValueError(f"The model has {error}") from None
        self.model = model.to(self.device).eval()
        self.transcriptor = None
        if transcriptor is not None:
            require_pair(model, transcriptor)
            if isinstance(model, WaveformSeparator):
                model.stft = transcriptor.stft  # it has none of its own
            self.transcriptor = transcriptor.to(self.device).eval()
        self.decoding = decoding or Decoding.default(model.n_src)
        self.programs = programs or {}
        of = NoteFactorization.of
        self.factorization = of(model, self.transcriptor, self.programs) if factorize else None
        #: Facts of the model file that are not part of the model, such as the license.
        self.facts: dict[str, Any] = {}
        hop = model.stft.hop_length
        if core_seconds is None:
            core_seconds = max(CORE_SECONDS, CORE_CONTEXTS * self.context / model.sample_rate)
        if not all(network.is_local for network in self._networks):
            core_seconds = 1e6  # its norm depends on the whole recording: one chunk
        #: Samples of a chunk without its context.
        self.core = max(int(core_seconds * model.sample_rate) // hop, 1) * hop

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path | None = None,
        transcriptor: str | Path | None = None,
        device: str | torch.device = "cpu",
        **kwargs: Any,
    ) -> Separator:
        """Loads a model: a file, a folder of ``save_pretrained``, or one of the Hugging Face Hub.

        Args:
            path (str or Path, optional): What :func:`~asteroid_scoresup.models.hub.read_package`
                accepts, such as a recipe's ``best_model.pth``. Default: the bundled model.
            transcriptor (str or Path, optional): The same for another transcriptor than in `path`.
            device (str or torch.device): See :class:`Separator`.
            **kwargs: Other arguments of :class:`Separator`, and options of
                :func:`~asteroid_scoresup.models.hub.download` such as ``revision``.

        Raises:
            FileNotFoundError, ValueError: if a file is missing or is not such a model.
            ConnectionError: if the Hugging Face Hub cannot be reached.
        """
        if path is None and not BUNDLED_MODEL.is_file():
            raise FileNotFoundError(
                f"{BUNDLED_MODEL} is missing: install the package again, or name a file (--model)."
            )
        options, kwargs = split_options(kwargs)
        path = BUNDLED_MODEL if path is None else path
        package = read_package(path, **options)
        model, packed, settings, programs = unpack(package, path)
        if transcriptor is not None:
            packed, settings = read_transcriptor(transcriptor)
        decoding = Decoding.from_plain(settings, model.n_src)
        separator = cls(model, packed, decoding, programs, device, **kwargs)
        if transcriptor is None:  # they are of the pair
            separator.facts = {key: package[key] for key in FACTS if key in package}
        return separator

    def hub_package(self) -> dict[str, Any]:
        """What ``save_pretrained`` and ``push_to_hub`` save: both networks and their settings."""
        decoding = None if self.transcriptor is None else self.decoding.plain()
        package = pack(self.model, self.transcriptor, decoding, dict(self.programs) or None)
        return {**package, **self.facts}

    @property
    def names(self) -> list[str]:
        """list of str: names of the stems, in order."""
        return list(self.model.sources)

    @property
    def context(self) -> int:
        """int: Samples on each side of a chunk's core that can change its stems or notes."""
        stft = self.model.stft
        frames = max(network.receptive_field for network in self._networks)
        # An STFT frame covers half a window on each side, and so does its inverse.
        frames += 2 * math.ceil(stft.n_fft / 2 / stft.hop_length)
        return frames * stft.hop_length

    def identity(self, notes: bool = False) -> dict[str, Any]:
        """Everything that determines the result for a song, as plain values.

        Args:
            notes (bool): Whether the result is the score; else the stems.

        Returns:
            dict: hashes of the models, and the settings.
        """
        facts: dict[str, Any] = {"model": loaded_model_hash(self.model)}
        facts["precision"] = self.precision
        if self.factorization is not None:
            facts["factorization"] = loaded_model_hash(self.factorization.transcriptor)
        if notes and self.transcriptor is not None:
            settings = [self.decoding.plain(), self.programs]
            facts["transcriptor"] = loaded_model_hash(self.transcriptor)
            facts["decoding"] = json.loads(json.dumps(settings, default=float))
        return facts

    def separate(
        self,
        audio: np.ndarray | str | Path,
        sample_rate: int | None = None,
        progress: Progress | None = None,
        score: str | Path | Notes | None = None,
        classes: ClassMap | str | None = None,
        align: str = "auto",
        refiner: Refiner | str | Path | None = AUTO,
    ) -> dict[str, np.ndarray]:
        r"""Separates one recording, in memory.

        Args:
            audio (array, str or Path): Samples of shape :math:`(time)` or :math:`(channels, time)`,
                floats or integers (see :class:`~asteroid_scoresup.utils.stream.Recording`); or a
                file, whose stems have shape :math:`(channels, time)`.
            sample_rate (int, optional): Sample rate of an array, in Hz.
            progress (callable, optional): Called after each chunk with the seconds processed and
                the seconds in all.
            score (str, Path or Notes, optional): The score of the recording. The stems are then
                those of a :class:`~asteroid_scoresup.inference.ScoreInformedSeparator`, which uses
                the network of this one if it is a
                :class:`~asteroid_scoresup.models.ScoreGuidedSeparator` that knows the classes.
            classes (ClassMap or str, optional): With a score: the classes and their programs.
                Default: those of this model, if all of them are default classes.
            align, refiner: With a score: see the same class.

        Returns:
            dict of str to array: stems by name, float32, with the shape of `audio`.

        Raises:
            ValueError: if `audio` is empty or unreadable, or if it or the model's output contains
                NaN or infinite samples.
        """
        if score is not None:
            classes = default_classes(self.names) if classes is None else classes
            classes = ClassMap.parse(classes) if isinstance(classes, str) else classes
            knows = isinstance(self.model, ScoreGuidedSeparator) and set(classes.names) <= set(
                self.names
            )
            if isinstance(refiner, str) and refiner == AUTO and knows:
                refiner = self.model
            made = ScoreInformedSeparator(score, classes, align, refiner)
            return made.separate(audio, sample_rate, progress)
        recording = Recording(audio, sample_rate)
        chunks = self.chunks(recording, progress=progress)
        return join_stems(chunks, self.names, recording, audio)

    def transcribe(
        self,
        audio: np.ndarray | str | Path,
        sample_rate: int | None = None,
        progress: Progress | None = None,
    ) -> pretty_midi.PrettyMIDI:
        """Transcribes one recording.

        Args:
            audio, sample_rate, progress: See :meth:`separate`.

        Returns:
            pretty_midi.PrettyMIDI: One General MIDI track per class, in order.

        Raises:
            ValueError: as :meth:`separate`, or if there is no transcriptor.
        """
        transcription = TranscriptionBuilder(self)
        recording = Recording(audio, sample_rate)
        for chunk in self.chunks(recording, stems=False, notes=True, progress=progress):
            transcription.append(chunk)
        return transcription.midi()

    def stream(self, sample_rate: int, n_channels: int = 2, **options: Any) -> SeparationStream:
        """Separates a recording while it arrives, with a known latency.

        Args:
            sample_rate (int): Sample rate of the recording, in Hz.
            n_channels (int): Its number of channels.
            **options: ``level``, ``block_seconds`` and ``lookahead_seconds`` of
                :class:`~asteroid_scoresup.inference.streaming.SeparationStream`.
        """
        return SeparationStream(self, sample_rate, n_channels, **options)

    @torch.no_grad()
    def chunks(
        self,
        recording: Recording,
        stems: bool = True,
        notes: bool = False,
        progress: Progress | None = None,
    ) -> Iterator[SeparatedChunk]:
        """Separates and transcribes a recording, chunk by chunk.

        Args:
            recording (Recording): The recording, which is read twice: first for its level.
            stems (bool): Whether to return stems, at the sample rate of the recording. All chunks
                together have as many samples as the recording.
            notes (bool): Whether to return note probabilities and levels.
            progress (callable, optional): See :meth:`separate`.

        Yields:
            SeparatedChunk: the predictions for the core of each chunk.

        Raises:
            ValueError: see :meth:`transcribe`.
        """
        if notes and self.transcriptor is None:
            raise ValueError(
                "This model file contains no transcriptor: name one (--transcriptor, the recipe's "
                "transcriptor/best_model.pth)."
            )
        rate = self.model.sample_rate
        source = ModelInput(recording, rate)
        level = source.level()
        resample = StemResampler(rate, recording.sample_rate, recording.n_samples)
        done = 0
        for chunk in stream.chunks(source.blocks(), self.core, self.context):
            separated = self.separate_chunk(chunk, level, stems, notes)
            if not separated.is_finite:
                raise ValueError(not_finite(recording.name, done / rate, level))
            if separated.stems is not None:
                at_its_rate = resample(separated.stems, chunk.last)
                separated = separated._replace(stems=at_its_rate)
            yield separated
            done += chunk.length
            if progress is not None:
                # Two sample rates: rounding can shift the end by a sample or two.
                seconds = recording.seconds if chunk.last else min(done / rate, recording.seconds)
                progress(seconds, recording.seconds)

    def separate_chunk(
        self, chunk: Chunk, level: float, stems: bool = True, notes: bool = False
    ) -> SeparatedChunk:
        """Separates one chunk at the model's sample rate.

        Args:
            chunk (Chunk): The chunk.
            level (float): RMS of the recording.
            stems, notes: See :meth:`chunks`.
        """
        with self._autocast():
            if isinstance(self.model, WaveformSeparator):
                return separate_waveforms(self.model, self.transcriptor, chunk, level, stems, notes)
            options = (level, stems, notes, self.factorization)
            return separate_by_masks(self.model, self.transcriptor, chunk, *options)

    @property
    def _networks(self) -> list[Any]:
        return [self.model] + ([] if self.transcriptor is None else [self.transcriptor])

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)
