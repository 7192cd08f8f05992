"""SciPy, which ships no types: the one place of the package that says so."""

from typing import Any

from scipy import optimize as _optimize  # pyright: ignore[reportMissingTypeStubs]
from scipy import sparse as _sparse  # pyright: ignore[reportMissingTypeStubs]
from scipy import stats as _stats  # pyright: ignore[reportMissingTypeStubs]

optimize: Any = _optimize
sparse: Any = _sparse
stats: Any = _stats
