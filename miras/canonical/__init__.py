"""Which memories are the same: normal form, key, and the difference between two.

Two keys are equal if the two memories train the same model. Names, papers and notes say nothing
about that; the wiring and the way gates are made do, because a layer is built from them. What is
united and what is not:

- exactly equal: `parts` and `steps` hold the rules, from the same tensors to the same outputs;
- equal once a gate is mapped: `gate_maps`. A search that trains one of them has trained the class,
  so the key is the same; the normal form keeps the map under `gates`, and says that it is there;
- different although close: decay before or after the error under tied gates (R6), a decay of value
  channels beside values that grow (R26), a constant step under a norm, which hides it up to its
  epsilon (R19), Huber with a large threshold (R21). Their keys differ.

A composition is its wiring, its own settings and the normal forms of its cells in their order. How
a layer would be wired around a cell alone says nothing there, unless cells are layers of their own.

`operator` leaves of a memory what `miras.run` computes on raw tensors: how gates are made and how a
layer is wired around it is dropped.
"""

from miras.canonical.comparing import (
    Difference,
    Nearest,
    differences,
    distance,
    equals,
    nearest,
)
from miras.canonical.forms import Normal, key, normal, normal_form, operator, written

__all__ = [
    "Difference",
    "Nearest",
    "Normal",
    "differences",
    "distance",
    "equals",
    "key",
    "nearest",
    "normal",
    "normal_form",
    "operator",
    "written",
]
