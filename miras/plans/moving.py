"""Weights that move with every token of a piece, by scalar gates: read once, then where they end.

A matrix enters the architecture as what it does to its inputs (see `miras.architecture.apply`);
when it is asked, `miras.plans.dual` finds the answers of all tokens and the matrix after the last.
"""

from collections.abc import Mapping
from typing import cast

from torch import Tensor

from miras.architecture import Product, Weights
from miras.plans.dual import Layer, layer
from miras.plans.factors import Factor
from miras.plans.span import Span, of_tokens, running, spans
from miras.state import State


class Moving:
    """The weights of one piece; `after` knows the state when all of them were read."""

    def __init__(
        self,
        factors: Mapping[str, Factor],
        step: Tensor | None,
        band: Tensor | None,
        gates: Mapping[str, Tensor],
        state: State,
        bare: bool = False,
    ) -> None:
        """`step [batch, heads, time]`; `band [..., time, pairs]` has the steps in it.

        `bare`: nobody looks at the numbers of the state after the piece.
        """
        self.factors, self.state, self.bare = factors, state, bare
        self.sums = state.buffers.get("momentum", {})
        self.ends: dict[str, Tensor] = {}
        self.late: dict[str, Tensor] = {}
        key = gates["key"]
        count = key.shape[2]
        kept = spans(gates).get("", Span())
        shares = kept.between
        if shares is None:
            shares = key.new_ones(*key.shape[:2], count, count).tril()
        self.of_first, self.of_second = kept.since, None
        self.own = self.kept = None
        if self.sums:
            carried = of_tokens(gates["momentum"])
            reached, first = running(kept, carried)
            shares = reached.between
            assert carried.between is not None and carried.since is not None
            own = carried.between[..., -1:, :]
            own = own if band is None else own @ band
            own = own if step is None else own * step[..., None, :]
            self.own, self.kept = own.mT, carried.since[..., -1:, :]
            self.of_second = first.since
        assert shares is not None
        if band is not None:
            shares = shares @ band
        self.shares = shares if step is None else shares * step[..., None, :]

    def weights(self) -> Weights:
        """Leaves for an architecture."""

        def leaf(name: str) -> Tensor | Product:
            if self.factors[name].input is None:
                return self.vector(name)
            return lambda z: self.matrix(name, z)

        return cast(Weights, {name: leaf(name) for name in self.factors})

    def matrix(self, name: str, z: Tensor) -> Tensor:
        """What a matrix answers to each token's input."""
        error, seen = self.factors[name]
        given = (
            *(z, seen, error, self.shares),
            *(self.state.weights[name], self.of_first),
            *(self.sums.get(name), self.of_second, self.own, self.kept),
        )
        flat = (None if x is None else x.flatten(0, 1) for x in given)
        read, end, late = layer(Layer(*cast(tuple[Tensor, ...], tuple(flat))), self.bare)
        self.ends[name] = _heads(end, z)
        if late is not None:
            self.late[name] = _heads(late, z)
        return _heads(read, z)

    def vector(self, name: str) -> Tensor:
        """A vector as each token finds it."""
        error, start = self.factors[name].error, self.state.weights[name][..., None, :]
        found = -(self.shares @ error)
        found = found + (start if self.of_first is None else self.of_first * start)
        if self.sums:
            assert self.of_second is not None and self.own is not None and self.kept is not None
            summed = self.sums[name][..., None, :]
            found = found + self.of_second * summed
            self.late[name] = (self.kept * summed - self.own.mT @ error)[..., 0, :]
        self.ends[name] = found[..., -1, :]
        return found

    def after(self) -> State:
        """The state after the last token."""
        state = self.state
        if self.sums:
            late = {name: self.late[name] for name in state.weights}
            state = state._replace(buffers=state.buffers | {"momentum": late})
        return state._replace(weights={name: self.ends[name] for name in state.weights})


def _heads(x: Tensor, like: Tensor) -> Tensor:
    return x.reshape(*like.shape[:2], *x.shape[1:])


def scalar(gates: Mapping[str, Tensor]) -> bool:
    """Whether the decays among gates are one number per token, if there are any."""
    return not any(name.startswith("decay_") for name in gates)


def alone(steps: Mapping[str, Tensor]) -> tuple[Tensor | None, dict[str, Tensor]]:
    """The one number per token among steps by axis, and the others."""
    return steps.get(""), {axis: size for axis, size in steps.items() if axis}
