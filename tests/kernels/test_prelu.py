"""PReLU with its own gradient compared with torch's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from asteroid_scoresup.kernels.prelu import prelu


def value_and_gradients(function, x, slope, learned=(True, True)):
    leaves = [x.clone().requires_grad_(learned[0]), slope.clone().requires_grad_(learned[1])]
    y = function(*leaves)
    (y * torch.arange(1.0, 1 + y.numel(), dtype=y.dtype).view_as(y).cos()).sum().backward()
    return [y.detach(), *(leaf.grad for leaf in leaves)]


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=3),
    slope=st.floats(-0.5, 1.5),
    seed=st.integers(0, 1000),
)
def test_values_and_gradients_are_those_of_torch(shape, slope, seed):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    slope = torch.tensor([slope], dtype=torch.float64)
    expected = value_and_gradients(F.prelu, x, slope)
    torch.testing.assert_close(value_and_gradients(prelu, x, slope), expected)
    with torch.no_grad():
        torch.testing.assert_close(prelu(x, slope), expected[0])


@pytest.mark.parametrize("learned", [(True, False), (False, True)])
def test_only_inputs_that_need_a_gradient_receive_one(learned):
    x, slope = torch.linspace(-2, 2, 12).view(3, 4), torch.tensor([0.2])
    found = value_and_gradients(prelu, x, slope, learned)
    torch.testing.assert_close(found, value_and_gradients(F.prelu, x, slope, learned))


def test_a_traced_prelu_follows_its_slope():
    x, slope = torch.linspace(-2, 2, 5), torch.tensor([0.2])
    with torch.no_grad():
        traced = torch.jit.trace(prelu, (x, slope))
        torch.testing.assert_close(traced(x, 3 * slope), F.prelu(x, 3 * slope))


def test_the_gradient_cannot_be_taken_twice():
    x = torch.linspace(-2, 2, 5).requires_grad_()
    y = prelu(x, torch.tensor([0.2]))
    (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
