"""miras: sequence memories from four choices.

The names below are imported when they are first used: `import miras` alone does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from miras.composition import Composition as Composition
    from miras.composition.either import start as start
    from miras.layer import Layer as Layer
    from miras.memory import Memory as Memory
    from miras.model import Model as Model
    from miras.model import ModelSpec as ModelSpec
    from miras.operator import ask as ask
    from miras.operator import run as run
    from miras.part import IncompatibleParts as IncompatibleParts
    from miras.part import SpecError as SpecError
    from miras.state import State as State

__version__ = "0.1.0"

_HOMES = {
    "Composition": "composition",
    "IncompatibleParts": "part",
    "Layer": "layer",
    "Memory": "memory",
    "Model": "model",
    "ModelSpec": "model",
    "SpecError": "part",
    "State": "state",
    "ask": "operator",
    "run": "operator",
    "start": "composition.either",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'miras' has no attribute {name!r}")
    return getattr(import_module(f"miras.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
