"""Which stored pair makes room for a new one."""

import torch
from torch import Tensor

from miras.token import Weights


def with_newest(scores: Tensor, newest: Tensor, blank: float, gate: Tensor | None) -> Tensor:
    """Scores `[batch, heads, pairs]` and the one of the pair `[batch, heads]` that was just stored.

    Where a `gate [batch, heads]` kept it out, a blank pair lies before the oldest instead.
    """
    stored = torch.cat((scores, newest[..., None]), dim=-1)
    if gate is None:
        return stored
    blanks = torch.full_like(newest, blank)[..., None]
    return torch.where((gate <= 0)[..., None], torch.cat((blanks, scores), dim=-1), stored)


def evicted(weights: Weights, scores: Tensor, size: int, recent: int) -> tuple[Weights, Tensor]:
    """Pairs and scores without the lowest ones, until `size` are left; the newest are safe.

    Sequences and heads lose each their own pair; the order stays that of time.
    """
    while scores.shape[-1] > size:
        count = scores.shape[-1]
        gone = scores[..., : count - recent].argmin(-1, keepdim=True)
        places = torch.arange(count - 1, device=scores.device).expand(*scores.shape[:-1], -1)
        places = places + (places >= gone).long()
        weights = {name: _taken(leaf, places) for name, leaf in weights.items()}
        scores = _taken(scores, places)
    return weights, scores


def _taken(leaf: Tensor, places: Tensor) -> Tensor:
    """Some places `[batch, heads, kept]` of a leaf `[batch, heads, pairs, ...]`."""
    index = places.reshape(*places.shape, *[1] * (leaf.ndim - places.ndim))
    return leaf.gather(2, index.expand(*places.shape, *leaf.shape[3:]))
