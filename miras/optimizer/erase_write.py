"""Erase a little of the addressed slots and add to them."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from miras import info
from miras.gate import AnyGate, Use, uses
from miras.gate.constant import Constant
from miras.gate.sigmoid import Sigmoid
from miras.optimizer import Stepping
from miras.token import Buffers, Token, Weights


class EraseWrite(Stepping):
    """M_n <- mean_h [M_n (1 - w_hn e_h) + w_hn g_h z_h], M_n <- keep_n M_n / |M_n|.

    w_h is the address of the token (times the step), z_h the part of its value that belongs to it,
    e the erase and g the write gate, one of each per address. Without `normalise` slots keep their
    length, with it `keep` is the length of every slot that was not dreamt over, however old it is:
    it says how weak what is there is beside what comes, not how it fades. Slots grow one token
    older.

    Source: MemNet (github.com/Ant1pozitive/memory-is-all-you-need, memory bank); erase and add of
    neural Turing machines (arXiv 1410.5401), equations 3 and 4, where both are vectors.
    """

    kind: Literal["erase_write"] = "erase_write"
    associative: ClassVar[bool] = True

    step: AnyGate = Field(default=Constant(), description="factor on every address")
    erase: AnyGate | None = Field(default=Sigmoid(), description="erase gate; left out: 1")
    write: AnyGate | None = Field(default=Sigmoid(), description="write gate; left out: 1")
    normalise: bool = Field(default=True, description="put slots on length 1 after a write")
    keep: AnyGate = Field(default=Constant(), description="factor on every slot after a write")

    def uses(self) -> list[Use]:
        found = uses("step", "scalar", self.step, "factor on the address", high=1.0)
        return found + self.slot_uses()

    def slot_uses(self) -> list[Use]:
        """All gates but the step."""
        found: list[Use] = []
        if self.erase is not None:
            found.append(Use("erase", "address", self.erase, 0.0, 1.0, "what an address erases"))
        if self.write is not None:
            found.append(Use("write", "address", self.write, 0.0, 1.0, "what an address adds"))
        found.append(Use("keep", "slot", self.keep, 0.0, 1.0, "factor on a slot after a write"))
        return found

    def formula(self, new: str, retained: str, change: str, gates: Mapping[str, str]) -> list[str]:
        erased, added = (
            "s_h" if gates.get(name, "1") == "1" else f"s_h {gates[name]}"
            for name in ("erase", "write")
        )
        line = f"mean_h({retained} ⊙ (1 − {erased}) + {added} z_h)"
        line = f"unit({line})" if self.normalise else line
        return [f"{new} = {line if gates['keep'] == '1' else gates['keep'] + ' ⊙ ' + line}"]

    def update(
        self, step_gradient: Weights, buffers: Buffers, token: Token
    ) -> tuple[Weights, Buffers]:
        return self.rewrite(step_gradient, token, token.gates.get("step")), {}

    def rewrite(self, nothing: Weights, token: Token, step: Tensor | None) -> Weights:
        """The change of the slots and of their age, beside no change of anything else."""
        if token.weights is None or token.address is None:
            return nothing
        slots, address, gates = token.weights["slots"], token.address, token.gates
        if info.wanted():
            info.note("address/write", address)
        if step is not None:
            address = address * step[..., None, None]
        count = address.shape[-2]
        missing = slots.shape[-1] * count - token.value.shape[-1]
        value = F.pad(token.value, (0, missing))
        value = value.reshape(*value.shape[:-1], count, slots.shape[-1])
        erased = address * gates["erase"][..., None] if "erase" in gates else address
        added = address * gates["write"][..., None] if "write" in gates else address
        new = slots * (1 - erased.mean(-2))[..., None]
        new = new + torch.einsum("...an,...ad->...nd", added, value) / count
        if self.normalise:
            new = F.normalize(new, dim=-1, eps=1e-8)
        change = {"slots": new * gates["keep"][..., None] - slots}
        if "age" in token.weights:
            change["age"] = torch.ones_like(token.weights["age"])
        return nothing | change
