"""Working on a few frames at a time, so that intermediate results stay in the cache."""

from __future__ import annotations

from collections.abc import Sequence

import torch

#: Number of frames whose spectra, a few times over, fit into the cache of a processor.
CACHED_FRAMES = 64
#: The same for the vectors of all pitches; few enough are computed twice at the seams.
CACHED_PITCH_FRAMES = 256
#: Number of frames whose spectra take little of another device's memory.
DEVICE_FRAMES = 1024


def is_recording() -> bool:
    """Whether torch.compile, export or TorchScript records the computation.

    The recorded operations must hold for inputs of other sizes.
    """
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def _one_group(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether a gradient is needed, or the computation is recorded."""
    return is_recording() or (torch.is_grad_enabled() and any(x.requires_grad for x in tensors))


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
    if _one_group([tensor, *others]):
        return [tensor]
    return tensor.split(CACHED_FRAMES if tensor.device.type == "cpu" else DEVICE_FRAMES, dim)


def overlapping_groups(
    tensor: torch.Tensor, reach: int, others: Sequence[torch.Tensor] = ()
) -> Sequence[tuple[slice, slice]]:
    """Groups of the frames in the first dimension for layers that look at neighboring frames.

    There is a single group on other devices than a CPU, and as in :func:`split_frames`.

    Args:
        tensor (:class:`torch.Tensor`): Shape (frames, ...).
        reach (int): Frames on each side that can change the output of a frame.
        others (sequence of :class:`torch.Tensor`): See :func:`split_frames`.

    Returns:
        sequence of tuple: The frames to compute, and which of them to keep. What is kept is, one
        after the other, the result for all frames.

    Examples
        >>> overlapping_groups(torch.zeros(400, 3), 10)
        [(slice(0, 266, None), slice(0, 256, None)), (slice(246, 400, None), slice(10, 154, None))]
    """
    if tensor.device.type != "cpu" or _one_group([tensor, *others]):
        return [(slice(None), slice(None))]
    n_frames, groups = len(tensor), []
    for start in range(0, n_frames, CACHED_PITCH_FRAMES):
        first, stop = max(start - reach, 0), min(start + CACHED_PITCH_FRAMES, n_frames)
        frames = slice(first, min(stop + reach, n_frames))
        groups.append((frames, slice(start - first, stop - first)))
    return groups
