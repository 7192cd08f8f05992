"""Whole numbers that remember how they came about: a size of a tensor, a position, sums of them."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

Guard = Callable[[str, "Number", object, bool], None]
"""Is told of every comparison: its sign, both sides, what came out."""


class Formula(NamedTuple):
    """How a number was made: `name`, `shape` of a tensor, or an operation on others."""

    operation: str
    parts: tuple[Any, ...]


class Number:
    """What whole and broken numbers share."""

    formula: Formula
    guard: Guard | None


def _combined(sign: str, left: Any, right: Any, value: Any) -> Any:
    of = left if isinstance(left, Number) else right
    formula = Formula(sign, (left, right))
    kind = Ratio if isinstance(value, float) else Size
    return kind.of(value, formula, cast(Number, of).guard)


class Size(int, Number):
    """A whole number with its formula."""

    @classmethod
    def of(cls, value: int, formula: Formula, guard: Guard | None = None) -> "Size":
        """The number of this value."""
        found = cls(value)
        found.formula, found.guard = formula, guard
        return found

    def __reduce__(self) -> Any:
        return int, (int(self),)


class Ratio(float, Number):
    """A number that was computed from a whole one."""

    @classmethod
    def of(cls, value: float, formula: Formula, guard: Guard | None = None) -> "Ratio":
        """The number of this value."""
        found = cls(value)
        found.formula, found.guard = formula, guard
        return found


def _arithmetic(name: str, sign: str, backwards: bool) -> Callable[[Any, Any], Any]:
    def operation(self: Any, other: Any) -> Any:
        if not isinstance(other, int | float) or isinstance(other, bool):
            return NotImplemented
        base: Any = int if isinstance(self, int) else float
        plain: Any = base(self)
        if isinstance(self, int) and isinstance(other, float):
            plain = float(plain)
        bare: Any = int(other) if isinstance(other, int) else float(other)
        if isinstance(plain, float):
            bare = float(bare)
        value: Any = getattr(plain, name)(bare)
        if value is NotImplemented:
            return value
        sides = (other, self) if backwards else (self, other)
        return _combined(sign, *sides, value)

    return operation


def _comparison(name: str, sign: str) -> Callable[[Any, Any], Any]:
    def operation(self: Any, other: Any) -> Any:
        base: Any = int if isinstance(self, int) else float
        bare: Any = other
        if isinstance(other, Number):
            bare = int(other) if isinstance(other, int) else float(cast(Any, other))
        value: Any = getattr(base(self), name)(bare)
        if isinstance(value, bool) and self.guard is not None:
            self.guard(sign, self, other, value)
        return value

    return operation


_SIGNS = {
    **{"add": "+", "sub": "-", "mul": "*", "floordiv": "//"},
    **{"truediv": "/", "mod": "%", "pow": "**"},
}
_COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}


def _negative(self: Any) -> Any:
    base: Any = int if isinstance(self, int) else float
    return _combined("*", -1, self, -base(self))


def _truth(self: Any) -> bool:
    value = bool((int if isinstance(self, int) else float)(self))
    if self.guard is not None:
        self.guard("!=", self, 0, value)
    return value


for _kind in (Size, Ratio):
    setattr(_kind, "__bool__", _truth)  # noqa: B010
    _kind.__neg__ = cast(Any, _negative)
    for _name, _sign in _SIGNS.items():
        setattr(_kind, f"__{_name}__", _arithmetic(f"__{_name}__", _sign, False))
        setattr(_kind, f"__r{_name}__", _arithmetic(f"__r{_name}__", _sign, True))
    for _name, _sign in _COMPARISONS.items():
        setattr(_kind, f"__{_name}__", _comparison(f"__{_name}__", _sign))
    setattr(_kind, "__hash__", (int if _kind is Size else float).__hash__)  # noqa: B010


class Shape(tuple[int, ...]):
    """Sizes of a tensor, as `torch.Size` has them."""

    def numel(self) -> int:
        """Their product."""
        found: int = 1
        for size in self:
            found = found * size
        return found
