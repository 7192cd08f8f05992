"""What is left at a later token of a chunk of what was written at an earlier one.

Products of retention multipliers that can be as small as one likes. Only products of neighbours are
formed, never quotients of long products (q e^c, k e^-c), so nothing overflows, nothing cancels, and
a multiplier of zero is a plain zero.

Tensors lead with any dimensions; `[..., C, w]` is a chunk of C tokens, w channels.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from miras.definition import Prepared
from miras.surprise import multipliers


class Rung(NamedTuple):
    """One level of halving: blocks of 2s tokens, `[..., blocks, s, w]` each."""

    upper: Tensor  # from the middle of the block up to each token of its second half
    lower: Tensor  # from each token of its first half, itself left out, up to the middle


class Span(NamedTuple):
    """Products of the multipliers of one axis inside a chunk; all empty where nothing decays."""

    since: Tensor | None = None  # [..., C, w] from the start of the chunk, the token included
    until: Tensor | None = None  # [..., C, w] from the token, itself left out, to the end
    between: Tensor | None = None  # [..., C, C] of one number per token; zero above the diagonal
    rungs: tuple[Rung, ...] = ()  # of one number per channel

    def from_start(self, x: Tensor) -> Tensor:
        """x `[..., C, w]` of each token times what is left of the chunk's start."""
        return x if self.since is None else x * self.since

    def to_end(self, x: Tensor) -> Tensor:
        """What is left at the chunk's end of x `[..., C, w]` written at each token."""
        return x if self.until is None else x * self.until

    def through(self, x: Tensor) -> Tensor:
        """What is left of x `[..., rows, w]` after the whole chunk."""
        return x if self.since is None else x * self.since[..., -1:, :]

    def delayed(self, first: float = 1.0) -> "Span":
        """As each token finds it: the multipliers of the token before; `first` for the first."""
        since = None if self.since is None else _shifted(self.since, first)
        between = None if self.between is None else _shifted(self.between, 0.0)
        rungs = tuple(rung._replace(upper=_shifted(rung.upper, 1.0)) for rung in self.rungs)
        return Span(since, None, between, rungs)

    def times(self, factor: Tensor | None) -> "Span":
        """With a factor `[..., C, 1]` on what each token reads; of one number per token."""
        if factor is None:
            return self
        since, between = (None if x is None else x * factor for x in (self.since, self.between))
        return Span(since, None, between)

    def pairs(self, left: Tensor, right: Tensor) -> Tensor:
        """sum_n left_in right_jn (product over j < m <= i), `[..., C, C]`, zero above the diagonal.

        Per channel by halving: the first and second half of a block meet in its middle, with one
        factor on each side.
        """
        if not self.rungs:
            product = left @ right.mT
            return product.tril() if self.between is None else product * self.between
        count = left.shape[-2]
        left, right = _padded(left), _padded(right)
        found = (left * right).sum(-1)[..., None, None]  # blocks of one token
        for upper, lower in self.rungs:
            later = _blocks(left, -2, -1, 2, upper.shape[-2])[..., 1, :, :] * upper
            earlier = _blocks(right, -2, -1, 2, upper.shape[-2])[..., 0, :, :] * lower
            first, second = _blocks(found, -3, -1, 2).unbind(-3)
            top = F.pad(first, (0, upper.shape[-2]))
            found = torch.cat((top, torch.cat((later @ earlier.mT, second), dim=-1)), dim=-2)
        return found[..., 0, :count, :count]

    def mix(self, weights: Tensor, values: Tensor) -> Tensor:
        """sum_j weights_ij values_jr (product over j < m <= i); no weights above the diagonal."""
        if not self.rungs:
            return (weights if self.between is None else weights * self.between) @ values
        count = values.shape[-2]
        values = _padded(values)
        missing = values.shape[-2] - count
        weights = F.pad(weights, (0, missing, 0, missing))
        found = weights.diagonal(dim1=-2, dim2=-1)[..., None] * values
        for upper, lower in self.rungs:
            size = upper.shape[-2]
            rows = _blocks(weights, -2, -1, 2, size)[..., 1, :, :]
            blocks = _blocks(rows, -1, -1, 2, size)[..., 0, :].diagonal(dim1=-4, dim2=-2)
            earlier = _blocks(values, -2, -1, 2, size)[..., 0, :, :] * lower
            part = upper * (blocks.movedim(-1, -3) @ earlier)
            found = found + F.pad(part[..., None, :, :], (0, 0, 0, 0, 1, 0)).flatten(-4, -2)
        return found[..., :count, :]


class Sides(NamedTuple):
    """How fast something fades along the rows and along the columns of a leaf."""

    rows: Span
    columns: Span

    def delayed(self, first: float = 1.0) -> "Sides":
        """As each token finds it, before its own decay; `first` is what the first token finds."""
        return Sides(self.rows.delayed(first), self.columns.delayed(first))

    def through(self, weights: Tensor) -> Tensor:
        """What is left of weights `[..., rows, columns]` after the whole chunk."""
        return self.rows.through(self.columns.through(weights).mT).mT


def heads_first(x: Tensor) -> Tensor:
    """`[batch, time, heads, ...]` as `[batch, heads, time, ...]`."""
    return x.transpose(1, 2).contiguous()


def laid_out(inputs: Prepared) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """All tensors of tokens, heads first, and the constants with an axis for their time."""
    tokens = {"query": inputs.query, "key": inputs.key, "value": inputs.value} | inputs.gates
    constants = {name: constant[:, None] for name, constant in inputs.constants.items()}
    return {name: heads_first(tensor) for name, tensor in tokens.items()}, constants


def spans(gates: Mapping[str, Tensor]) -> dict[str, Span]:
    """Of the decays among heads-first gates, by axis (`""` is one number per token)."""
    return {
        axis: of_channels(keep) if axis else of_tokens(keep)
        for axis, keep in multipliers("decay", gates).items()
    }


def sides(found: Mapping[str, Span], axes: tuple[str, ...]) -> Sides:
    """What acts on the rows and on the columns of a leaf with these axes.

    One number per token acts on the columns; on the rows where there are no columns.
    """
    sides = [found.get(axis, Span()) for axis in axes]
    if "" in found:
        sides[-1] = found[""]
    return Sides(sides[0], sides[1] if len(sides) > 1 else Span())


def of_tokens(keep: Tensor) -> Span:
    """Of multipliers `[..., C]`, one per token."""
    logs = logarithms(keep)
    rest = F.pad(logs[..., 1:], (0, 1)).flip(-1).cumsum(-1).flip(-1)
    hidden = torch.full((keep.shape[-1],) * 2, -torch.inf, dtype=keep.dtype, device=keep.device)
    between = (sums_between(logs) + hidden.triu(1)).exp()
    return Span(logs.cumsum(-1).exp()[..., None], rest.exp()[..., None], between)


def running(kept: Span, carried: Span) -> tuple[Span, Span]:
    """A sum that fades as `kept` of a running sum that fades as `carried`, one number per token.

    How what is written reaches the outer sum, and how the running sum's start does.
    """
    assert carried.between is not None and carried.since is not None
    fading = torch.ones_like(carried.between).tril() if kept.between is None else kept.between
    shares = fading @ carried.between
    return Span(None, shares[..., -1, :, None], shares), Span(fading @ carried.since)


def logarithms(keep: Tensor) -> Tensor:
    """Of multipliers; that of zero is far below zero and finite."""
    return keep.clamp_min(torch.finfo(keep.dtype).tiny).log()


def sums_between(logs: Tensor) -> Tensor:
    """Sum over j < m <= i of logarithms `[..., C]`: `[..., C, C]`, zero above the diagonal.

    Each is summed on its own: the difference of two longer sums would lose what they have in
    common, in the values and more so in the gradient, which is divided by the multiplier.
    """
    later = torch.ones((logs.shape[-1],) * 2, dtype=logs.dtype, device=logs.device).tril(-1)
    return (logs[..., :, None] * later).cumsum(dim=-2)


def of_channels(keep: Tensor) -> Span:
    """Of multipliers `[..., C, w]`, one per channel."""
    count = keep.shape[-2]
    since = _padded(keep, 1.0)[..., :, None, :]
    until = torch.ones_like(since)
    rungs: list[Rung] = []
    while since.shape[-3] > 1:
        first, second = _blocks(since, -3, -1, 2).unbind(-3)
        rest, last = _blocks(until, -3, -1, 2).unbind(-3)
        rungs.append(Rung(second, rest))
        since = torch.cat((first, first[..., -1:, :] * second), dim=-2)
        until = torch.cat((rest * second[..., -1:, :], last), dim=-2)
    return Span(since[..., 0, :count, :], until[..., 0, :count, :], None, tuple(rungs))


def _shifted(x: Tensor, first: float) -> Tensor:
    """Every token has what the one before it had."""
    return F.pad(x[..., :-1, :], (0, 0, 1, 0), value=first)


def _padded(x: Tensor, value: float = 0.0) -> Tensor:
    """Up to a power of two of tokens."""
    missing = (1 << (x.shape[-2] - 1).bit_length()) - x.shape[-2]
    return F.pad(x, (0, 0, 0, missing), value=value) if missing else x


def _blocks(x: Tensor, dim: int, *sizes: int) -> Tensor:
    return cast(Any, x).unflatten(dim, sizes)
