"""Working on a few frames at a time, so that intermediate results stay in the cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch

#: Number of frames whose spectra, a few times over, fit into the cache of a processor.
CACHED_FRAMES = 64
#: Number of frames whose spectra take little of another device's memory.
DEVICE_FRAMES = 1024


def is_recording() -> bool:
    """Whether torch.compile, export or TorchScript records the computation.

    The recorded operations must hold for inputs of other sizes.
    """
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def split_frames(
    tensor: torch.Tensor, dim: int, others: Sequence[torch.Tensor] = ()
) -> Sequence[torch.Tensor]:
    """Splits a tensor into groups of frames that are fast to work on one after the other.

    There is a single group if a gradient is needed, or while the computation is recorded.

    Args:
        tensor (:class:`torch.Tensor`): Any shape.
        dim (int): Dimension of the frames.
        others (sequence of :class:`torch.Tensor`): Other inputs of the computation, which may need
            a gradient.

    Returns:
        sequence of :class:`torch.Tensor`: Views of `tensor`.

    Examples
        >>> [len(group) for group in split_frames(torch.zeros(150, 3), 0)]
        [64, 64, 22]
    """
    needs_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in (tensor, *others))
    if needs_gradient or is_recording():
        return [tensor]
    return tensor.split(CACHED_FRAMES if tensor.device.type == "cpu" else DEVICE_FRAMES, dim)
