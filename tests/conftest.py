"""Settings of all tests. Must not import miras: the shape checks are switched on only after it."""

import random
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

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
