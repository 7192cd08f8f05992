"""Suites that every part, plan and memory passes, for those of other packages too.

Each check raises AssertionError with a sentence. `memories()` draws random memories for hypothesis
from whatever parts are installed: a new part needs no entry anywhere.
"""

from miras.testing.parts import (
    check_architecture,
    check_bias,
    check_features,
    check_gate,
    check_optimizer,
    check_part,
    check_retention,
)
from miras.testing.sentences import memories, parts, random_memory, random_part
from miras.testing.sequences import check_causality, check_plan, check_split
from miras.testing.tensors import Tensors, bounded, random_tensors

__all__ = [
    "Tensors",
    "bounded",
    "check_architecture",
    "check_bias",
    "check_causality",
    "check_features",
    "check_gate",
    "check_optimizer",
    "check_part",
    "check_plan",
    "check_retention",
    "check_split",
    "memories",
    "parts",
    "random_memory",
    "random_part",
    "random_tensors",
]
