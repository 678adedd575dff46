"""The TCN with its channels last, against Asteroid's: values and gradients."""

import pytest
import torch
from asteroid.masknn import TDConvNet
from hypothesis import given, settings
from hypothesis import strategies as st

from asteroid_scoresup.kernels.frames import CACHED_FRAMES
from asteroid_scoresup.models.tcn import ChannelsLastTDConvNet, _depthwise

SIZES = dict(n_src=2, out_chan=7, n_repeats=2, bn_chan=6, hid_chan=8, skip_chan=0)


def build(**kwargs):
    torch.manual_seed(0)
    net = ChannelsLastTDConvNet(10, **SIZES, norm_type="cLN", mask_act="sigmoid", **kwargs)
    for parameter in net.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return net.double()


def gradients(net, forward, frames, weight):
    """The output, and the gradients of input and parameters (None where there is none)."""
    frames = frames.clone().requires_grad_()
    net.zero_grad()
    output = forward(frames)
    (output * weight).sum().backward()
    return [output.detach().double(), frames.grad, *(p.grad for p in net.parameters())]


@settings(max_examples=15, deadline=None)
@given(
    kernel=st.sampled_from([1, 3, 5]),
    n_blocks=st.integers(1, 4),
    n_frames=st.integers(1, 40),
    batch=st.integers(1, 3),
)
def test_values_and_gradients_are_those_of_asteroid(kernel, n_blocks, n_frames, batch):
    net = build(n_blocks=n_blocks, conv_kernel_size=kernel)
    frames = torch.randn(batch, 10, n_frames, dtype=torch.double)
    weight = torch.randn(batch, 2, 7, n_frames, dtype=torch.double)
    ours = gradients(net, net, frames, weight)
    theirs = gradients(net, lambda x: TDConvNet.forward(net, x), frames, weight)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)  # float32 in the output


@pytest.mark.parametrize("frozen", ["", "weight", "bias", "TCN", "0.gamma"])
def test_what_is_frozen_gets_no_gradient_and_the_rest_the_same(frozen):
    net, frames = build(n_blocks=3), torch.randn(2, 10, 30, dtype=torch.double)
    weight = torch.randn(2, 2, 7, 30, dtype=torch.double)
    whole = gradients(net, net, frames, weight)
    left = [frozen in name for name, _ in net.named_parameters()]
    assert any(left)
    for parameter, stays in zip(net.parameters(), left):
        parameter.requires_grad_(not stays)
    part = gradients(net, net, frames, weight)
    for one, other, stays in zip(whole, part, [False, False, *left]):
        assert (other is None) == stays
        if not stays:
            torch.testing.assert_close(other, one)


def test_half_precision_is_as_near_as_that_of_asteroid():
    net, error, allowed = build(n_blocks=3).float(), 0.0, 0.0
    for _ in range(10):
        frames, weight = torch.randn(2, 10, 30), torch.randn(2, 2, 7, 30)
        whole = gradients(net, net, frames, weight)
        with torch.autocast("cpu", torch.bfloat16):
            ours = gradients(net, net, frames, weight)
            theirs = gradients(net, lambda x: TDConvNet.forward(net, x), frames, weight)
        size = sum((one**2).sum() for one in whole)
        error += sum(((half - one) ** 2).sum() for one, half in zip(whole, ours)) / size
        allowed += sum(((half - one) ** 2).sum() for one, half in zip(whole, theirs)) / size
    assert 0 < error < 1.2 * allowed


@pytest.mark.parametrize("norm_type", ["cLN", "gLN"])
@pytest.mark.parametrize("frames", [slice(None), slice(3, 100), slice(30, 31)])
def test_the_parts_of_the_output_are_the_whole(norm_type, frames):
    net = ChannelsLastTDConvNet(10, **SIZES, n_blocks=3, norm_type=norm_type, mask_act="softmax")
    heard = torch.randn(2, 10, 2 * CACHED_FRAMES + 5)
    whole = net(heard)[..., frames]
    learned = list(net.iter_outputs(heard, frames))
    assert len(learned) == 1 and learned[0].requires_grad
    torch.testing.assert_close(learned[0], whole)
    with torch.no_grad():
        parts = list(net.iter_outputs(heard, frames))
    torch.testing.assert_close(torch.cat(parts, -1), whole.detach())
    if norm_type == "cLN":
        assert [part.shape[-1] for part in parts[:-1]] == [CACHED_FRAMES] * (len(parts) - 1)
        assert len(parts) == -(-whole.shape[-1] // CACHED_FRAMES)


@pytest.mark.parametrize("dilation", [1, 5, 40])
def test_a_depthwise_convolution_reaches_beyond_short_clips(dilation):
    conv = torch.nn.Conv1d(4, 4, 3, padding=dilation, dilation=dilation, groups=4)
    x, grad = torch.randn(2, 12, 4), torch.randn(2, 12, 4)
    found = []
    for convolve in (lambda x: _depthwise(x, conv), lambda x: conv(x.mT).mT):
        conv.zero_grad()
        heard = x.clone().requires_grad_()
        y = convolve(heard)
        y.backward(grad)
        found.append([y, heard.grad, conv.weight.grad.clone(), conv.bias.grad.clone()])
    torch.testing.assert_close(*found)
    with torch.no_grad():
        torch.testing.assert_close(_depthwise(x, conv), found[1][0])
