"""Last-word perplexity: the end of a passage that only the whole passage tells."""

from collections.abc import Mapping
from functools import lru_cache
from math import exp
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor

from miras.tasks import (
    IGNORE,
    Batch,
    Evaluation,
    Floor,
    HeldOut,
    Objective,
    Predict,
    Task,
    ask,
    generator,
)
from miras.tasks.corpus import Source
from miras.tasks.kneser_ney import BYTES, KneserNey
from miras.tasks.library import Text
from miras.tasks.passages import Passages, passages

GRAMS = {"unigram": 1, "bigram": 2, "five_gram": 5}
"""Floors by the length of their n-grams."""


class LastWord(Task):
    """The last word of a passage, byte by byte: a broad context kept until it decides.

    `path` is a file of JSON lines with a passage each, as LAMBADA is given out: {"text": "..."}.
    The word is what follows the last space. Without a path, passages are held-out windows of
    `text` that are cut after a word of letters. Training is language modelling of all bytes: of
    `train`, a file or a folder, where it is given, else of the passages that are not held out (six
    in eight by their hash), else of `text`. A passage longer than `context` loses its start, a
    shorter one is filled up with line feeds.

    `perplexity` is exp of the mean nats of a word, `accuracy` the share of words of which every
    byte is the likeliest after those before it. Score: clip(1 - nats per word / nats per word of
    the unigram floor, 0, 1), as in `byte_lm`: linear in nats, 1 is certainty.
    Isolates: broad context in real text, kept until one word needs it.
    Floor: interpolated Kneser-Ney of 1 byte; 2 and 5 bytes, all that local memory gives, beside it.
    No exact solver: words are not determined.

    Source: LAMBADA (arXiv 1606.06031). Differs: bytes instead of words, so that no vocabulary is
    needed; LAMBADA itself is not part of this package, and its passages need a `train` like its
    own novels to compare with published numbers.
    """

    kind: Literal["last_word"] = "last_word"
    path: Path | None = Field(default=None, description="a file of JSON lines; none: `text`")
    field: str = Field(default="text", min_length=1, description="what a passage is called there")
    train: Path | None = Field(
        default=None, description="a file or a folder to train on; none: the passages or `text`"
    )
    text: Text = Field(default="python", description="a text at hand, where there is no path")
    context: int = Field(default=128, ge=8, le=65_536, description="bytes that a prediction sees")
    batch: int = Field(default=32, ge=1, le=65_536, description="windows per training step")
    validation: int = Field(default=128, ge=1, le=1_000_000, description="passages at most")
    test: int = Field(default=512, ge=1, le=1_000_000, description="passages at most")
    objective: ClassVar[Objective] = "language"
    published: ClassVar[Mapping[str, Any]] = {
        "context": 512,
        "batch": 64,
        "steps": 12_000,
        "validation": 4869,
        "test": 5153,
    }

    @property
    def vocabulary(self) -> int:
        return BYTES

    @property
    def passages(self) -> Passages:
        """What trains and what is asked."""
        source = Source(self.train, "*", 16_000_000, self.context + 1, self.text)
        return passages(self.path, self.field, source)

    def train_batch(self, generator: np.random.Generator) -> Batch:
        train = self.passages.train
        start = generator.integers(0, len(train) - self.context, (self.batch, 1))
        window = torch.as_tensor(train[start + np.arange(self.context + 1)].astype(np.int64))
        return Batch(window[:, :-1].contiguous(), window[:, 1:].contiguous())

    def held_out(self, split: HeldOut, seed: int) -> Batch:
        """The passages that an evaluation asks; all of the split if there are not more."""
        found = self.passages.validation if split == "validation" else self.passages.test
        order: list[int] = generator(self.name, split, seed).permutation(len(found)).tolist()
        order = order[: self.sequences(split)]
        width = self.context + 1
        text = np.full((len(order), width), 10)
        asked = np.zeros(text.shape, bool)
        for row, chosen in enumerate(order):
            passage = found[chosen]
            kept = passage[-width:]
            text[row, width - len(kept) :] = np.frombuffer(kept, np.uint8)
            # A first byte has nothing before it in the window: a very long word loses some.
            asked[row, -min(len(passage.split()[-1]), width - 1) :] = True
        targets = np.where(asked, text, IGNORE)
        return Batch(torch.as_tensor(text[:, :-1].copy()), torch.as_tensor(targets[:, 1:].copy()))

    def evaluate(
        self, predict: Predict, split: HeldOut = "test", seed: int = 0, extrapolate: bool = True
    ) -> Evaluation:
        batch = self.held_out(split, seed)
        answers = ask(predict, batch, BYTES)
        scored = batch.targets.numpy() != IGNORE
        first = scored.sum(1).cumsum() - scored.sum(1)
        per_word = float(np.add.reduceat(answers.nats, first).mean())
        right = np.logical_and.reduceat(answers.correct, first)
        floors = _floors(self.model_dump_json(), split, seed)
        metrics = {"nats_per_word": per_word, "perplexity": exp(min(per_word, 700.0))}
        metrics |= {"accuracy": float(right.mean())}
        metrics |= {f"floor/{name}": value for name, value in floors.items()}
        score = min(max(1 - per_word / floors["unigram"], 0.0), 1.0)
        return Evaluation(score, metrics, float(answers.nats.mean()))

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> None:
        return None

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        def of(order: int) -> Predict:
            def predict(
                tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
            ) -> Float[Tensor, "scored vocabulary"]:
                model = _counted(self.model_dump_json(), order)
                # Row by row: the estimates of one stay in the processor's cache.
                told = [
                    torch.as_tensor(model.next_byte(row[None].numpy())[0]).log()[due]
                    for row, due in zip(tokens, scored, strict=True)
                ]
                return torch.cat(told)

            return predict

        stated = _floors(self.model_dump_json(), split, seed)
        return {
            name: Floor(of(order), {"nats_per_word": stated[name]}) for name, order in GRAMS.items()
        }


@lru_cache(maxsize=8)
def _counted(settings: str, order: int) -> KneserNey:
    return KneserNey(LastWord.model_validate_json(settings).passages.train, order)


@lru_cache(maxsize=8)
def _floors(settings: str, split: HeldOut, seed: int) -> dict[str, float]:
    """Nats per word of the n-grams on the passages of an evaluation."""
    batch = LastWord.model_validate_json(settings).held_out(split, seed)
    nats: dict[str, float] = {}
    for name, order in GRAMS.items():
        model, total = _counted(settings, order), 0.0
        for tokens, targets in zip(batch.tokens.numpy(), batch.targets.numpy(), strict=True):
            place = (targets != IGNORE).nonzero()[0]
            given = model.next_byte(tokens[None])[0]
            total -= float(np.log(given[place, targets[place]]).sum())
        nats[name] = total / len(batch.tokens)
    return nats
