"""miras: sequence memories from four choices."""

from miras.memory import Memory as Memory
from miras.operator import run as run
from miras.part import IncompatibleParts as IncompatibleParts
from miras.part import SpecError as SpecError
from miras.state import State as State
from miras.state import start as start

__version__ = "0.1.0"
