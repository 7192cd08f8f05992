"""Reads the equations that `miras explain` prints and computes with them, token by token.

Vectors are columns. A product is a matrix product, or a multiple if one side is a number; `⊙` and
`/` act entry by entry, `·` between two columns is their dot product.
"""

import re
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

TOKEN = re.compile(
    r"\d+(?:\.\d+)?(?:e-\d+)?"
    r"|[A-Za-zαβηδεκ]+[ᵏᵛ′]?(?:_(?:\{t−1\}|[a-zξρσ]+))?"
    r"|[-+−/·⊙()‖,²^ᵀ√∞]"
)

FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "silu": F.silu,
    "elu": F.elu,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "rotate": lambda x, *_: x,  # by nothing: positions modulo 1
    "Diag": lambda x: torch.diag(x[:, 0]),
    "clip": lambda x, low, high: torch.maximum(torch.minimum(x, high), low),
    "max": lambda x, *others: torch.maximum(x, *others) if others else x.max(),
    "min": torch.minimum,
    "√": torch.sqrt,
}


def calculate(text: str, values: dict[str, Tensor]) -> Tensor:
    """The right side of an equation."""
    text, _, remark = text.replace("t mod 1", "0").partition(", r = ")
    if remark:
        values = values | {"r": calculate(remark, values)}
    for slice_, dim in ((" over columns", -1), (" over rows", -2)):
        if text.endswith(slice_):
            inner = text.removesuffix(slice_).replace("softmax", "")
            return calculate(inner, values).softmax(dim)
    inside, _, outside = text.partition(", else ")
    if outside:
        inside, _, condition = inside.partition(" if ")
        size, _, bound = condition.partition(" ≤ ")
        within = calculate(size, values) <= calculate(bound, values)
        return calculate(inside if within else outside, values)
    reader = _Reader(TOKEN.findall(text), values)
    found = reader.sum()
    assert not reader.rest, f"{reader.rest} is left of {text}"
    return found


class _Reader:
    def __init__(self, tokens: list[str], values: dict[str, Tensor]) -> None:
        self.rest, self.values = tokens, values

    def next(self, *wanted: str) -> str:
        if self.rest and (not wanted or self.rest[0] in wanted):
            return self.rest.pop(0)
        return ""

    def sum(self) -> Tensor:
        found = -self.product() if self.next("−") else self.product()
        while sign := self.next("+", "−"):
            other = self.product()
            found = found + other if sign == "+" else found - other
        return found

    def product(self) -> Tensor:
        found = self.power()
        while self.rest and self.rest[0] not in (")", ",", "+", "−"):
            sign = self.next("/", "⊙", "·")
            other = self.power()
            if sign == "/":
                found = found / other
            elif sign == "·" and found.ndim == other.ndim == 2:
                found = (found * other).sum()
            elif sign == "⊙" or found.ndim == 0 or other.ndim == 0:
                found = found * other
            else:
                found = found @ other
        return found

    def power(self) -> Tensor:
        found = self.atom()
        while sign := self.next("²", "^", "ᵀ"):
            two = torch.tensor(2.0).double()
            found = found.T if sign == "ᵀ" else found ** (two if sign == "²" else self.atom())
        return found

    def atom(self) -> Tensor:
        token = self.next()
        if token == "(":
            return self.closed(self.sum(), ")")
        if token == "‖":
            inner = _Reader(self.rest[: self.rest.index("‖")], self.values)
            del self.rest[: self.rest.index("‖") + 1]
            return inner.sum().norm()
        if token in FUNCTIONS:
            assert self.next("(")
            given = [self.sum()]
            while self.next(","):
                given.append(self.sum())
            return self.closed(FUNCTIONS[token](*given), ")")
        if token[0].isdigit():
            return torch.tensor(float(token), dtype=torch.float64)
        if token == "∞":
            return torch.tensor(float("inf"), dtype=torch.float64)
        return self.values[token]

    def closed(self, found: Tensor, end: str) -> Tensor:
        assert self.next(end), f"{end} before {self.rest}"
        return found
