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


def _bare(value: Any) -> Any:
    """The number without its formula."""
    return int(value) if isinstance(value, int) else float(value)


def _combined(sign: str, left: Any, right: Any, value: Any) -> Any:
    of = left if isinstance(left, Number) else right
    formula = Formula(sign, (left, right))
    guard = cast(Number, of).guard
    if isinstance(value, float):
        return Ratio.of(value, formula, guard)
    return Size.of(value, formula, guard)


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
        plain, bare = _bare(self), _bare(other)
        if isinstance(plain, float) or isinstance(bare, float):
            plain, bare = float(plain), float(bare)
        value: Any = getattr(plain, name)(bare)
        if value is NotImplemented:
            return value
        sides = (other, self) if backwards else (self, other)
        return _combined(sign, *sides, value)

    return operation


def _comparison(name: str, sign: str) -> Callable[[Any, Any], Any]:
    def operation(self: Any, other: Any) -> Any:
        bare = _bare(other) if isinstance(other, Number) else other
        value: Any = getattr(_bare(self), name)(bare)
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
    return _combined("*", -1, self, -_bare(self))


def _truth(self: Any) -> bool:
    value = bool(_bare(self))
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
