"""What was important before stays near where it was."""

from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from miras.gate import AnyGate, Use
from miras.linear import solution
from miras.part import SpecError
from miras.retention import Retention
from miras.token import Buffers, Token, Weights


class Consolidation(Retention):
    """Elastic weight consolidation in the inner loop: a pull to the weights at the last boundary.

    W_t = argmin_W |W - W'|^2 / 2 + strength <W - W*, (W - W*) H> / 2, W' the written weights, W* a
    snapshot at the start of the segment and H the curvature of the segments before it:
    curvature `full`: H = sum k k^T, W_t = W* + (W' - W*) (I + strength H)^-1, for a matrix memory;
    curvature `diagonal`: of that the diagonal, so (W' - W*) is divided by 1 + strength sum k_j^2;
    curvature `gradient`: each weight by itself, with the sum of its squared changes, for all
    memories. At a boundary W* <- W and H <- discount H + what the segment added.

    A segment ends after `every` tokens, and, with a `boundary` gate, before each token at which
    that is above 1/2.

    Source: elastic weight consolidation (arXiv 1612.00796, equation 3), with the running sum of
    Progress & Compress (arXiv 1805.06370, section 3.2). Differs: the minimiser instead of a
    gradient step of the penalty, which is stable at any strength; exact curvature of a linear
    memory under squared error instead of a Fisher matrix; `gradient` sums squared steps, not
    squared gradients.
    """

    kind: Literal["consolidation"] = "consolidation"
    curvature: Literal["diagonal", "full", "gradient"] = Field(
        default="full", description="how important a direction of the weights is taken to be"
    )
    strength: float = Field(default=1.0, ge=0.0, le=1e6, description="weight of the penalty")
    discount: float = Field(
        default=1.0, ge=0.0, le=1.0, description="what is kept of older importance at a boundary"
    )
    every: int | None = Field(default=64, ge=1, description="tokens of a segment; none: no limit")
    boundary: AnyGate | None = Field(
        default=None, description="gate that begins a segment where it is above 1/2"
    )
    of_weights: ClassVar[bool] = True
    reshapes: ClassVar[bool] = True

    @model_validator(mode="after")
    def _has_boundaries(self) -> "Consolidation":
        if self.every is None and self.boundary is None:
            raise SpecError(
                "nothing says when a segment ends: give every: a number of tokens, or boundary: a"
                " gate"
            )
        return self

    @property
    def plain(self) -> bool:
        return False

    @property
    def of_keys(self) -> bool:
        """The curvature along the keys is that of a matrix memory."""
        return self.curvature != "gradient"

    def uses(self) -> list[Use]:
        meaning = "above 1/2: a new segment begins here"
        return (
            [] if self.boundary is None else [Use("boundary", "", self.boundary, 0.0, 1.0, meaning)]
        )

    def begin(self, weights: Weights, key: Tensor, value: Tensor) -> Buffers:
        nothing = {
            name: self._importance(torch.zeros_like(leaf), torch.zeros_like(key))
            for name, leaf in weights.items()
        }
        found = {"snapshot": weights, "importance": nothing, "collected": nothing}
        return found | ({"yielding": self._yielding(nothing)} if self.curvature == "full" else {})

    def keep(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        if self.every is not None and token.position and token.position % self.every == 0:
            buffers = buffers | self._closed(weights, buffers)
        elif self.boundary is not None and bool((begins := token.gates["boundary"] > 0.5).any()):
            buffers = buffers | {
                group: {
                    name: torch.where(_beside(begins, leaf), leaf, buffers[group][name])
                    for name, leaf in leaves.items()
                }
                for group, leaves in self._closed(weights, buffers).items()
            }
        if self.curvature == "gradient":
            return weights, buffers
        collected = {
            name: leaf + self._importance(leaf, token.key)
            for name, leaf in buffers["collected"].items()
        }
        return weights, buffers | {"collected": collected}

    def settle(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        if self.curvature == "gradient":
            assert token.weights is not None
            collected = {
                name: leaf + (weights[name] - token.weights[name]).square()
                for name, leaf in buffers["collected"].items()
            }
            buffers = buffers | {"collected": collected}
        settled: Weights = {}
        for name, leaf in weights.items():
            old = buffers["snapshot"][name]
            if self.curvature == "full":
                settled[name] = old + (leaf - old) @ buffers["yielding"][name]
            else:
                settled[name] = old + (leaf - old) / (
                    1 + self.strength * buffers["importance"][name]
                )
        return settled, buffers

    def settle_formula(self, accumulator: str) -> list[str]:
        held = "H" if self.curvature == "full" else "h"
        held = held if self.strength == 1 else f"{self.strength:g} {held}"
        by = {
            "full": f" (I + {held})⁻¹",
            "diagonal": f" Diag(1 / (1 + {held}))",
            "gradient": f" ⊙ 1 / (1 + {held})",
        }[self.curvature]
        sums = {
            "full": "H: sum of k kᵀ",
            "diagonal": "h: sum of k ⊙ k",
            "gradient": "h: sum of squared changes of each weight",
        }[self.curvature]
        aged = "" if self.discount == 1 else f", times {self.discount:g} at each boundary"
        return [
            f"{accumulator} ← W* + ({accumulator} − W*){by}",
            f"W*: the weights at the last boundary; {sums} before it{aged}",
        ]

    def _importance(self, leaf: Tensor, key: Tensor) -> Tensor:
        """What one key adds to the importance of a leaf."""
        if self.curvature == "full":
            return key[..., :, None] * key[..., None, :]
        return leaf if self.curvature == "gradient" else key[..., None, :].square()

    def _closed(self, weights: Weights, buffers: Buffers) -> Buffers:
        """The buffers after the end of a segment."""
        new = buffers["collected"]
        importance = {
            name: self.discount * leaf + new[name] for name, leaf in buffers["importance"].items()
        }
        nothing = {name: torch.zeros_like(leaf) for name, leaf in new.items()}
        found = {"snapshot": weights, "importance": importance, "collected": nothing}
        full = self.curvature == "full"
        return found | ({"yielding": self._yielding(importance)} if full else {})

    def _yielding(self, importance: Weights) -> Weights:
        """(I + strength H)^-1: how far each direction still gives way."""
        found: Weights = {}
        for name, leaf in importance.items():
            one = torch.eye(leaf.shape[-1], dtype=leaf.dtype, device=leaf.device)
            found[name] = solution(one + self.strength * leaf, one.expand_as(leaf))
        return found


def _beside(flags: Tensor, leaf: Tensor) -> Tensor:
    """Flags `[batch, heads]` with an axis of one for each further axis of a leaf."""
    return flags.reshape(*flags.shape, *[1] * (leaf.ndim - flags.ndim))
