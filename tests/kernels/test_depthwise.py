"""The depthwise convolution compared with torch's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from asteroid_scoresup.kernels.depthwise import depthwise_conv, plain_depthwise_conv


def conv1d(x, weight, bias, dilation):
    padding = dilation * (weight.shape[-1] // 2)
    return F.conv1d(
        x.mT, weight, bias, padding=padding, dilation=dilation, groups=x.shape[-1]
    ).mT  # fmt: skip


def inputs(batch, n_frames, channels, taps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (batch, n_frames, channels), (channels, 1, taps), (channels,)
    return [torch.randn(*s, generator=generator, dtype=torch.float64) for s in shapes]


def value_and_gradients(function, tensors, dilation):
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    y = function(*leaves, dilation)
    weight = torch.arange(1.0, 1 + y.numel(), dtype=y.dtype).view_as(y).sin()
    return [y.detach(), *torch.autograd.grad((y * weight).sum(), leaves)]


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 3),
    n_frames=st.integers(1, 20),
    channels=st.integers(1, 5),
    taps=st.sampled_from([1, 3, 5]),
    dilation=st.integers(1, 24),
    seed=st.integers(0, 1000),
)
def test_values_and_gradients_are_those_of_the_plain_version(
    batch, n_frames, channels, taps, dilation, seed
):
    tensors = inputs(batch, n_frames, channels, taps, seed)
    expected = value_and_gradients(conv1d, tensors, dilation)
    for function in (depthwise_conv, plain_depthwise_conv):
        torch.testing.assert_close(value_and_gradients(function, tensors, dilation), expected)
    with torch.no_grad():
        torch.testing.assert_close(depthwise_conv(*tensors, dilation), expected[0])


@pytest.mark.parametrize("learned", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_only_inputs_that_need_a_gradient_receive_one(learned):
    tensors = inputs(2, 7, 3, 3)
    expected = value_and_gradients(conv1d, tensors, 2)[1:]
    for index in learned:
        tensors[index].requires_grad_()
    y = depthwise_conv(*tensors, 2)
    (y * torch.arange(1.0, 1 + y.numel(), dtype=y.dtype).view_as(y).sin()).sum().backward()
    for index, tensor in enumerate(tensors):
        if index in learned:
            torch.testing.assert_close(tensor.grad, expected[index])
        else:
            assert tensor.grad is None


def test_a_traced_convolution_accepts_other_lengths():
    x, weight, bias = inputs(1, 30, 4, 3)
    with torch.no_grad():
        traced = torch.jit.trace(lambda x: depthwise_conv(x, weight, bias, 8), x, check_trace=False)
        for n_frames in (3, 30, 55):
            x = inputs(2, n_frames, 4, 3, seed=1)[0]
            torch.testing.assert_close(traced(x), conv1d(x, weight, bias, 8))


def test_the_gradient_cannot_be_taken_twice():
    x, weight, bias = inputs(1, 6, 2, 3)
    y = depthwise_conv(x.requires_grad_(), weight, bias, 1)
    (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
