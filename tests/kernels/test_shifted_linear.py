"""The product with shifted frames compared with one product of concatenated frames."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid_scoresup.kernels.shifted_linear import plain_shifted_linear, shifted_linear


def value_and_gradients(function, tensors, dilation):
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    y = function(*leaves, dilation)
    weight = torch.arange(1.0, 1 + y.numel(), dtype=y.dtype).view_as(y).sin()
    return [y.detach(), *torch.autograd.grad((y * weight).sum(), leaves)]


def inputs(n_frames, rows, before, after, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shapes = (n_frames, rows, before), (3, after, before), (after,)
    return [torch.randn(*shape, generator=generator, dtype=dtype) for shape in shapes]


@settings(max_examples=30, deadline=None)
@given(
    n_frames=st.integers(1, 12),
    rows=st.integers(1, 4),
    before=st.integers(1, 5),
    after=st.integers(1, 5),
    dilation=st.integers(1, 14),
)
def test_values_and_gradients_are_those_of_the_plain_version(
    n_frames, rows, before, after, dilation
):
    tensors = inputs(n_frames, rows, before, after)
    fast = value_and_gradients(shifted_linear, tensors, dilation)
    plain = value_and_gradients(plain_shifted_linear, tensors, dilation)
    for one, other in zip(fast, plain):
        torch.testing.assert_close(one, other)


def test_the_plain_version_is_a_convolution():
    x, weight, bias = inputs(9, 2, 3, 4)
    expected = torch.nn.functional.conv1d(
        x.permute(1, 2, 0), weight.permute(1, 2, 0), bias, padding=2, dilation=2
    ).permute(2, 0, 1)
    torch.testing.assert_close(plain_shifted_linear(x, weight, bias, 2), expected)


def test_inputs_in_another_memory_layout_give_the_same_result():
    x, weight, bias = inputs(6, 3, 4, 2)
    strided = x.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    expected = shifted_linear(x, weight, bias, 1)
    torch.testing.assert_close(shifted_linear(strided, weight, bias, 1), expected)
    with torch.no_grad():
        torch.testing.assert_close(shifted_linear(strided, weight, bias, 1), expected)


def test_weights_that_are_frozen_get_no_gradient():
    x, weight, bias = inputs(6, 3, 4, 2)
    x.requires_grad_()
    shifted_linear(x, weight, bias, 1).sum().backward()
    assert weight.grad is None and x.grad is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_and_compile_take_the_plain_version(dtype):
    x, weight, bias = inputs(6, 3, 4, 2, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = shifted_linear(x, weight, bias, 1)
    assert y.dtype == dtype
    tolerance = 0.1 if dtype == torch.bfloat16 else 1e-5
    expected = plain_shifted_linear(x, weight, bias, 1)
    torch.testing.assert_close(y.float(), expected, atol=tolerance, rtol=tolerance)
