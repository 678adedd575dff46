"""Supervised losses of waveforms: that of X-UMX, and SI-SDR where stems may be silent."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from asteroid.losses import singlesrc_neg_sisdr

from ..dsp.stft import at_least_single

#: Mean power below which a stem is silent: an RMS of 1e-4, 60 dB under the nominal level.
SILENT_POWER = 1e-8


def multi_domain_loss(
    estimates: torch.Tensor,
    stems: torch.Tensor,
    mixture: torch.Tensor,
    magnitude: Callable[[torch.Tensor], torch.Tensor],
    time_weight: float = 10.0,
) -> torch.Tensor:
    r"""The multi-domain loss with combinations of X-UMX (Sawata et al. 2021).

    .. math:: L = \frac{1}{|C|} \sum_{c \in C} \left( \frac{1}{FT} \|
        |\hat S_c| - |S_c| \|_2^2 + \lambda L_{wSDR}(s_c, \hat s_c, x) \right)

    over all sums :math:`c` of one to :math:`n - 1` sources, with the weighted SDR

    .. math:: L_{wSDR} = -\alpha \frac{\langle s, \hat s \rangle}{\|s\| \|\hat s\|}
        - (1 - \alpha) \frac{\langle z, \hat z \rangle}{\|z\| \|\hat z\|}, \quad
        z = x - s, \quad \alpha = \frac{\|s\|^2}{\|s\|^2 + \|z\|^2}

    Magnitudes are those of a plain STFT, without our scale. :math:`|S_c|` is that of the summed
    waveforms; the authors' code adds magnitudes instead, which differs where sources meet out of
    phase. A single source is compared by itself.

    Args:
        estimates, stems (:class:`torch.Tensor`): Waveforms.
        mixture (:class:`torch.Tensor`): The mixtures.
        magnitude (callable): Waveforms :math:`(batch, time)` → magnitudes
            :math:`(batch, freq, frames)`.
        time_weight (float): :math:`\lambda`.

    Shape:
        - estimates, stems: :math:`(batch, n\_src, time)`
        - mixture: :math:`(batch, time)`
        - output: scalar
    """
    n_src = estimates.shape[1]
    estimates, stems, mixture = map(at_least_single, (estimates, stems, mixture))
    sums = [
        combination
        for size in range(1, max(n_src, 2))
        for combination in itertools.combinations(range(n_src), size)
    ]
    total = estimates.new_zeros(())
    for combination in sums:
        # By slices: a list of indices would be copied to a GPU, which then waits.
        estimate, stem = (
            torch.stack([x[:, i] for i in combination], 1).sum(1) for x in (estimates, stems)
        )
        spectral = (magnitude(estimate) - magnitude(stem)).pow(2).mean()
        total = total + spectral + time_weight * _weighted_sdr(estimate, stem, mixture)
    return total / len(sums)


def _weighted_sdr(estimate, stem, mixture, eps=1e-8):
    rest, left = mixture - stem, mixture - estimate
    energies = stem.pow(2).sum(-1), rest.pow(2).sum(-1)
    fraction = energies[0] / (energies[0] + energies[1]).clamp(min=eps)

    def agreement(one, other):
        return torch.nn.functional.cosine_similarity(one, other, dim=-1, eps=eps)

    value = fraction * agreement(stem, estimate) + (1 - fraction) * agreement(rest, left)
    return -value.mean()


def si_sdr_loss(estimates: torch.Tensor, stems: torch.Tensor) -> torch.Tensor:
    r"""Negative SI-SDR, averaged over the stems that sound.

    Asteroid's `singlesrc_neg_sisdr`; a silent stem has no SI-SDR, and where no stem sounds the loss
    is 0.

    Args:
        estimates, stems (:class:`torch.Tensor`): Waveforms.

    Shape:
        - estimates, stems: :math:`(batch, n\_src, time)`
        - output: scalar, in dB
    """
    # Under autocast, or with bf16-true, waveforms may be in half precision.
    estimates, stems = at_least_single(estimates), at_least_single(stems)
    # SI-SDR subtracts the mean first: nothing is left of a constant stem.
    active = stems.var(-1, correction=0) > SILENT_POWER
    if not active.any():
        return 0.0 * estimates.sum()
    return singlesrc_neg_sisdr(estimates[active], stems[active]).mean()
