"""Which memories are the same: normal form, key, and the difference between two.

Two keys are equal if the two memories train the same model. Names, papers and notes say nothing
about that; the wiring and the way gates are made do, because a layer is built from them. What is
united and what is not:

- exactly equal: `limits`, `parts` and `steps` hold the rules, from the same tensors to the same
  outputs, and `whole` those of compositions;
- equal once a gate is mapped: `gate_maps`. A search that trains one of them has trained the class,
  so the key is the same; the normal form keeps the map under `gates`, and says that it is there;
- different although close: decay before or after the error under tied gates (R6), a decay of value
  channels beside values that grow (R26), a constant step under a norm, which hides it up to its
  epsilon (R19), Huber with a large threshold (R21). Their keys differ;
- equal from other tensors, which a layer makes from its input in another way: Oja's rule is the
  delta rule with key and value exchanged, read backwards (R7); a diagonal and a product of vectors
  has the delta rules in it, with an address and gates of its own (R8); delta gradient descent under
  l2 has twice the step and half the value (R4); the second tap of a trapezoid is a share of the
  next token's step (R11); several writes are more tokens (R16); least squares without iterations
  divide queries by what only they keep, and recursive least squares start from a number where
  they learn a ridge (R17); a network whose last layer alone learns needs steps of 0 for the others,
  which no gate in a file gives (R14); a short convolution is part of the layer (R25). Their keys
  differ as well: what is trained differs, or can learn something else.

A composition is its wiring, its own settings and the normal forms of its cells in their order. How
a layer would be wired around a cell alone says nothing there, unless cells are layers of their own.
A stack is the normal forms of its shortest pattern; if that is one memory, it is that memory.

`operator` leaves of a memory what `miras.run` computes on raw tensors: how gates are made and how a
layer is wired around it is dropped.
"""

from miras.canonical.comparing import (
    Difference,
    Distance,
    Nearest,
    differences,
    distance,
    equals,
    nearest,
)
from miras.canonical.forms import Normal, key, normal, normal_form, operator, stacked, written

__all__ = [
    "Difference",
    "Distance",
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
    "stacked",
    "written",
]
