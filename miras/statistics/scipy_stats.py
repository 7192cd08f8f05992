"""`scipy.stats`, which ships no types: the one place of the package that says so."""

from typing import Any

from scipy import stats as _stats  # pyright: ignore[reportMissingTypeStubs]

stats: Any = _stats
