"""Settings of all tests. Must not import miras before the checks of shapes are switched on."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# Shapes are checked at run time where they are written down; pyright checks types. Elsewhere a
# check costs more than what it checks: functions inside of others are compiled whenever they are
# made.
_ROOT = Path(__file__).parents[1]
_CHECKED = [
    ".".join(path.relative_to(_ROOT).with_suffix("").parts)
    for path in sorted((_ROOT / "miras").rglob("*.py"))  # follows no links: not `search`, `plots`
    if "jaxtyping" in path.read_text()
]
install_import_hook(_CHECKED, "beartype.beartype")

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
