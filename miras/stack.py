"""The memories of a model, layer by layer."""

from pydantic import Field

from miras.composition import AnyCell
from miras.part import Part


class Stack(Part):
    """A pattern of memories that is repeated until every layer has one: a hybrid of layers.

    A composition is one layer of several memories; a stack says what stands in which layer.
    """

    name: str = ""
    pattern: tuple[AnyCell, ...] = Field(min_length=1, description="one layer after the other")


def layers_of(candidate: AnyCell | Stack) -> tuple[AnyCell, ...]:
    """The pattern of a stack; of anything else, that all layers are the same."""
    return candidate.pattern if isinstance(candidate, Stack) else (candidate,)
