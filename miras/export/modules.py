"""The constructor of a layer: its modules, and the numbers that they start with."""

from collections.abc import Iterator
from types import FrameType
from typing import Any, cast

import torch
from torch import Tensor, nn

from miras.export.expressions import lines
from miras.export.functions import plainly
from miras.export.nodes import Node, Ref, Unwritable, references
from miras.export.places import Place, caller
from miras.export.program import Writer
from miras.export.recording import Recorder
from miras.layer import Layer
from miras.memory import Memory
from miras.state import initial_weights


def constructor(layer: Layer, index: int, layers: int) -> list[str]:
    """The lines of `__init__` that make what the layer has."""
    memory, wiring = cast(Memory, layer.memory), layer.wiring
    dim, inside = layer.width, sum(layer.widths)
    bias = "" if wiring.bias else ", bias=False"
    found = [f"self.project = nn.Linear({dim}, {inside}{bias})  # query, key, value"]
    if layer.conv is not None:
        width = layer.conv.width
        conv = f"nn.Conv1d({inside}, {inside}, {width}, groups={inside}, bias=False)"
        found.append(f"self.conv = {conv}  # short and causal")
    found += _Gates(layer, index, layers).lines()
    signals = memory.gates(layer.heads, layer.key_dim, layer.value_dim)
    constants = {
        name: _noise(tuple(leaf.shape), signals[name].std, signals[name].mean)
        for name, leaf in layer.constants.items()
    }
    found += _parameters("constants", constants)
    found += _parameters("initial", _first(layer, memory))
    if layer.skip is not None:
        found.append(f"self.skip = nn.Parameter(torch.ones({layer.heads}, 1))")
    if layer.norm is not None:
        found.append(f"self.norm = nn.Parameter(torch.ones({layer.heads}, {layer.value_dim}))")
    if layer.output_gate is not None:
        found.append(f"self.output_gate = nn.Linear({dim}, {layer.widths[2]}, bias=False)")
    found.append(f"self.out = nn.Linear({layer.widths[2]}, {dim}{bias})")
    std = (2 * layers * layer.widths[2]) ** -0.5
    return [*found, f"nn.init.normal_(self.out.weight, std={std:.6g})"]


def _noise(shape: tuple[int, ...], std: float, mean: float = 0.0) -> str:
    if std == 0:
        return f"torch.full({shape}, {float(mean)!r})" if mean else f"torch.zeros({shape})"
    text = f"{std:.6g} * torch.randn({shape})"
    return f"{mean:g} + {text}" if mean else text


def _first(layer: Layer, memory: Memory) -> dict[str, str]:
    mapped = memory.architecture.features.width(layer.key_dim)
    leaves = memory.architecture.leaves(mapped, layer.value_dim)
    found: dict[str, str] = {}
    for name in initial_weights(memory, layer.heads, layer.key_dim, layer.value_dim):
        if name not in layer.initial:
            continue
        leaf, shape = leaves[name], (layer.heads, *leaves[name].shape)
        found[name] = _noise(shape, leaf.std)
        if leaf.uniform and leaf.std:
            edge = leaf.std * 3**0.5
            found[name] = f"torch.empty({shape}).uniform_({-edge:.6g}, {edge:.6g})"
    return found


def _parameters(name: str, starts: dict[str, str]) -> list[str]:
    if not starts:
        return []
    members = [f"    {key}=nn.Parameter({start})," for key, start in starts.items()]
    return [f"self.{name} = Group(", *members, ")"]


class _Making(Recorder):
    """Records how gates are made; parameters that are not known yet get their names later."""

    def __init__(self) -> None:
        super().__init__()
        self.later: dict[int, Node] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if _resets(caller(1)):
            return func(*args, **(kwargs or {}))
        return super().__torch_function__(func, types, args, kwargs)

    def _reference(self, value: Any) -> Any:
        if isinstance(value, nn.Parameter) and id(value) not in self.known:
            self.later[id(value)] = Node("input", ("self.",), {}, Place())
            self._know(value, Ref(self.later[id(value)]))
        return super()._reference(value)


def _resets(frame: FrameType | None) -> bool:
    """Whether torch gives one of its own layers the numbers that it always starts with."""
    while frame is not None and "/torch/" in frame.f_code.co_filename:
        if frame.f_code.co_name in ("reset_parameters", "__setattr__", "register_parameter"):
            return True
        if frame.f_code.co_filename.endswith("nn/modules/linear.py"):
            return True
        frame = frame.f_back
    return False


class _Gates:
    """The modules that make the gates."""

    def __init__(self, layer: Layer, index: int, layers: int) -> None:
        self.recorder = _Making()
        groups = dict(layer.groups)
        with plainly(), torch.enable_grad(), self.recorder.recording():
            self.modules = layer._gates(layer.width, index, layers)  # pyright: ignore[reportPrivateUsage]
        layer.groups = groups
        self.results: dict[str, Any] = {}

    def lines(self) -> list[str]:
        """The statements that make them."""
        if not self.modules:
            return []
        members: list[str] = []
        for name, module in self.modules.items():
            members += self._member(name, module, f"self.gates.{name}", 4)
        for leaf, node in self.recorder.later.items():
            node.arguments = (self._path(leaf),)
        if not members:
            return []
        after = [node for node in self.recorder.nodes if self._sets(node)]
        for node in after:
            for ref in references(node.arguments[1:]):
                target = str(cast(Ref, node.arguments[0]).node.arguments[0])
                self.results[target.removeprefix("self.gates.").replace(".", "_")] = ref
        program = self.recorder.program(self.results)
        writer = Writer(program, "torch", lambda _: "", 0)
        made = writer.write()
        finished = self._finish(writer, after)
        values = made.results
        text = [line.format(**values) for line in members]
        first = [line for block in made.lines for line in block.split("\n")]
        return [*first, "self.gates = Group(", *text, ")", *finished]

    def _member(self, name: str, module: nn.Module, path: str, indent: int) -> Iterator[str]:
        space = " " * indent
        if isinstance(module, nn.Linear):
            yield f"{space}{name}={_linear(module)},"
            return
        if isinstance(module, nn.Sequential):
            inside = list(module.children())
            if not all(isinstance(each, nn.Linear) for each in inside):
                raise Unwritable("has a gate of a kind that cannot be written yet")
            made = ", ".join(_linear(cast(nn.Linear, each)) for each in inside)
            yield f"{space}{name}=nn.Sequential({made}),"
            return
        members: list[str] = []
        tables = module.named_buffers(recurse=False)
        for key, leaf in (*module.named_parameters(recurse=False), *tables):
            result = f"{path.removeprefix('self.gates.').replace('.', '_')}_{key}"
            self.results[result] = self._source(leaf)
            made = f"nn.Parameter({{{result}}})" if isinstance(leaf, nn.Parameter) else result
            members.append(f"{space}    {key}={made},")
        for key, child in module.named_children():
            members += self._member(key, child, f"{path}.{key}", indent + 4)
        if len(members) == 1:
            yield f"{space}{name}=Group({members[0].strip(' ,')}),"
        elif members:
            yield from (f"{space}{name}=Group(", *members, f"{space}),")

    def _source(self, leaf: Tensor) -> Tensor:
        """The recorded tensor that a parameter was made of."""
        if id(leaf) in self.recorder.known and not isinstance(leaf, nn.Parameter):
            return leaf
        for tensor in reversed(self.recorder.alive):
            same = isinstance(tensor, Tensor) and tensor.data_ptr() == leaf.data_ptr()
            if same and tensor.shape == leaf.shape and tensor is not leaf:
                return tensor
        raise Unwritable("starts a gate from numbers whose making was not seen")

    def _path(self, leaf: int) -> str:
        for name, module in self.modules.items():
            for key, each in module.named_parameters():
                if id(each) == leaf:
                    return f"self.gates.{name}.{key}"
        raise Unwritable("sets a parameter that no gate has")

    def _sets(self, node: Node) -> bool:
        first = node.arguments[0] if node.arguments else None
        inputs = set(self.recorder.later.values())
        return isinstance(first, Ref) and first.node in inputs and node.operation.endswith("_")

    def _finish(self, writer: Writer, after: list[Node]) -> list[str]:
        """What is done to the parameters of layers once they are there."""
        if not after:
            return []
        found: list[str] = []
        for node in after:
            found += lines("", writer.spell.operation(node), indent=4)
        return ["with torch.no_grad():", *found]


def _linear(module: nn.Linear) -> str:
    bias = "" if module.bias is not None else ", bias=False"  # pyright: ignore[reportUnnecessaryComparison]
    return f"nn.Linear({module.in_features}, {module.out_features}{bias})"
