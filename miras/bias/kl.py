"""Cross entropy between distributions."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from miras.bias import Bias, Gates


class KullbackLeibler(Bias):
    """loss = KL(softmax(v) | softmax(M(k))), error = softmax(M(k)) - softmax(v).

    Prediction and target are logits: a number added to all their entries changes nothing. No entry
    of the error exceeds 1 and its slope is at most 1/2, so long steps are safe.

    Source: MIRAS (arXiv 2504.13173), section 5.1, names the family and does not work it out; the
    error is the gradient of the usual cross entropy.
    """

    kind: Literal["kl"] = "kl"
    bounded: ClassVar[bool] = True
    of_difference: ClassVar[bool] = False

    @property
    def slope(self) -> float:
        return 0.5

    def loss(self, prediction: Tensor, target: Tensor, gates: Gates) -> Tensor:
        wanted = target.log_softmax(-1)
        return (wanted.exp() * (wanted - prediction.log_softmax(-1))).sum(-1)

    def error(
        self, prediction: Tensor, target: Tensor, gates: Gates, limit: Tensor | None = None
    ) -> Tensor:
        return prediction.softmax(-1) - target.softmax(-1)

    def formula(
        self, prediction: str, target: str, gates: Mapping[str, str], limit: str | None = None
    ) -> str:
        return f"softmax({prediction}) − softmax({target})"
