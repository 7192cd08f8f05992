"""What people look at: diagnostics and auxiliary losses that a model notes while it runs.

State is what the next token needs; info is everything else. Parts call `note`, whoever wants to see
wraps the run in `collecting`:

    with collecting() as info:
        logits, state = model(tokens)
    loss = task_loss + info.loss()

Nothing is kept, and nothing is computed that costs much, where nobody collects (`wanted`). What is
said of every single token is for looking alone, not for training (`watched`).
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

LOSS = "loss/"
"""Names that begin so are auxiliary losses, already weighted: scalars that training adds up."""


class Info:
    """Noted tensors by name, each name with the tensors of one run in their order."""

    def __init__(self, watch: bool = False) -> None:
        self.watch = watch
        self.noted: dict[str, list[Tensor]] = {}

    def __getitem__(self, name: str) -> Tensor:
        """All tensors of a name, stacked along a new first axis. Raises KeyError."""
        return torch.stack(self.noted[name])

    def losses(self) -> dict[str, Tensor]:
        """Mean of each auxiliary loss over the times that it was noted, with its gradient."""
        return {
            name.removeprefix(LOSS): torch.stack(found).mean()
            for name, found in self.noted.items()
            if name.startswith(LOSS)
        }

    def loss(self) -> Tensor | float:
        """Sum of all auxiliary losses; 0.0 where there is none."""
        return sum(self.losses().values(), start=0.0)


_CURRENT: ContextVar[Info | None] = ContextVar("info", default=None)


@contextmanager
def collecting(watch: bool = False) -> Generator[Info]:
    """Collect what is noted inside; an inner collection hides an outer one.

    To `watch` is to ask the definition about every token, too: the lengths of errors and changes.
    """
    token = _CURRENT.set(Info(watch))
    try:
        found = _CURRENT.get()
        assert found is not None
        yield found
    finally:
        _CURRENT.reset(token)


def wanted() -> bool:
    """Whether anybody collects: ask before computing what is only to be looked at."""
    return _CURRENT.get() is not None


def watched() -> bool:
    """Whether somebody looks at every single token."""
    current = _CURRENT.get()
    return current is not None and current.watch


def note(name: str, tensor: Tensor) -> None:
    """Note a tensor, with its gradient; `loss/...` names join the training loss."""
    current = _CURRENT.get()
    if current is not None:
        current.noted.setdefault(name, []).append(tensor)


def note_lengths(name: str, leaves: Mapping[str, Tensor]) -> None:
    """Note the length of each leaf `[batch, heads, ...]` as `name/leaf`, where somebody watches."""
    if watched():
        for leaf, tensor in leaves.items():
            flat = tensor.detach().reshape(*tensor.shape[:2], -1)
            note(f"{name}/{leaf}", flat.square().sum(-1).sqrt())
