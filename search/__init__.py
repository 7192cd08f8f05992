"""The search: spaces, studies and workers. Imports miras and Optuna; miras never imports it."""

if __name__ != "miras.search":
    raise ImportError(
        f"this folder is the package miras.search, not {__name__!r}: import miras.search instead"
        " (two names would mean two copies of every class)"
    )

from .engine import run as run
from .engine import status as status
from .space.derive import derive as derive
from .space.space import Space as Space
from .space.space import load_space as load_space
from .space.space import space_schema as space_schema
from .study import Study as Study
from .study import load_study as load_study
