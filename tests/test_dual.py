"""Closed forms of networks that move with every token, against finite differences."""

import pytest
import torch
from torch import Tensor

from miras.plans import dual, network


def _draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize(("rows", "columns"), [(5, 3), (3, 5)])
@pytest.mark.parametrize("start", ["whole", "fading", "with momentum"])
def test_a_layer_has_derivatives_of_any_order(rows: int, columns: int, start: str) -> None:
    torch.manual_seed(0)
    given = [_draw(2, 4, columns), _draw(2, 6, columns), _draw(2, 6, rows), _draw(2, 4, 6)]
    given += [_draw(2, rows, columns)] + [_draw(2, 4, 1)] * (start != "whole")
    if start == "with momentum":
        given += [_draw(2, rows, columns), _draw(2, 4, 1), _draw(2, 6, 1), _draw(2, 1, 1)]

    def layer(*tensors: Tensor) -> tuple[Tensor, ...]:
        found = dual.layer(dual.Layer(*tensors, *[None] * (start == "whole")))
        return tuple(each for each in found if each is not None)

    assert torch.autograd.gradcheck(layer, given)
    assert torch.autograd.gradgradcheck(layer, given)


@pytest.mark.parametrize("kind", network.VALUES)
@pytest.mark.parametrize("switch", ["0", "1"], ids=["torch", "kernel"])
def test_activations_with_their_slopes(
    kind: str, switch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIRAS_KERNELS", switch)
    few = _draw(3, 7)
    assert torch.autograd.gradcheck(lambda z: network.both(kind, z), few)
    assert torch.autograd.gradgradcheck(lambda z: network.both(kind, z), few)
    for dtype, allowed in ((torch.float32, 2e-6), (torch.float64, 1e-14)):
        many = torch.linspace(-12, 12, 4001, dtype=dtype, requires_grad=True)
        exact = many.detach().double().requires_grad_()
        wanted = network.VALUES[kind](exact)
        (slope,) = torch.autograd.grad(wanted.sum(), exact)
        found = network.both(kind, many)
        for ours, theirs in zip(found, (wanted, slope), strict=True):
            torch.testing.assert_close(ours.double(), theirs, rtol=allowed, atol=allowed)
