"""Word problems of groups: where do all moves so far lead?"""

from collections.abc import Mapping
from functools import cache
from itertools import permutations
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from miras.part import SpecError
from miras.tasks import Floor, HeldOut, Rows, certain
from miras.tasks.tracking import Length, Tracking

Group = Literal["S3", "A4", "S4", "A5", "S5"]


class Table(NamedTuple):
    """A group as numbers: element 0 is the identity."""

    product: Int64[np.ndarray, "elements elements"]  # product[a, b] = first a, then b
    swaps: Int64[np.ndarray, " swaps"]  # the identity and all exchanges of two things


class Permutation(Tracking):
    """Product of all permutations so far, due at every position; judged beyond trained lengths.

        moves    (12) (123) (13) ...        answers     (12) (12)(123) (12)(123)(13) ...

    Moves are drawn uniformly from the group, or with `moves: swaps` from the identity and all
    exchanges of two things (without the identity the position would tell the sign). S3 needs
    transitions that turn vectors, one reflection a token does not do; A5 and S5 are not solvable,
    no fixed number of layers without such a state follows them. Answers have ids of their own.
    Isolates: the transition spectrum of a state where products do not commute.
    Floor: 1 / elements, also for the product of a window of the trained length. Who follows the
    sign alone scores 0.2 in S3.

    Source: word problems as in The Illusion of State (arXiv 2404.08819) and DeltaProduct (arXiv
    2502.10297); swaps alone as in arXiv 2411.12537 section 5.2. Differs: the score counts single
    answers; words that are right as a whole are in `L50`. Short words and many small steps let one
    layer learn S3 within two minutes: words of 32 moves teach it the sign alone. Full:
    DeltaProduct's lengths for S3, the steps are ours; for S5 its source trains on 32 moves and
    tests 500.
    """

    kind: Literal["permutation"] = "permutation"
    group: Group = Field(default="S3", description="symmetric or alternating group")
    moves: Literal["all", "swaps"] = Field(default="all", description="which moves are drawn")
    shortest: int = Field(default=3, ge=2, le=1_048_576, description="shortest training word")
    longest: int = Field(default=16, ge=2, le=1_048_576, description="longest training word")
    lengths: tuple[Length, ...] = Field(
        default=(32, 64, 128), min_length=1, description="tested lengths, all above `longest`"
    )
    steps: int = Field(default=3000, ge=1, le=10_000_000, description="default training length")
    batch: int = Field(default=64, ge=1, le=65_536, description="sequences per training step")
    published: ClassVar[Mapping[str, Any]] = {
        "shortest": 128,
        "longest": 128,
        "lengths": (256, 512),
        "steps": 10_000,
        "batch": 2048,
        "test": 4096,
    }

    @model_validator(mode="after")
    def _moves_are_in_the_group(self) -> "Permutation":
        if self.moves == "swaps" and self.group.startswith("A"):
            raise SpecError(
                f"{self.group} has even permutations alone and a swap is odd: take S{self.group[1]}"
                " for `moves: swaps`, or `moves: all`"
            )
        return self

    @property
    def vocabulary(self) -> int:
        return len(self._moves) + len(table(self.group).product)

    @property
    def floor(self) -> float:
        return 1 / len(table(self.group).product)

    @property
    def _moves(self) -> NDArray[np.int64]:
        """The elements that are drawn, by the id of their token."""
        group = table(self.group)
        return np.arange(len(group.product)) if self.moves == "all" else group.swaps

    def sample(self, length: int, sequences: int, generator: np.random.Generator) -> Rows:
        moves = self._moves
        tokens = generator.integers(0, len(moves), (sequences, length))
        return tokens, len(moves) + self._follow(moves[tokens], length)

    def _follow(self, steps: NDArray[np.int64], window: int) -> NDArray[np.int64]:
        """Products of all steps so far, or from the last multiple of a window on."""
        product = table(self.group).product
        size, flat = len(product), product.ravel()
        rows = np.ascontiguousarray(steps.T)
        reached = np.empty_like(rows)
        state = np.zeros(rows.shape[1], np.int64)
        for time, step in enumerate(rows):
            if time % window == 0:
                state = np.zeros_like(state)
            state = flat.take(state * size + step)
            reached[time] = state
        return np.ascontiguousarray(reached.T)

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        return self._answer(tokens, tokens.shape[1])

    def _answer(
        self, tokens: Int64[Tensor, "batch time"], window: int
    ) -> Int64[Tensor, "batch time"]:
        moves = self._moves
        return torch.as_tensor(len(moves) + self._follow(moves[tokens.numpy()], window))

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        def identity(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            always = torch.full_like(tokens, len(self._moves))
            return certain(always[scored], self.vocabulary)

        def window(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            return certain(self._answer(tokens, self.longest)[scored], self.vocabulary)

        # Wrong unless what came before leads back to where it began.
        back = self._back()
        before = np.arange(self.lengths[-1]) // self.longest * self.longest
        stated = {
            name: {f"accuracy/L={n}": float(at[self.longest : n].mean()) for n in self.lengths}
            for name, at in (("identity", back[1:]), ("window", back[before]))
        }
        return {
            "identity": Floor(identity, stated["identity"]),
            "window": Floor(window, {"accuracy/trained": 1.0, **stated["window"]}),
        }

    def _back(self) -> NDArray[np.float64]:
        """Probability that 0, 1, 2, ... moves together are the identity."""
        product = table(self.group).product
        now = np.zeros(len(product))
        now[0] = 1.0
        found = [1.0]
        for _ in range(self.lengths[-1]):
            after = np.zeros_like(now)
            for move in self._moves:
                after[product[:, move]] += now / len(self._moves)
            now = after
            found.append(float(now[0]))
        return np.array(found)


@cache
def table(group: Group) -> Table:
    """All products of a group of permutations."""
    things = int(group[1])
    every = [*permutations(range(things))]
    if group[0] == "A":
        every = [one for one in every if not _odd(one)]
    number = {one: place for place, one in enumerate(every)}
    product = [[number[tuple(then[thing] for thing in one)] for then in every] for one in every]
    moved = [sum(thing != place for place, thing in enumerate(one)) for one in every]
    return Table(np.array(product), np.flatnonzero(np.array(moved) <= 2))


def _odd(one: tuple[int, ...]) -> bool:
    pairs = [(a, b) for b in range(len(one)) for a in range(b)]
    return sum(one[a] > one[b] for a, b in pairs) % 2 == 1
