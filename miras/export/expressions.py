"""Python expressions as text, broken into lines where they are too long."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

WIDTH = 100
ATOM, POWER, UNARY, PRODUCT, SUM, COMPARED, INVERTED = 10, 8, 7, 6, 5, 3, 2
STRENGTH = {
    **{"**": POWER, "*": PRODUCT, "/": PRODUCT, "//": PRODUCT, "%": PRODUCT, "@": PRODUCT},
    **{"+": SUM, "-": SUM, "&": 4, "|": 4, "<": COMPARED, "<=": COMPARED, ">": COMPARED},
    **{">=": COMPARED, "==": COMPARED, "!=": COMPARED},
}


class Text(NamedTuple):
    """An expression that stands in one piece."""

    text: str
    strength: int = ATOM


class Operation(NamedTuple):
    """left sign right."""

    sign: str
    left: "Expression"
    right: "Expression"


class Group(NamedTuple):
    """head(item, item): a call, an index, a list."""

    head: "Expression | None"
    opening: str
    items: "Sequence[Expression]"
    closing: str


class Member(NamedTuple):
    """owner.name."""

    owner: "Expression"
    name: str


class Prefixed(NamedTuple):
    """A sign or a name before an expression: -x, *x, dim=x."""

    sign: str
    inner: "Expression"


Expression = Text | Operation | Group | Member | Prefixed


def call(head: Expression, items: Sequence[Expression]) -> Group:
    """head(items)."""
    return Group(head, "(", items, ")")


def strength(expression: Expression) -> int:
    """How firmly it holds together: the more, the fewer brackets."""
    if isinstance(expression, Text):
        return expression.strength
    if isinstance(expression, Operation):
        return STRENGTH[expression.sign]
    return UNARY if isinstance(expression, Prefixed) else ATOM


def flat(expression: Expression) -> str:
    """In one line."""
    if isinstance(expression, Text):
        return expression.text
    if isinstance(expression, Operation):
        own = STRENGTH[expression.sign]
        left = _held(expression.left, own + (expression.sign == "**"))
        bare = expression.sign == "**" and isinstance(expression.right, Text)
        return f"{left} {expression.sign} {_held(expression.right, own + (not bare) - bare)}"
    if isinstance(expression, Member):
        return f"{_held(expression.owner, ATOM)}.{expression.name}"
    if isinstance(expression, Prefixed):
        least = UNARY if expression.sign in "-~" else 0
        return expression.sign + _held(expression.inner, least)
    head = "" if expression.head is None else _held(expression.head, ATOM)
    items = ", ".join(flat(item) for item in expression.items)
    alone = expression.head is None and expression.opening == "(" and len(expression.items) == 1
    return f"{head}{expression.opening}{items}{',' if alone else ''}{expression.closing}"


def _held(expression: Expression, least: int) -> str:
    text = flat(expression)
    return f"({text})" if strength(expression) < least else text


def lines(before: str, expression: Expression, after: str = "", indent: int = 0) -> list[str]:
    """`before` and an expression, in as many lines as it takes."""
    space = " " * indent
    whole = f"{space}{before}{flat(expression)}{after}"
    if len(whole) <= WIDTH:
        return [whole]
    if isinstance(expression, Prefixed):
        inner = expression.inner
        if expression.sign in "-~" and strength(inner) < UNARY:
            inner = Group(Text(""), "(", [inner], ")")
        return lines(before + expression.sign, inner, after, indent)
    if isinstance(expression, Operation):
        found = [f"{space}{before}("]
        terms = _terms(expression, STRENGTH[expression.sign])
        for sign, term in terms:
            held = strength(term) <= STRENGTH[expression.sign] and sign not in ("", "+", "*")
            inner = Group(Text(""), "(", [term], ")") if held else term
            lead = f"{sign} " if sign else ""
            found += lines(lead, inner, "", indent + 4)
        return [*found, f"{space}){after}"]
    if isinstance(expression, Group) and expression.items:
        head = "" if expression.head is None else _held(expression.head, ATOM)
        start = f"{space}{before}{head}{expression.opening}"
        if len(start) <= WIDTH:
            inside = ", ".join(flat(item) for item in expression.items)
            if len(inside) + indent + 4 <= WIDTH and expression.opening != "[":
                return [start, f"{space}    {inside}", f"{space}{expression.closing}{after}"]
            found = [start]
            for item in expression.items:
                found += lines("", item, ",", indent + 4)
            return [*found, f"{space}{expression.closing}{after}"]
        if isinstance(expression.head, Member):
            owner = lines(before, expression.head.owner, "", indent)
            rest = f".{expression.head.name}{expression.opening}"
            owner[-1] += rest + ", ".join(flat(item) for item in expression.items)
            owner[-1] += expression.closing + after
            return owner
    return [whole]


def _terms(expression: Expression, own: int) -> list[tuple[str, Expression]]:
    """The terms of a chain of operations of one strength."""
    if isinstance(expression, Operation) and STRENGTH[expression.sign] == own:
        return [*_terms(expression.left, own), (expression.sign, expression.right)]
    return [("", expression)]


def literal(value: Any) -> Expression:
    """A constant of Python as an expression."""
    if isinstance(value, float):
        text = repr(value)
        if value in (float("inf"), float("-inf")):
            text = "torch.inf" if value > 0 else "-torch.inf"
        elif math.isnan(value):
            text = "torch.nan"
        return Text(text, UNARY if text.startswith("-") else ATOM)
    if isinstance(value, int) and not isinstance(value, bool):
        return Text(str(int(value)), UNARY if value < 0 else ATOM)
    if isinstance(value, str):
        return Text('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"')
    if value is Ellipsis:
        return Text("...")
    return Text(repr(value))
