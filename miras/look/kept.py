"""Which tokens a memory of pairs still holds: what was stored when, although pairs are dropped."""

import torch
from jaxtyping import Float
from torch import Tensor


def followed(
    places: list[int | None],
    before: Float[Tensor, "pairs numbers"],
    after: Float[Tensor, "later numbers"],
    token: int,
) -> list[int | None]:
    """The tokens whose pairs stand in `after`, from those that stood in `before`.

    Pairs are stored as they are and keep their order, so what is left is found by what it is: from
    the end, the newest first. Equal pairs are told apart by their number: where all that stood
    there still does, what follows is new. None for a place that nothing was stored to.
    """
    if len(after) == len(before) + 1 and torch.equal(after[:-1], before):
        return [*places, token]
    found: list[int | None] = []
    known = len(before)
    for row in reversed(range(len(after))):
        place: int | None = None
        newest = row == len(after) - 1
        for earlier in reversed(range(known)):
            if torch.equal(before[earlier], after[row]):
                place, known = places[earlier], earlier
                break
        else:
            place = token if newest else None
        found.append(place)
    return found[::-1]


def by_token(
    weights: list[list[float]], places: list[list[int | None]]
) -> list[list[float | None]]:
    """Weights of the pairs of each token as columns with a place for every token.

    None where a pair is not stored yet, or no more.
    """
    columns: list[list[float | None]] = []
    for now, held in zip(weights, places, strict=True):
        column: list[float | None] = [None] * len(weights)
        for weight, place in zip(now, held, strict=True):
            if place is not None:
                column[place] = weight
        columns.append(column)
    return columns
