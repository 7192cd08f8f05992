"""One memory after the other, each with its own pace."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field
from torch import Tensor

from miras.composition import Composition, CompositionState, Engine, Inputs

if TYPE_CHECKING:
    from miras.composition import AnyCell


class Chain(Composition):
    """Cell i + 1 gets as query and key what cell i answers to them: q_{i+1} = M_i(q_i), k_{i+1} =
    M_i(k_i), y = M_n(q_n). All cells are written the same value.

    The answer to the key is taken after the token is written. Each cell has its own update period
    (`every` of its optimizer), so that the chain holds fast and slow weights. With `residual`, what
    goes in is added to what comes out.

    Source: the Continuum Memory System of Nested Learning (arXiv 2512.24695), equations 70 and 71.
    Differs: its blocks minimise the loss of the whole network, these each their own inner loss.
    """

    compose: Literal["chain"] = "chain"
    of: tuple["AnyCell", ...] = Field(min_length=2, description="the memories, first to last")
    residual: bool = Field(default=False, description="add what goes into a cell to its answer")

    @property
    def cells(self) -> tuple["AnyCell", ...]:
        return self.of

    def sizes(self, key_dim: int, value_dim: int) -> list[tuple[int, int]]:
        return [(key_dim, value_dim)] + [(value_dim, value_dim)] * (len(self.of) - 1)

    def forward(
        self, engine: Engine, inputs: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        query, key, value = inputs[:3]
        after: list[object] = []
        last = len(self.of) - 1
        for place, cell in enumerate(self.of):
            gates, before = inputs.of(place), state.cells[place]
            read, new = engine.run(cell, query, key, value, gates, before)
            if place < last:
                answer, _ = engine.run(cell, key, key, value, gates, before)
                key = self._onward(key, answer)
            query = self._onward(query, read)
            after.append(new)
        position = state.position + value.shape[1]
        return query, state._replace(position=position, cells=tuple(after))

    def ask(self, engine: Engine, inputs: Inputs, state: CompositionState) -> Tensor:
        query, size = inputs.query, inputs.value.shape[-1]
        for place, cell in enumerate(self.of):
            answer = engine.ask(cell, query, inputs.of(place), state.cells[place], size)
            query = self._onward(query, answer)
        return query

    def _onward(self, given: Tensor, answer: Tensor) -> Tensor:
        # Between a key and a value of different sizes there is nothing to add.
        fits = self.residual and given.shape[-1] == answer.shape[-1]
        return given + answer if fits else answer

    def formula(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        added = {name: f"{name}_{{i,t}} + " if self.residual else "" for name in "qk"}
        update = tuple(f"{name}_{{i+1,t}} = {added[name]}M_i({name}_{{i,t}})" for name in "qk")
        return update, (f"y_t = q_{{{len(self.of)},t}}",), ("q_{0,t} = q_t, k_{0,t} = k_t",)
