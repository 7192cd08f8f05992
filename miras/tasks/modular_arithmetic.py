"""Modular arithmetic: the value of an expression so far, with the precedence of products."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from miras.tasks import Floor, HeldOut, Rows, certain
from miras.tasks.tracking import Tracking

PLUS, MINUS, TIMES, OPEN, CLOSE = range(5)
"""Signs, as offsets behind the numbers."""


class ModularArithmetic(Tracking):
    """Value of an expression so far, modulo m, due at every position and judged beyond training.

        tokens   2 + 3 * 4 - ( 1 + 1 )        answers (m = 5)     2 2 0 0 4 4 4 4 4 4 2

    Numbers are uniform in 0 .. m - 1, signs uniform among + - *, and products bind first. The
    answer is the value of what is complete at the lowest level: a sign or an open bracket leaves it
    as it was, a number or a closing bracket changes it (0 before anything is complete). Without
    brackets a memory of m^2 states does it, the sum and the last product; every level of brackets
    needs as many again and the pending sign: a stack. A bracket opens with probability 1/4 where a
    number may stand and closes with 1/2 behind an operand.
    Ids: numbers, signs, brackets if there are any, answers.
    Isolates: the transition spectrum of a state, and with brackets a stack.
    Floor: 1 / m, also for the latest number: a single number among the earlier terms makes their
    sum uniform.

    Source: Delétang and others (arXiv 2207.02098), modular arithmetic, simple and with brackets;
    lengths as in unlocking state tracking (arXiv 2411.12537) section 5.1. Differs: an answer at
    every position, not only at the end; brackets are as deep as a field says and need not close
    by the end of a word. Answers have ids of their own, as in parity.
    """

    kind: Literal["modular_arithmetic"] = "modular_arithmetic"
    modulus: int = Field(default=5, ge=2, le=1_000, description="m")
    brackets: int = Field(default=0, ge=0, le=64, description="deepest level of brackets; 0: none")
    published: ClassVar[Mapping[str, Any]] = {
        "shortest": 3,
        "longest": 40,
        "steps": 100_000,
        "batch": 1024,
        "test": 4096,
    }

    @property
    def vocabulary(self) -> int:
        return self.first_answer + self.modulus

    @property
    def first_answer(self) -> int:
        """Id of the answer 0."""
        return self.modulus + (5 if self.brackets else 3)

    @property
    def floor(self) -> float:
        return 1 / self.modulus

    def sample(self, length: int, sequences: int, generator: np.random.Generator) -> Rows:
        words = generator.integers(0, self.modulus, (sequences, length))
        signs = self.modulus + generator.integers(0, 3, (sequences, length))
        if not self.brackets:
            words[:, 1::2] = signs[:, 1::2]
            return words, self.first_answer + self._values(words)
        chance = generator.random((sequences, length))
        depth = np.zeros(sequences, np.int64)
        operand = np.ones(sequences, bool)  # a number or an open bracket is next
        for place in range(length):
            opens = operand & (depth < self.brackets) & (chance[:, place] < 1 / 4)
            closes = ~operand & (depth > 0) & (chance[:, place] < 1 / 2)
            words[:, place] = np.where(operand, words[:, place], signs[:, place])
            words[opens, place] = self.modulus + OPEN
            words[closes, place] = self.modulus + CLOSE
            depth += opens
            depth -= closes
            operand ^= ~(opens | closes)
        return words, self.first_answer + self._values(words)

    def _values(self, words: NDArray[np.int64]) -> NDArray[np.int64]:
        """Value of what is complete at level 0 after each token, by one pass with a stack."""
        rows = np.arange(len(words))
        depth = np.zeros(len(words), np.int64)
        total, product, sign = np.zeros((3, len(words), self.brackets + 1), np.int64)
        values = np.empty_like(words)
        for place in range(words.shape[1]):
            # Signs and brackets count from 0, numbers are negative.
            token = words[:, place] - self.modulus
            operand, complete = words[:, place], token < 0
            if self.brackets:
                closes = token == CLOSE
                inside = (total[rows, depth] + product[rows, depth]) % self.modulus
                operand, complete = np.where(closes, inside, operand), complete | closes
                depth += token == OPEN
                depth -= closes
            opened = rows[token == OPEN]
            for part in (total, product, sign):
                part[opened, depth[opened]] = 0
            is_sign = rows[(token >= 0) & (token < OPEN)]
            sign[is_sign, depth[is_sign]] = token[is_sign]
            here = rows[complete]
            level, operand = depth[here], operand[here]
            pending, factor = sign[here, level], product[here, level]
            times = pending == TIMES
            total[here, level] += np.where(times, 0, factor)
            product[here, level] = (
                np.where(times, factor, np.where(pending == MINUS, -1, 1)) * operand % self.modulus
            )
            values[:, place] = (total[:, 0] + product[:, 0]) % self.modulus
        return values

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        return torch.as_tensor(self.first_answer + self._values(tokens.numpy()))

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        def always_zero(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            return certain(torch.full_like(tokens, self.first_answer)[scored], self.vocabulary)

        def latest_number(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            place = torch.arange(tokens.shape[1]).where(tokens < self.modulus, 0)
            latest = tokens.gather(1, place.cummax(1).values) % self.modulus
            return certain((self.first_answer + latest)[scored], self.vocabulary)

        stated = {f"accuracy/L={tested}": self.floor for tested in self.lengths}
        return {
            "always_zero": Floor(always_zero, stated),
            "latest_number": Floor(latest_number, stated),
        }
