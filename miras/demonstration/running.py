"""What a file of demonstrations still needs, and running it."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from miras.composition import AnyCell
from miras.demonstration.playing import play
from miras.demonstration.spec import AnyRow, Lessons, ModelRow, StreamRow
from miras.demonstration.studying import study
from miras.load import dump
from miras.part import SpecError
from miras.result import Shown

VALIDATION = (1000, 1001, 1002)
"""Seeds on which settings of a grid are chosen, none of them one that is reported."""


class Job(NamedTuple):
    """One memory of one row, and the seeds that are missing."""

    row: AnyRow
    name: str
    key: str
    seeds: tuple[int, ...]
    settings: dict[str, float] | None  # chosen already, or still to be chosen


def key_of(row: AnyRow, name: str) -> str:
    """A hash of everything that a result of this memory depends on but the seed.

    Settings at their defaults do not count: a field that a part gains later changes no key.
    """
    memory = row.memories[name]
    if isinstance(row, ModelRow):
        described = [dump(part) for part in (row.task, row.training, memory)]
    else:
        lessons = _lessons(row, name)
        described = [dump(row.stream), dump(memory), json.dumps(row.grid), row.metric, row.better]
        described += [dump(lessons)] if lessons else []
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]


def _lessons(row: StreamRow, name: str) -> Lessons | None:
    if row.lessons is None or name not in row.untaught:
        return row.lessons
    return row.lessons.model_copy(update={"steps": 0})


def needed(rows: Iterable[AnyRow], results: Sequence[Shown], seeds: int) -> list[Job]:
    """What is still to run. Each training of a model is a job of its own."""
    jobs: list[Job] = []
    for row in rows:
        for name in row.memories:
            key = key_of(row, name)
            mine = [each for each in results if (each.row, each.key) == (row.name, key)]
            done = {each.seed for each in mine}
            missing = tuple(seed for seed in range(seeds) if seed not in done)
            settings = mine[0].settings if mine else None
            if isinstance(row, ModelRow):
                jobs += [Job(row, name, key, (seed,), {}) for seed in missing]
            elif missing:
                jobs.append(Job(row, name, key, missing, settings))
    return jobs


def do(job: Job) -> list[Shown]:
    """Run one memory of one row on its missing seeds."""
    row, began = job.row, time.process_time()
    settings: dict[str, float] = {}
    if isinstance(row, ModelRow):
        shown = row.memories[job.name].model_dump(mode="json")
        stage = {part: getattr(row, part).model_dump(mode="json") for part in ("task", "training")}
        played = [study(row.memories[job.name], row.task, row.training, each) for each in job.seeds]
    else:
        memory, lessons = row.memories[job.name], _lessons(row, job.name)
        settings = choose(row, job.name) if job.settings is None else job.settings
        fitted = changed(memory, settings)
        shown, stage = fitted.model_dump(mode="json"), row.stream.model_dump(mode="json")
        played = play(fitted, row.stream, job.seeds, lessons)
    seconds = (time.process_time() - began) / len(job.seeds)
    return [
        Shown(
            row=row.name,
            name=job.name,
            role="candidate" if job.name in row.candidates else "control",
            key=job.key,
            memory=shown,
            stream=stage,
            seed=seed,
            settings=settings,
            metrics=each.scores,
            state_floats=each.state_floats,
            parameters=each.parameters,
            seconds=round(seconds, 2),
        )
        for seed, each in zip(job.seeds, played, strict=True)
    ]


def choose(row: StreamRow, name: str) -> dict[str, float]:
    """The setting of the row's grid that is best on the validation seeds."""
    memory, lessons = row.memories[name], _lessons(row, name)

    def merit(tried: AnyCell) -> float:
        played = play(tried, row.stream, VALIDATION, lessons)
        mean = fmean(each.scores[row.metric] for each in played)
        return mean if row.better == "higher" else -mean

    for path, values in row.grid.items():
        if _holder(memory.model_dump(mode="json"), path) is None:
            continue
        found = {value: merit(changed(memory, {path: value})) for value in values}
        best = [value for value in values if found[value] == max(found.values())]
        return {path: best[len(best) // 2]}  # of equals the middle one: it is furthest from worse
    return {}


def changed(memory: AnyCell, settings: Mapping[str, float]) -> AnyCell:
    """The memory with some settings at other numbers."""
    if not settings:
        return memory
    plain = memory.model_dump(mode="json")
    for path, value in settings.items():
        found = _holder(plain, path)
        if found is None:
            raise SpecError(f"there is no {path} in this memory")
        found[0][found[1]] = value
    try:
        return TypeAdapter[AnyCell](AnyCell).validate_python(plain)
    except ValidationError as error:
        sentence = error.errors()[0]["msg"].removeprefix("Value error, ")
        given = ", ".join(f"{path} = {value:g}" for path, value in settings.items())
        raise SpecError(f"{given}: {sentence}") from None


def _holder(plain: Any, path: str) -> tuple[Any, Any] | None:
    """The mapping or list that holds the setting of a path, and its place there."""
    places: list[Any] = [int(part) if part.isdigit() else part for part in path.split(".")]
    for depth, place in enumerate(places, 1):
        holder: Any = plain
        known = range(len(holder)) if isinstance(plain, list) else holder
        if not isinstance(plain, dict | list) or place not in known:
            return None
        if depth == len(places):
            return holder, place
        plain = holder[place]
    return None
