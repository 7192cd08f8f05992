"""What a token costs a model, counted while it runs."""

from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from miras.kernels import without
from miras.model import Model, ModelSpec

LONGEST = 128
"""Tokens up to which sequences are counted in full."""

_COPIES = {"clone", "copy_", "_to_copy", "fill_", "zero_", "lift_fresh", "positive"}
_REDUCTIONS = {
    *("sum", "mean", "prod", "amax", "amin", "max", "min", "argmax", "argmin", "any", "all"),
    *("logsumexp", "_softmax", "_log_softmax", "var", "var_mean", "std", "linalg_vector_norm"),
    *("cumsum", "cumprod", "logcumsumexp", "topk", "sort", "norm", "native_layer_norm"),
}


def flops_per_token(spec: ModelSpec, vocabulary: int, time: int) -> float:
    """Operations of the forward pass for one token, mean over a sequence of `time` tokens.

    Counted from real tensors while the definition runs token by token, without kernels: what the
    memory asks for, not what the plan at hand spends on it, so that equal memories have equal costs
    on every machine. A product of matrices counts 2 per multiply-add (convolutions too), an
    operation on single numbers 1 per number that comes out, a sum, maximum or softmax 1 per number
    that goes in; gradients that a memory takes of its own loss count as they run. What neither
    logits nor the state after the last token depend on is left out, and so are copies, views,
    embedding look-ups and the backward pass of training. The head counts at every token.

    Above 128 tokens the cost is continued along the line through 64 and 128 tokens: exact for
    memories whose state does not grow and for attention to everything before.
    """
    if time <= LONGEST:
        return _counted(spec.model_dump_json(), vocabulary, time)
    half = _counted(spec.model_dump_json(), vocabulary, LONGEST // 2)
    full = _counted(spec.model_dump_json(), vocabulary, LONGEST)
    return full + (full - half) * (time - LONGEST) / (LONGEST - LONGEST // 2)


def parameters_without_embedding(model: Model) -> int:
    """Trained numbers but those that grow with the vocabulary or the table of positions."""
    apart = {id(model.embedding.weight), id(model.head.weight), id(model.head.bias)}
    apart |= {id(model.position)}
    return sum(each.numel() for each in model.parameters() if id(each) not in apart)


@lru_cache(maxsize=256)
def _counted(spec: str, vocabulary: int, time: int) -> float:
    with torch.random.fork_rng(devices=[]), without():
        torch.manual_seed(0)
        model = Model(ModelSpec.model_validate_json(spec), vocabulary, plan="definition").eval()
        tokens = torch.randint(vocabulary, (1, time))
        with torch.no_grad(), _Counter() as counter:
            found = model(tokens)
    return counter.needed(found) / time


class _Counter(TorchDispatchMode):
    """Notes each operation with the memory blocks that it reads and fills."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[int, list[int], list[int]]] = []
        self.blocks: dict[int, int] = {}  # by address: one that is used again is another block

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given: dict[str, Any] = kwargs or {}
        out = func(*args, **given)
        taken = [_address(leaf) for leaf in _tensors((args, given))]
        read = [self.blocks.setdefault(each, -each) for each in taken]
        made = [_address(leaf) for leaf in _tensors(out)]
        for each in made:
            if each not in taken:
                self.blocks[each] = len(self.done) + 1
        filled = [self.blocks[each] for each in made]
        self.done.append((_operations(func, args, given, out), read, filled))
        return out

    def needed(self, results: Any) -> int:
        """Operations without which the results would be others."""
        wanted = {self.blocks.get(_address(leaf)) for leaf in _tensors(results)}
        count = 0
        for operations, read, filled in reversed(self.done):
            if not wanted.isdisjoint(filled):
                count += operations
                wanted.update(read)
        return count


def _operations(func: Any, args: Any, given: dict[str, Any], out: Any) -> int:
    packet = func.overloadpacket
    name = str(packet).rpartition(".")[2]
    if packet in flop_registry:
        return int(flop_registry[packet](*args, **given, out_val=out))
    if name in _REDUCTIONS:
        return cast(Tensor, args[0]).numel()
    if torch.Tag.pointwise in func.tags and name not in _COPIES and isinstance(out, Tensor):
        return out.numel()
    return 0


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata  # pyright: ignore[reportPrivateUsage]
