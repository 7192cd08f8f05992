"""k-hop: follow a chain of edges k times, in one step of the answer."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor

from miras.part import SpecError
from miras.tasks import IGNORE, Floor, HeldOut, Objective, Rows, always, certain, distinct
from miras.tasks.ladder import Ladder, Rung


class KHop(Ladder):
    """The k-th successor in a cycle given as shuffled edges: depth of reasoning over a memory.

        c a  b c  a d  d b   2 c   2 d          (edges c>a b>c a>d d>b; d is due at c, c at d)

    A cycle through n random names is told edge by edge in random order. Each question is the
    number of hops k, an id of its own, and a name; the k-th successor is due at the name. Names of
    the questions of a sequence differ, and no answer is given back as input. All questions of a
    rung have its k; rungs are mixed between batches. n is (length - 2 questions) / 2.
    Ids: names, numbers of hops.
    Isolates: depth of reasoning: chained look-ups in a memory within one token.
    Floor: 1 / (n - 1), any other name (k is not a multiple of n).
    Extrapolation: the same k in longer cycles.

    Source: Depo of Physics of language models 4.1 (PhysicsLM4). Differs: names are single
    tokens; n is fixed in a rung (Depo draws n up to N); one k for the questions of a sequence.
    """

    kind: Literal["k_hop"] = "k_hop"
    rungs: tuple[Rung, ...] = Field(
        default=(Rung(48, 1), Rung(48, 2), Rung(48, 4)),
        min_length=1,
        description="[length, hops] of the trained rungs",
    )
    extrapolation: tuple[Rung, ...] = Field(
        default=(Rung(80, 2), Rung(80, 4)), description="[length, hops] that are only tested"
    )
    names: int = Field(default=64, ge=3, le=1_000_000, description="different names")
    questions: int = Field(default=8, ge=1, le=100_000, description="questions of a sequence")
    steps: int = Field(default=1200, ge=1, le=10_000_000, description="default training length")
    symbol: ClassVar[str] = "k"
    least: ClassVar[int] = 1
    objective: ClassVar[Objective] = "tracking"
    published: ClassVar[Mapping[str, Any]] = {
        "rungs": (Rung(470, 1), Rung(470, 2), Rung(470, 4), Rung(470, 8)),
        "extrapolation": (Rung(770, 4), Rung(770, 8)),
        "names": 512,
        "questions": 10,
        "steps": 50_000,
        "batch": 96,
    }

    @property
    def hops(self) -> tuple[int, ...]:
        """The trained numbers of hops; each has an id."""
        return tuple(rung.load for rung in self.rungs)

    @property
    def vocabulary(self) -> int:
        return self.names + len(self.hops)

    def nodes(self, rung: Rung) -> int:
        """The number of names in the cycle of a rung."""
        return rung.length // 2 - self.questions

    def check(self, rung: Rung) -> None:
        nodes = self.nodes(rung)
        if rung.length % 2:
            raise SpecError(f"rung {[*rung]} has an odd length: edges and questions are pairs")
        if nodes < max(3, self.questions):
            raise SpecError(
                f"rung {[*rung]} is too short: {self.questions} questions about different names"
                f" take {2 * (max(3, self.questions) + self.questions)} tokens with their edges"
            )
        if nodes > self.names:
            raise SpecError(
                f"rung {[*rung]} needs {nodes} different names, there are {self.names}: take a"
                " shorter one or raise `names`"
            )
        if rung.load % nodes == 0:
            raise SpecError(
                f"rung {[*rung]} goes around a cycle of {nodes} names: each name would be its own"
                " answer; take another number of hops"
            )
        if rung.load not in self.hops:
            raise SpecError(
                f"rung {[*rung]} asks for {rung.load} hops, an id that no trained rung has:"
                " extrapolate in the length alone"
            )

    def floor(self, rung: Rung) -> float:
        return 1 / (self.nodes(rung) - 1)

    def sample(self, rung: Rung, sequences: int, generator: np.random.Generator) -> Rows:
        nodes = self.nodes(rung)
        cycle = distinct(generator, sequences, self.names, nodes)
        order = generator.permuted(np.tile(np.arange(nodes), (sequences, 1)), axis=1)
        asked = distinct(generator, sequences, nodes, self.questions)
        row = np.arange(sequences)[:, None]
        tokens = np.empty((sequences, rung.length), np.int64)
        tokens[:, 0 : 2 * nodes : 2] = cycle[row, order]
        tokens[:, 1 : 2 * nodes : 2] = cycle[row, (order + 1) % nodes]
        tokens[:, 2 * nodes :: 2] = self.names + self.hops.index(rung.load)
        tokens[:, 2 * nodes + 1 :: 2] = cycle[row, asked]
        targets = np.full_like(tokens, IGNORE)
        targets[:, 2 * nodes + 1 :: 2] = cycle[row, (asked + rung.load) % nodes]
        return tokens, targets

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        even, odd = tokens[:, 0::2], tokens[:, 1::2]
        kind = even[:, : odd.shape[1]] - self.names  # negative: an edge
        successor = tokens.new_zeros(len(tokens), self.names)
        row, place = (kind < 0).nonzero(as_tuple=True)
        successor[row, even[row, place]] = odd[row, place]
        found, answers = odd, torch.full_like(tokens, IGNORE)
        for hop in range(1, max(self.hops) + 1):
            found = successor.gather(1, found)
            if hop in self.hops:
                asked = kind == self.hops.index(hop)
                answers[:, 1::2] = found.where(asked, answers[:, 1::2])
        return answers

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        def another_name(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            first, second = tokens[:, :1].expand_as(tokens), tokens[:, 2:3].expand_as(tokens)
            return certain(first.where(first != tokens, second)[scored], self.vocabulary)

        rungs = (*self.rungs, *self.extrapolation)
        one_id = always(0, self.vocabulary)
        return {
            "one_id": Floor(one_id, {f"accuracy/{self.label(r)}": 1 / self.names for r in rungs}),
            "in_context": Floor(
                another_name, {f"accuracy/{self.label(r)}": self.floor(r) for r in rungs}
            ),
        }
