"""A recorded program as lines of Python."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch

from miras.export.expressions import (
    Expression,
    Group,
    Member,
    Operation,
    Prefixed,
    Text,
    call,
    flat,
    lines,
    literal,
)
from miras.export.recording import Node, Program, Ref, Unwritable, references
from miras.export.sizes import Formula, Number

SIGNS = {
    **{"add": "+", "sub": "-", "mul": "*", "div": "/", "matmul": "@", "pow": "**"},
    **{"remainder": "%", "floor_divide": "//", "gt": ">", "lt": "<", "ge": ">=", "le": "<="},
    **{"eq": "==", "ne": "!=", "and": "&", "or": "|", "truediv": "/", "mod": "%"},
}
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

VIEWS = {"transpose", "permute", "__getitem__", "unflatten", "flatten", "reshape", "mT", "expand"}
"""Operations that show the same numbers in another shape."""

OF_LEAVES = {"kept", "change", "gradient", "shown", "written", "settled", "carried"}
"""Of these there is one per tensor of the state."""


USUAL = (("inplace", False), ("mode", "constant"), ("p", 2.0))
"""Options that torch takes anyway."""

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
        self.program, self.like, self.title, self.indent = program, like, title, indent
        self.primitives = primitives or {}
        self.wanted: dict[Ref, str] = {}
        for name, value in program.results.items():
            if name and isinstance(value, Ref) and value.node.operation not in BARE:
                self.wanted.setdefault(value, name)
        self.live, self.uses = self._alive()
        self.errors = self._errors()
        self.names: dict[Ref, str] = {}
        self.owner: dict[str, Ref] = {}
        for name, node in program.inputs.items():
            self.names[Ref(node)] = name
            self.owner[name] = Ref(node)
        self.taken = set(taken)
        self.used: set[str] = set()
        states = [name for name in program.inputs if name in program.results]
        self.several = set(states) if len(states) > 1 else set[str]()
        self.written: dict[Ref, Expression] = {}
        self.pending: list[str] = []
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
        results = {name: flat(self.expression(value)) for name, value in self._results()}
        return Written(text, results, self.used)

    def _results(self) -> Iterator[tuple[str, Any]]:
        yield from self.program.results.items()

    def _alive(self) -> tuple[list[Node], Counter[Ref]]:
        """Operations that results depend on, and how often each result is used."""
        uses: Counter[Ref] = Counter(references(list(self.program.results.values())))
        needed = {ref.node for ref in uses}
        kept: list[Node] = []
        for node in reversed(self.program.nodes):
            effect = _changes(node) and any(ref.node in needed for ref in references(node.arguments[:1]))
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
        target = node.arguments[0] if _changes(node) else None
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
        expression = self._operation(node)
        if self._effect(node):
            target = node.arguments[0]
            self.names[ref] = flat(self.expression(target))
            if node.operation.endswith("__setitem__"):
                index = Group(self.expression(target), "[", self._index(node.arguments[1]), "]")
                value = self.expression(node.arguments[2])
                return lines(f"{flat(index)} = ", value, indent=self.indent)
            return lines("", expression, indent=self.indent)
        short = len(flat(expression)) <= LONG or node.operation == "alias"
        if not self._named(node) and short:
            self.written[ref] = expression
            return []
        name = self._name(ref, self._hint(node) or self._guess(node), place)
        return lines(f"{name} = ", expression, indent=self.indent)

    def _several(self, node: Node, place: int) -> list[str]:
        expression = self._operation(node)
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
            node.inner, self.like, self.title, self.indent + 4, self.primitives, self.owner
        )
        inner.names |= {ref: name for ref, name in self.names.items() if name not in parameters}
        inner.written = dict(self.written)
        body = inner.write()
        self.used |= body.used - set(parameters)
        function = self._fresh("predict")
        space = " " * self.indent
        signature = ", ".join(f"{name}: Tensor" for name in parameters)
        head = [f"{space}def {function}({signature}) -> Tensor:"]
        end = [f"{space}    return {body.results['']}"]
        given = [self.expression(each) for each in node.arguments]
        prediction = self._name(Ref(node, 0), "prediction", place)
        pull = self._name(Ref(node, 1), "pull", place) if self.uses[Ref(node, 1)] else "_"
        expression = call(Text("torch.func.vjp"), [Text(function), *given])
        value = lines(f"{prediction}, {pull} = ", expression, indent=self.indent)
        return ["", *head, *body.lines, *end, "", *value]

    def _guess(self, node: Node) -> str:
        at = node.at
        name = _root(node)
        if name:
            return name
        name = CALLED.get(at.function) or CALLED.get(at.method)
        if name is None:
            return "term"
        root = next((ref for ref in references(node.arguments)), None)
        while root is not None and root.node.operation not in BARE:
            root = next((ref for ref in references(root.node.arguments)), None)
        leaf = "" if root is None else str(root.node.arguments[0])
        return f"{name}_{leaf}" if leaf in self.several and name in OF_LEAVES else name

    def _name(self, ref: Ref, hint: str, place: int) -> str:
        name = self._fresh(self.wanted.get(ref, hint), place)
        self.names[ref] = name
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

    def statement(self, node: Node) -> Expression:
        """An operation that stands for itself, after all others."""
        return self._operation(node)

    def _used_later(self, name: str, place: int) -> bool:
        if name not in self.owner:
            return False
        return place < 0 or self.last.get(self.owner[name], -1) > place

    def expression(self, value: Any) -> Expression:
        """A value inside an expression."""
        if isinstance(value, Ref):
            if value in self.written:
                return self.written[value]
            if value.node.operation == "constant":
                return Text(value.node.arguments[0])
            if value not in self.names and value.node.operation == "input":
                return Text(str(value.node.arguments[0]))
            if value not in self.names:
                raise Unwritable(f"uses a result of {value.node.operation} before it is there")
            if value.node.operation == "input":
                self.used.add(value.node.arguments[0])
            return Text(self.names[value])
        if isinstance(value, Number):
            return self._number(value.formula)
        if isinstance(value, tuple | list):
            items = [self.expression(each) for each in cast(Sequence[Any], value)]
            return Group(None, *("[", items, "]") if isinstance(value, list) else ("(", items, ")"))
        if isinstance(value, torch.dtype):
            return Text(f"{self.like}.dtype" if value.is_floating_point else str(value))
        if isinstance(value, torch.device):
            return Text(f"{self.like}.device")
        if isinstance(value, slice):
            ends = [value.start, value.stop] + ([value.step] if value.step is not None else [])
            text = ":".join("" if each is None else flat(self.expression(each)) for each in ends)
            return Text(text)
        return literal(value)

    def _number(self, formula: Formula) -> Expression:
        if formula.operation == "name":
            return Text(str(formula.parts[0]))
        if formula.operation == "shape":
            ref, index, rank = formula.parts
            index = index - rank if index >= 2 else index
            shape = Member(self.expression(ref), "shape")
            return Group(shape, "[", [literal(index)], "]")
        left, right = (self.expression(each) for each in formula.parts)
        return Operation(formula.operation, left, right)

    def _index(self, index: Any) -> list[Expression]:
        items = cast(Sequence[Any], index) if isinstance(index, tuple) else (index,)
        return [self.expression(each) for each in items]

    def _operation(self, node: Node) -> Expression:
        path, arguments = node.operation, node.arguments
        options = {name: each for name, each in node.options.items() if each is not None}
        options = {name: each for name, each in options.items() if (name, each) not in USUAL}
        if path == "alias":
            return self.expression(arguments[0])
        if path in self.primitives:
            return call(Text(path), [self.expression(each) for each in arguments])
        if path == "torch.nn.functional.linear" and (layer := _layer(arguments)):
            return call(Text(layer), [self.expression(arguments[0])])
        owner, _, name = path.rpartition(".")
        if path == "pull":
            return call(Text(self.names[arguments[0]]), [self.expression(arguments[1])])
        if owner == "attribute":
            inner = self.expression(arguments[0])
            if name in ("mT", "T") and isinstance(inner, Member) and inner.name == name:
                return inner.owner
            return Member(self.expression(arguments[0]), name)
        bare = name.strip("_")
        if owner == "torch.Tensor":
            if name == "__getitem__":
                return Group(self.expression(arguments[0]), "[", self._index(arguments[1]), "]")
            if bare in SIGNS and len(arguments) == 2 and not options:
                left, right = (self.expression(each) for each in arguments)
                if bare in ("add", "sub") and isinstance(right, Prefixed) and right.sign == "-":
                    return Operation("-" if bare == "add" else "+", left, right.inner)
                return Operation(SIGNS[bare], left, right)
            backwards = bare[1:] if bare.startswith("r") else ""
            if backwards in SIGNS and len(arguments) == 2:
                right, left = (self.expression(each) for each in arguments)
                return Operation(SIGNS[backwards], left, right)
            if bare in ("neg", "invert"):
                return Prefixed("-" if bare == "neg" else "~", self.expression(arguments[0]))
        items = [self.expression(each) for each in arguments]
        items += [Prefixed(f"{key}=", self.expression(each)) for key, each in options.items()]
        if owner == "torch.Tensor":
            if name == "expand" and (zeros := _zeros(arguments)):
                sizes = [self.expression(each) for each in arguments[1:]]
                return call(Member(self.expression(zeros), "new_zeros"), sizes)
            shorter = _as_index(name, arguments)
            if shorter is not None and len(shorter) == 1:
                return items[0]
            if shorter is not None:
                return Group(items[0], "[", shorter, "]")
            name = "reshape" if name == "view" else name
            return call(Member(items[0], name), items[1:])
        return call(Text(_function(path)), items)


def _zeros(arguments: tuple[Any, ...]) -> Ref | None:
    """What zeros are made like, if they are made to be repeated."""
    made = arguments[0].node
    if made.operation != "torch.Tensor.new_zeros":
        return None
    sizes = made.arguments[1]
    return made.arguments[0] if tuple(arguments[2:]) == sizes else None


def _root(node: Node) -> str:
    """The input that a node only shows in another shape."""
    while node.operation.rpartition(".")[2] in VIEWS:
        ref = node.arguments[0]
        if not isinstance(ref, Ref):
            return ""
        node = ref.node
    name = str(node.arguments[0]) if node.operation == "input" else ""
    return name if name.isidentifier() else ""


def _layer(arguments: tuple[Any, ...]) -> str:
    """The `nn.Linear` that weights belong to."""
    names = [each.node.arguments[0] for each in arguments[1:] if isinstance(each, Ref)]
    if not names or not all(str(name).startswith("self.") for name in names):
        return ""
    return str(names[0]).removesuffix(".weight")


def _function(path: str) -> str:
    for long, short in (
        ("torch.nn.functional.", "F."),
        ("torch.functional.", "torch."),
        ("torch.nn.", "nn."),
    ):
        if path.startswith(long):
            return short + path.removeprefix(long)
    return path if path.startswith("torch.") else f"torch.{path}"


def _as_index(name: str, arguments: tuple[Any, ...]) -> list[Expression] | None:
    """`x.reshape(x.shape[0], 1, x.shape[1])` as `x[:, None]`, where axes of one are put in."""
    if name not in ("reshape", "view"):
        return None
    sizes = arguments[1] if isinstance(arguments[1], tuple) else arguments[1:]
    own = arguments[0]
    found: list[Expression] = []
    axis = rank = 0
    for size in cast(Sequence[Any], sizes):
        formula = size.formula if isinstance(size, Number) else None
        if formula is not None and formula.operation == "shape" and formula.parts[0] == own:
            _, index, rank = formula.parts
            if index != axis:
                return None
            axis += 1
            found.append(Text(":"))
        elif formula is None and size == 1:
            found.append(Text("None"))
        else:
            return None
    if not axis or axis != rank:
        return None
    if [flat(each) for each in found[:axis]] == [":"] * axis:
        return [Text("..."), *found[axis:]]
    return found


def _changes(node: Node) -> bool:
    """Whether an operation changes a tensor in its place."""
    name = node.operation.rpartition(".")[2]
    return name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
