"""Sequential digits: read a picture pixel by pixel and say which digit it was."""

from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor

from miras.part import SpecError
from miras.tasks import (
    IGNORE,
    Batch,
    Evaluation,
    Floor,
    HeldOut,
    Objective,
    Predict,
    Split,
    Task,
    ask,
    certain,
    generator,
    scaled,
    split_of,
)

GREYS, SIDE, CLASSES = 17, 8, 10
MARK = GREYS
FIRST_CLASS = GREYS + 1


class Images(NamedTuple):
    """Pictures of one split, row by row, and their digits."""

    pixels: Int64[np.ndarray, "images pixels"]
    digits: Int64[np.ndarray, " images"]


class Digits(Task):
    """The class of a picture that came one pixel at a time: a sanity check on real data.

        0 0 5 13 9 1 0 0 ... 10 0 0 0 ?           (64 greys; the digit is due at the mark ?)

    The 1,797 handwritten digits of scikit-learn, 8 x 8 pixels of 17 greys, row by row. A picture
    belongs to a split by the hash of its pixels: 1,340 train, 198 are for validation and 259 for
    the test; where more are asked for, they come again in another order. Training goes over few
    pictures many times, so memories with more parameters fit them by heart: small
    differences mean nothing. Ids: greys, mark, classes.
    Isolates: integration of many weak inputs; a sanity check on real data.
    Floor: naive Bayes on how often each grey occurs, fitted on the training pictures: what is
    known without the places of pixels.
    Score: accuracy scaled from the floor.
    Exact solver: the data set itself, looked up.

    Source: sequential image classification as in Le and others (arXiv 1504.00941). Differs: 8 x 8
    pictures of scikit-learn (optical recognition of handwritten digits, UCI) instead of MNIST.
    """

    kind: Literal["digits"] = "digits"
    validation: int = Field(default=192, ge=1, le=1_000_000, description="pictures")
    test: int = Field(default=256, ge=1, le=1_000_000, description="pictures")
    objective: ClassVar[Objective] = "selection"
    published: ClassVar[Mapping[str, Any]] = {"steps": 20_000, "validation": 198, "test": 259}

    @property
    def vocabulary(self) -> int:
        return FIRST_CLASS + CLASSES

    def train_batch(self, generator: np.random.Generator) -> Batch:
        images = _images("train")
        return _batch(images, generator.integers(0, len(images.digits), self.batch))

    def held_out(self, split: HeldOut, seed: int) -> Batch:
        """The pictures that an evaluation asks: all in random order, then all again."""
        images, wanted = _images(split), self.sequences(split)
        stream = generator(self.name, split, seed)
        rounds = -(-wanted // len(images.digits))
        order = [stream.permutation(len(images.digits)) for _ in range(rounds)]
        return _batch(images, np.concatenate(order)[:wanted])

    def evaluate(
        self, predict: Predict, split: HeldOut = "test", seed: int = 0, extrapolate: bool = True
    ) -> Evaluation:
        batch = self.held_out(split, seed)
        answers = ask(predict, batch, self.vocabulary)
        accuracy = float(answers.correct.mean())
        floor = _of_greys(batch)
        score = scaled(accuracy, floor)
        metrics = {"accuracy": accuracy, "floor": floor, "worst": score}
        return Evaluation(score, metrics, float(answers.nats.mean()))

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        answers = torch.full_like(tokens, IGNORE)
        row, place = (tokens == MARK).nonzero(as_tuple=True)
        known = _known()
        found = [known[tokens[int(r), :-1].numpy().tobytes()] for r in row]
        answers[row, place] = torch.tensor(found, dtype=torch.int64) + FIRST_CLASS
        return answers

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        def greys(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            digit = torch.as_tensor(_by_greys(tokens[:, :-1].numpy()))
            return certain(digit + FIRST_CLASS, self.vocabulary)

        return {"greys": Floor(greys, {"accuracy": _of_greys(self.held_out(split, seed))})}


def _batch(images: Images, order: Int64[np.ndarray, " chosen"]) -> Batch:
    tokens = np.full((len(order), SIDE * SIDE + 1), MARK)
    tokens[:, :-1] = images.pixels[order]
    targets = np.full_like(tokens, IGNORE)
    targets[:, -1] = images.digits[order] + FIRST_CLASS
    return Batch(torch.as_tensor(tokens), torch.as_tensor(targets))


@lru_cache(maxsize=1)
def _everything() -> Images:
    if find_spec("sklearn") is None:
        raise SpecError(
            "digits come with a package that is not installed: pip install scikit-learn, or all"
            " optional data with pip install 'miras-search[data]'"
        )
    data = import_module("sklearn.datasets").load_digits()
    return Images(data.data.astype(np.int64), data.target.astype(np.int64))


@lru_cache(maxsize=3)
def _images(split: Split) -> Images:
    pixels, digits = _everything()
    owner = split_of(pixels)
    mine = owner >= 2 if split == "train" else owner == (split == "validation")
    return Images(pixels[mine], digits[mine])


@lru_cache(maxsize=1)
def _known() -> dict[bytes, int]:
    pixels, digits = _everything()
    return {row.tobytes(): int(digit) for row, digit in zip(pixels, digits, strict=True)}


def _counts(pixels: Int64[np.ndarray, "images pixels"]) -> Int64[np.ndarray, "images greys"]:
    return (pixels[:, :, None] == np.arange(GREYS)).sum(1)


def _by_greys(pixels: Int64[np.ndarray, "images pixels"]) -> Int64[np.ndarray, " images"]:
    """The likeliest digit by the frequencies of greys among the training pictures."""
    train = _images("train")
    one_hot = np.eye(CLASSES)[train.digits]
    seen = one_hot.T @ _counts(train.pixels) + 1
    log_p = np.log(seen / seen.sum(1, keepdims=True))
    return (_counts(pixels) @ log_p.T + np.log(one_hot.mean(0))).argmax(1)


def _of_greys(batch: Batch) -> float:
    """Accuracy of naive Bayes on the pictures of a batch."""
    told = _by_greys(batch.tokens[:, :-1].numpy()) + FIRST_CLASS
    return float((told == batch.targets[:, -1].numpy()).mean())
