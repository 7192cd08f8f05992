"""States of a logarithmic number of stretches of the past: log-linear attention."""

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from miras.composition import Composition, CompositionState, Engine, Inputs, Own
from miras.composition.tree import stacked, tree, unstacked
from miras.gate import AnyGate
from miras.gate.softplus import Softplus
from miras.memory import Memory
from miras.part import IncompatibleParts

if TYPE_CHECKING:
    from miras.composition import AnyCell


class Levels(Composition):
    """y_t = sum_l lambda_l,t M^l_t(q_t): one host memory, one state for each stretch of the past.

    Before token t (counted from 0) the past falls into stretches whose lengths are the powers of
    two of which t is the sum, the shortest last. Level 0 is the token itself, level b + 1 the
    stretch of length 2^b. All states pass the host's transition at every token (decay and erasure),
    only level 0 is written. After t tokens as many states are kept as t has binary ones. The host
    must be linear in its state. Levels beyond `levels` share the last lambda.

    A piece is cut at multiples of powers of two. In a cut of 2^j tokens, the tokens of one level
    run side by side, so there are about 2 j runs of the host for it, each by its own fast plan.

    Source: log-linear attention (arXiv 2506.04761), equations of section 3 and its Fenwick
    partition.
    """

    compose: Literal["levels"] = "levels"
    of: "AnyCell" = Field(description="the host memory")
    mix: AnyGate = Field(default=Softplus(start=1.0), description="lambda: weight of each level")
    levels: int = Field(default=12, ge=1, le=32, description="levels with a weight of their own")

    @model_validator(mode="after")
    def _host_is_linear(self) -> "Levels":
        host = self.of
        if not isinstance(host, Memory) or (lacks := _lacks(host)):
            lacks = "is a composition" if not isinstance(host, Memory) else _lacks(host)
            raise IncompatibleParts(
                f"compose levels adds up states of its host, which {lacks}: use a host such as"
                " mamba-2, gla or gated-deltanet"
            )
        return self

    @property
    def cells(self) -> tuple["AnyCell", ...]:
        return (self.of,)

    def own(self) -> list[Own]:
        meaning = "weight of each level, the nearest first"
        return [Own("mix", self.mix, self.levels, 0.0, torch.inf, meaning)]

    def begin(self, cells: tuple[object, ...], sizes: object, like: Tensor) -> CompositionState:
        # No stretch was written yet; what is written starts from nothing.
        return CompositionState(0, (), {}, tree(torch.zeros_like, cells))

    def forward(
        self, engine: Engine, inputs: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        time, at, outputs = inputs.key.shape[1], 0, list[Tensor]()
        while at < time:
            # the longest stretch that neither the position nor the piece cuts
            here = state.position & -state.position or time
            length = min(1 << (here.bit_length() - 1), 1 << ((time - at).bit_length() - 1))
            output, state = self._block(engine, inputs.span(at, at + length), state)
            outputs.append(output)
            at += length
        return torch.cat(outputs, dim=1), state

    def _block(
        self, engine: Engine, piece: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        """2^j tokens from a position that 2^j divides."""
        length, weights = piece.key.shape[1], piece.gates["mix"]
        output = self._within(engine, piece, state.first[0])
        silent = piece._replace(value=torch.zeros_like(piece.value))
        past = list(state.cells)  # the longest stretch first
        if past:
            many = silent.over(lambda tensor: torch.cat([tensor] * len(past)))
            reads, after = engine.run(self.of, *many[:3], many.of(0), stacked(past))
            for read, bit in zip(reads.chunk(len(past)), _ones(state.position), strict=True):
                output = output + self._weight(weights, bit + 1) * read
            past = unstacked(after, len(past))
        _, new = engine.run(self.of, *piece[:3], piece.of(0), state.first[0])
        carry = length
        while state.position & carry:  # as in adding binary numbers, full stretches are joined
            new = tree(torch.add, new, past.pop())
            carry <<= 1
        return output, state._replace(position=state.position + length, cells=(*past, new))

    def _within(self, engine: Engine, piece: Inputs, empty: object) -> Tensor:
        """Reads of what was written inside the block itself."""
        batch, length = piece.key.shape[:2]
        weights = piece.gates["mix"]
        alone = piece.over(lambda tensor: tensor.flatten(0, 1)[:, None])
        read, _ = engine.run(self.of, *alone[:3], alone.of(0), stacked([empty] * length))
        output = self._weight(weights, 0) * read.reshape(batch, length, *read.shape[2:])
        for bit in range(length.bit_length() - 1):
            half = 1 << bit
            count = length // (2 * half)

            def halves(tensor: Tensor, which: int, half: int = half) -> Tensor:
                split = tensor.reshape(batch, -1, 2, half, *tensor.shape[2:])
                return split[:, :, which].flatten(0, 1)

            written = piece.over(lambda tensor: halves(tensor, 0))
            reading = piece.over(lambda tensor: halves(tensor, 1))
            reading = reading._replace(value=torch.zeros_like(reading.value))
            start = stacked([empty] * count)
            _, filled = engine.run(self.of, *written[:3], written.of(0), start)
            read, _ = engine.run(self.of, *reading[:3], reading.of(0), filled)
            read = self._weight(reading.gates["mix"], bit + 1) * read
            read = read.reshape(batch, count, 1, half, *read.shape[2:])
            read = torch.cat((torch.zeros_like(read), read), dim=2)
            output = output + read.reshape(output.shape)
        return output

    def _weight(self, weights: Tensor, level: int) -> Tensor:
        return weights[..., min(level, self.levels - 1), None]

    def ask(self, engine: Engine, inputs: Inputs, state: CompositionState) -> Tensor:
        output = torch.zeros_like(inputs.value)
        for cell, bit in zip(state.cells, _ones(state.position), strict=True):
            read = engine.ask(self.of, inputs.query, inputs.of(0), cell, output.shape[-1])
            output = output + self._weight(inputs.gates["mix"], bit + 1) * read
        return output

    def formula(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        update = (
            "M⁰_t = write(0, k_t, v_t)",
            "Mˡ_t = transition_t(Mˡ_{t−1}) for l > 0, where t − 1 has the binary digit l − 1",
        )
        read = ("y_t = Σ_l λ_{l,t} Mˡ_t(q_t)",)
        where = (
            "stretches of the past: the powers of two that sum to t − 1, the shortest last",
            f"λ: one for each of {self.levels} levels, older ones share the last",
        )
        return update, read, where


def _ones(position: int) -> list[int]:
    """The binary digits of a number that are one, the largest first."""
    return [bit for bit in reversed(range(position.bit_length())) if position >> bit & 1]


def _lacks(host: Memory) -> str:
    """What keeps a host from being linear in its state, with all that is written in the value."""
    step = host.stepping
    if step is None or not host.architecture.linear or not host.plain or host.recurrent:
        return "is not linear in its state"
    if not host.bias.linear or not host.retention.identity_link:
        return "is not linear in its state"
    if not (step.plain or step.heavy_ball) or host.bias.target != "value":
        return "writes more than a step along its value"
    if host.architecture.normalised:
        return "writes a normaliser with every token"
    if step.chunk > 1 or step.every > 1 or host.architecture.features.positional:
        return "counts tokens from the start"
    return ""
