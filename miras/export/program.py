"""A recorded program as lines of Python."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from miras.export.expressions import Text, call, flat, lines
from miras.export.nodes import Node, Program, Ref, references
from miras.export.spelling import Speller, changes, root

VAGUE = {"leaf", "found", "x", "out", "each", "now", "here", "part", "y", "result", "own", "at"}
"""Names of variables that say nothing of what is in them."""

LONG = 72
"""Expressions that are longer get a name."""

CALLED = {
    **{"predict": "prediction", "respond": "prediction", "error": "error", "read": "read"},
    **{"scale": "kept", "keep": "kept", "pull": "gradient", "stepped": "change", "link": "shown"},
    **{"step_sizes": "size", "guard": "limit", "update": "change", "move": "change"},
    **{"candidate": "candidate", "target": "target", "resolve": "seen", "carry": "carried"},
    **{"settle": "settled", "map": "mapped", "sensitivity": "sensitivity", "local": "own"},
    **{"write": "written", "recurrence": "states"},
}
"""What functions give back, by their names."""

OF_LEAVES = {"kept", "change", "gradient", "shown", "written", "settled", "carried"}
"""Of these there is one per tensor of the state."""


BARE = ("input", "constant")
"""Nodes that are no operations."""


class Written(NamedTuple):
    """Statements of a function's body, and the names under which its results stand."""

    lines: list[str]  # one string per statement or comment, with its own line ends
    results: dict[str, str]
    used: set[str]  # inputs


class Writer:
    """Turns one program into statements."""

    def __init__(
        self,
        program: Program,
        like: str,
        title: Callable[[Node], str],
        indent: int,
        primitives: Mapping[str, str] | None = None,
        taken: Iterable[str] = (),
    ) -> None:
        self.program, self.title, self.indent = program, title, indent
        self.spell = Speller(like, primitives or {})
        self.wanted: dict[Ref, str] = {}
        for name, value in program.results.items():
            if name and isinstance(value, Ref) and value.node.operation not in BARE:
                self.wanted.setdefault(value, name)
        self.live, self.uses = self._alive()
        self.errors = self._errors()
        self.owner: dict[str, Ref] = {}
        for name, node in program.inputs.items():
            self.spell.names[Ref(node)] = name
            self.owner[name] = Ref(node)
        self.taken = set(taken)
        states = [name for name in program.inputs if name in program.results]
        self.several = set(states) if len(states) > 1 else set[str]()
        self.last = self._last_uses()

    def write(self) -> Written:
        """The statements."""
        before = ""
        text: list[str] = []
        for place, node in enumerate(self.live):
            statements = self._statement(node, place)
            title = self.title(node)
            if statements and title != before and title:
                text.append(f"{' ' * self.indent}# {title}")
                before = title
            if statements:
                text.append("\n".join(statements))
        results = {name: flat(self.spell.expression(value)) for name, value in self._results()}
        return Written(text, results, self.spell.used)

    def _results(self) -> Iterator[tuple[str, Any]]:
        yield from self.program.results.items()

    def _alive(self) -> tuple[list[Node], Counter[Ref]]:
        """Operations that results depend on, and how often each result is used."""
        uses: Counter[Ref] = Counter(references(list(self.program.results.values())))
        needed = {ref.node for ref in uses}
        kept: list[Node] = []
        for node in reversed(self.program.nodes):
            effect = changes(node) and any(
                ref.node in needed for ref in references(node.arguments[:1])
            )
            if node not in needed and not effect:
                continue
            kept.append(node)
            inside = node.inner
            refs = [*references((node.arguments, dict(node.options)))]
            if inside is not None:
                refs += [ref for each in inside.nodes for ref in references(each.arguments)]
                refs += [ref for each in inside.nodes for ref in references(dict(each.options))]
                own = set(inside.nodes) | set(inside.inputs.values())
                refs = [ref for ref in refs if ref.node not in own]
                refs += refs  # what a function looks at has a name
            for ref in refs:
                uses[ref] += 1
                needed.add(ref.node)
        return kept[::-1], uses

    def _errors(self) -> set[Node]:
        """What the attentional bias gives back: it always gets a name."""
        used = {
            ref.node
            for node in self.live
            if node.at.axis != "bias"
            for ref in references((node.arguments, dict(node.options)))
        }
        return {node for node in used if node.at.axis == "bias"}

    def _last_uses(self) -> dict[Ref, int]:
        """The statement after which a result is no longer looked at."""
        found: dict[Ref, int] = {}
        for place, node in enumerate(self.live):
            refs = list(references((node.arguments, dict(node.options))))
            if node.inner is not None:
                for each in node.inner.nodes:
                    refs += references((each.arguments, dict(each.options)))
            for ref in refs:
                found[ref] = place
        for ref in references(list(self.program.results.values())):
            found[ref] = len(self.live)
        # What is written inside a later expression is looked at there.
        for node in reversed(self.live):
            if node.count == 0 and not self._named(node):
                end = found.get(Ref(node), -1)
                for ref in references((node.arguments, dict(node.options))):
                    found[ref] = max(found[ref], end)
        return found

    def _named(self, node: Node) -> bool:
        """Whether a result gets a name of its own."""
        ref = Ref(node)
        if ref in self.wanted or self._effect(node):
            return True
        if node.operation == "alias" or self.uses[ref] > 1:
            return node.operation != "alias"
        return bool(self._hint(node)) or node in self.errors

    def _effect(self, node: Node) -> bool:
        """Whether an operation changes a tensor that others look at."""
        target = node.arguments[0] if changes(node) else None
        return isinstance(target, Ref) and (self.uses[target] > 1 or target.node.operation in BARE)

    def _hint(self, node: Node) -> str:
        name = node.at.names[0] if len(node.at.names) == 1 else ""
        return "" if name in VAGUE or name.startswith("_") else name

    def _statement(self, node: Node, place: int) -> list[str]:
        if node.operation == "vjp":
            return self._derived(node, place)
        if node.count:
            return self._several(node, place)
        ref = Ref(node)
        expression = self.spell.operation(node)
        if self._effect(node):
            target = node.arguments[0]
            self.spell.names[ref] = flat(self.spell.expression(target))
            return lines("", expression, indent=self.indent)
        short = len(flat(expression)) <= LONG or node.operation == "alias"
        if not self._named(node) and short:
            self.spell.written[ref] = expression
            return []
        name = self._name(ref, self._hint(node) or self._guess(node), place)
        return lines(f"{name} = ", expression, indent=self.indent)

    def _several(self, node: Node, place: int) -> list[str]:
        expression = self.spell.operation(node)
        names: list[str] = []
        for index in range(node.count):
            ref = Ref(node, index)
            if not self.uses[ref]:
                names.append("_")
                continue
            hint = node.at.names[index] if len(node.at.names) == node.count else ""
            if node.operation == "pull" and not hint:
                leaves = list(cast(Program, node.arguments[0].node.inner).inputs)
                hint = f"{leaves[index]}_gradient"
            names.append(self._name(ref, hint or f"part_{index + 1}", place))
        left = ", ".join(names) + ("," if len(names) == 1 else "")
        return lines(f"{left} = ", expression, indent=self.indent)

    def _derived(self, node: Node, place: int) -> list[str]:
        """A function of weights, its value and what pulls errors back through it."""
        assert node.inner is not None
        parameters = list(node.inner.inputs)
        inner = Writer(
            node.inner,
            self.spell.like,
            self.title,
            self.indent + 4,
            self.spell.primitives,
            self.owner,
        )
        inner.spell.names |= {
            ref: name for ref, name in self.spell.names.items() if name not in parameters
        }
        inner.spell.written = dict(self.spell.written)
        body = inner.write()
        self.spell.used |= body.used - set(parameters)
        function = self._fresh("predict")
        space = " " * self.indent
        signature = ", ".join(f"{name}: Tensor" for name in parameters)
        head = [f"{space}def {function}({signature}) -> Tensor:"]
        end = [f"{space}    return {body.results['']}"]
        given = [self.spell.expression(each) for each in node.arguments]
        prediction = self._name(Ref(node, 0), "prediction", place)
        pull = self._name(Ref(node, 1), "pull", place) if self.uses[Ref(node, 1)] else "_"
        expression = call(Text("torch.func.vjp"), [Text(function), *given])
        value = lines(f"{prediction}, {pull} = ", expression, indent=self.indent)
        return ["", *head, *body.lines, *end, "", *value]

    def _guess(self, node: Node) -> str:
        at = node.at
        name = root(node)
        if name:
            return name
        name = CALLED.get(at.function) or CALLED.get(at.method)
        if name is None:
            return "term"
        source = next((ref for ref in references(node.arguments)), None)
        while source is not None and source.node.operation not in BARE:
            source = next((ref for ref in references(source.node.arguments)), None)
        leaf = "" if source is None else str(source.node.arguments[0])
        return f"{name}_{leaf}" if leaf in self.several and name in OF_LEAVES else name

    def _name(self, ref: Ref, hint: str, place: int) -> str:
        name = self._fresh(self.wanted.get(ref, hint), place)
        self.spell.names[ref] = name
        self.owner[name] = ref
        return name

    def _fresh(self, hint: str, place: int = -1) -> str:
        stem, number, name = hint, 1, hint
        if hint in self.program.inputs and self._used_later(hint, place):
            stem = name = f"new_{hint}"
        if hint.rpartition("_")[2].isdigit():
            stem = hint.rpartition("_")[0]
        while name in self.taken or self._used_later(name, place):
            number += 1
            name = f"{stem}_{number}"
        return name

    def _used_later(self, name: str, place: int) -> bool:
        if name not in self.owner:
            return False
        return place < 0 or self.last.get(self.owner[name], -1) > place
