"""A memory as one file of PyTorch that needs nothing else.

Nothing is written twice: the file is what is left of `miras.definition`, the parts and the fast
plan when they run for one memory, operation by operation, with the names of their variables. What
the parts choose in Python is chosen. The file is compared with the original before it is given out.
"""

import keyword
import re
from types import SimpleNamespace
from typing import Any, cast

import torch

from miras import __version__
from miras.composition import AnyCell, Composition
from miras.explain import explain
from miras.explain.explanation import Explanation
from miras.export.branches import merged
from miras.export.checking import check
from miras.export.expressions import WIDTH
from miras.export.functions import Functions, leaves
from miras.export.helpers import GROUP, PRIMITIVES, WEIGHTS
from miras.export.modules import constructor
from miras.export.program import Written
from miras.export.recording import Unwritable as Unwritable
from miras.export.titles import title
from miras.layer import Layer
from miras.memory import Memory
from miras.part import SpecError


def python(
    memory: AnyCell,
    dim: int = 64,
    heads: int = 2,
    conv: int = 4,
    layer: int = 0,
    layers: int = 1,
    source: str = "",
) -> str:
    """The text of a file with the layer that `miras.layer.Layer` builds around a memory.

    Raises SpecError with what stands in the way, if it cannot be written as such a file.
    """
    name = memory.name or "memory"
    if isinstance(memory, Composition):
        raise SpecError(
            f"{name} is a composition of several memories, and a file of one memory is what can be"
            " written: export its cells one by one, or the whole model with --to hf"
        )
    state = torch.random.get_rng_state()
    try:
        torch.manual_seed(0)
        built = Layer(memory, dim, heads, conv, layer, layers)
        text = _File(built, memory, layer, layers, source).text()
        check(text, class_name(name), built)
    except Unwritable as error:
        raise SpecError(f"{name} cannot be written as a file of its own: it {error}") from None
    finally:
        torch.random.set_rng_state(state)
    return text


def class_name(name: str) -> str:
    """`gated-deltanet` as `GatedDeltanet`."""
    words = re.findall(r"[A-Za-z0-9]+", name) or ["memory"]
    found = "".join(word[0].upper() + word[1:] for word in words)
    return found if not found[0].isdigit() and not keyword.iskeyword(found) else f"Memory{found}"


class _File:
    """One file in the making."""

    def __init__(
        self, layer: Layer, memory: Memory, index: int, layers: int, source: str
    ) -> None:
        self.layer, self.memory, self.source = layer, memory, source
        self.index, self.layers = index, layers
        self.name = class_name(memory.name or "memory")
        functions = Functions(layer, lambda node: title(memory, node))
        self.start, self.prepare = functions.start(), functions.prepare()
        samples = functions.samples(_moments(memory))
        self.token = merged([functions.token(sample) for sample in samples])
        self.piece = functions.piece()
        self.tensors = {n: tuple(leaf.shape) for n, leaf in leaves(samples[-1].state).items()}
        self.first = {n: tuple(leaf.shape) for n, leaf in leaves(samples[0].state).items()}
        pieces = [self.token, *([self.piece[0]] if self.piece else [])]
        used = set[str]().union(*(each.used for each in pieces))
        self.inputs = [n for n in self.prepare.results if n in used or n == "value"]
        self.widths = {
            "query": "[key]", "key": "[key]", "value": "[value]"
        }
        self.samples = samples

    def text(self) -> str:
        """All of it."""
        body = "\n".join(
            [
                *self._state(),
                *self._seen(),
                *self._class(),
            ]
        )
        helpers = [text for name, text in PRIMITIVES.items() if f"{name}(" in body]
        if "Group(" in body:
            helpers.append(GROUP)
        functional = "import torch.nn.functional as F\n" if re.search(r"\bF\.", body) else ""
        head = (
            f'"""{self._about()}"""\n\nfrom typing import NamedTuple\n\nimport torch\n'
            f"{functional}from torch import Tensor, nn\n"
        )
        weights = WEIGHTS.format(block=self.index)
        parts = [head, *helpers, body, weights]
        return re.sub(r"\n{4,}", "\n\n\n", "\n\n".join(parts)).rstrip() + "\n"

    def _about(self) -> str:
        found = explain(
            self.memory, self.layer.heads, self.layer.key_dim, self.layer.value_dim
        )
        return about(self.memory, found, self.layer, self.piece, self.source)

    def _state(self) -> list[str]:
        lines = [
            "class State(NamedTuple):",
            '    """What the layer keeps between two tokens."""',
            "",
            "    position: int  # tokens read so far",
        ]
        if self.layer.conv is not None:
            size = [self.layer.conv.width - 1, sum(self.layer.widths)]
            lines.append(f"    conv: Tensor  # [batch, {size[0]}, {size[1]}], the last inputs of it")
        for name, shape in self.tensors.items():
            grows = [a == b for a, b in zip(shape[1:], self.first[name][1:], strict=True)]
            sizes = [str(s) if same else "pairs" for s, same in zip(shape[1:], grows, strict=True)]
            lines.append(f"    {name}: Tensor  # [{', '.join(['batch', *sizes])}]")
        return [*lines, "", ""]

    def _seen(self) -> list[str]:
        sample = self.samples[0].inputs
        found = {"query": sample.query, "key": sample.key, "value": sample.value} | sample.gates
        lines = [
            "class Seen(NamedTuple):",
            '    """What the memory sees of each token."""',
            "",
        ]
        for name in self.inputs:
            sizes = ", ".join(str(size) for size in found[name].shape[2:])
            lines.append(f"    {name}: Tensor  # [batch, time, {sizes}]")
        return [*lines, "", ""]

    def _class(self) -> list[str]:
        made = [
            f"        {line}" for line in constructor(self.layer, self.index, self.layers)
        ]
        return [
            f"class {self.name}(nn.Module):",
            f'    """{self._one_line()}"""',
            "",
            "    def __init__(self) -> None:",
            "        super().__init__()",
            *made,
            "",
            *self._start(),
            *self._forward(),
            *self._step(),
            *self._see(),
            *self._token(),
            *self._piece(),
        ]

    def _one_line(self) -> str:
        return f"A layer of {self.layer.heads} memories; x and y are [batch, time, {self.layer.width}]."

    def _start(self) -> list[str]:
        conv = self.layer.conv
        given = [f"{name}={text}" for name, text in self.start.results.items()]
        if conv is not None:
            history = f"x.new_zeros(x.shape[0], {conv.width - 1}, {sum(self.layer.widths)})"
            given.insert(0, f"conv={history}")
        return [
            "    def start(self, x: Tensor) -> State:",
            '        """The state before the first token of a batch like x."""',
            *self.start.lines,
            *_returned("return ", "State", ["position=0", *given]),
            "",
        ]

    def _forward(self) -> list[str]:
        layer, wiring = self.layer, self.layer.wiring
        lines = [
            "    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:",
            '        """The outputs of a piece of a sequence, and the state for the next piece."""',
            "        state = state or self.start(x)",
            "        mixed = self.project(x)",
        ]
        if layer.conv is not None:
            lines += [
                "        recent = torch.cat((state.conv, mixed), dim=1)",
                "        mixed = self.conv(recent.mT).mT",
                f"        state = state._replace(conv=recent[:, -{layer.conv.width - 1}:])",
            ]
        lines += self._heads()
        lines += [
            "        seen = self.see(x, query, key, value, state.position)"
            if layer.key_heads
            else "        seen = self.see(x, value, state.position)",
            "        read, state = self.remember(seen, state)",
        ]
        if wiring.mix:
            if "step" not in self.inputs:
                raise Unwritable("mixes reads by a step that it does not take (wiring: mix)")
            lines.append("        read = torch.lerp(value, read, seen.step[..., None])")
        if wiring.skip:
            lines.append("        read = read + self.skip * value")
        if layer.norm is not None:
            lines.append("        read = F.rms_norm(read, read.shape[-1:], eps=1e-5) * self.norm")
        lines.append("        read = read.flatten(-2)")
        if layer.output_gate is not None:
            function = "F.silu" if wiring.output_gate == "silu" else "torch.sigmoid"
            lines.append(f"        read = {function}(self.output_gate(x)) * read")
        return [*lines, "        return self.out(read), state", "", *self._remember()]

    def _heads(self) -> list[str]:
        layer = self.layer
        lines: list[str] = []
        if layer.key_heads:
            lines.append(
                f"        query, key, value = mixed.split(({', '.join(map(str, layer.widths))}),"
                " dim=-1)"
            )
        else:
            lines.append("        value = mixed")
        if layer.wiring.value == "silu":
            lines.append("        value = F.silu(value)")
        lines.append(f"        value = value.unflatten(-1, ({layer.heads}, {layer.value_dim}))")
        if layer.wiring.value == "zscore":
            lines.append(f"        value = F.layer_norm(value, ({layer.value_dim},), eps=1e-6)")
        if layer.key_heads:
            shape = f"({layer.key_heads}, {layer.key_dim})"
            shared = layer.key_heads < layer.heads
            more = f".expand(-1, -1, {layer.heads}, -1)" if shared else ""
            lines.append(f"        query = query.unflatten(-1, {shape}){more}")
            lines.append(f"        key = key.unflatten(-1, {shape}){more}")
        return lines

    def _remember(self) -> list[str]:
        head = "    def remember(self, seen: Seen, state: State) -> tuple[Tensor, State]:"
        if self.piece is None:
            return [
                head,
                '        """Answers to all queries, token by token."""',
                "        reads: list[Tensor] = []",
                "        for now in zip(*(each.unbind(1) for each in seen), strict=True):",
                "            read, state = self.token(Seen(*now), state)",
                "            reads.append(read)",
                "        return torch.stack(reads, dim=1), state",
                "",
            ]
        size = self.piece[1]
        if not size:
            return [
                head,
                '        """Answers to all queries: all tokens at once, a single one by itself."""',
                "        if seen.value.shape[1] > 1:",
                "            return self.piece(seen, state)",
                "        read, state = self.token(Seen(*(each[:, 0] for each in seen)), state)",
                "        return read[:, None], state",
                "",
            ]
        whole = "first + {0} <= time".format(size)
        if cast(Any, self.memory.stepping) is not None and self.memory.stepping.chunk > 1:  # pyright: ignore[reportOptionalMemberAccess]
            whole += f" and state.position % {size} == 0"
        return [
            head,
            f'        """Answers to all queries: {size} tokens at once, the rest one by one."""',
            "        reads: list[Tensor] = []",
            "        first, time = 0, seen.value.shape[1]",
            "        while first < time:",
            f"            if {whole}:",
            f"                some = Seen(*(each[:, first : first + {size}] for each in seen))",
            "                read, state = self.piece(some, state)",
            "            else:",
            "                read, state = self.token(Seen(*(each[:, first] for each in seen)), state)",
            "                read = read[:, None]",
            "            reads.append(read)",
            "            first += read.shape[1]",
            "        return torch.cat(reads, dim=1), state",
            "",
        ]

    def _step(self) -> list[str]:
        return [
            "    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:",
            f'        """One token, x [batch, {self.layer.width}]: the next output and state."""',
            "        y, state = self.forward(x[:, None], state)",
            "        return y[:, 0], state",
            "",
        ]

    def _see(self) -> list[str]:
        keys = "query: Tensor, key: Tensor, " if self.layer.key_heads else ""
        lines = [
            f"    def see(self, x: Tensor, {keys}value: Tensor, position: int) -> Seen:",
            '        """Keys and gates of all tokens, which do not depend on the memory."""',
        ]
        if not self.layer.key_heads and any(n in self.inputs for n in ("query", "key")):
            lines.append("        query = key = value[..., :1] * 0")
        given = [f"{name}={self.prepare.results[name]}" for name in self.inputs]
        return [*lines, *_needed(self.prepare, self.inputs), *_returned("return ", "Seen", given), ""]

    def _token(self) -> list[str]:
        lines = [
            "    def token(self, now: Seen, state: State) -> tuple[Tensor, State]:",
            '        """One token changes the memory and is answered; shapes are without time."""',
        ]
        return [*lines, *self._body(self.token, "now", "1")]

    def _piece(self) -> list[str]:
        if self.piece is None:
            return []
        function, size = self.piece
        told = f"{size} tokens at once" if size else "All tokens at once"
        lines = [
            "    def piece(self, seen: Seen, state: State) -> tuple[Tensor, State]:",
            f'        """{told}: the same numbers as token by token, in a few large products."""',
        ]
        return [*lines, *self._body(function, "seen", "seen.value.shape[1]")]

    def _body(self, function: Written, seen: str, tokens: str) -> list[str]:
        taken = [name for name in self.inputs if name in function.used]
        held = [name for name in self.tensors if name in function.used]
        lines = _taken(taken, self.inputs, seen) + _taken(held, [], "state")
        changed = [
            f"{name}={function.results[name]}"
            for name in self.tensors
            if function.results[name] != name or _assigned(function, name)
        ]
        output = function.results[""]
        lines += function.lines
        start = f"return {output}, "
        if len(start) > 40:
            lines.append(f"        output = {output}")
            start = "return output, "
        given = [f"position=state.position + {tokens}", *changed]
        return [*lines, *_returned(start, "state._replace", given), ""]


def _taken(names: list[str], whole: list[str], source: str) -> list[str]:
    """Variables for fields of a tuple."""
    if not names:
        return []
    if names == whole:
        return [f"        {', '.join(names)}{',' if len(names) == 1 else ''} = {source}"]
    left, right = ", ".join(names), ", ".join(f"{source}.{name}" for name in names)
    line = f"        {left} = {right}"
    if len(line) <= WIDTH:
        return [line]
    return [f"        {name} = {source}.{name}" for name in names]


def _assigned(function: Written, name: str) -> bool:
    text = "\n".join(function.lines)
    return re.search(rf"(?m)^\s*(\w+, )*{re.escape(name)}(, \w+)*,? = ", text) is not None


def _needed(function: Written, inputs: list[str]) -> list[str]:
    """The statements that some results depend on."""
    wanted = " ".join(function.results[name] for name in inputs)
    kept: list[str] = []
    comment = ""
    for line in reversed(function.lines):
        if line.lstrip().startswith("#"):
            comment = line
            if kept and not kept[-1].lstrip().startswith("#"):
                kept.append(comment)
            continue
        left = line.split(" = ")[0].strip()
        names = [name.strip() for name in left.split(",")]
        if any(re.search(rf"\b{re.escape(name)}\b", wanted) for name in names if name):
            kept.append(line)
            wanted += " " + line.split(" = ", 1)[-1]
    return kept[::-1]


def _returned(before: str, head: str, items: list[str]) -> list[str]:
    line = f"        {before}{head}({', '.join(items)})"
    if len(line) <= WIDTH:
        return [line]
    inside = f"            {', '.join(items)}"
    body = [inside] if len(inside) <= WIDTH else [f"            {item}," for item in items]
    return [f"        {before}{head}(", *body, "        )"]


def _moments(memory: Memory) -> int:
    """Tokens after which a memory does nothing that it did not do before."""
    step = memory.stepping
    periods = [memory.bias.window, memory.retention.capacity or 1]
    if step is not None:
        periods += [step.chunk, step.every, step.batch]
        periods.append(int(getattr(step.dream, "every", 1)))
    periods.append(int(getattr(memory.retention, "every", 1) or 1))
    return min(2 * max(periods) + 2, 140)


def about(
    memory: Memory, found: Explanation, layer: Layer, piece: Any, source: str
) -> str:
    """The docstring of the file."""
    from miras.export.words import words

    shape = SimpleNamespace(
        dim=layer.width, heads=layer.heads, key=layer.key_dim, value=layer.value_dim
    )
    return words(memory, found, shape, piece, source, __version__)
