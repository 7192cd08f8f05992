"""In-context linear regression with outliers: fit a line through what was just seen."""

from collections.abc import Mapping
from functools import lru_cache, partial
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from numpy.typing import NDArray
from pydantic import Field, model_validator
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
    Rows,
    Task,
    ask,
    draw,
    generator,
)

EDGE = 3.0
"""Levels of y divide -EDGE .. EDGE evenly; the outermost have no end."""

BEAM = 32
"""Hypotheses about which examples are outliers that the robust reference keeps."""


class Regression(Task):
    """Prediction of y from x after pairs of the same linear map, some of them outliers.

        x1 x2 x3 x4 y   x1 x2 x3 x4 y   ...       (y is due at the last x of its example)

    Numbers are tokens, since tokens are all that a task may hand to a model: x has `levels` ids, at
    the middles of as many equally likely parts of a normal variable; y has `levels` ids of its own,
    even steps from -3 to 3. x is drawn among its levels, so nothing of it is lost: y = w x +
    `noise` n, with w ~ N(0, I / dims) anew in each sequence and n ~ N(0, 1), is rounded to its
    level. An example is an outlier with probability `outliers`: its y is uniform over the levels.
    A model answers with a distribution over levels; the score counts its nats.

    Score: clip((prior - nats) / (prior - robust), 0, 1): 0 for what is known without any example,
    1 for the robust reference; twice over the examples of the trained number and once over those
    beyond it, averaged. No exact solver exists, since y is noisy. The reference is the posterior of
    w under the 32 most likely hypotheses about which examples were outliers: exact up to 5
    examples, and within 0.01 nats of the exact posterior where that can be summed. At the default
    settings it reaches 1.91 nats per example over the trained number and 1.50 beyond it, ridge
    regression, which believes outliers, 2.66 and 2.37 (metrics `ridge`), the floor 3.08.
    Isolates: the attentional bias: least squares in context, and robustness to outliers.
    Floor: the distribution of y given the length of x alone.
    Extrapolation: more examples than trained.

    Source: Garg and others (arXiv 2208.01066), linear regression; Mamba on it: arXiv 2402.03170.
    Differs: quantised numbers; outliers are ours, a test of robust attentional biases.
    """

    kind: Literal["regression"] = "regression"
    dims: int = Field(default=4, ge=1, le=256, description="coordinates of x")
    examples: int = Field(default=24, ge=2, le=100_000, description="trained examples")
    extrapolation: tuple[Annotated[int, Field(ge=2, le=100_000)], ...] = Field(
        default=(48,), max_length=1, description="examples of a tested sequence, above `examples`"
    )
    levels: int = Field(default=32, ge=2, le=4096, description="ids of x, and as many of y")
    noise: float = Field(default=0.1, ge=1e-3, le=10, description="standard deviation")
    outliers: float = Field(default=0.1, ge=0, le=0.9, description="share of examples")
    batch: int = Field(default=32, ge=1, le=65_536, description="sequences per training step")
    objective: ClassVar[Objective] = "recall"
    published: ClassVar[Mapping[str, Any]] = {
        "dims": 20,
        "examples": 41,
        "extrapolation": (82,),
        "levels": 64,
        "steps": 500_000,
        "batch": 64,
    }

    @model_validator(mode="after")
    def _more_examples_beyond(self) -> "Regression":
        for below, above in pairwise((self.examples, *self.extrapolation)):
            if above <= below:
                raise SpecError(
                    f"extrapolation has {above} examples, training {below}: take more than trained"
                )
        return self

    @property
    def vocabulary(self) -> int:
        return 2 * self.levels

    @property
    def centres(self) -> Float64[Tensor, " levels"]:
        """The numbers behind the levels of x: mean 0, variance 1."""
        middles = (torch.arange(self.levels, dtype=torch.float64) + 0.5) / self.levels
        centres = torch.erfinv(2 * middles - 1)
        return centres / centres.square().mean().sqrt()

    @property
    def step(self) -> float:
        """The width of a level of y."""
        return 2 * EDGE / self.levels

    def sample(self, examples: int, sequences: int, generator: np.random.Generator) -> Rows:
        """Fresh sequences, of any split."""
        x = generator.integers(0, self.levels, (sequences, examples, self.dims))
        w = generator.standard_normal((sequences, self.dims, 1)) / self.dims**0.5
        y: NDArray[np.float64] = (self.centres.numpy()[x] @ w)[:, :, 0]
        y += self.noise * generator.standard_normal(y.shape)
        near = np.floor((y + EDGE) / self.step).astype(np.int64).clip(0, self.levels - 1)
        odd = generator.random(y.shape) < self.outliers
        level: NDArray[np.int64] = (
            np.where(odd, generator.integers(0, self.levels, y.shape), near) + self.levels
        )
        tokens = np.concatenate([x, level[:, :, None]], 2).reshape(sequences, -1)[:, :-1]
        targets = np.full_like(tokens, IGNORE)
        targets[:, self.dims - 1 :: self.dims + 1] = level
        return tokens, targets

    def train_batch(self, generator: np.random.Generator) -> Batch:
        return draw(lambda n: self.sample(self.examples, n, generator), "train", self.batch)

    def held_out(self, examples: int, split: HeldOut, seed: int) -> Batch:
        """The sequences that an evaluation asks."""
        stream = generator(self.name, split, seed, examples)
        return draw(lambda n: self.sample(examples, n, stream), split, self.sequences(split))

    def evaluate(
        self, predict: Predict, split: HeldOut = "test", seed: int = 0, extrapolate: bool = True
    ) -> Evaluation:
        examples = self.extrapolation[0] if self.extrapolation and extrapolate else self.examples
        batch = self.held_out(examples, split, seed)
        nats = {"nats": ask(predict, batch, self.vocabulary).nats.reshape(-1, examples).mean(0)}
        nats |= _references(self.model_dump_json(), examples, split, seed)
        metrics: dict[str, float] = {}
        parts = {"trained": slice(0, self.examples), "beyond": slice(self.examples, examples)}
        for name, part in parts.items():
            if len(nats["nats"][part]):
                means = {who: float(each[part].mean()) for who, each in nats.items()}
                gain = (means["prior"] - means["nats"]) / (means["prior"] - means["robust"])
                metrics |= {f"{who}/{name}": mean for who, mean in means.items()}
                metrics[f"score/{name}"] = min(max(gain, 0.0), 1.0)
        score = metrics["score/trained"]
        if "score/beyond" in metrics:
            score = (2 * score + metrics["score/beyond"]) / 3
        return Evaluation(score, metrics, float(nats["nats"].mean()))

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> None:
        return None

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        """The floor is stated from the entropy of y given |x|, over 20,000 draws of x."""
        stream = np.random.default_rng(0)
        x = self.centres[torch.as_tensor(stream.integers(0, self.levels, (20_000, self.dims)))]
        mean, variance = x.new_zeros(len(x)), x.square().mean(-1)
        p = (1 - self.outliers) * self._levels(mean, variance) + self.outliers / self.levels
        entropy = float(-torch.xlogy(p, p).sum(-1).mean())
        stated = {"prior/trained": entropy, "nats/trained": entropy}
        return {"prior": Floor(partial(self.reference, beam=0), stated)}

    def reference(
        self,
        tokens: Int64[Tensor, "batch time"],
        scored: Bool[Tensor, "batch time"],
        beam: int = BEAM,
    ) -> Float[Tensor, "scored vocabulary"]:
        """Log probabilities of the ids by regression; beam 0: prior, 1: ridge, more: robust."""
        examples = int(scored[0].sum())
        whole = torch.cat([tokens, tokens.new_full((len(tokens), 1), self.levels)], 1)
        whole = whole.reshape(len(tokens), examples, self.dims + 1)
        x, level = self.centres[whole[:, :, :-1]], whole[:, :, -1:] - self.levels
        y = (level + 0.5).double() * self.step - EDGE
        noise = self.noise**2 + self.step**2 / 12
        w = x.new_zeros(len(x), 1, self.dims)
        spread = torch.eye(self.dims, dtype=x.dtype).expand(len(x), 1, -1, -1) / self.dims
        weight = x.new_zeros(len(x), 1)
        outlier = torch.tensor(self.outliers / self.levels, dtype=x.dtype)
        told: list[Tensor] = []
        for now in range(examples):
            reach = torch.einsum("bhkl,bl->bhk", spread, x[:, now])
            mean, variance = (torch.einsum("bhk,bk->bh", part, x[:, now]) for part in (w, reach))
            inlier = (1 - self.outliers) * self._levels(mean, variance)
            mixed = (weight.softmax(1)[:, :, None] * (inlier + outlier)).sum(1)
            told.append(mixed.clamp_min(1e-30).log())
            if not beam:
                continue
            likely = inlier.gather(2, level[:, now, None].expand(-1, inlier.shape[1], 1))[:, :, 0]
            # The outermost levels say only that y is beyond them: nothing to fit.
            inside = (level[:, now] > 0) & (level[:, now] < self.levels - 1)
            gain = (inside / (variance + noise))[:, :, None] * reach
            learned = w + gain * (y[:, now] - mean)[:, :, None]
            shrunk = spread - gain[:, :, :, None] * reach[:, :, None]
            weight_in = weight + likely.clamp_min(1e-30).log()
            if beam == 1:
                w, spread = learned, shrunk
                continue
            # Each hypothesis goes on as two: this example was an outlier, or it was none.
            weight = torch.cat([weight_in, weight + outlier.clamp_min(1e-30).log()], 1)
            weight, kept = weight.topk(min(beam, weight.shape[1]), 1)
            row = torch.arange(len(x))[:, None]
            w = torch.cat([learned, w], 1)[row, kept]
            spread = torch.cat([shrunk, spread], 1)[row, kept]
        log_p = torch.stack(told, 1)
        return torch.cat([torch.full_like(log_p, -100.0), log_p], -1).flatten(0, 1)

    def _levels(
        self, mean: Float64[Tensor, "*place"], variance: Float64[Tensor, "*place"]
    ) -> Float64[Tensor, "*place levels"]:
        """Probability of each level of y without outliers, if w x has this mean and variance."""
        edges = torch.linspace(-EDGE, EDGE, self.levels + 1, dtype=torch.float64)[1:-1]
        deviation = (variance + self.noise**2).sqrt()[..., None]
        below = 0.5 + 0.5 * torch.erf((edges - mean[..., None]) / (2**0.5 * deviation))
        ones = torch.ones_like(below[..., :1])
        return torch.cat([below, ones], -1) - torch.cat([0 * ones, below], -1)


@lru_cache(maxsize=32)
def _references(
    settings: str, examples: int, split: HeldOut, seed: int
) -> dict[str, Float64[np.ndarray, " examples"]]:
    """Nats per example of the predictors that the score is measured against."""
    task = Regression.model_validate_json(settings)
    batch = task.held_out(examples, split, seed)
    beams = {"prior": 0, "ridge": 1, "robust": BEAM}
    return {
        name: ask(partial(task.reference, beam=beam), batch, task.vocabulary)
        .nats.reshape(-1, examples)
        .mean(0)
        for name, beam in beams.items()
    }
