"""Statistics of small studies: few seeds, outcomes that are all or nothing, many candidates.

Rates of success, middles and intervals; comparisons that pair equal seeds and correct for their
number; waits that never ended; and how much of a winner is luck. Needs NumPy and SciPy, not torch.
"""

from .bootstrap import Difference, Scores, paired_bootstrap
from .holm import holm
from .interval import Interval, mean_interval
from .noise import Deviation, NullCandidates, luck_of_best, null_candidates, pooled
from .power import detectable
from .quartiles import interquartile_mean
from .selection import Rescored, repeatable, rescored
from .success import SOLVED, Rate, success, wilson
from .threshold import Wait, Waiting, median_wait, same_wait, wait

__all__ = [
    "SOLVED",
    "Deviation",
    "Difference",
    "Interval",
    "NullCandidates",
    "Rate",
    "Rescored",
    "Scores",
    "Wait",
    "Waiting",
    "detectable",
    "holm",
    "interquartile_mean",
    "luck_of_best",
    "mean_interval",
    "median_wait",
    "null_candidates",
    "paired_bootstrap",
    "pooled",
    "repeatable",
    "rescored",
    "same_wait",
    "success",
    "wait",
    "wilson",
]
