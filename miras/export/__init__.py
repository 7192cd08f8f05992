"""A memory as one file of PyTorch that needs nothing else.

Nothing is written twice: the file is what is left of `miras.definition`, the parts and the fast
plan when they run for one memory, operation by operation, with the names of their variables. What
the parts choose in Python is chosen. The file is compared with the original before it is given out.
"""

import torch

from miras.composition import AnyCell, Composition
from miras.export.checking import check
from miras.export.file import File, class_name
from miras.export.nodes import Unwritable as Unwritable
from miras.layer import Layer
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

    Raises SpecError with what stands in the way, if it cannot be written as such a file. A fast
    form that does not come out equal is left out: then the file goes token by token.
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
        built = Layer(memory, dim, heads, conv, layer, layers).eval()
        file = File(built, memory, layer, layers, source)
        try:
            text = file.text()
            check(text, class_name(name), built)
        except Unwritable:
            if file.piece is None:
                raise
            text = File(built, memory, layer, layers, source, fast=False).text()
            check(text, class_name(name), built)
    except Unwritable as error:
        raise SpecError(f"{name} cannot be written as a file of its own: it {error}") from None
    finally:
        torch.random.set_rng_state(state)
    return text
