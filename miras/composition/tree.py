"""The same operation on every tensor of a state, whatever the memory is."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

T = TypeVar("T")


def tree(change: Callable[..., Tensor], first: T, *others: T) -> T:
    """`first` with each tensor replaced by `change` of it and of those at its place in the others.

    What is no tensor (a position) stays as it is in `first`.
    """
    here, beside = cast(Any, first), cast(Sequence[Any], others)
    if isinstance(here, Tensor):
        return cast(T, change(here, *beside))
    if isinstance(here, dict):
        found = {
            name: tree(change, leaf, *(other[name] for other in beside))
            for name, leaf in cast(dict[str, Any], here).items()
        }
        return cast(T, found)
    if isinstance(here, tuple):
        items = cast(tuple[Any, ...], here)
        changed = [
            tree(change, item, *(other[index] for other in beside))
            for index, item in enumerate(items)
        ]
        return cast(T, type(items)(*changed) if hasattr(items, "_fields") else tuple(changed))
    return first


def leaves_of(state: object) -> list[Tensor]:
    """All tensors of a state."""
    if isinstance(state, Tensor):
        return [state]
    items: Sequence[object] = ()
    if isinstance(state, dict):
        items = list(cast(dict[str, object], state).values())
    elif isinstance(state, tuple):
        items = cast(tuple[object, ...], state)
    return [leaf for item in items for leaf in leaves_of(item)]


def stacked(states: Sequence[T]) -> T:
    """Several states of one memory as one, whose batch is `[state, sequence]` in a row."""

    def join(*leaves: Tensor) -> Tensor:
        return torch.cat(leaves)

    return tree(join, states[0], *states[1:])


def unstacked(state: T, count: int) -> list[T]:
    """The states that were stacked."""

    def pick(index: int) -> T:
        def one(leaf: Tensor) -> Tensor:
            return leaf.chunk(count)[index]

        return tree(one, state)

    return [pick(index) for index in range(count)]


def detached(state: T) -> T:
    """The same numbers, cut from the graph of gradients."""

    def cut(leaf: Tensor) -> Tensor:
        return leaf.detach()

    return tree(cut, state)
