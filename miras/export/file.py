"""The text of an exported file, section by section."""

import keyword
import re
from types import SimpleNamespace

from miras import __version__
from miras.explain import explain
from miras.export.bodies import assigned, needed, returned, taken
from miras.export.branches import merged
from miras.export.functions import Functions, leaves
from miras.export.helpers import GROUP, PRIMITIVES, WEIGHTS
from miras.export.modules import constructor
from miras.export.program import Written
from miras.export.shell import forward
from miras.export.titles import title
from miras.export.words import words
from miras.layer import Layer
from miras.memory import Memory


def class_name(name: str) -> str:
    """`gated-deltanet` as `GatedDeltanet`."""
    parts = re.findall(r"[A-Za-z0-9]+", name) or ["memory"]
    found = "".join(part[0].upper() + part[1:] for part in parts)
    return found if not found[0].isdigit() and not keyword.iskeyword(found) else f"Memory{found}"


class File:
    """One file in the making."""

    def __init__(
        self, layer: Layer, memory: Memory, index: int, layers: int, source: str, fast: bool = True
    ) -> None:
        self.layer, self.memory, self.source = layer, memory, source
        self.index, self.layers = index, layers
        self.name = class_name(memory.name or "memory")
        functions = Functions(layer, lambda node: title(memory, node))
        self.start, self.prepare = functions.start(), functions.prepare()
        samples = functions.samples(_moments(memory))
        self.token = merged([functions.token(sample) for sample in samples])
        self.piece = functions.piece() if fast else None
        self.tensors = {n: tuple(leaf.shape) for n, leaf in leaves(samples[-1].state).items()}
        self.first = {n: tuple(leaf.shape) for n, leaf in leaves(samples[0].state).items()}
        pieces = [self.token, *([self.piece[0]] if self.piece else [])]
        used = set[str]().union(*(each.used for each in pieces))
        self.inputs = [n for n in self.prepare.results if n in used or n == "value"]
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
        found = explain(self.memory, self.layer.heads, self.layer.key_dim, self.layer.value_dim)
        layer = self.layer
        shape = SimpleNamespace(
            dim=layer.width, heads=layer.heads, key=layer.key_dim, value=layer.value_dim
        )
        return words(self.memory, found, shape, self.piece, self.source, __version__)

    def _size(self) -> int | None:
        """Tokens of a piece, 0 for any number, None where there are no pieces."""
        return None if self.piece is None else self.piece[1]

    def _state(self) -> list[str]:
        lines = [
            "class State(NamedTuple):",
            '    """What the layer keeps between two tokens."""',
            "",
            "    position: int  # tokens read so far",
        ]
        if self.layer.conv is not None:
            size = [self.layer.conv.width - 1, sum(self.layer.widths)]
            lines.append(
                f"    conv: Tensor  # [batch, {size[0]}, {size[1]}], the last inputs of it"
            )
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
        made = [f"        {line}" for line in constructor(self.layer, self.index, self.layers)]
        return [
            f"class {self.name}(nn.Module):",
            f'    """{self._one_line()}"""',
            "",
            "    def __init__(self) -> None:",
            "        super().__init__()",
            *made,
            "",
            *self._start(),
            *forward(self.layer, self.memory, self._size(), self.inputs),
            *self._step(),
            *self._see(),
            *self._token(),
            *self._piece(),
        ]

    def _one_line(self) -> str:
        heads, width = self.layer.heads, self.layer.width
        return f"A layer of {heads} memories; x and y are [batch, time, {width}]."

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
            *returned("return ", "State", ["position=0", *given]),
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
        return [*lines, *needed(self.prepare, self.inputs), *returned("return ", "Seen", given), ""]

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
        return [*lines, *self._body(function, "seen", str(size or "seen.value.shape[1]"))]

    def _body(self, function: Written, seen: str, tokens: str) -> list[str]:
        asked = [name for name in self.inputs if name in function.used]
        held = [name for name in self.tensors if name in function.used]
        lines = taken(asked, self.inputs, seen) + taken(held, [], "state")
        changed = [
            f"{name}={function.results[name]}"
            for name in self.tensors
            if function.results[name] != name or assigned(function, name)
        ]
        output = function.results[""]
        if any(re.search(r"(?<!\.)\bposition\b", line) for line in function.lines):
            lines.append("        position = state.position")
        lines += function.lines
        start = f"return {output}, "
        if len(start) > 40:
            lines.append(f"        output = {output}")
            start = "return output, "
        given = [f"position=state.position + {tokens}", *changed]
        return [*lines, *returned(start, "state._replace", given), ""]


def _moments(memory: Memory) -> int:
    """Tokens after which a memory does nothing that it did not do before."""
    step = memory.stepping
    periods = [memory.bias.window, memory.retention.capacity or 1]
    if step is not None:
        periods += [step.chunk, step.every, step.batch]
        periods.append(int(getattr(step.dream, "every", 1)))
    periods.append(int(getattr(memory.retention, "every", 1) or 1))
    return min(2 * max(periods) + 2, 140)
