"""One layer of a network whose matrix moves with every token: what it reads, and where it ends.

With products M = (z X^T) and shares G of pairs in tokens, starts W_s and what tokens see of them,

    y_i = sum_s seen_si W_s z_i - sum_j G_ij (z_i . x_j) e_j,
    W'_s = sum of what is left of the starts - sum_j late_sj e_j x_j^T.

Autograd makes a new tensor for every step of this and of its derivative; here sums go to where
they belong, and numbers per token multiply the narrower side of each product. `[n, time, ...]`, n
are sequences and heads.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd import Function


class Layer(NamedTuple):
    """What goes in: `first` is the matrix, `second` its momentum where there is one.

    Numbers per token are None where they are 1.
    """

    inputs: Tensor  # z [n, time, columns]
    seen: Tensor  # x [n, pairs, columns]
    error: Tensor  # e [n, pairs, rows]
    shares: Tensor  # G [n, time, pairs]
    first: Tensor  # [n, rows, columns]
    of_first: Tensor | None  # [n, time, 1]
    second: Tensor | None = None
    of_second: Tensor | None = None  # [n, time, 1]
    own: Tensor | None = None  # [n, pairs, 1] shares of pairs in the second at the end
    kept: Tensor | None = None  # [n, 1, 1] of the second itself at the end


def layer(given: Layer, bare: bool = False) -> tuple[Tensor, Tensor, Tensor | None]:
    """What is read `[n, time, rows]`, and first and second after the last token.

    `bare`: nobody looks at the numbers of the last two, only at their derivatives.
    """
    return cast(Any, _Layer).apply(bare, *given)[:3]


def _scaled(x: Tensor, by: Tensor | None) -> Tensor:
    return x if by is None else x * by


def _seen(given: Layer, weights: Tensor, by: Tensor | None) -> tuple[Tensor, Tensor]:
    """W z times the numbers, and W z itself where it is the narrower side."""
    z = given.inputs
    if z.shape[-1] <= weights.shape[1]:
        found = torch.bmm(_scaled(z, by), weights.mT)
        return found, found
    plain = torch.bmm(z, weights.mT)
    return _scaled(plain, by), plain


def _written(given: Layer, late: Tensor) -> tuple[Tensor, Tensor]:
    """Factors of the sum of pairs, the narrower one times the numbers."""
    if given.error.shape[-1] <= given.seen.shape[-1]:
        return given.error * late, given.seen
    return given.error, given.seen * late


def _left(x: Tensor, by: Tensor | None) -> Tensor:
    """`_scaled`, always a tensor of its own."""
    return x.clone() if by is None else x * by


def _nothing(like: Tensor) -> Tensor:
    return like.new_zeros(()).expand_as(like)


def _after(by: Tensor | None) -> Tensor | None:
    return None if by is None else by[:, -1:]


def _along(x: Tensor, y: Tensor) -> Tensor:
    """Sum of the products of all numbers `[n, 1, 1]`."""
    return torch.bmm(x.flatten(1)[:, None], y.flatten(1)[:, :, None])


class _Layer(Function):
    @staticmethod
    def forward(bare: bool, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:
        given = Layer(*cast(Sequence[Any], tensors))
        shares, error = given.shares, given.error
        met = torch.bmm(given.inputs, given.seen.mT)
        read, plain = _seen(given, given.first, given.of_first)
        end, beside, late = _nothing(given.first), None, None
        if not bare:
            left, right = _written(given, shares[:, -1, :, None])
            end = _left(given.first, _after(given.of_first)).baddbmm_(left.mT, right, alpha=-1)
        if given.second is not None:
            more, beside = _seen(given, given.second, given.of_second)
            read = read.add_(more) if read is not plain else read + more
            late = _nothing(given.second)
            if not bare:
                end.addcmul_(given.second, cast(Tensor, _after(given.of_second)))
                left, right = _written(given, cast(Tensor, given.own))
                late = _left(given.second, given.kept).baddbmm_(left.mT, right, alpha=-1)
        if read is plain:  # it is kept for the way back
            read = read.clone()
        read.baddbmm_(shares * met, error, alpha=-1)
        wide = given.inputs.shape[-1] <= given.first.shape[1]
        return read, end, late, met, None if wide else plain, None if wide else beside

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        helpers = [x for x in output[3:] if x is not None]
        ctx.mark_non_differentiable(*helpers)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[1:], *output[3:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        *tensors, met, plain, beside = ctx.saved_tensors
        given = Layer(*tensors)
        if torch.is_grad_enabled():
            return None, *_again(given, gradients[:3])
        above, of_end, of_late = gradients[:3]
        z, seen, error, shares = given[:4]
        if above is None:
            above = torch.zeros_like(z[..., :1]).expand(*z.shape[:2], error.shape[-1])
        above = above.contiguous()

        # What was read: M = shares * met meets the errors.
        asked = torch.bmm(above, error.mT)
        of_error = torch.bmm((shares * met).mT, above).neg_()
        of_shares = (asked * met).neg_()
        of_met = asked.mul_(shares).neg_()
        of_seen = torch.bmm(of_met.mT, z)
        of_inputs = torch.bmm(of_met, seen)
        found: dict[str, Tensor | None] = {}
        starts = [("first", given.first, given.of_first, plain)]
        if given.second is not None:
            starts.append(("second", given.second, given.of_second, beside))
        for name, weights, by, answered in starts:
            if answered is None:  # the input is the narrower side
                back = torch.bmm(above, weights)
                if by is None:
                    of_inputs += back
                else:
                    of_inputs.addcmul_(back, by)
                    found[f"of_{name}"] = (back * z).sum(-1, keepdim=True)
                found[name] = torch.bmm(above.mT, _scaled(z, by))
            else:
                scaled = _scaled(above, by)
                of_inputs.baddbmm_(scaled, weights)
                if by is not None:
                    found[f"of_{name}"] = (above * answered).sum(-1, keepdim=True)
                found[name] = torch.bmm(scaled.mT, z)

        # What the matrices end at.
        if of_end is not None:
            late = shares[:, -1, :, None]
            of_shares[:, -1] += _pairs_back(given, late, of_end, of_error, of_seen)[..., 0]
            for name, weights, by, _ in starts:
                _start_back(found, name, f"of_{name}", weights, _after(by), of_end)
        if of_late is not None and given.second is not None:
            own = cast(Tensor, given.own)
            found["own"] = _pairs_back(given, own, of_late, of_error, of_seen)
            _start_back(found, "second", "kept", given.second, given.kept, of_late)
        for name in ("own", "kept", "of_second"):
            tensor = getattr(given, name)
            if name not in found and tensor is not None:
                found[name] = torch.zeros_like(tensor)
        return (
            None,
            *(of_inputs, of_seen, of_error, of_shares),
            *(found.get(name) for name in Layer._fields[4:]),
        )


def _start_back(
    found: dict[str, Tensor | None],
    name: str,
    number: str,
    weights: Tensor,
    by: Tensor | None,
    above: Tensor,
) -> None:
    """Adds to the gradients of weights, and of the number that is left of them at the end."""
    into = cast(Tensor, found[name])
    if by is None:
        into += above
        return
    into.addcmul_(above, by)
    along = _along(above.contiguous(), weights.contiguous())
    if found.get(number) is None:
        found[number] = along
    else:
        cast(Tensor, found[number])[:, -1:] += along


def _pairs_back(
    given: Layer, late: Tensor, above: Tensor, of_error: Tensor, of_seen: Tensor
) -> Tensor:
    """Adds the gradients of pairs by a sum of them; gives that of the numbers `[n, pairs, 1]`."""
    if given.error.shape[-1] <= given.seen.shape[-1]:
        met = torch.bmm(given.seen, above.mT)
        of_error.addcmul_(met, late, value=-1)
        of_seen.baddbmm_(given.error * late, above, alpha=-1)
        return -(met * given.error).sum(-1, keepdim=True)
    met = torch.bmm(given.error, above)
    of_seen.addcmul_(met, late, value=-1)
    of_error.baddbmm_(given.seen * late, above.mT, alpha=-1)
    return -(met * given.seen).sum(-1, keepdim=True)


def _again(given: Layer, above: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    """Gradients that have gradients themselves, by way of torch."""
    z, seen, error, shares, first, of_first, second, of_second, own, kept = given
    read = _scaled(z @ first.mT, of_first) - (shares * (z @ seen.mT)) @ error
    end = _scaled(first, _after(of_first)) - (error * shares[:, -1, :, None]).mT @ seen
    results = [read, end]
    if second is not None:
        results[0] = read + _scaled(z @ second.mT, of_second)
        results[1] = end + _scaled(second, _after(of_second))
        results.append(_scaled(second, kept) - (error * cast(Tensor, own)).mT @ seen)
    pairs = [(x, y) for x, y in zip(results, above, strict=False) if y is not None]
    sources = [x for x in given if x is not None and x.requires_grad]
    ends, towards = zip(*pairs, strict=True)
    made = torch.autograd.grad(ends, sources, towards, create_graph=True, materialize_grads=True)
    by_id = {id(x): gradient for x, gradient in zip(sources, made, strict=True)}
    return tuple(None if x is None else by_id.get(id(x)) for x in given)
