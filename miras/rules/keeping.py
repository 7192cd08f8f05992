"""What retention gates need: weights or pairs, keys, places to start from."""

from typing import TYPE_CHECKING

from miras.rules import kind, rule

if TYPE_CHECKING:
    from miras.memory import Memory


@rule("retention-weights")
def _weights(memory: "Memory") -> str:
    """Retention that reshapes weights needs weights, not stored pairs."""
    if not memory.retention.of_weights or not memory.architecture.stores_pairs:
        return ""
    return (
        f"retention {kind(memory.retention)} reshapes weights, architecture"
        f" {kind(memory.architecture)} stores pairs as they come: use retention decay or window, or"
        " an architecture such as matrix"
    )


@rule("retention-keys")
def _keys(memory: "Memory") -> str:
    """Retention along the keys needs one matrix."""
    architecture = memory.architecture
    of_matrix = architecture.linear and architecture.keyed and architecture.matrices
    if not memory.retention.of_keys or of_matrix or architecture.stores_pairs:
        return ""
    return (
        f"retention {kind(memory.retention)} acts along the keys of one matrix, architecture"
        f" {kind(architecture)} has no such: use architecture matrix"
        + (", or curvature: gradient" if hasattr(memory.retention, "curvature") else "")
    )


@rule("retention-start")
def _start(memory: "Memory") -> str:
    """Retention measured by the initial weights needs some that are not zero."""
    leaves = memory.architecture.leaves(2, 2).values()
    if not memory.retention.of_initial or all(leaf.std > 0 for leaf in leaves):
        return ""
    return (
        f"retention {kind(memory.retention)} measures by the initial weights, architecture"
        f" {kind(memory.architecture)} starts at zero: use an mlp or initial_std, which start at"
        " random weights, or retention sphere"
    )


@rule("simplex-state")
def _turned(memory: "Memory") -> str:
    """Weights that are kept positive are not turned by a rotation."""
    retention = memory.retention
    turns = getattr(memory.architecture, "rotation", None) is not None
    if not turns or not retention.nonnegative or not retention.identity_link:
        return ""
    return (
        f"retention {kind(retention)} keeps weights that are nowhere negative, rotation of"
        f" architecture {kind(memory.architecture)} turns them to any sign: leave rotation out, or"
        " use retention decay"
    )
