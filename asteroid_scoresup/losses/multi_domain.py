"""Supervised losses of waveforms: that of X-UMX, and SI-SDR where stems may be silent."""

from __future__ import annotations

import itertools

import torch
from asteroid.losses import singlesrc_neg_sisdr

from ..dsp.stft import at_least_single

#: Mean power below which a stem is silent: an RMS of 1e-4, 60 dB under the nominal level.
SILENT_POWER = 1e-8


def multi_domain_loss(estimates, references, mixture, magnitude, time_weight=10.0):
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
        estimates, references (:class:`torch.Tensor`): Waveforms.
        mixture (:class:`torch.Tensor`): The mixtures.
        magnitude (callable): Waveforms :math:`(batch, time)` → magnitudes
            :math:`(batch, freq, frames)`.
        time_weight (float): :math:`\lambda`.

    Shape:
        - estimates, references: :math:`(batch, n\_src, time)`
        - mixture: :math:`(batch, time)`
        - output: scalar
    """
    n_src = estimates.shape[1]
    estimates, references, mixture = map(at_least_single, (estimates, references, mixture))
    sums = [
        combination
        for size in range(1, max(n_src, 2))
        for combination in itertools.combinations(range(n_src), size)
    ]
    total = 0.0
    for combination in map(list, sums):
        estimate, reference = estimates[:, combination].sum(1), references[:, combination].sum(1)
        spectral = (magnitude(estimate) - magnitude(reference)).pow(2).mean()
        total = total + spectral + time_weight * _weighted_sdr(estimate, reference, mixture)
    return total / len(sums)


def _weighted_sdr(estimate, reference, mixture, eps=1e-8):
    rest, left = mixture - reference, mixture - estimate
    energies = reference.pow(2).sum(-1), rest.pow(2).sum(-1)
    share = energies[0] / (energies[0] + energies[1]).clamp(min=eps)

    def agreement(one, other):
        return torch.nn.functional.cosine_similarity(one, other, dim=-1, eps=eps)

    value = share * agreement(reference, estimate) + (1 - share) * agreement(rest, left)
    return -value.mean()


def si_sdr_loss(estimates, references):
    r"""Negative SI-SDR, averaged over the stems that sound.

    Asteroid's `singlesrc_neg_sisdr`; a silent stem has no SI-SDR, and where no stem sounds the loss
    is 0.

    Args:
        estimates, references (:class:`torch.Tensor`): Waveforms.

    Shape:
        - estimates, references: :math:`(batch, n\_src, time)`
        - output: scalar, in dB
    """
    # Under autocast, or with bf16-true, waveforms may come in half precision.
    estimates, references = at_least_single(estimates), at_least_single(references)
    # SI-SDR takes the mean off first: a stem that is a constant has nothing left.
    sounds = references.var(-1, correction=0) > SILENT_POWER
    if not sounds.any():
        return 0.0 * estimates.sum()
    return singlesrc_neg_sisdr(estimates[sounds], references[sounds]).mean()
