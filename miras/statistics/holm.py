"""Many comparisons at once: the more are made, the more seem to show something."""

from collections.abc import Mapping


def holm(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Probabilities corrected for their number (Holm 1979), in the order given.

    Rejecting those of at most 5 % errs at all, in one or more, with at most 5 %, however the
    comparisons depend on each other. The smallest of m is multiplied by m, the next by m - 1, and
    none ends below one that was smaller. SciPy has the false discovery rate, not this.
    """
    ordered = sorted(probabilities, key=lambda name: probabilities[name])
    corrected: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - place) * probabilities[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in probabilities}
