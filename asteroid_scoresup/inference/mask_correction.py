"""Networks that correct the masks of a factorization, for the classes and STFT of a separation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..dsp.grid import FrameGrid
from ..models import MaskRefiner, ScoreGuidedSeparator, SourceModel
from ..models.hub import BUNDLED_FOLDER

#: A network that corrects masks.
Refiner = MaskRefiner | ScoreGuidedSeparator
#: The bundled network that knows the classes, or the one for any classes.
AUTO = "auto"
#: Files of these networks.
_GUIDED, _REFINER = (BUNDLED_FOLDER / f"{n}.pth" for n in ("guided", "refiner"))


def load_refiner(refiner: Refiner | str | Path, names: Sequence[str]) -> Refiner:
    """A network that corrects masks, on the CPU, in evaluation mode.

    Args:
        refiner (MaskRefiner, ScoreGuidedSeparator, str or Path): The network, or a name for
            :func:`~asteroid_scoresup.models.hub.read_package`; ``"auto"`` for the bundled one that
            knows all of the classes, or otherwise the bundled one for any classes.
        names (sequence of str): Names of the classes.

    Raises:
        FileNotFoundError: if there is no such model.
        ValueError: if it is another kind of model, or does not know one of the classes.
    """
    if isinstance(refiner, str) and refiner == AUTO:
        guided = ScoreGuidedSeparator.from_pretrained(_GUIDED)
        refiner = guided if set(names) <= set(guided.sources) else _REFINER
    kinds = (MaskRefiner, ScoreGuidedSeparator)
    found = refiner if isinstance(refiner, kinds) else SourceModel.from_pretrained(refiner)
    if not isinstance(found, kinds):
        raise ValueError(
            f"{refiner} contains a {type(found).__name__}, expected a network that corrects masks: "
            "a MaskRefiner or ScoreGuidedSeparator, see train_refiner.py."
        )
    unknown = [name for name in names if name not in found.sources]
    if isinstance(found, ScoreGuidedSeparator) and unknown:
        raise ValueError(
            f"The network knows {', '.join(found.sources)}, and not {', '.join(unknown)}: name the "
            f"classes so, or use the network for any classes, 'refiner'."
        )
    if isinstance(found, ScoreGuidedSeparator) and not found.is_local:
        raise ValueError(
            "The network normalizes over time, so its corrections would depend on the pieces in "
            "which a song is processed: train one with norm_type cLN."
        )
    return found.cpu().eval()


class MaskCorrection:
    r"""Corrections of the logits of masks, for the classes and STFT of a separation.

    Args:
        network (MaskRefiner or ScoreGuidedSeparator): The network.
        names (sequence of str): Names of the classes, in order.
        grid (FrameGrid): The STFT.

    Examples
        >>> network = ScoreGuidedSeparator(["bass", "drums"], n_fft=512, hop_length=128)
        >>> correction = MaskCorrection(network, ["drums"], FrameGrid(512, 128, 16000))
        >>> correction(torch.rand(257, 20), torch.rand(2, 257, 20)).shape
        torch.Size([2, 257, 20])
    """

    def __init__(self, network: Refiner, names: Sequence[str], grid: FrameGrid) -> None:
        self.network, self.grid = network, grid
        self.rows: list[int] = []
        if isinstance(network, ScoreGuidedSeparator):
            self.rows = [*(network.sources.index(name) for name in names), network.n_src]

    @property
    def power(self) -> float:
        """The power of the masks of the factorization."""
        return self.network.power

    @property
    def receptive_field(self) -> int:
        """Number of frames on each side that can change the masks of a frame."""
        return self.network.receptive_field

    def __call__(self, magnitude: torch.Tensor, estimates: torch.Tensor) -> torch.Tensor:
        r"""The corrections.

        Args:
            magnitude (:class:`torch.Tensor`): Mixture magnitudes, at the nominal level.
            estimates (:class:`torch.Tensor`): See
                :func:`~asteroid_scoresup.models.mask_refiner.class_estimates`.

        Shape:
            - magnitude: :math:`(freq, frames)`
            - estimates, output: :math:`(n\_src + 1, freq, frames)`
        """
        if not isinstance(self.network, ScoreGuidedSeparator):
            return self.network.all_corrections(magnitude, estimates)
        # Classes of the network that are not asked for are silent; their notes are of no class.
        every = estimates.new_zeros(self.network.n_src + 1, *magnitude.shape)
        every[self.rows] = estimates
        return self.network.all_corrections(magnitude, every, self.grid)[self.rows]
