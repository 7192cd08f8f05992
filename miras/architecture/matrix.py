"""A linear map from keys to values."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from miras.architecture import Architecture, Gates, Leaf, Weights, apply
from miras.gate import Axis


class Matrix(Architecture):
    """W in R^(value x key), prediction W k, read W q, starting at zero.

    With `normaliser` the read is W q / (z . q), z_t = alpha_t z_{t-1} + step_t k_t: the same memory
    with a value channel of ones appended (catalogue rule R9), which needs positive features.

    Source: fast weight programmers (Schmidhuber 1992; arXiv 2102.11174); the normaliser is equation
    9 of linear attention (arXiv 2006.16236).
    """

    kind: Literal["matrix"] = "matrix"
    normaliser: bool = Field(default=False, description="divide reads by what was written in all")
    linear: ClassVar[bool] = True
    factored: ClassVar[bool] = True
    together: ClassVar[bool] = True
    axes: ClassVar[frozenset[Axis]] = frozenset({"scalar", "key", "value", "both"})

    @property
    def matrices(self) -> bool:
        return True

    @property
    def normalised(self) -> bool:
        return self.normaliser

    def leaves(self, key_dim: int, value_dim: int) -> dict[str, Leaf]:
        return {"matrix": Leaf((value_dim, key_dim), ("value", "key"), 0.0)}

    def predict(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        return apply(weights["matrix"], key)

    def formula(self, weights: str, key: str) -> str:
        return f"{weights} {key}"

    def gradient_formula(self, weights: str, key: str, error: str) -> str:
        return f"{error} {key}ᵀ"
