"""A trained model and a song: stems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from torchaudio.functional import resample

from ..data.files import write_audio
from ..models import TCNSeparator


class Separator:
    """Separates recordings of any rate and number of channels.

    The masks come from the mean of the channels and are applied to each of them, so stems of a
    stereo song stay stereo. Levels are the mixture's; nothing is rescaled. The model hears up to
    half its sample rate; what lies above is in no stem.

    Args:
        model (TCNSeparator): The trained network.
        device (str or torch.device): Where to compute.

    Examples
        >>> song = np.random.default_rng(0).standard_normal((2, 22050)).astype("float32")
        >>> separator = Separator(TCNSeparator(["bass", "piano"], n_blocks=2, bn_chan=8))
        >>> {name: stem.shape for name, stem in separator.separate(song, 44100).items()}
        {'bass': (2, 22050), 'piano': (2, 22050)}
    """

    def __init__(self, model, device="cpu"):
        self.model = model.to(device).eval()
        self.device = torch.device(device)

    @classmethod
    def from_pretrained(cls, path, device="cpu"):
        """Loads a model file such as a recipe's ``best_model.pth``.

        Raises:
            FileNotFoundError, ValueError: if it is missing or no separator.
        """
        return cls(TCNSeparator.from_pretrained(path), device)

    @property
    def names(self):
        """list of str: names of the stems, in order."""
        return self.model.sources

    @torch.no_grad()
    def separate(self, audio, sample_rate):
        r"""Separates one recording.

        Args:
            audio (array): Shape :math:`(time)` or :math:`(channels, time)`.
            sample_rate (int): Its rate, in Hz.

        Returns:
            dict of str to array: stems by name, float32, with the shape of `audio`.

        Raises:
            ValueError: if `audio` is empty or holds NaN or infinite samples.
        """
        audio = torch.as_tensor(np.asarray(audio, dtype=np.float32), device=self.device)
        if not audio.numel():
            raise ValueError("The recording is empty.")
        channels = audio.reshape(-1, audio.shape[-1])
        if not torch.isfinite(channels).all():
            raise ValueError("The recording holds NaN or infinite samples.")
        rate, model, stft = int(self.model.sample_rate), self.model, self.model.stft
        heard = _resample(channels, sample_rate, rate)
        mid, _ = model.normalize(heard.mean(0, keepdim=True))
        masks = model.masks(stft.magnitude(stft(mid)))
        estimates = stft.waveform(stft.masked(stft(heard), masks), heard.shape[-1])
        estimates = _resample(estimates, rate, sample_rate)
        missing = max(channels.shape[-1] - estimates.shape[-1], 0)
        estimates = torch.nn.functional.pad(estimates, (0, missing))[..., : channels.shape[-1]]
        return {
            name: estimates[:, i].reshape(audio.shape).cpu().numpy()
            for i, name in enumerate(self.names)
        }

    def separate_file(self, path, out_dir, residual=False):
        """Separates a file into ``out_dir/<name of the file>/<stem>.wav`` (float WAV).

        Args:
            path (str or Path): Anything soundfile reads.
            out_dir (str or Path): Folder of the results.
            residual (bool): Whether to write what is in no stem, too.

        Returns:
            list of Path: the files written.

        Raises:
            ValueError: if the file cannot be read, or there is nothing in it to separate.
        """
        path = Path(path)
        try:
            audio, rate = sf.read(path, dtype="float32", always_2d=True)
        except (sf.LibsndfileError, OSError) as error:
            raise ValueError(f"{path} cannot be read as audio: {error}") from None
        try:
            stems = self.separate(audio.T, rate)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        if residual:
            stems["residual"] = audio.T - sum(stems.values())
        written = []
        for name, stem in stems.items():
            written.append(Path(out_dir) / path.stem / f"{name}.wav")
            write_audio(written[-1], stem.T, rate)
        return written


def _resample(wav, old, new):
    return wav if old == new else resample(wav, int(old), int(new), lowpass_filter_width=32)
