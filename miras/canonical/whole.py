"""Exact rewrites of compositions: rule R18 of docs/rules.md.

A composition may turn out to be its host, or to read its host in a simpler way. Segments of a
memory that decays, or that corrects what it stored, do not add up to it: they stay what they are,
as does attention over segments of one token, which is a memory of another kind.
"""

from collections.abc import Callable

from miras.architecture.matrix import Matrix
from miras.canonical.editing import edit, fixed_decay
from miras.composition import AnyCell
from miras.composition.either import wiring
from miras.composition.levels import Levels
from miras.composition.segments import Segments
from miras.memory import Memory


def r18_equal_levels(memory: AnyCell) -> AnyCell:
    """A linear memory is the sum of what it wrote in each stretch of the past."""
    if not isinstance(memory, Levels) or memory.mix.fixed != 1:
        return memory
    return edit(memory.of, wiring=wiring(memory))


def r18_sum_of_segments(memory: AnyCell) -> AnyCell:
    """A memory that only adds is the sum of its segments."""
    if not isinstance(memory, Segments) or memory.read != "residual" or not memory.restart:
        return memory
    host = memory.of
    if not _reads_weights(host) or not _only_adds(host):
        return memory
    return edit(host, wiring=wiring(memory))


def r18_soup(memory: AnyCell) -> AnyCell:
    """One read of mixed weights is the mixture of their reads, if a read is linear in them."""
    if not isinstance(memory, Segments) or memory.read != "soup" or not _reads_weights(memory.of):
        return memory
    return edit(memory, read="gated")


def _reads_weights(host: AnyCell) -> bool:
    """Whether what a host answers depends on its weights alone, and linearly."""
    if not isinstance(host, Memory) or not isinstance(host.architecture, Matrix):
        return False
    step, architecture = host.stepping, host.architecture
    plain = step is not None and (step.plain or step.heavy_ball) and step.every == 1
    return (
        plain
        and host.plain
        and host.retention.identity_link
        and not architecture.normalised
        and not architecture.features.positional
        and not host.recurrent
    )


def _only_adds(host: AnyCell) -> bool:
    assert isinstance(host, Memory)
    step, architecture = host.stepping, host.architecture
    starts_at_zero = isinstance(architecture, Matrix) and architecture.initial_std == 0
    keeps = host.retention.decays is None or fixed_decay(host) == 1
    return starts_at_zero and keeps and not host.bias.residual and step is not None and step.plain


WHOLE: tuple[Callable[[AnyCell], AnyCell], ...] = (
    r18_equal_levels,
    r18_sum_of_segments,
    r18_soup,
)
