"""What an architecture does, in writing."""

from collections.abc import Mapping

from miras.gate import grouped
from miras.part import Part


class Written(Part):
    """The equations of an architecture, as `miras explain` prints them."""

    def formula(self, weights: str, key: str) -> str:
        """`predict` in writing."""
        return f"M({weights}, {key})"

    def asked_formula(self, weights: str, key: str) -> str:
        """The prediction of `respond` in writing: what is compared with the target."""
        return self.formula(weights, key)

    def target_formula(self, key: str, value: str) -> str:
        """`target` in writing."""
        return value

    def meaning(self) -> str:
        """What `formula` leaves open."""
        return ""

    def candidate_formula(self, value: str, output: str, gates: Mapping[str, str]) -> str:
        """`candidate` in writing."""
        return value

    def read_formula(self, weights: str, query: str, gates: Mapping[str, str]) -> str:
        """`read` in writing."""
        return self.formula(weights, query)

    def gradient_formula(self, weights: str, key: str, error: str) -> str:
        """The error pulled back to the weights."""
        return f"∂M({weights}, {key})ᵀ {error}"

    def sensitivity_formula(self, key: str) -> str:
        """`sensitivity` in writing."""
        return f"‖{key}‖²"

    def scale_formula(self, weights: str, multipliers: Mapping[str, str]) -> str:
        """`scale` in writing, with the factors by axis."""
        left = [grouped(multipliers[""])] if "" in multipliers else []
        right: list[str] = []
        for axis, side in (("value", left), ("key", right)):
            if axis in multipliers:
                factor = multipliers[axis]
                # The same number for all channels commutes with everything.
                (side if varies(factor) else left).append(diagonal(factor))
        return " ".join((*left, weights, *right))


def varies(formula: str) -> bool:
    """Whether a gate in a formula differs from token to token, and so from channel to channel."""
    return "_t" in formula


def diagonal(factor: str) -> str:
    """A factor for each channel as a matrix, or the number that it is for all of them."""
    return f"Diag({factor})" if varies(factor) else grouped(factor)
