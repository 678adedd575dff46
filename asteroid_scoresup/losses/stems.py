"""The supervised loss, for the upper bound."""

from __future__ import annotations

from .mixture import per_mixture


def stem_loss(sources, references, mixture):
    r"""L1 distance of magnitudes: :math:`\sum_i \| \hat S_i - S_i \|_1 / \| X \|_1`.

    Args:
        sources (:class:`torch.Tensor`): Estimated magnitudes.
        references (:class:`torch.Tensor`): Magnitudes of the stems.
        mixture (:class:`torch.Tensor`): Mixture magnitudes.

    Shape:
        - sources, references: :math:`(batch, n\_src, freq, frames)`
        - mixture: :math:`(batch, freq, frames)`
        - output: scalar
    """
    return per_mixture((sources - references).abs().sum((1, 2, 3)), mixture)
