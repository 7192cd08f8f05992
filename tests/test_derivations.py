"""The small version of `benchmarks/derivations.py`: what is drawn or changed is a memory."""

import numpy as np
import pytest

from miras.benchmarks.derivations import outcome_of
from miras.search.space.space import load_space


@pytest.mark.parametrize(
    ("name", "count"), [("quickstart", 40), ("hybrids", 10), ("near-gated-deltanet", 10)]
)
def test_samples_and_mutants_are_models(name: str, count: int) -> None:
    space = load_space(name)
    numbers = np.arange(count)
    found = [outcome_of(space, kind, int(n), 0) for kind in ("sample", "mutant") for n in numbers]
    assert not [each for each in found if each.outcome == "failed"]
    assert sum(each.outcome == "built" for each in found) > count
