"""Parity: is the number of ones so far odd? A state that must be carried and never forgotten."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor

from miras.tasks import Floor, HeldOut, Rows, certain
from miras.tasks.tracking import Tracking

FLOOR = 0.5


class Parity(Tracking):
    """Parity of all bits so far, due at every position; judged beyond the trained lengths.

        bits     1 0 1 1 ...        answers (2 even, 3 odd)     3 3 2 3 ...

    Attention fits the trained positions and fails beyond.
    Isolates: the transition spectrum of a state: a sign that flips and never fades.
    Floor: 1/2, also for the parity of a window.

    Source: unlocking state tracking (arXiv 2411.12537) section 5.1; answers at every position as in
    the group words of DeltaProduct (arXiv 2502.10297). Answers have ids of their own, so that
    with tied embeddings an input bit does not vote for an answer.
    """

    kind: Literal["parity"] = "parity"
    steps: int = Field(default=1600, ge=1, le=10_000_000, description="default training length")
    batch: int = Field(default=128, ge=1, le=65_536, description="sequences per training step")
    published: ClassVar[Mapping[str, Any]] = {
        "shortest": 3,
        "longest": 40,
        "steps": 100_000,
        "batch": 1024,
        "test": 4096,
    }

    @property
    def vocabulary(self) -> int:
        return 4

    @property
    def floor(self) -> float:
        return FLOOR

    def sample(self, length: int, sequences: int, generator: np.random.Generator) -> Rows:
        bits = generator.integers(0, 2, (sequences, length))
        return bits, 2 + bits.cumsum(1) % 2

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        return 2 + tokens.cumsum(1) % 2

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        def always_even(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            return certain(torch.full_like(tokens, 2)[scored], self.vocabulary)

        def window(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            ones = tokens.cumsum(1)
            ones[:, self.longest :] -= ones[:, : -self.longest].clone()
            return certain((2 + ones % 2)[scored], self.vocabulary)

        stated = {f"accuracy/L={tested}": FLOOR for tested in self.lengths}
        return {
            "always_even": Floor(always_even, {"accuracy/trained": FLOOR, **stated}),
            "window": Floor(window, {"accuracy/trained": 1.0, **stated}),
        }
