"""One write, then nothing: how long is it heard?"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Episode, Heard, Scores, Stream, length, piece


class Impulse(Stream):
    """One pair of ones, then `time` - 1 tokens of zeros; the read is the response r(age).

    A memory to which a random pattern is added at each token holds a pattern of that age with the
    signal-to-noise ratio r(age) / |r|, so the response says all. The gate `step` is 1 at the pair
    and 0 after it. There is nothing random in this stream.
    Scores: `ratio/age=a`, that ratio over the one of the single exponential that is best for this
    age alone, and `worst_ratio`, the smallest of them.

    Source: Benna and Fusi, Computational principles of synaptic memory consolidation (Nature
    Neuroscience 2016). Works: one memory is near the best exponential at every age at once, which
    no exponential is.
    """

    kind: Literal["impulse"] = "impulse"
    time: int = Field(default=20_000, ge=2, description="tokens")
    ages: tuple[int, ...] = Field(default=(1, 4, 16, 64, 256, 1024), min_length=1)

    def episode(self, seed: int) -> Episode:
        once = torch.zeros(self.time, 1, dtype=torch.float64)
        once[0] = 1.0
        told = piece(once, once, step=once[:, 0])._replace(query=torch.ones_like(once))
        return Episode((told,), {})

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        response = heard[-1].output[:, 0]
        found = response[list(self.ages)] / length(response)
        ratios = found / self._best()
        scores = {
            f"ratio/age={age}": float(ratio) for age, ratio in zip(self.ages, ratios, strict=True)
        }
        return scores | {"worst_ratio": float(ratios.min())}

    def _best(self) -> torch.Tensor:
        """The signal-to-noise ratio of the best exponential of each age."""
        ages = torch.tensor(self.ages, dtype=torch.float64)
        # (1 - x)^age sqrt(1 - (1 - x)^2) over a fine grid of rates x.
        kept = 1 - torch.logspace(-5, -0.05, 2000, dtype=torch.float64)[:, None]
        return (kept**ages * (1 - kept**2).sqrt()).amax(0)
