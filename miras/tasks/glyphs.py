"""Few-shot glyphs: learn characters from one drawing each, and name the next one."""

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from miras.part import SpecError
from miras.tasks import (
    IGNORE,
    Batch,
    Floor,
    HeldOut,
    Objective,
    Rows,
    Split,
    certain,
    distinct,
    draw,
    generator,
)
from miras.tasks.ladder import Ladder, Rung
from miras.tasks.strokes import GRID, drawings

CELLS = GRID * GRID


class Glyphs(Ladder):
    """The label of a character drawn by another hand: binding of what looks alike, from one shot.

        <strokes of A> 7  <strokes of k> 2  <strokes of k> ?        (2 is due at the mark ?)

    Each sequence takes N characters with a random label each, shows `shots` drawings of each with
    its label, and asks one of them by a drawing of another hand. A drawing is `points` cells of an
    8 x 8 grid, at even steps along its pen strokes. What is known by heart does not help: with
    `apart: glyph` no character of the test was ever trained, with `apart: font` no hand. Drawings
    that could be two characters are left out. Ids: cells, labels, mark.
    Isolates: binding of what only looks alike to a label, from one example.
    Floor: 1 / N, any label of the sequence.
    Exact solver: the collection, looked up.
    Extrapolation: more characters.

    Source: Omniglot (Lake and others 2015), N-way one-shot classification, as a sequence in Santoro
    and others (arXiv 1605.06065). Differs: by default the Hershey fonts, 62 Latin letters and
    digits in about 11 hands and 17 Greek letters in 2, in place of 1,623 characters by 20 persons;
    `path` reads Omniglot's own strokes (strokes_background). Cells of strokes instead of pictures.
    """

    kind: Literal["glyphs"] = "glyphs"
    rungs: tuple[Rung, ...] = Field(
        default=(Rung(39, 2), Rung(65, 4), Rung(117, 8)),
        min_length=1,
        description="[length, characters of a sequence] of the trained rungs",
    )
    extrapolation: tuple[Rung, ...] = Field(
        default=(Rung(221, 16),), description="[length, characters] that are only tested"
    )
    shots: int = Field(default=1, ge=1, le=64, description="labelled drawings of a character")
    points: int = Field(default=12, ge=2, le=1024, description="cells of a drawing")
    labels: int = Field(default=32, ge=2, le=100_000, description="different labels")
    apart: Literal["glyph", "font"] = Field(
        default="glyph", description="what the splits do not share: characters or hands"
    )
    path: Path | None = Field(
        default=None, description="Omniglot's folder of strokes; none: Hershey fonts"
    )
    symbol: ClassVar[str] = "N"
    objective: ClassVar[Objective] = "recall"
    published: ClassVar[Mapping[str, Any]] = {
        "rungs": (Rung(78, 5), Rung(273, 20)),
        "extrapolation": (),
        "steps": 50_000,
        "shots": 1,
        "points": 12,
    }

    @property
    def vocabulary(self) -> int:
        return CELLS + self.labels + 1

    def check(self, rung: Rung) -> None:
        length = (rung.load * self.shots + 1) * (self.points + 1)
        if rung.length != length:
            raise SpecError(
                f"rung {[*rung]} should be [{length}, {rung.load}]: {rung.load} characters with"
                f" {self.shots} drawings each and a question take {self.points + 1} tokens a piece"
            )
        if rung.load > self.labels:
            raise SpecError(
                f"rung {[*rung]} needs {rung.load} labels, there are {self.labels}: raise `labels`"
            )

    def floor(self, rung: Rung) -> float:
        return 1 / rung.load

    def train_batch(self, generator: np.random.Generator) -> Batch:
        rung = self.rungs[generator.integers(len(self.rungs))]
        part = partial(self.episodes, rung, generator=generator, split="train")
        return draw(part, "train", self.batch)

    def held_out(self, rung: Rung, split: HeldOut, seed: int) -> Batch:
        stream = generator(self.name, split, seed, *rung)
        part = partial(self.episodes, rung, generator=stream, split=split)
        return draw(part, split, self.sequences(split))

    def sample(self, rung: Rung, sequences: int, generator: np.random.Generator) -> Rows:
        return self.episodes(rung, sequences, generator, "train")

    def episodes(
        self, rung: Rung, sequences: int, generator: np.random.Generator, split: Split
    ) -> Rows:
        """Fresh sequences from the drawings of a split."""
        cells, counts, table = _pool(self.path, self.points, self.apart, split, self.shots + 1)
        if len(counts) < rung.load:
            raise SpecError(
                f"rung {[*rung]} needs {rung.load} characters with {self.shots + 1} drawings, the"
                f" {split} split has {len(counts)}: take fewer or a larger collection"
            )
        chosen = distinct(generator, sequences, len(counts), rung.load)
        # Random numbers in order draw without replacement; places without a drawing come last.
        clock = generator.random((sequences, rung.load, table.shape[1]))
        clock[np.arange(table.shape[1]) >= counts[chosen][:, :, None]] = 2.0
        place = clock.argsort(2)[:, :, : self.shots + 1]
        drawn = np.take_along_axis(table[chosen], place, 2)
        label = CELLS + distinct(generator, sequences, self.labels, rung.load)
        asked = generator.integers(0, rung.load, sequences)
        row = np.arange(sequences)
        width, shown = self.points + 1, rung.load * self.shots
        tokens = np.empty((sequences, shown + 1, width), np.int64)
        # Shot by shot: every character once, then every character again.
        shots = drawn[:, :, : self.shots].transpose(0, 2, 1).reshape(sequences, shown)
        tokens[:, :shown, :-1] = cells[shots]
        tokens[:, :shown, -1] = np.tile(label, (1, self.shots))
        tokens[:, shown, :-1] = cells[drawn[row, asked, self.shots]]
        tokens[:, shown, -1] = CELLS + self.labels
        tokens = tokens.reshape(sequences, -1)
        targets = np.full_like(tokens, IGNORE)
        targets[:, -1] = label[row, asked]
        return tokens, targets

    def solve(self, tokens: Int64[Tensor, "batch time"]) -> Int64[Tensor, "batch time"]:
        known = _known(self.path, self.points)
        answers = torch.full_like(tokens, IGNORE)
        width = self.points + 1
        if tokens.shape[1] % width or not (tokens[:, -1] == CELLS + self.labels).all():
            return answers  # the question is not complete
        parts = tokens.numpy().reshape(len(tokens), -1, width)
        seen = [[known[cells.tobytes()] for cells in row] for row in parts[:, :, :-1].copy()]
        character = np.array(seen)
        shown = (character[:, :-1] == character[:, -1:]).argmax(1)
        answers[:, -1] = torch.as_tensor(parts[np.arange(len(parts)), shown, -1])
        return answers

    def floors(self, split: HeldOut = "test", seed: int = 0) -> dict[str, Floor]:
        def one_label(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            return certain(torch.full_like(tokens, CELLS)[scored], self.vocabulary)

        def first_label(
            tokens: Int64[Tensor, "batch time"], scored: Bool[Tensor, "batch time"]
        ) -> Float[Tensor, "scored vocabulary"]:
            first = tokens[:, self.points : self.points + 1].expand_as(tokens)
            return certain(first[scored], self.vocabulary)

        rungs = (*self.rungs, *self.extrapolation)
        alone = {f"accuracy/{self.label(rung)}": 1 / self.labels for rung in rungs}
        stated = {f"accuracy/{self.label(rung)}": self.floor(rung) for rung in rungs}
        return {
            "one_label": Floor(one_label, alone),
            "in_context": Floor(first_label, stated),
        }


class Pool(NamedTuple):
    """The drawings of a split: `table[c, : counts[c]]` are those of character c."""

    cells: Int64[np.ndarray, "drawings points"]
    counts: Int64[np.ndarray, " characters"]
    table: Int64[np.ndarray, "characters most"]


@lru_cache(maxsize=8)
def _pool(path: Path | None, points: int, apart: str, split: Split, fewest: int) -> Pool:
    cells, character, hand = drawings(path, points)
    group = character if apart == "glyph" else hand
    # About half of them train; the order is drawn once and for all.
    order: NDArray[np.int64] = np.random.default_rng(0).permutation(int(group.max()) + 1)
    share = order / len(order)
    owner = np.where(share < 0.48, "train", np.where(share < 0.74, "validation", "test"))
    mine = (owner[group] == split).nonzero()[0]
    rows = [mine[character[mine] == each] for each in np.unique(character[mine])]
    rows = [row for row in rows if len(row) >= fewest]
    counts = np.array([len(row) for row in rows], np.int64)
    table = np.zeros((len(rows), max(counts, default=0)), np.int64)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return Pool(cells, counts, table)


@lru_cache(maxsize=4)
def _known(path: Path | None, points: int) -> dict[bytes, int]:
    cells, character, _ = drawings(path, points)
    return {row.tobytes(): int(each) for row, each in zip(cells, character, strict=True)}
