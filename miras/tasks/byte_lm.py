"""Language modelling of bytes: real text, where all abilities count at once."""

from collections.abc import Mapping
from functools import lru_cache
from math import log
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from miras.tasks import Batch, Evaluation, Floor, HeldOut, Objective, Predict, Task, ask, generator
from miras.tasks.corpus import Source, corpus
from miras.tasks.kneser_ney import BYTES, KneserNey, packed
from miras.tasks.library import Text

GRAMS = {"unigram": 1, "bigram": 2, "five_gram": 5}
"""Floors by the length of their n-grams."""


class ByteLM(Task):
    """Prediction of the next byte of real text; by default the sources of Python's own library.

    The text is cut into 20 blocks and each into 90 % training, 5 % validation and 5 % test, after
    files equal to an earlier file were dropped. Training windows begin anywhere in the training
    bytes; held-out windows do not overlap. `bits_per_byte` is over all positions of windows of
    `context` bytes; `bits_per_byte/recall` over the positions whose last three bytes came before in
    the window with the same next byte, `bits_per_byte/other` over the rest, and `recall_share` is
    the share of the former: what associative recall alone gives (Zoology, arXiv 2312.04927).

    Score: clip(1 - bits per byte / bits per byte of the unigram floor, 0, 1), the share of the
    bytes' entropy that the context removes. The floor is the strongest predictor without memory,
    and 1 is certainty. It falls linearly in bits per byte: differences mean the same everywhere.
    Isolates: nothing: real text asks for all abilities at once, and anchors the others.
    Floor: interpolated Kneser-Ney of 1 byte, counted on the training bytes; those of 2 and 5 bytes
    stand beside it.

    Source: Zoology (arXiv 2312.04927) for the split by recall. Differs: bytes instead of words.
    """

    kind: Literal["byte_lm"] = "byte_lm"
    path: Path | None = Field(default=None, description="a file or a folder; none: `text` is read")
    text: Text = Field(
        default="python", description="a text at hand: sources of Python or torch, or of a package"
    )
    pattern: str = Field(
        default="*", min_length=1, description="names of files to read in a folder"
    )
    limit: int = Field(
        default=16_000_000, ge=1_000, le=1_000_000_000, description="bytes to read at most"
    )
    context: int = Field(default=128, ge=8, le=65_536, description="bytes that a prediction sees")
    batch: int = Field(default=32, ge=1, le=65_536, description="windows per training step")
    validation: int = Field(default=128, ge=1, le=1_000_000, description="windows at most")
    test: int = Field(default=512, ge=1, le=1_000_000, description="windows at most")
    objective: ClassVar[Objective] = "language"
    published: ClassVar[Mapping[str, Any]] = {
        "context": 256,
        "batch": 64,
        "steps": 12_000,
        "validation": 512,
        "test": 4096,
    }

    @property
    def vocabulary(self) -> int:
        return BYTES

    @property
    def source(self) -> Source:
        """What to read and how long a window is."""
        return Source(self.path, self.pattern, self.limit, self.context + 1, self.text)

    def train_batch(self, generator: np.random.Generator) -> Batch:
        train = corpus(self.source).train
        start = generator.integers(0, len(train) - self.context, (self.batch, 1))
        return _batch(train[start + np.arange(self.context + 1)])

    def held_out(self, split: HeldOut, seed: int) -> Batch:
        """The windows that an evaluation asks; all of the split if there are not more."""
        return _batch(_windows(self.source, split, seed, self.sequences(split)))

    def evaluate(
        self, predict: Predict, split: HeldOut = "test", seed: int = 0, extrapolate: bool = True
    ) -> Evaluation:
        batch = self.held_out(split, seed)
        answers = ask(predict, batch, BYTES)
        bits = answers.nats / log(2)
        recall = recalled(batch).ravel()
        mean = float(bits.mean())
        metrics = {"bits_per_byte": mean, "recall_share": float(recall.mean())}
        for name, chosen in (("recall", recall), ("other", ~recall)):
            if chosen.any():
                metrics[f"bits_per_byte/{name}"] = float(bits[chosen].mean())
        floors = _floors(self.source, split, seed, self.sequences(split))
        metrics |= {f"floor/{name}": value for name, value in floors.items()}
        score = min(max(1 - mean / floors["unigram"], 0.0), 1.0)
        return Evaluation(score, metrics, float(answers.nats.mean()))

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> None:
        return None

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        stated = _floors(self.source, split, seed, self.sequences(split))
        return {
            name: Floor(_predictor(self.source, order), {"bits_per_byte": stated[name]})
            for name, order in GRAMS.items()
        }


def recalled(batch: Batch) -> Bool[np.ndarray, "batch time"]:
    """Positions whose last three bytes and next byte came before, in this order, in the window."""
    text = torch.cat([batch.tokens, batch.targets[:, -1:]], 1).numpy()
    grams = packed(text, 4)
    order = grams.argsort(axis=1, kind="stable")
    ordered = np.take_along_axis(grams, order, 1)
    again = np.zeros(grams.shape, bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], 1)
    return np.pad(again, ((0, 0), (2, 0)))


def _windows(
    source: Source, split: HeldOut, seed: int, most: int
) -> UInt8[np.ndarray, "windows window"]:
    text = corpus(source)
    windows = text.validation if split == "validation" else text.test
    return windows[generator("byte_lm", split, seed).permutation(len(windows))[:most]]


def _batch(windows: UInt8[np.ndarray, "windows window"]) -> Batch:
    text = torch.as_tensor(windows.astype(np.int64))
    return Batch(text[:, :-1].contiguous(), text[:, 1:].contiguous())


@lru_cache(maxsize=8)
def _counted(source: Source, order: int) -> KneserNey:
    return KneserNey(corpus(source).train, order)


def _pieces(windows: NDArray[Any]) -> list[NDArray[Any]]:
    """About 1,024 bytes at a time: their estimates stay in the processor's cache."""
    return np.array_split(windows, -(-windows.size // 1024))


def _predictor(source: Source, order: int) -> Predict:
    def predict(
        tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "scored vocabulary"]:
        model = _counted(source, order)
        few = [model.next_byte(windows) for windows in _pieces(np.asarray(tokens))]
        return torch.as_tensor(np.concatenate(few)).log()[scored]

    return predict


@lru_cache(maxsize=8)
def _floors(source: Source, split: HeldOut, seed: int, most: int) -> dict[str, float]:
    """Bits per byte of the n-grams on the windows of an evaluation."""
    windows = _pieces(_windows(source, split, seed, most).astype(np.int64))
    bits: dict[str, float] = {}
    for name, order in GRAMS.items():
        model = _counted(source, order)
        given = [
            np.take_along_axis(model.next_byte(few[:, :-1]), few[:, 1:, None], 2).ravel()
            for few in windows
        ]
        bits[name] = -float(np.log2(np.concatenate(given)).mean())
    return bits
