"""One chunk after the other, with the work inside a chunk done again on the way back.

Between two chunks only the carried state is kept, so memory grows by a state per chunk and not by
every intermediate, and what a chunk works on stays in the cache.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function

from miras.token import Buffers

Piece = dict[str, Tensor]
Carried = tuple[Tensor, ...]
Step = Callable[[Piece, Carried], tuple[Tensor, Carried]]
"""What a chunk does: its tokens, constants and the state before it give outputs and the state."""


_RUNNING = threading.local()


def again() -> bool:
    """Whether a chunk runs for its gradients alone: the numbers that it hands on are not looked at.

    Its outputs may be needed on the way back, and what it hands on must depend on the same tensors.
    """
    return getattr(_RUNNING, "again", False)


def chunked(
    step: Step,
    tokens: Mapping[str, Tensor],
    constants: Mapping[str, Tensor],
    carried: Carried,
    size: int,
) -> tuple[Tensor, Carried]:
    """Outputs of all chunks along dimension 2, and what is carried out of the last.

    `tokens` are `[batch, heads, time, ...]` and are cut into pieces of `size` tokens; `constants`
    go to every piece whole. `step` must be a function of what it is given alone.
    """
    if len(carried) == 0:
        raise ValueError("chunks carry at least one tensor")
    call = _Call(step, tuple(tokens), tuple(constants), len(carried), size)
    inputs = (*tokens.values(), *constants.values(), *carried)
    count = next(iter(tokens.values())).shape[2]
    if not torch.is_grad_enabled() or count <= size:
        output, after, _ = call.run(inputs)
        return output, after
    found = cast(Any, _Chunked).apply(call, *inputs)
    return found[0], tuple(found[1 : 1 + len(carried)])


def grouped(
    step: Callable[[Piece, Buffers], tuple[Tensor, Buffers]],
    tokens: Mapping[str, Tensor],
    constants: Mapping[str, Tensor],
    groups: Buffers,
    size: int,
) -> tuple[Tensor, Buffers]:
    """As `chunked`, where what is carried comes in named groups of leaves, as states do."""
    names = [(group, leaf) for group, leaves in groups.items() for leaf in leaves]

    def named(tensors: Carried) -> Buffers:
        found: Buffers = {group: {} for group in groups}
        for (group, leaf), tensor in zip(names, tensors, strict=True):
            found[group][leaf] = tensor
        return found

    def flat(found: Buffers) -> Carried:
        return tuple(found[group][leaf] for group, leaf in names)

    def each(piece: Piece, carried: Carried) -> tuple[Tensor, Carried]:
        output, after = step(piece, named(carried))
        return output, flat(after)

    output, after = chunked(each, tokens, constants, flat(groups), size)
    return output, named(after)


class _Call:
    """A loop over chunks of tensors that come as one flat tuple."""

    def __init__(
        self,
        step: Step,
        tokens: tuple[str, ...],
        constants: tuple[str, ...],
        carried: int,
        size: int,
    ) -> None:
        self.step, self.tokens, self.constants = step, tokens, constants
        self.carried, self.size = carried, size

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Carried, list[Carried]]:
        """Outputs, what is carried at the end, and what was carried into each chunk."""
        tokens, constants, carried = self.parts(inputs)
        outputs: list[Tensor] = []
        starts: list[Carried] = []
        for first in self.firsts(inputs):
            starts.append(carried)
            output, carried = self.step(self.piece(tokens, constants, first), carried)
            outputs.append(output)
        return torch.cat(outputs, dim=2), carried, starts

    def parts(self, inputs: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor], Carried]:
        first = len(self.tokens)
        last = first + len(self.constants)
        return inputs[:first], inputs[first:last], tuple(inputs[last:])

    def firsts(self, inputs: Sequence[Tensor]) -> range:
        return range(0, inputs[0].shape[2], self.size)

    def piece(self, tokens: Sequence[Tensor], constants: Sequence[Tensor], first: int) -> Piece:
        found = {
            name: tensor[:, :, first : first + self.size]
            for name, tensor in zip(self.tokens, tokens, strict=True)
        }
        return found | dict(zip(self.constants, constants, strict=True))


class _Chunked(Function):
    """The loop, whose derivative runs each chunk once more."""

    @staticmethod
    def forward(call: _Call, *inputs: Tensor) -> tuple[Tensor, ...]:
        output, carried, starts = call.run(inputs)
        # A state that a chunk hands on untouched must not be returned as the input itself.
        carried = tuple(leaf.clone() for leaf in carried)
        return (output, *carried, *(leaf for start in starts[1:] for leaf in start))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        call, *tensors = inputs
        starts = output[1 + call.carried :]
        ctx.call = call
        ctx.mark_non_differentiable(*starts)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *starts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        call: _Call = ctx.call
        wanted = ctx.needs_input_grad[1:]
        inputs, starts = ctx.saved_tensors[: len(wanted)], ctx.saved_tensors[len(wanted) :]
        upstream = gradients[: 1 + call.carried]
        if torch.is_grad_enabled():  # asked for derivatives of derivatives
            return None, *_again(call, inputs, wanted, upstream)
        return None, *_backwards(call, inputs, starts, wanted, upstream)


def _again(
    call: _Call,
    inputs: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """The gradients by way of a graph that can be differentiated again."""
    output, carried, _ = call.run(inputs)
    sources = [tensor for tensor, asked in zip(inputs, wanted, strict=True) if asked]
    found = iter(gradients_of((output, *carried), sources, upstream, create_graph=True))
    return [next(found) if asked else None for asked in wanted]


def _backwards(
    call: _Call,
    inputs: Sequence[Tensor],
    starts: Sequence[Tensor],
    wanted: Sequence[bool],
    upstream: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """The gradients, chunk by chunk from the last; each chunk is run again from its start."""
    tokens, constants, carried = call.parts(inputs)
    given = len(tokens) + len(constants)
    found: list[Tensor | None] = [None] * len(inputs)
    for place, (tensor, asked) in enumerate(zip(inputs[:given], wanted, strict=False)):
        if asked:
            found[place] = (torch.empty_like if place < len(tokens) else torch.zeros_like)(tensor)
    late: Sequence[Tensor | None] = upstream[1:]
    firsts = call.firsts(inputs)
    for place in reversed(range(len(firsts))):
        part = slice(firsts[place], firsts[place] + call.size)
        before = starts[(place - 1) * call.carried :][: call.carried] if place else carried
        now = [tensor[:, :, part].detach() for tensor in tokens]
        now += [tensor.detach() for tensor in (*constants, *before)]
        for leaf, asked in zip(now, (*wanted[:given], *[True] * len(before)), strict=True):
            leaf.requires_grad_(asked)
        with torch.enable_grad():
            piece = dict(zip((*call.tokens, *call.constants), now[:given], strict=True))
            _RUNNING.again = True
            try:
                output, after = call.step(piece, tuple(now[given:]))
            finally:
                _RUNNING.again = False
        above = None if upstream[0] is None else upstream[0][:, :, part]
        sources = [leaf for leaf in now if leaf.requires_grad]
        gradients = iter(gradients_of((output, *after), sources, (above, *late)))
        for index, (leaf, into) in enumerate(zip(now[:given], found, strict=False)):
            if into is None or not leaf.requires_grad:
                continue
            if index < len(tokens):
                into[:, :, part] = next(gradients)
            else:
                into += next(gradients)
        late = list(gradients)
    found[given:] = late
    return [each if asked else None for each, asked in zip(found, wanted, strict=True)]


def gradients_of(
    results: Sequence[Tensor],
    sources: Sequence[Tensor],
    upstream: Sequence[Tensor | None],
    create_graph: bool = False,
) -> Sequence[Tensor]:
    """Gradients of the sources; zero where no result depends on them."""
    pairs = [
        (result, above)
        for result, above in zip(results, upstream, strict=True)
        if above is not None and result.requires_grad
    ]
    if not pairs:
        return [torch.zeros_like(source) for source in sources]
    ends, towards = zip(*pairs, strict=True)
    return torch.autograd.grad(
        ends, sources, towards, create_graph=create_graph, materialize_grads=True
    )
