"""What follows from two things that were told apart."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field

from miras.streams import Dice, Episode, Heard, Scores, Stream, cosine, piece, unit


class Chains(Stream):
    """`chains` times a -> b and b -> c; after the last of them a is asked, and c is the answer.

    A link is one item [x, y] of two halves of length 1, key and value at once; the links of a chain
    come one after the other. The question is [a, 0] and the second half of the answer counts.
    Scores: `far`, the share of answers whose second half is nearest to c among all b and c, and
    `near`, the share nearest to b. Lessons: the mean of 1 - cosine with c.

    Source: dreaming of MemNet, slots that attend to each other between two tokens. Works: after
    sleep one read gives what took two.
    """

    kind: Literal["chains"] = "chains"
    chains: int = Field(default=2, ge=1)
    half: int = Field(default=16, ge=2, description="numbers of a, b and c")

    def episode(self, seed: int) -> Episode:
        dice = Dice(self.kind, seed)
        a, b, c = (unit(dice.normal(self.chains, self.half)) for _ in range(3))
        links = torch.stack((torch.cat((a, b), -1), torch.cat((b, c), -1)), dim=1).flatten(0, 1)
        asked = torch.cat((a, torch.zeros_like(a)), dim=-1)
        return Episode((piece(links, links, asked),), {"b": b, "c": c})

    def lesson(self, episode: Episode, heard: Sequence[Heard]) -> torch.Tensor:
        return 1 - cosine(heard[-1].answer[:, self.half :], episode.truth["c"]).mean()

    def score(self, episode: Episode, heard: Sequence[Heard]) -> Scores:
        known = torch.cat((episode.truth["c"], episode.truth["b"]))
        found = cosine(heard[-1].answer[:, None, self.half :], known).argmax(-1)
        place = torch.arange(self.chains)
        return {
            "far": float((found == place).double().mean()),
            "near": float((found == place + self.chains).double().mean()),
        }
