"""In-context language learning: what may come next in a language that was never seen before?"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from miras.part import SpecError
from miras.score import combined
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
    asked,
    draw,
    generator,
    split_of,
)
from miras.tasks.automata import automata, distances, grams, languages, mean_over, words
from miras.tasks.ladder import Rung, decay

GRAMS = {"unigram": 1, "bigram": 2, "trigram": 3}
"""Predictors that count in the sequence itself, by the length of their n-grams."""

AT_ONCE = 256
"""Sequences whose n-grams are counted together: tables of all contexts are large."""


class Automaton(Task):
    """Next symbols of a random regular language, a new one in each sequence.

        | c a f a | c | c a b b c a | ...        (all symbols are due, the separators are not)

    Each sequence draws an automaton of S states that are all reachable, 1 to `edges` edges from
    each (one goes round through all states, others to any other state), with the symbols of 4 to
    all of the alphabet. Its words start at state 0, have 1 to `longest` symbols, each one of the
    state's equally likely. So the true distribution of the next symbol is known: `tv/S=4` is the
    mean total variation from it, `valid/S=4` the share of most likely symbols that are possible.
    Languages, not sequences, are split into train, validation and test.

    Isolates: estimation of statistics in context, with every token as an example.
    Floor: how often each symbol came in the sequence so far (0.54 at S = 4). Beside it stand
    in-context bigrams (0.32) and trigrams (0.27), in Witten and Bell's mixture: strong readers that
    small models hardly reach. Score of a rung: clip(1 - tv / tv of the floor, 0, 1), and
    `beyond_trigram/S=4` is the same against trigrams, below 0 if worse; ladder and extrapolation as
    in `Ladder`.
    No exact solver: the past does not tell the automaton; knowing it the distance is 0.

    Source: RegBench (arXiv 2401.12973) section 3. Differs: all states are reachable by
    construction instead of trimmed and minimised; splits by language keep duplicates apart.
    Full: its sizes; the steps are ours.
    """

    kind: Literal["automaton"] = "automaton"
    rungs: tuple[Rung, ...] = Field(
        default=(Rung(128, 4), Rung(128, 6), Rung(128, 8)),
        min_length=1,
        description="[length, states] of the trained rungs",
    )
    extrapolation: tuple[Rung, ...] = Field(
        default=(Rung(256, 8), Rung(128, 12)), description="[length, states] that are only tested"
    )
    alphabet: int = Field(default=10, ge=4, le=60, description="different symbols")
    edges: int = Field(default=3, ge=2, le=4, description="largest number of edges of a state")
    longest: int = Field(default=16, ge=2, le=65_536, description="symbols of a word at most")
    steps: int = Field(default=450, ge=1, le=10_000_000, description="default training length")
    test: int = Field(default=512, ge=1, le=1_000_000, description="sequences per rung")
    objective: ClassVar[Objective] = "language"
    published: ClassVar[Mapping[str, Any]] = {
        "rungs": (Rung(512, 4), Rung(512, 8), Rung(512, 12)),
        "extrapolation": (Rung(1024, 12),),
        "alphabet": 18,
        "longest": 49,
        "steps": 10_000,
        "test": 1000,
    }

    @model_validator(mode="after")
    def _rungs_are_a_ladder(self) -> "Automaton":
        rungs = (*self.rungs, *self.extrapolation)
        if any(above.load <= below.load for below, above in pairwise(self.rungs)):
            raise SpecError("the states of the rungs must grow: sort them, keep each number once")
        if len(set(rungs)) < len(rungs):
            raise SpecError("a rung is named twice in rungs and extrapolation: keep it once")
        for rung in rungs:
            if rung.length < 2 * self.longest:
                raise SpecError(
                    f"rung {[*rung]} is too short for words of {self.longest} symbols: give it"
                    f" {2 * self.longest} tokens or a smaller `longest`"
                )
        return self

    @property
    def vocabulary(self) -> int:
        return self.alphabet + 1

    def label(self, rung: Rung) -> str:
        """How the metrics call a rung: `S=8` if trained, with its length if not."""
        name = f"S={rung.load}"
        return name if rung in self.rungs else f"{name},L={rung.length}"

    def sample(self, rung: Rung, sequences: int, generator: np.random.Generator) -> Rows:
        """Fresh sequences of a rung, of any split. Beside the tokens: the hash of the language, and
        the possible symbols after each token as bits."""
        these = automata(generator, sequences, rung.load, self.edges, (4, self.alphabet))
        most = max(each.load for each in (*self.rungs, *self.extrapolation))
        language = languages(these, 2 * most).astype(np.int64)
        text, possible = words(these, generator, rung.length + 1, self.longest)
        targets = np.where(text[:, 1:] < 0, IGNORE, text[:, 1:])
        tokens = np.where(text[:, :-1] < 0, self.alphabet, text[:, :-1])
        return np.concatenate([language[:, None], tokens, possible[:, 1:]], 1), targets

    def _draw(
        self, rung: Rung, split: Literal["train", "validation", "test"], sequences: int, stream: Any
    ) -> tuple[Batch, Int64[Tensor, "batch time"]]:
        wide, targets = draw(
            lambda n: self.sample(rung, n, stream), split, sequences, owner=by_language
        )
        tokens = wide[:, 1 : 1 + rung.length].contiguous()
        return Batch(tokens, targets), wide[:, 1 + rung.length :]

    def train_batch(self, generator: np.random.Generator) -> Batch:
        rung = self.rungs[generator.integers(len(self.rungs))]
        return self._draw(rung, "train", self.batch, generator)[0]

    def held_out(
        self, rung: Rung, split: HeldOut, seed: int
    ) -> tuple[Batch, Int64[Tensor, "batch time"]]:
        """The sequences of a rung that an evaluation asks, and the possible symbols after each
        token as bits."""
        stream = generator(self.name, split, seed, *rung)
        return self._draw(rung, split, self.sequences(split), stream)

    def evaluate(
        self, predict: Predict, split: HeldOut = "test", seed: int = 0, extrapolate: bool = True
    ) -> Evaluation:
        metrics: dict[str, float] = {}
        scores: dict[Rung, float] = {}
        nats: list[Tensor] = []
        for rung in (*self.rungs, *(self.extrapolation if extrapolate else ())):
            batch, possible = self.held_out(rung, split, seed)
            far: list[Tensor] = []
            valid: list[Tensor] = []
            start = 0
            for few, logits in asked(predict, batch, self.vocabulary):
                scored = few.targets != IGNORE
                logits = logits.float().cpu()
                allowed = possible[start : start + len(few.tokens)][scored]
                start += len(few.tokens)
                away, right = distances(logits.softmax(1), allowed)
                far.append(away)
                valid.append(right)
                wanted = few.targets[scored]
                nats.append(torch.nn.functional.cross_entropy(logits, wanted, reduction="none"))
            name, away = self.label(rung), mean_over(far)
            counted = _floors(cast(Any, self), rung, split, seed)
            floor = counted["unigram"]
            scores[rung] = min(max(1 - away / floor, 0.0), 1.0)
            metrics |= {f"tv/{name}": away, f"valid/{name}": mean_over(valid)}
            metrics |= {f"floor/{name}": floor, f"score/{name}": scores[rung]}
            metrics[f"beyond_trigram/{name}"] = 1 - away / counted["trigram"]
        trained = [scores[rung] for rung in self.rungs]
        metrics |= {"ladder": float(np.mean(trained)), "worst": min(trained)}
        parts = {"ladder": metrics["ladder"]}
        if extrapolate and self.extrapolation:
            beyond = [scores[rung] for rung in self.extrapolation]
            parts["extrapolation"] = metrics["extrapolation"] = float(np.mean(beyond))
            last = self.rungs[-1]
            longer = {r.length: scores[r] for r in self.extrapolation if r.load == last.load}
            if lengths := sorted(longer):
                points = [scores[last], *(longer[length] for length in lengths)]
                metrics |= decay([last.length, *lengths], points)
        return Evaluation(combined(parts), metrics, mean_over(nats))

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> None:
        return None

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        rungs = (*self.rungs, *self.extrapolation)
        stated = {self.label(rung): _floors(cast(Any, self), rung, split, seed) for rung in rungs}
        return {
            name: Floor(
                _predictor(self.alphabet, order),
                {f"tv/{label}": found[name] for label, found in stated.items()},
            )
            for name, order in GRAMS.items()
        }


def by_language(wide: NDArray[np.int64]) -> NDArray[np.int64]:
    """The split of a sequence by its language alone."""
    return split_of(np.ascontiguousarray(wide[:, :1]))


def _predictor(alphabet: int, order: int) -> Predict:
    def predict(
        tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "scored vocabulary"]:
        found = grams(tokens, _following(tokens), order, alphabet)[-1][scored]
        return torch.nn.functional.pad(found, (0, 1)).log()

    return predict


def _following(tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
    return torch.nn.functional.pad(tokens[:, 1:], (0, 1), value=IGNORE)


@lru_cache(maxsize=64)
def _floors(task: Automaton, rung: Rung, split: HeldOut, seed: int) -> dict[str, float]:
    """Total variation of the n-grams on the sequences of an evaluation."""
    batch, possible = task.held_out(rung, split, seed)
    found: dict[str, list[Tensor]] = {name: [] for name in GRAMS}
    for start in range(0, len(possible), AT_ONCE):
        tokens, targets, bits = (p[start : start + AT_ONCE] for p in (*batch, possible))
        scored = targets != IGNORE
        said = grams(tokens, _following(tokens), len(GRAMS), task.alphabet)
        for name, order in GRAMS.items():
            found[name].append(distances(said[order - 1][scored], bits[scored])[0])
    return {name: mean_over(parts) for name, parts in found.items()}
