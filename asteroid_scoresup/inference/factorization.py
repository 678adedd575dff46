"""A second look at the masks of a network: factorization with the notes that are transcribed.

A network of this size separates what it has learned of instruments; a score tells where their
partials are, and separates better (:mod:`asteroid_scoresup.score.informed`). Without a score, the
transcriptor gives a probability for each note. They initialize the same factorization of the
mixture, and its masks are averaged with those of the network: the errors of the two differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ..midi import DRUMS
from ..models import ScoreTranscriptor, TCNSeparator, WaveformSeparator
from ..score import HarmonicTemplates
from ..score.defaults import INFORMED_ITERATIONS, INFORMED_POWER, N_FREE
from ..score.informed import score_informed_nmf, soft_masks

#: Probability below which a note is not in the factorization.
LEAST_PROB = 0.05
#: Probability from which a note is taken to begin, for the noise of attacks.
ONSET_PROB = 0.3


class NoteFactorization:
    r"""Masks from the network, the transcriptor and a factorization of the mixture (our choice).

    The probability of a note is the geometric mean of what the transcriptor finds in the mixture
    and in the estimate of the class, so that networks that disagree count less. As in
    score-informed NMF, a component per (class, pitch) starts from these probabilities. The masks of
    the factorization and of the network are averaged; classes without pitch keep those of the
    network.

    Args:
        transcriptor (ScoreTranscriptor): Predicts the notes.
        unpitched (sequence of int): Indices of the classes without pitch, such as drums.

    Examples
        >>> net = ScoreTranscriptor(["bass", "piano"], n_fft=512, hop_length=128, sample_rate=8000)
        >>> factorization = NoteFactorization(net.eval())
        >>> mixture, masks = torch.rand(1, 257, 50) * 0.1, torch.rand(1, 2, 257, 50)
        >>> factorization(mixture, masks).shape
        torch.Size([1, 2, 257, 50])
    """

    def __init__(self, transcriptor: ScoreTranscriptor, unpitched: Sequence[int] = ()):
        self.transcriptor, self.unpitched = transcriptor, list(unpitched)
        stft = transcriptor.stft
        self.templates = HarmonicTemplates(stft.sample_rate, stft.n_fft)

    @classmethod
    def of(
        cls,
        model: TCNSeparator | WaveformSeparator,
        transcriptor: ScoreTranscriptor | None,
        programs: Mapping[str, int],
    ) -> NoteFactorization:
        """The factorization for a separator.

        Args:
            model (TCNSeparator): The separator.
            transcriptor (ScoreTranscriptor): Its transcriptor.
            programs (dict): General MIDI program of each class; that of drums is 128.

        Raises:
            ValueError: if the separator predicts no masks, or there is no transcriptor.
        """
        if transcriptor is None or isinstance(model, WaveformSeparator):
            raise ValueError(
                "To factorize needs a separator that predicts masks, and its transcriptor "
                "(--transcriptor, the recipe's transcriptor/best_model.pth)."
            )
        drums = [i for i, name in enumerate(model.sources) if programs.get(name) == DRUMS]
        return cls(transcriptor, drums)

    @torch.no_grad()
    def __call__(self, mixture: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        r"""The averaged masks of a window of a recording.

        Args:
            mixture (:class:`torch.Tensor`): Magnitudes at the nominal level.
            masks (:class:`torch.Tensor`): Masks of the network.

        Shape:
            - mixture: :math:`(1, freq, frames)`
            - masks: :math:`(1, n\_src, freq, frames)`
            - output: :math:`(1, n\_src, freq, frames)`
        """
        n_src = masks.shape[1]
        heads = self.transcriptor.heads(mixture)[0].sigmoid()
        probs = torch.empty_like(heads[0])
        for index in range(n_src):  # one at a time: memory does not grow with the classes
            found = self.transcriptor.outputs(masks[:, index] * mixture)[0, index].sigmoid()
            probs[index] = (heads[0, index] * found).sqrt()
        probs[probs < LEAST_PROB] = 0
        probs[self.unpitched] = 0
        if not probs.any():
            return masks
        # Transcriptors without onsets: where the probability of a note rises.
        rise = torch.diff(heads[0], dim=-1, prepend=heads[0, ..., :1])
        onsets = heads[1] if len(heads) > 1 else rise
        factors = score_informed_nmf(
            mixture[0],
            probs,
            (onsets.amax(1) > ONSET_PROB).to(probs.dtype),
            self.templates.to(mixture.device),
            INFORMED_ITERATIONS,
            free=N_FREE,
        )
        averaged = (masks + soft_masks(factors, n_src, INFORMED_POWER)) / 2
        averaged[:, self.unpitched] = masks[:, self.unpitched]
        return averaged
