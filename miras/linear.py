"""Systems of linear equations."""

from typing import Any, cast

import torch
from torch import Tensor


def solution(matrix: Tensor, right: Tensor) -> Tensor:
    """X `[..., rows, columns]` of matrix X = right, matrix `[..., rows, rows]`.

    Not a number where rounding has left the matrix singular: that ends a training as diverged,
    where an exception would end it as broken.
    """
    found, wrong = cast(Any, torch.linalg).solve_ex(matrix, right)
    return cast(Tensor, found).masked_fill(wrong[..., None, None] != 0, float("nan"))
