"""The fused divergence of masks compared with its plain version."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid_scoresup.kernels.mask_kl import MaskKL, plain_mask_kl


def scene(shape, seed, dtype=torch.float64):
    """Magnitudes and masks, with bins above the mixture, silent bins and bins without a target."""
    generator = torch.Generator().manual_seed(seed)
    batch, n_src, n_freqs, n_frames = shape
    mixture = torch.rand(batch, n_freqs, n_frames, generator=generator, dtype=dtype)
    mixture[:, 0] = 0
    ratio = 1.5 * torch.rand(shape, generator=generator, dtype=dtype)
    target = torch.rand(shape, generator=generator, dtype=dtype)
    target = target / target.sum(1, keepdim=True)
    target[:, :, -1] = 0
    fallback = torch.full((batch, n_src, 1, n_frames), 1 / n_src, dtype=dtype)
    return ratio * mixture.unsqueeze(1), mixture, target, fallback, mixture**1.5


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(2, 6), st.integers(1, 5)),
    st.integers(0, 1000),
)
def test_values_and_gradients_are_those_of_the_plain_version(shape, seed):
    inputs = scene(shape, seed)
    found, expected = (inputs[0].clone().requires_grad_() for _ in range(2))
    value = MaskKL.apply(found, *inputs[1:])
    reference = plain_mask_kl(expected, *inputs[1:])
    torch.testing.assert_close(value, reference)
    # Where the ratio is 1 exactly the plain version has no derivative.
    weights = torch.rand(shape[0], dtype=torch.float64)
    (value * weights).sum().backward()
    (reference * weights).sum().backward()
    torch.testing.assert_close(found.grad, expected.grad)


def test_only_the_estimates_receive_a_gradient():
    inputs = [tensor.requires_grad_() for tensor in scene((2, 3, 4, 5), 0)]
    MaskKL.apply(*inputs).sum().backward()
    assert inputs[0].grad is not None
    assert all(tensor.grad is None for tensor in inputs[1:])


def test_the_gradient_cannot_be_taken_twice():
    estimates, *others = scene((1, 2, 3, 2), 1)
    estimates.requires_grad_()
    (slope,) = torch.autograd.grad(
        MaskKL.apply(estimates, *others).sum(), estimates, create_graph=True
    )
    with pytest.raises(RuntimeError, match="does not require grad|once_differentiable"):
        slope.sum().backward()
