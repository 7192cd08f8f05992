"""What a batch of sequences has left in the memories of a model, and files of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from miras.composition.contract import CompositionState
from miras.composition.tree import tree
from miras.layer import LayerState
from miras.part import SpecError
from miras.state import State
from miras.whole_file import replacing

FORMAT = "miras-memory-1"

TUPLES: dict[str, Any] = {kind.__name__: kind for kind in (LayerState, State, CompositionState)}
"""Named tuples that states are made of."""


class Memories:
    """States of all layers for the rows of a batch, those with equally many tokens together."""

    is_compileable = False

    def __init__(self, seen: int = 0) -> None:
        self.seen = seen  # columns of the text at hand that were read, masked ones included
        self.groups: list[tuple[Tensor, Any]] = []

    def add(self, rows: Tensor, state: Any) -> None:
        """States of some rows; None before the first token."""
        self.groups.append((rows, state))

    def of(self, batch: int, device: torch.device) -> Iterator[tuple[Tensor, Any]]:
        """Rows and their states."""
        if not self.groups:
            yield torch.arange(batch, device=device), None
            return
        count = sum(len(rows) for rows, _ in self.groups)
        if count != batch:
            raise SpecError(
                f"these memories are of {count} sequences and the batch has {batch}: give as many"
            )
        yield from self.groups

    @staticmethod
    def rows(state: Any, count: int, among: Tensor) -> Any:
        """The states of some of `count` rows."""
        if state is None:
            return None

        def pick(leaf: Tensor) -> Tensor:
            copies = leaf.shape[0] // count
            apart = leaf.reshape(copies, count, *leaf.shape[1:])
            return apart.index_select(1, among).flatten(0, 1)

        return tree(pick, state)

    def picked(self, rows: Tensor) -> "Memories":
        """The memories of a batch whose rows are these of the present one, as beams need it."""
        found = Memories(self.seen)
        for own, state in self.groups:
            places = (rows[:, None] == own[None, :]).nonzero()
            if len(places):
                found.add(places[:, 0], self.rows(state, len(own), places[:, 1]))
        return found

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Columns that were read."""
        return self.seen

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """As `picked`, in place."""
        self.groups = self.picked(beam_idx).groups


def save_memory(memories: Memories, path: str | Path) -> None:
    """Write what a batch has learned while it read, without the weights of the model."""
    tensors: dict[str, Tensor] = {}
    plain: list[Any] = [[rows.tolist(), _plain(state, tensors)] for rows, state in memories.groups]
    header = {"format": FORMAT, "groups": json.dumps(plain)}
    with replacing(Path(path)) as draft:
        save_file(tensors, str(draft), metadata=header)


def load_memory(path: str | Path) -> Memories:
    """What `save_memory` wrote, for `generate(..., past_key_values=...)` of the same model.

    Which model it was, the file does not say. Raises SpecError for what is no such file, or is not
    whole. The text that it has read is not given again: the prompt goes on after it.
    """
    if not Path(path).is_file():
        raise SpecError(f"{path}: there is no such file: give one that save_memory wrote")
    try:
        with cast(Any, safe_open)(str(path), framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    except (SafetensorError, OSError, ValueError) as error:
        raise SpecError(f"{path}: not a safetensors file, or cut short ({error})") from None
    if header.get("format") != FORMAT:
        raise SpecError(f"{path}: a safetensors file, but no memory of this version")
    try:
        groups = json.loads(header["groups"])
        found = Memories()  # none of the text to come was read
        for rows, state in groups:
            rebuilt = _rebuilt(state, tensors)
            if not isinstance(rebuilt, tuple):
                raise ValueError("a state is a tuple of layers")
            found.add(_rows(rows), rebuilt)
        order = torch.cat([rows for rows, _ in found.groups]).sort().values
        if not torch.equal(order, torch.arange(len(order))):
            raise ValueError(f"its rows are {order.tolist()}")
    except (AttributeError, LookupError, ValueError, TypeError, RuntimeError) as error:
        raise SpecError(
            f"{path}: its parts do not fit together ({error!r}): save it anew"
        ) from None
    if bad := [name for name, leaf in tensors.items() if bool(leaf.isnan().any())]:
        raise SpecError(
            f"{path}: {len(bad)} of its {len(tensors)} tensors hold what is not a number: save it"
            " anew, before its model diverges"
        )
    return found


def _rows(given: Any) -> Tensor:
    rows = torch.tensor(given)
    if rows.dtype != torch.int64 or rows.dim() != 1:
        raise TypeError(f"rows are a list of whole numbers, not {given!r}")
    return rows


def _plain(state: Any, tensors: dict[str, Tensor]) -> Any:
    """A state as JSON; tensors go into a dict and leave their names."""
    if isinstance(state, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = state.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(state, dict):
        items = cast(dict[str, Any], state).items()
        return {"dict": {name: _plain(leaf, tensors) for name, leaf in items}}
    if isinstance(state, tuple):
        inner = [_plain(each, tensors) for each in cast(tuple[Any, ...], state)]
        kind = type(cast(object, state)).__name__
        return {"tuple": kind if kind in TUPLES else "", "items": inner}
    return {"value": state}


def _rebuilt(plain: Any, tensors: dict[str, Tensor]) -> Any:
    if "tensor" in plain:
        return tensors[plain["tensor"]]
    if "dict" in plain:
        return {name: _rebuilt(leaf, tensors) for name, leaf in plain["dict"].items()}
    if "tuple" in plain:
        items = [_rebuilt(each, tensors) for each in plain["items"]]
        return TUPLES[plain["tuple"]](*items) if plain["tuple"] else tuple(items)
    if not isinstance(plain["value"], int | float | None):
        raise TypeError(f"{plain['value']!r} is no part of a state")
    return plain["value"]
