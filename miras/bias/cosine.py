"""The angle between prediction and target."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from miras.bias import Bias, Gates


class Cosine(Bias):
    """loss = -p . u / n, error = -(I - p p^T / n^2) u / n, p = M(k), u = v / |v|.

    n = sqrt(|p|^2 + s): only the direction of a value is stored. With s = 0 the error would be
    infinite for a memory that is still zero; s is where it becomes that of `dot` instead.

    Source: Wang et al., NormFace (arXiv 1704.06369), equation 3, for the gradient through a
    normalised vector; as an attentional bias none that is known.
    """

    kind: Literal["cosine"] = "cosine"
    smoothing: float = Field(default=0.1, gt=0.0, le=1.0, description="s, in squared value units")
    bounded: ClassVar[bool] = True
    of_difference: ClassVar[bool] = False

    @property
    def slope(self) -> float:
        return 1.0 / self.smoothing

    def loss(self, prediction: Tensor, target: Tensor, gates: Gates) -> Tensor:
        return -(prediction * _unit(target)).sum(-1) / self._length(prediction)[..., 0]

    def error(
        self, prediction: Tensor, target: Tensor, gates: Gates, limit: Tensor | None = None
    ) -> Tensor:
        unit, length = _unit(target), self._length(prediction)
        along = (prediction * unit).sum(-1, keepdim=True) / length.square()
        return (prediction * along - unit) / length

    def _length(self, prediction: Tensor) -> Tensor:
        return (prediction.square().sum(-1, keepdim=True) + self.smoothing).sqrt()

    def formula(
        self, prediction: str, target: str, gates: Mapping[str, str], limit: str | None = None
    ) -> str:
        names = f"p = {prediction}, u = {target} / ‖{target}‖, n = √(‖p‖² + {self.smoothing:g})"
        return f"(p (p · u) / n² − u) / n, {names}"


def _unit(target: Tensor) -> Tensor:
    return F.normalize(target, dim=-1, eps=1e-6)
