"""An explanation as a page: what the terminal shows, with its equations typeset."""

from miras.explain.explanation import Explanation, Relative
from miras.explain.legend import line
from miras.explain.printing import constant, meaning, sizes, state, work
from miras.page import Block, Code, Equations, Heading, Items, Table, Terms, Text, to_html


def html(found: Explanation) -> str:
    """The whole page."""
    return to_html(found.name or "A memory without a name", blocks(found))


def blocks(found: Explanation) -> list[Block]:
    """The page without its title."""
    paper = [Text(found.paper)] if found.paper else []
    written = (
        [Heading("In the paper"), Code(found.paper_equation, wrapped=True)]
        if found.paper_equation
        else []
    )
    return [
        *paper,
        Text(found.summary),
        *computed(found),
        *written,
        *_costs(found),
        *_relatives(found),
        *_listed("Departures from the paper", found.departures),
        *_listed("Warnings", found.warnings),
        Text(f"Key {found.key}"),
    ]


def computed(found: Explanation, level: int = 2) -> list[Block]:
    """Choices and equations: what a memory is, without its costs and relatives."""
    rows = [(each.slot, each.chosen, each.title) for each in found.choices]
    where: list[Block] = [Equations(found.where)] if found.where else []
    pace: list[Block] = [Text(found.pace)] if found.pace else []
    symbols: list[Block] = [Equations([line(found.symbols)])] if found.symbols else []
    return [
        Heading("Choices", level),
        Table(("slot", "choice", "what it is"), rows),
        Heading("Update", level),
        Equations(found.update),
        Heading("Read", level),
        Equations(found.read),
        *([Heading("Where", level)] if where or pace or symbols else []),
        *symbols,
        *where,
        *pace,
        *_made(found, level),
    ]


def _made(found: Explanation, level: int) -> list[Block]:
    """What a layer makes from its input, and what it learns once for all tokens."""
    gates = [
        (f"{gate.written} = {gate.made}", meaning(gate))
        if gate.made
        else (f"{gate.name} = {gate.written}", "")
        for gate in found.gates
    ]
    learned = [constant(each) for each in found.constants]
    title = "Gates, made from the layer's input x"
    return [
        *([Heading(title, level), Terms(gates)] if gates else []),
        *([Heading("Learned constants", level), Items(learned)] if learned else []),
    ]


def _costs(found: Explanation) -> list[Block]:
    several = len(found.plans) > 1 and not all(plan.chosen for plan in found.plans)
    rows = [
        (plan.name, plan.complexity, "chosen as the cheapest" if several and plan.chosen else "")
        for plan in found.plans
    ]
    columns = ("plan", "work per token and head", "")
    plans = Table(columns, rows) if several else Table(columns[:2], [row[:2] for row in rows])
    return [
        Heading("Costs"),
        Text(f"State of {sizes(found)}: {state(found)}."),
        Text(f"Multiply-adds per token: {work(found)}."),
        *([Text("Plans that are exact for it:"), plans] if rows else []),
    ]


def _relatives(found: Explanation) -> list[Block]:
    return [
        *_listed("Equal to", tuple(_relative(each) for each in found.equals)),
        *_listed("Nearest", (_relative(found.nearest),)),
    ]


def _relative(found: Relative) -> str:
    told = "; ".join(found.differences)
    return f"{found.name}: {found.how}" + (f" {told}" if told else "")


def _listed(title: str, sentences: tuple[str, ...]) -> list[Block]:
    return [Heading(title), Items(sentences)] if sentences else []
