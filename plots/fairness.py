"""How fairly the memories of a study were compared, in sentences."""

from collections.abc import Sequence
from typing import Any, cast

from . import reading
from .study import Study
from .tables import count, span

NEAR = 1.25
"""Sizes are about equal where the largest is at most so many times the smallest."""


def sentences(study: Study) -> list[str]:
    """What was equal for all, what was not, and what that means; only what is on record."""
    if not study.records:
        return []
    found = [_known(study), _rates(study.manifest.get("learning_rate")), _sizes(study)]
    return [sentence for sentence in (*found, *_controls(study)) if sentence]


def _known(study: Study) -> str:
    known = sum(record.origin == "baseline" for record in study.records)
    candidates = sum(reading.is_candidate(record) for record in study.records)
    if not known:
        return "No known memory was trained beside the candidates: nothing shows what is usual."
    stopped = sum(record.status == "stopped" for record in study.records)
    return (
        f"{count(known, 'known memory', 'known memories')} and"
        f" {count(candidates, 'candidate')} had the same tasks, data and length of training"
        + (f", but for {count(stopped, 'trial')} stopped early at a rung." if stopped else ".")
    )


def _rates(rate: Any) -> str:
    if isinstance(rate, dict):
        ends = cast("dict[str, Any]", rate)
        some = f"{ends.get('baseline_rates', 'several')} rates"
        return (
            f"For a candidate the search chose the learning rate between {ends.get('low')} and"
            f" {ends.get('high')}; a known memory was trained at {some} spread over the same range,"
            " and the best by its validation score counts."
        )
    rates = cast("list[Any]", rate) if isinstance(rate, list) else [rate]
    found = [f"{each:g}" for each in rates if isinstance(each, int | float)]
    if len(found) > 1:
        return (
            f"Every memory was trained at each of the learning rates {', '.join(found)}; the best"
            " by its validation score counts."
        )
    if not found:
        return ""
    return (
        f"All were trained at one learning rate, {found[0]}: a memory that does better at another"
        " one is judged too low, known or new."
    )


def _sizes(study: Study) -> str:
    parameters, floats = (
        _sorted([size(record) for record in study.records])
        for size in (reading.parameters, reading.state_floats)
    )
    if not parameters or not floats:
        return ""
    sizes = f"{span(parameters)} trained numbers, {span(floats)} floats of state per layer"
    even = all(sizes[-1] <= NEAR * sizes[0] for sizes in (parameters, floats))
    if even and study.manifest.get("match"):
        return f"Models were sized to be about equally large: {sizes}."
    if parameters[0] == parameters[-1] and floats[0] == floats[-1]:
        return f"All models were equally large: {sizes}."
    return (
        f"Sizes differ: {sizes}. A larger state can be the whole reason for a better score; the"
        " Pareto front shows scores beside sizes."
    )


def _sorted(sizes: Sequence[int]) -> list[int]:
    return sorted(size for size in sizes if size)


def _controls(study: Study) -> list[str]:
    nulls = sum(record.origin == "null" for record in study.records)
    chance = sum(record.origin == "random" for record in study.records)
    found: list[str] = []
    if nulls:
        found.append(
            f"{count(nulls, 'trial')} trained a known memory again on other seeds: how far such a"
            " twin lies from its original is what chance does."
        )
    if chance:
        found.append(
            f"{count(chance, 'candidate')} had its choices drawn by chance, as a control of the"
            " search."
            if chance == 1
            else f"{chance} candidates had their choices drawn by chance, as a control of the"
            " search."
        )
    return found
