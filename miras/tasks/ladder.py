"""Tasks of growing difficulty: the same question with more to remember on each rung."""

from abc import ABC, abstractmethod
from functools import partial
from itertools import pairwise
from math import log2
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from miras.part import SpecError
from miras.score import combined
from miras.tasks import (
    Answers,
    Batch,
    Evaluation,
    HeldOut,
    Predict,
    Rows,
    Task,
    ask,
    draw,
    generator,
    scaled,
)


class Rung(NamedTuple):
    """One difficulty; in YAML a list `[length, load]`."""

    length: Annotated[int, Field(ge=2, le=1_048_576, description="tokens per sequence")]
    load: Annotated[int, Field(ge=1, le=262_144, description="things to remember")]


class Ladder(Task, ABC):
    """A task on rungs, each with a floor of accuracy.

    Per rung: score = clip((accuracy - floor) / (1 - floor), 0, 1), accuracy pooled over all scored
    positions. `ladder` is the mean over the trained rungs (equally spaced in log2 of the load),
    `worst` their minimum, `K90` the load at which the score falls through 0.9, interpolated in
    log2 from a score of 1 at load 1 (the largest trained load if it never does), `extrapolation`
    the mean over the rungs that were not trained. Scores by length give `slope`, the change per
    doubling, and `L50`, the length at which the score falls through 1/2: on a trained rung and the
    longer ones of the same load, or where there are none, on the last trained one and all others.
    Score of the task: as `miras.score` combines ladder and extrapolation; training adds the
    learning curve.
    """

    rungs: tuple[Rung, ...]
    extrapolation: tuple[Rung, ...]
    symbol: ClassVar[str]
    least: ClassVar[int] = 2
    """The smallest load: of one thing there is mostly nothing to confuse."""

    @abstractmethod
    def check(self, rung: Rung) -> None:
        """Raise SpecError with a sentence if there is no such sequence."""

    @abstractmethod
    def floor(self, rung: Rung) -> float:
        """Accuracy of the strongest predictor that does not remember what belongs to what."""

    @abstractmethod
    def sample(self, rung: Rung, sequences: int, generator: np.random.Generator) -> Rows:
        """Fresh sequences of a rung, of any split."""

    def details(self, batch: Batch, answers: Answers) -> dict[str, float]:
        """More numbers about the answers on a rung; none if accuracy tells all."""
        return {}

    @model_validator(mode="after")
    def _rungs_are_a_ladder(self) -> "Ladder":
        if any(above.load <= below.load for below, above in pairwise(self.rungs)):
            loads = ", ".join(str(rung.load) for rung in self.rungs)
            raise SpecError(f"the loads of the rungs must grow: {loads}; sort them, keep each once")
        if len(set(self.extrapolation)) < len(self.extrapolation):
            raise SpecError("extrapolation names a rung twice: keep it once")
        for rung in (*self.rungs, *self.extrapolation):
            if rung.load < self.least:
                raise SpecError(
                    f"rung {[*rung]}: the second number should be greater than or equal to"
                    f" {self.least}"
                )
            self.check(rung)
        return self

    def label(self, rung: Rung) -> str:
        """How the metrics call a rung: `K=8` if trained, with its length if not."""
        name = f"{self.symbol}={rung.load}"
        return name if rung in self.rungs else f"{name},L={rung.length}"

    def train_batch(self, generator: np.random.Generator) -> Batch:
        rung = self.rungs[generator.integers(len(self.rungs))]
        return draw(partial(self.sample, rung, generator=generator), "train", self.batch)

    def held_out(self, rung: Rung, split: HeldOut, seed: int) -> Batch:
        """The sequences of a rung that an evaluation asks; other rungs do not change them."""
        stream = generator(self.name, split, seed, *rung)
        return draw(partial(self.sample, rung, generator=stream), split, self.sequences(split))

    def evaluate(
        self, predict: Predict, split: HeldOut = "test", seed: int = 0, extrapolate: bool = True
    ) -> Evaluation:
        metrics: dict[str, float] = {}
        scores: dict[Rung, float] = {}
        nats: list[float] = []
        scored = 0
        for rung in (*self.rungs, *(self.extrapolation if extrapolate else ())):
            batch = self.held_out(rung, split, seed)
            answers = ask(predict, batch, self.vocabulary)
            accuracy, floor = float(answers.correct.mean()), self.floor(rung)
            scores[rung] = scaled(accuracy, floor)
            nats.append(float(answers.nats.sum()))
            scored += len(answers.nats)
            name = self.label(rung)
            metrics |= {f"accuracy/{name}": accuracy, f"floor/{name}": floor}
            metrics |= {f"score/{name}": scores[rung]}
            details = self.details(batch, answers)
            metrics |= {f"{detail}/{name}": value for detail, value in details.items()}
        trained = [scores[rung] for rung in self.rungs]
        score = metrics["ladder"] = float(np.mean(trained))
        metrics["worst"] = min(trained)
        metrics[f"{self.symbol}90"] = load_at(0.9, [rung.load for rung in self.rungs], trained)
        if extrapolate and self.extrapolation:
            beyond = float(np.mean([scores[rung] for rung in self.extrapolation]))
            metrics |= {"extrapolation": beyond, **self._beyond(scores)}
            score = combined({"ladder": score, "extrapolation": beyond})
        return Evaluation(score, metrics, sum(nats) / scored)

    def _beyond(self, scores: dict[Rung, float]) -> dict[str, float]:
        """How the score falls with the length, beyond the training."""
        longer = {rung.load for rung in self.extrapolation}
        first = next((r for r in self.rungs if r.load in longer), None)
        same = [r for r in self.extrapolation if first and r.load == first.load]
        rungs = {first or self.rungs[-1], *(same or self.extrapolation)}
        by_length: dict[int, list[float]] = {}
        for rung in rungs:
            by_length.setdefault(rung.length, []).append(scores[rung])
        lengths = sorted(by_length)
        return decay(lengths, [float(np.mean(by_length[length])) for length in lengths])


def decay(lengths: list[int], scores: list[float]) -> dict[str, float]:
    """Least squares slope of scores per doubling of the length, and where they fall through 1/2.

    `L50` is interpolated in log2; the first length if the score is below there, the last one if it
    never falls. Lengths grow.
    """
    place = np.log2(lengths) - np.log2(lengths).mean()
    spread = float((place**2).sum())
    slope = float(place @ scores) / spread if spread else 0.0
    half = float(lengths[-1])
    if scores[0] < 0.5:
        half = float(lengths[0])
    else:
        for left, (above, below) in enumerate(pairwise(scores)):
            if below < 0.5:
                part = (above - 0.5) / (above - below)
                half = float(lengths[left] * (lengths[left + 1] / lengths[left]) ** part)
                break
    return {"slope": slope, "L50": half}


def load_at(level: float, loads: list[int], scores: list[float]) -> float:
    """The load at which the score first falls through a level, interpolated in log2."""
    points = [(0.0, 1.0), *((log2(load), score) for load, score in zip(loads, scores, strict=True))]
    for (left, above), (right, below) in pairwise(points):
        if below < level:
            return float(2 ** (left + (right - left) * (above - level) / (above - below)))
    return float(loads[-1])
