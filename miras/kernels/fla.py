"""Matrix memories on a GPU by kernels of `fla-core` (extra `kernels`), where one of them is ours.

Asked for by the device of the tensors, never by what can be imported: on a CPU nothing of this is
touched. What `fla-core` calls S is [key, value], its decays are logarithms, its queries are scaled
by 1 / sqrt(key_dim) unless told otherwise.

Source: flash-linear-attention, https://github.com/fla-org/flash-linear-attention, version 0.6. No
number of it was measured here: no GPU was at hand. That the arguments mean what we mean is tested
on CPUs against recurrences in its conventions, its own plain ones where it is installed.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from miras.kernels import switched_off
from miras.kernels.outer import Reading, Tokens

WIDEST = 256
"""Most entries of a key: what its kernels hold at once."""

OPERATORS: dict[
    tuple[bool, str | None], tuple[str, str]
] = {  # whether errors are looked at, and what decays: module and function
    (False, None): ("simple_gla", "chunk_simple_gla"),
    (False, "scalar"): ("simple_gla", "chunk_simple_gla"),
    (False, "key"): ("gla", "chunk_gla"),
    (True, None): ("gated_delta_rule", "chunk_gated_delta_rule"),
    (True, "scalar"): ("gated_delta_rule", "chunk_gated_delta_rule"),
    (True, "key"): ("kda", "chunk_kda"),
}


def available(reading: Reading, like: Tensor, key_dim: int) -> bool:
    """Whether tensors are on a GPU and `fla-core` has this recurrence."""
    if like.device.type != "cuda" or switched_off():
        return False
    return known(reading, key_dim) and like.dtype != torch.float64 and installed()


def known(reading: Reading, key_dim: int) -> bool:
    """Whether `fla-core` has this recurrence."""
    return reading.compiled is None and not (reading.looks and reading.early) and key_dim <= WIDEST


@cache
def installed() -> bool:
    """Whether `fla-core` and what it is written in can be found."""
    return find_spec("fla") is not None and find_spec("triton") is not None


def operator(looks: bool, decays: str | None) -> Callable[..., tuple[Tensor, Tensor]]:
    """The function of `fla-core`."""
    module, name = OPERATORS[looks, decays]
    return getattr(import_module(f"fla.ops.{module}"), name)


def outer(reading: Reading, tokens: Tokens) -> tuple[Tensor, Tensor, None]:
    """Answers `[batch, time, heads, value_dim]`, the weights after the last token, no momentum.

    As `miras.kernels.outer.outer`, for tokens whose address is their direction.
    """
    decay, size, start = tokens.decay, tokens.size, tokens.start
    wide = torch.promote_types(start.dtype, torch.float32)
    given: dict[str, Any] = {"q": tokens.query, "v": tokens.value}
    decays = None if decay is None else "key" if decay.ndim == 4 else "scalar"
    if decay is not None:
        given["g"] = decay.to(wide).clamp_min(torch.finfo(wide).tiny).log()
    elif reading.looks:
        given["g"] = start.new_zeros(tokens.query.shape[:3], dtype=wide)
    if reading.looks:
        given["k"] = tokens.direction
        given["beta"] = torch.ones_like(tokens.query[..., 0]) if size is None else size
    else:
        given["k"] = tokens.direction if size is None else tokens.direction * size[..., None]
    found, end = operator(reading.looks, decays)(
        **{name: x.contiguous() for name, x in given.items()},
        scale=1.0,
        initial_state=start.to(wide).mT.contiguous(),
        output_final_state=True,
    )
    return found.to(tokens.value.dtype), end.mT.to(start.dtype), None
