"""A linear map that is learned in one direction and read in the other."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from miras.architecture import Architecture, Gates, Leaf, Weights, apply
from miras.gate import Axis


class Transposed(Architecture):
    """W in R^(value x key), prediction W k, read W^T q: query and answer are of the other side.

    What Oja's rule does to a matrix is what the delta rule does to its transpose with key and value
    exchanged: the part that a layer calls key here is Oja's value, and its value is Oja's key. Key
    and value have one size, because an answer has the size of a key.

    Source: Oja 1982; as a gated memory, gated_oja_rule of flash-linear-attention. The equality is
    rule R7 of docs/rules.md.
    """

    kind: Literal["transposed"] = "transposed"
    linear: ClassVar[bool] = True
    together: ClassVar[bool] = True
    backwards: ClassVar[bool] = True
    axes: ClassVar[frozenset[Axis]] = frozenset({"scalar", "key", "value", "both"})

    @property
    def plain(self) -> bool:
        return False

    @property
    def of_tokens(self) -> bool:
        return True

    @property
    def matrices(self) -> bool:
        return True

    def leaves(self, key_dim: int, value_dim: int) -> dict[str, Leaf]:
        return {"matrix": Leaf((value_dim, key_dim), ("value", "key"), 0.0)}

    def predict(self, weights: Weights, key: Tensor, gates: Gates) -> Tensor:
        return apply(weights["matrix"], key)

    def read(self, weights: Weights, query: Tensor, gates: Gates) -> Tensor:
        matrix = weights["matrix"]
        assert isinstance(matrix, Tensor)
        return apply(matrix.mT, query)

    def formula(self, weights: str, key: str) -> str:
        return f"{weights} {key}"

    def read_formula(self, weights: str, query: str, gates: Mapping[str, str]) -> str:
        return f"{weights}ᵀ {query}"

    def gradient_formula(self, weights: str, key: str, error: str) -> str:
        return f"{error} {key}ᵀ"
