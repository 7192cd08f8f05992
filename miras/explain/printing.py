"""An explanation as text, as a person reads it first."""

from collections.abc import Iterable
from textwrap import wrap

from miras.explain.counting import LENGTH
from miras.explain.explanation import Constant, Explanation, Gate, Relative
from miras.explain.legend import line

WIDTH = 98


def text(found: Explanation) -> str:
    """The explanation in sections, lines of at most 100 columns where equations allow."""
    sections = {
        found.name or "A memory without a name": [*_wrapped(found.paper), *_wrapped(found.summary)],
        "Choices": _choices(found),
        "Update": _aligned(found.update),
        "Read": _aligned(found.read),
        "Where": [*_wrapped(line(found.symbols)), *_hanging(found.where), *_wrapped(found.pace)],
        "In the paper": _wrapped(found.paper_equation),
        "Gates, made from the layer's input x": _hanging(_gates(found)),
        "Learned constants": _hanging(constant(each) for each in found.constants),
        f"State of {sizes(found)}": _hanging([state(found)]),
        "Multiply-adds per token": _wrapped(work(found)),
        "Plans that are exact for it, work per token and head": _plan(found),
        "Equal to": [line for each in found.equals for line in _relative(each)],
        "Nearest": _relative(found.nearest),
        "Departures from the paper": _listed(found.departures),
        "Warnings": _listed(found.warnings),
    }
    blocks = (
        "\n".join((title, *(f"  {line}" for line in lines)))
        for title, lines in sections.items()
        if lines
    )
    return "\n\n".join((*blocks, f"Key {found.key}"))


def _wrapped(sentence: str) -> list[str]:
    return wrap(sentence, WIDTH)


def _listed(sentences: Iterable[str]) -> list[str]:
    return [
        line
        for sentence in sentences
        for line in wrap(sentence, WIDTH, initial_indent="- ", subsequent_indent="  ")
    ]


def _aligned(equations: tuple[str, ...]) -> list[str]:
    """Equations, one below the other by their first sign."""
    parts = [_parted(equation) for equation in equations]
    width = max((len(left) for left, _ in parts), default=0)
    lines = [f"{left:<{width}} {right}" for left, right in parts]
    return _hanging(lines, " " * (min(width, WIDTH // 2) + 5))


def _hanging(lines: Iterable[str], indent: str = "    ") -> list[str]:
    """Lines, those that are too long go on below themselves."""
    return [
        part for line in lines for part in ([line] if len(line) <= WIDTH else _broken(line, indent))
    ]


def _broken(line: str, indent: str) -> list[str]:
    start = line[: len(line) - len(line.lstrip())]
    return wrap(line, WIDTH, initial_indent=start, subsequent_indent=start + indent)


def _parted(equation: str) -> tuple[str, str]:
    places = [at for sign in (" = ", " ← ") if (at := equation.find(sign)) >= 0]
    at = min(places, default=-1)
    return (equation[:at], equation[at + 1 :]) if at >= 0 else ("", equation)


def _choices(found: Explanation) -> list[str]:
    short = [each for each in found.choices if len(each.chosen) <= 40]
    width = max((len(each.chosen) for each in short), default=0)
    lines: list[str] = []
    for each in found.choices:
        lines.append(f"{each.slot:<12}  {each.chosen:<{width}}  {each.title}".rstrip())
        if each not in short:
            lines[-1:] = [f"{each.slot:<12}  {each.title}", f"{'':<14}{each.chosen}"]
    return _hanging(lines)


def _gates(found: Explanation) -> list[str]:
    lines: list[str] = []
    for gate in found.gates:
        if gate.made:
            lines.append(f"{gate.written} = {gate.made}")
            lines.append(f"    {meaning(gate)}")
        else:
            lines.append(f"{gate.name} = {gate.written}")
    return lines


def meaning(gate: Gate) -> str:
    """Name, shape and range of a gate, and what it does."""
    span = f"{gate.low:g} and up" if gate.high is None else f"{gate.low:g} to {gate.high:g}"
    return f"{gate.name}, {gate.shape}, {span}: {gate.meaning}"


def constant(found: Constant) -> str:
    """Name, shape and meaning of what a layer learns."""
    shape = ", ".join(str(size) for size in found.shape)
    return f"{found.name} [{shape}] per head: {found.meaning}"


def sizes(found: Explanation) -> str:
    """The layer whose numbers are given."""
    return f"{found.heads} heads, keys of {found.key_dim}, values of {found.value_dim}"


def state(found: Explanation) -> str:
    """How much is kept for a sequence, and of what."""
    after = f" after {LENGTH:,} tokens, {found.growth:,} more per token" if found.growth else ""
    whole = f"{found.state_floats:,} floats per sequence{after}"
    if len(found.state) < 2:
        return whole
    return whole + ": " + ", ".join(f"{name} {count:,}" for name, count in found.state.items())


def work(found: Explanation) -> str:
    """What the definition costs, and where."""
    at = f" after {LENGTH:,} tokens" if found.growth else ""
    parts = ", ".join(f"{name} {count:,}" for name, count in found.products.items())
    return f"{found.multiply_adds:,} by the definition{at}: {parts}"


def _plan(found: Explanation) -> list[str]:
    width = max((len(plan.name) for plan in found.plans), default=0)
    lines = [f"{plan.name:<{width}}  {plan.complexity}" for plan in found.plans]
    if not lines[1:] or all(plan.chosen for plan in found.plans):
        return lines
    return [f"{lines[0]} (chosen as the cheapest)", *lines[1:]]


def _relative(found: Relative) -> list[str]:
    lines = _wrapped(f"{found.name}: {found.how}")
    return [*lines, *_hanging(f"  {difference}" for difference in found.differences)]
