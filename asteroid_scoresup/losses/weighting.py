"""Loss weights that are found in training, instead of fixed ones."""

from __future__ import annotations

import torch
from torch import nn


class UncertaintyWeights(nn.Module):
    r"""Weights by homoscedastic uncertainty (Kendall, Gal and Cipolla 2018).

    .. math:: L = \sum_k e^{-s_k} L_k + s_k

    with one learned :math:`s_k` per term; they start where the weights are the fixed ones, and
    must be given to the optimizer.

    Args:
        weights (dict): The fixed weight of each term.

    Examples
        >>> weighting = UncertaintyWeights({"clip": 0.5})
        >>> weighting({"clip": torch.tensor(2.0)}).item() > 0
        True
    """

    def __init__(self, weights):
        super().__init__()
        self.names = list(weights)
        self.log_variance = nn.Parameter(-torch.tensor([weights[k] for k in self.names]).log())

    def now(self):
        """The present weights, as a dict."""
        return dict(zip(self.names, (-self.log_variance).exp().tolist()))

    def forward(self, terms, estimates=None):
        """Terms → weighted sum."""
        values = torch.stack([terms[name] for name in self.names])
        return ((-self.log_variance).exp() * values + self.log_variance).sum()


class GradientBalance(nn.Module):
    r"""Weights by which every term pulls equally on the estimates (after GradNorm, Chen et al.
    2018, without its rates of learning).

    .. math:: w_k = \frac{1}{K g_k} \sum_j w^0_j g_j

    where :math:`g_k` is the gradient's norm of term k on the estimates, averaged over updates,
    and :math:`w^0` are the fixed weights: together the terms pull as strongly as with those.

    Args:
        weights (dict): The fixed weight of each term.
        memory (float): Share of the average that an update leaves as it is.

    Examples
        >>> weighting = GradientBalance({"a": 1.0, "b": 1.0})
        >>> x = torch.ones(2, requires_grad=True)
        >>> _ = weighting({"a": x.sum(), "b": 3 * x.sum()}, x)
        >>> {name: round(weight, 4) for name, weight in weighting.now().items()}
        {'a': 2.0, 'b': 0.6667}
    """

    def __init__(self, weights, memory=0.95):
        super().__init__()
        self.names, self.memory = list(weights), memory
        self.register_buffer("fixed", torch.tensor([float(weights[k]) for k in self.names]))
        self.register_buffer("norms", torch.zeros(len(self.names)))
        self.register_buffer("seen", torch.zeros(()))

    def _weights(self):
        norms = self.norms.clamp(min=1e-12)
        return (self.fixed * norms).sum() / (len(self.names) * norms)

    def now(self):
        """The present weights, as a dict."""
        return dict(zip(self.names, self._weights().tolist()))

    def forward(self, terms, estimates):
        """Terms and the estimates they were computed from → weighted sum."""
        norms = [
            torch.autograd.grad(terms[name], estimates, retain_graph=True)[0].float().norm()
            for name in self.names
        ]
        memory = self.memory if self.seen else 0.0
        self.norms.copy_(memory * self.norms + (1 - memory) * torch.stack(norms))
        self.seen.fill_(1)
        return (self._weights() * torch.stack([terms[name] for name in self.names])).sum()


WEIGHTINGS = {"uncertainty": UncertaintyWeights, "gradient": GradientBalance}
