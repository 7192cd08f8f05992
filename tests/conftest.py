"""Settings of all tests. Must not import miras before the checks of shapes are switched on."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# Shapes and types are checked at run time in the library, where tensors are. `search` and `plots`,
# the links, have none, and loops in which a check costs more than what it checks.
_LIBRARY = Path(__file__).parents[1] / "miras"
_CHECKED = [
    path.stem for path in _LIBRARY.iterdir() if not path.is_symlink() and path.stem[0] != "_"
]
install_import_hook([f"miras.{name}" for name in sorted(_CHECKED)], "beartype.beartype")

# The cores are shared, so how long an example takes says nothing about it.
# The same examples in every run: a red test must stay red until it is mended.
settings.register_profile(
    "miras", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("miras")


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Every test starts from the same random numbers, whichever tests ran before it."""
    random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
    yield
