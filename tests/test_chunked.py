"""The loop over chunks: one function, with derivatives of any order, whatever the size."""

import pytest
import torch
from torch import Tensor

from miras.plans.chunked import Carried, Piece, chunked, grouped
from miras.token import Buffers


def decayed(piece: Piece, carried: Carried) -> tuple[Tensor, Carried]:
    """A state that fades and is written, read by a query, scaled by a constant."""
    (state,) = carried
    outputs: list[Tensor] = []
    for token in range(piece["write"].shape[2]):
        state = piece["keep"][:, :, token, None] * state + piece["write"][:, :, token]
        outputs.append(torch.tanh(state * piece["query"][:, :, token]) * piece["scale"])
    return torch.stack(outputs, dim=2), (state,)


def inputs(time: int) -> tuple[dict[str, Tensor], dict[str, Tensor], tuple[Tensor]]:
    torch.manual_seed(time)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    tokens = {"query": draw(1, 2, time, 3), "keep": draw(1, 2, time), "write": draw(1, 2, time, 3)}
    return tokens, {"scale": draw(2, 1)}, (draw(1, 2, 3),)


@pytest.mark.parametrize("time", [1, 4, 7])
@pytest.mark.parametrize("size", [1, 3, 8])
def test_the_size_of_a_chunk_changes_nothing(time: int, size: int) -> None:
    tokens, constants, start = inputs(time)
    leaves = [*tokens.values(), *constants.values(), *start]
    found: list[tuple[Tensor, ...]] = []
    for each in (size, time):
        output, (state,) = chunked(decayed, tokens, constants, start, each)
        total = output.square().sum() + state.sum()
        found.append((output, state, *torch.autograd.grad(total, leaves)))
    for some, whole in zip(*found, strict=True):
        torch.testing.assert_close(some, whole, rtol=1e-12, atol=1e-12)


def test_derivatives_of_any_order() -> None:
    tokens, constants, start = inputs(5)
    names = (*tokens, *constants)

    def run(*leaves: Tensor) -> tuple[Tensor, Tensor]:
        given = dict(zip(names, leaves, strict=False))
        fixed = {"scale": given.pop("scale")}
        output, (state,) = chunked(decayed, given, fixed, (leaves[-1],), 2)
        return output, state

    leaves = (*tokens.values(), *constants.values(), *start)
    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)


def test_what_needs_no_gradient_gets_none() -> None:
    tokens, constants, start = inputs(6)
    fixed = {name: tensor.detach() for name, tensor in constants.items()}
    output, (state,) = chunked(decayed, tokens, fixed, (start[0].detach(),), 2)
    output.sum().backward()
    assert all(tensor.grad is not None for tensor in tokens.values())
    assert state.requires_grad and fixed["scale"].grad is None
    with torch.no_grad():
        again, _ = chunked(decayed, tokens, fixed, start, 2)
    torch.testing.assert_close(again, chunked(decayed, tokens, fixed, start, 6)[0])


def test_groups_of_leaves_are_carried_by_name() -> None:
    tokens, constants, start = inputs(5)
    groups = {"weights": {"state": start[0]}, "beside": {"count": torch.zeros(1)}}

    def step(piece: Piece, now: Buffers) -> tuple[Tensor, Buffers]:
        output, (state,) = decayed(piece, (now["weights"]["state"],))
        return output, {
            "weights": {"state": state},
            "beside": {"count": now["beside"]["count"] + 1},
        }

    output, after = grouped(step, tokens, constants, groups, 2)
    wanted, (state,) = chunked(decayed, tokens, constants, start, 2)
    assert torch.equal(output, wanted) and torch.equal(after["weights"]["state"], state)
    assert after["beside"]["count"].item() == 3


def test_nothing_carried_is_refused() -> None:
    tokens, constants, _ = inputs(2)
    with pytest.raises(ValueError, match="at least one"):
        chunked(decayed, tokens, constants, (), 2)
