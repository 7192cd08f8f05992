"""Multi-query associative recall: which value came with this key?"""

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


class MQAR(Ladder):
    """Recall of K key-value pairs, each asked once: the capacity of a memory and its interference.

        k1 v1 k2 v2 ... kK vK  .  k2 .  .  k1 .  .        (. filler; the answer v2 is due at k2)

    Keys and values are drawn without replacement. The rest of the sequence is two-token slots:
    a slot j from the context is taken with probability ~ j^(power - 1), without replacement, and
    holds a key and then a filler. The value is predicted at the key itself and does not come again
    in the input. Ids: keys, values, fillers, in this order and disjoint.
    Isolates: capacity for pairs of key and value, and interference of the update rule.
    Floor: 1 / K, any value of the context.

    Source: Zoology (arXiv 2312.04927). Differs: fillers cannot contradict a pair; the slots are
    dealt to the keys at random: the place of a question does not tell the place of its pair. Full:
    the mixture that Zoology trains on for 32 epochs, with equal shares instead of five times as
    much of the first rung, and fresh sequences instead of 180,000.
    """

    kind: Literal["mqar"] = "mqar"
    rungs: tuple[Rung, ...] = Field(
        default=(Rung(32, 4), Rung(64, 8), Rung(64, 16), Rung(128, 32)),
        min_length=1,
        description="[length, pairs] of the trained rungs",
    )
    extrapolation: tuple[Rung, ...] = Field(
        default=(Rung(256, 64),), description="[length, pairs] that are only tested"
    )
    keys: int = Field(default=128, ge=1, le=1_000_000, description="different keys")
    values: int = Field(default=128, ge=2, le=1_000_000, description="different values")
    filler: int = Field(default=8, ge=1, le=1_000_000, description="different fillers")
    power: float = Field(
        default=0.01, gt=0, le=1, description="0.01: near slots first, as 1 / j; 1: uniform"
    )
    symbol: ClassVar[str] = "K"
    objective: ClassVar[Objective] = "recall"
    published: ClassVar[Mapping[str, Any]] = {
        "rungs": (Rung(64, 4), Rung(128, 8), Rung(256, 16), Rung(256, 32), Rung(256, 64)),
        "extrapolation": (Rung(512, 64), Rung(512, 128), Rung(1024, 256)),
        "keys": 4095,
        "values": 4096,
        "steps": 22_500,
        "batch": 256,
        "test": 1000,
    }

    @property
    def vocabulary(self) -> int:
        return self.keys + self.values + self.filler

    def check(self, rung: Rung) -> None:
        length, pairs = rung
        if pairs > min(self.keys, self.values):
            raise SpecError(
                f"rung {[*rung]} needs {pairs} different keys and values, there are {self.keys} and"
                f" {self.values}: take fewer pairs or raise `keys` and `values`"
            )
        if 4 * pairs > length:
            raise SpecError(
                f"rung {[*rung]} is too short: {pairs} pairs and as many questions take"
                f" {4 * pairs} tokens"
            )

    def floor(self, rung: Rung) -> float:
        return 1 / rung.load

    def sample(self, rung: Rung, sequences: int, generator: np.random.Generator) -> Rows:
        length, pairs = rung
        context, slots = 2 * pairs, (length - 2 * pairs) // 2
        key = distinct(generator, sequences, self.keys, pairs)
        value = distinct(generator, sequences, self.values, pairs) + self.keys
        first_filler = self.keys + self.values
        tokens = generator.integers(first_filler, self.vocabulary, (sequences, length))
        tokens[:, 0:context:2] = key
        tokens[:, 1:context:2] = value
        # A race of exponential clocks draws without replacement, in proportion to the rates.
        rate = np.arange(1, slots + 1) ** (self.power - 1)
        clock = generator.standard_exponential((sequences, slots)) / rate
        slot = np.argpartition(clock, pairs - 1, axis=1)[:, :pairs]
        row = np.arange(sequences)[:, None]
        asked = generator.permuted(np.broadcast_to(np.arange(pairs), slot.shape), axis=1)
        targets = np.full_like(tokens, IGNORE)
        tokens[row, context + 2 * slot] = key[row, asked]
        targets[row, context + 2 * slot] = value[row, asked]
        return tokens, targets

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        is_key = tokens < self.keys
        is_value = ~is_key & (tokens < self.keys + self.values)
        with_value = torch.zeros_like(is_key)
        with_value[:, :-1] = is_key[:, :-1] & is_value[:, 1:]
        row, place = with_value.nonzero(as_tuple=True)
        table = tokens.new_full((len(tokens), self.keys), IGNORE)
        table[row, tokens[row, place]] = tokens[row, place + 1]
        answers = torch.full_like(tokens, IGNORE)
        row, place = (is_key & ~with_value).nonzero(as_tuple=True)
        answers[row, place] = table[row, tokens[row, place]]
        return answers

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        def value_of_first_pair(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            return certain(tokens[:, 1:2].expand_as(tokens)[scored], self.vocabulary)

        rungs = (*self.rungs, *self.extrapolation)
        one_id = always(self.keys, self.vocabulary)
        return {
            "one_id": Floor(one_id, {f"accuracy/{self.label(r)}": 1 / self.values for r in rungs}),
            "in_context": Floor(
                value_of_first_pair, {f"accuracy/{self.label(r)}": 1 / r.load for r in rungs}
            ),
        }
