"""Retention gates: how a memory forgets.

A retention gate is a linear decay of a dual accumulator A and a *link* from A to the weights W that
are read and differentiated: A_t = alpha_t A_{t-1} + change_t, W_t = link(A_t). With the identity
link A is W. Every retention of MIRAS (arXiv 2504.13173, section 5.2) that is solved in closed form
by mirror descent has this form.

What has not that form keeps tensors of its own (`begin`) and acts before the write (`keep`), after
it (`settle`) or when the memory is read (`notice`). A projection or a proximal step after each
write is no link: it does not commute with the decay, so no chunked form of it is exact.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from miras.gate import AnyGate, Axis, Signal, Use, uses
from miras.gate.sigmoid import Sigmoid
from miras.part import Part, one_of
from miras.token import Buffers, Token, Weights


class Retention(Part, ABC):
    """What happens to a memory between two writes."""

    nonnegative: ClassVar[bool] = False  # the weights have no negative entry
    bounded: ClassVar[bool] = False  # the weights stay within bounds, whatever is written
    fades: ClassVar[bool] = False  # it forgets in another way than by decay gates
    of_pairs: ClassVar[bool] = False  # it evicts stored pairs, so it needs a memory of pairs
    of_weights: ClassVar[bool] = False  # it acts on weights, so it fits no memory of pairs
    of_initial: ClassVar[bool] = False  # it measures by initial weights, which must not be zero
    notices: ClassVar[bool] = False  # it looks at what is read: `notice`
    chained: ClassVar[str] = ""  # buffer of lower levels, if `transition` says all that `keep` does
    reshapes: ClassVar[bool] = False  # it does not only multiply: what was written is no sum

    settles: ClassVar[bool] = False  # no decay, no `keep`: `settle` of weights and change says all

    @property
    def identity_link(self) -> bool:
        """Whether the weights are the accumulator."""
        return True

    @property
    def of_matrices(self) -> bool:
        """Whether it needs weights that are matrices, with rows and columns."""
        return not self.identity_link

    @property
    def of_keys(self) -> bool:
        """Whether it acts along the keys, of a matrix or of stored pairs."""
        return False

    @property
    def least_kept(self) -> float:
        """The smallest factor, next to the decay, by which `keep` can multiply the weights."""
        return 1.0

    @property
    def plain(self) -> bool:
        """Whether decay gates and link, or a window on pairs, say all: no `keep`, no `notice`."""
        return True

    @property
    def removes(self) -> Literal["", "together", "after"]:
        """Whether, next to decay gates and link, `gone` says all that `keep` does.

        And whether what goes is read before the decay (together with it) or after.
        """
        return ""

    def gone(self, key: Tensor, gates: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What is asked, and what its answer is taken away along, both `[..., key_dim]`."""
        raise NotImplementedError(f"{type(self).__name__} removes nothing")

    def transition(self, like: Tensor) -> Tensor:
        """F `[levels, levels]` by which `keep` mixes the accumulator, level 0, with those below."""
        raise NotImplementedError(f"{type(self).__name__} has no levels")

    @property
    def capacity(self) -> int | None:
        """How many pairs are kept, where there is a limit."""
        return None

    @property
    def decays(self) -> Axis | None:
        """The axis along which the accumulator decays."""
        return None

    @property
    def simplex_axis(self) -> Axis | None:
        """The axis along which the link normalises; no decay may vary along it."""
        return None

    @property
    def singular_at_zero(self) -> bool:
        """Whether the link blows up at a zero accumulator."""
        return False

    def uses(self) -> list[Use]:
        """The decay gates: multipliers in (0, 1]."""
        return []

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        """Learned tensors that do not change along the sequence."""
        return []

    def begin(self, weights: Weights, key: Tensor, value: Tensor) -> Buffers:
        """Own tensors before the first token, by names of its own.

        `weights` is the accumulator at the start, `[batch, heads, ...]` each; `key [batch, heads,
        key_dim]` (mapped) and `value [batch, heads, value_dim]` give sizes.
        """
        return {}

    def keep(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        """What is left of the accumulator before this token is written, decay gates applied.

        `token.weights` is the accumulator before the decay.
        """
        return weights, buffers

    def settle(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        """The accumulator after the write: projections, eviction, bookkeeping.

        `token.weights` is what was kept before the write, so the difference is the change.
        """
        return weights, buffers

    def notice(self, buffers: Buffers, address: Tensor, token: Token) -> Buffers:
        """Bookkeeping after a read that looked at slots with weights `address [..., slots]`."""
        return buffers

    def link(self, accumulator: Tensor) -> Tensor:
        """Weights `[..., rows, columns]` from the accumulator of one leaf."""
        return accumulator

    def unlink(self, weights: Tensor) -> Tensor:
        """The accumulator from which `link` gives these starting weights."""
        return weights

    def keep_formula(self, retained: str, gates: Mapping[str, str]) -> tuple[str, list[str]]:
        """`keep` in writing: what stays of the decayed accumulator, and lines that come before."""
        return retained, []

    def kept_formula(self) -> str:
        """Which of the stored pairs are kept, in words before them."""
        return "" if self.capacity is None else f"the last {self.capacity} of "

    def pairs_formula(self, gates: Mapping[str, str]) -> list[str]:
        """`keep` in writing, for stored pairs: lines that come before the new pair."""
        return []

    def settle_formula(self, accumulator: str) -> list[str]:
        """`settle` in writing: lines that say what becomes of the accumulator after the write."""
        return []

    def formula(self, accumulator: str) -> str:
        """`link` in writing."""
        return accumulator if self.identity_link else f"link({accumulator})"


class Decaying(Retention, ABC):
    """Retention with a decay along an axis of the weights."""

    axis: Axis = Field(
        default="scalar",
        description="one multiplier per head (scalar), per key channel, per value channel, or both",
    )
    gate: AnyGate = Field(default=Sigmoid(bias=4.0), description="how the multiplier is made")
    floor: float = Field(default=0.0, ge=0.0, lt=1.0, description="smallest multiplier")

    @property
    def decays(self) -> Axis | None:
        return self.axis

    def uses(self) -> list[Use]:
        meaning = "what is kept of the memory at this token"
        return uses("decay", self.axis, self.gate, meaning, low=self.floor, high=1.0)

    @abstractmethod
    def link(self, accumulator: Tensor) -> Tensor: ...


class Shaping(Decaying, ABC):
    """A decay and a map of single weights: after each write, or only where they are read."""

    form: Literal["recursive", "dual"] = "recursive"
    of_weights: ClassVar[bool] = True
    reshapes: ClassVar[bool] = True

    @property
    def plain(self) -> bool:
        return self.form == "dual"

    @property
    def identity_link(self) -> bool:
        return self.form == "recursive"

    @property
    def of_matrices(self) -> bool:
        return False

    @abstractmethod
    def shaped(self, accumulator: Tensor) -> Tensor:
        """The map, entry by entry."""

    @abstractmethod
    def shaped_formula(self, accumulator: str) -> str:
        """`shaped` in writing."""

    def link(self, accumulator: Tensor) -> Tensor:
        return self.shaped(accumulator) if self.form == "dual" else accumulator

    def settle(self, weights: Weights, buffers: Buffers, token: Token) -> tuple[Weights, Buffers]:
        if self.form == "dual":
            return weights, buffers
        return {name: self.shaped(leaf) for name, leaf in weights.items()}, buffers

    def settle_formula(self, accumulator: str) -> list[str]:
        if self.form == "dual":
            return []
        return [f"{accumulator} ← {self.shaped_formula(accumulator)}"]

    def formula(self, accumulator: str) -> str:
        return self.shaped_formula(accumulator) if self.form == "dual" else accumulator


if TYPE_CHECKING:
    AnyRetention = Retention
else:
    AnyRetention = one_of(__name__)
