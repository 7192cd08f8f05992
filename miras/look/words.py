"""Tokens of a task as a person writes them, and the places that matter."""

from collections.abc import Sequence

from jaxtyping import Int64
from torch import Tensor

from miras.tasks import IGNORE, Task
from miras.tasks.needle import MARK, Needle

BYTES = (256, 257)
"""Vocabularies whose first 256 ids are bytes."""

OTHER = "."
"""A token that is neither key, value nor letter."""


def words(task: Task, tokens: Int64[Tensor, " time"]) -> tuple[str, ...]:
    """Short names of tokens: bytes as characters, keys and values numbered as they appear."""
    ids = [int(token) for token in tokens]
    keys, values = getattr(task, "keys", None), getattr(task, "values", None)
    if isinstance(keys, int) and isinstance(values, int):
        return _numbered(ids, keys, values)
    if task.vocabulary in BYTES:
        return tuple(_byte(token) for token in ids)
    letters = getattr(task, "alphabet", None)
    if isinstance(letters, int) and letters <= 26:
        return tuple(chr(97 + token) if token < letters else OTHER for token in ids)
    return tuple(str(token) for token in ids)


def _numbered(ids: Sequence[int], keys: int, values: int) -> tuple[str, ...]:
    """k1 v1 k2 v2 ..: the first key that comes is k1, the first value v1."""
    known: dict[str, dict[int, int]] = {"k": {}, "v": {}}
    found: list[str] = []
    for token in ids:
        kind = "k" if token < keys else "v" if token < keys + values else ""
        if not kind:
            found.append(OTHER)
            continue
        numbers = known[kind]
        found.append(f"{kind}{numbers.setdefault(token, len(numbers) + 1)}")
    return tuple(found)


def _byte(token: int) -> str:
    if token == MARK:
        return "_"
    character = chr(token) if token < 127 else "?"
    return {" ": "␣", "\n": "↵"}.get(character, character if character.isprintable() else "?")


def asked(targets: Int64[Tensor, " time"]) -> tuple[int, ...]:
    """Places at which an answer is due."""
    return tuple(place for place, target in enumerate(targets.tolist()) if target != IGNORE)


def told(task: Task, tokens: Int64[Tensor, " time"]) -> tuple[int, ...]:
    """Places of the needle; none in other tasks."""
    if not isinstance(task, Needle):
        return ()
    begin, long = task.needles(tokens[None])
    return tuple(range(int(begin[0]), int(begin[0]) + long))
