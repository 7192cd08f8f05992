"""Whether an exported file computes what the layer computes."""

import copy
from typing import Any

import torch

from miras.export.functions import plainly
from miras.export.nodes import Unwritable
from miras.layer import Layer

TOLERANCE = 1e-8
"""Of numbers of double precision, beside the largest of them."""


def check(text: str, name: str, layer: Layer) -> float:
    """The largest difference of outputs; raises if it is more than rounding."""
    space: dict[str, Any] = {"__name__": "exported"}
    exec(compile(text, f"{name}.py", "exec"), space)  # our own text, a moment old
    found = space[name]()
    found.load_state_dict(layer.state_dict())
    found.double().eval()
    layer = copy.deepcopy(layer).double().eval()
    worst, wanted = 0.0, torch.zeros(())
    with plainly():
        for batch, time in ((2, 45), (3, 7)):
            x = torch.randn(batch, time, layer.width, dtype=torch.float64)
            wanted = layer(x)[0]
            cut = time // 3
            try:
                first, state = found(x[:, :cut])
                rest, state = found(x[:, cut : time - 1], state)
                last, _ = found.step(x[:, -1], state)
                whole = found(x)[0]
            except (AttributeError, NameError, RuntimeError, TypeError) as error:
                raise Unwritable(f"does not run once it is written ({error})") from None
            for got in (whole, torch.cat((first, rest, last[:, None]), dim=1)):
                worst = max(worst, float((got - wanted).abs().max()))
    if not worst <= TOLERANCE * max(1.0, float(wanted.abs().max())):
        raise Unwritable(f"comes out {worst:.1e} off the original, more than rounding explains")
    return worst
