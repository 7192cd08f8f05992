"""Nothing is forgotten but by being overwritten."""

from typing import Literal

from miras.retention import Retention


class NoRetention(Retention):
    """W_t = W_{t-1} + change_t: the neutral retention.

    Source: MIRAS (arXiv 2504.13173), table 1 (linear attention, DeltaNet).
    """

    kind: Literal["none"] = "none"
