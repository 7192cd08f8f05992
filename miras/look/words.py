"""Tokens of a task as a person writes them, and the places that matter."""

from collections.abc import Sequence

from jaxtyping import Int64
from torch import Tensor

from miras.tasks import IGNORE, Task
from miras.tasks.needle import MARK, Needle

BYTES = (256, 257)
"""Vocabularies whose first 256 ids are bytes."""

NUMBERED = {
    "mqar": (("k", "keys"), ("v", "values"), (".", "filler")),
    "in_context_recall": (("k", "keys"), ("v", "values")),
    "overwrite": (("k", "keys"), ("v", "values"), ("W", ""), ("Q", ""), (".", "")),
    "compositional": (("a", "keys"), ("b", "keys"), ("v", "values"), (".", "filler")),
}
"""Blocks of ids in their order: how a token is called, and the field with how many there are."""

SPECIAL = ".>_"
"""Ids after the letters: a blank, a mark, and whatever comes after it."""


def words(task: Task, tokens: Int64[Tensor, " time"]) -> tuple[str, ...]:
    """Short names of tokens: bytes as characters, keys and values numbered as they appear."""
    ids = [int(token) for token in tokens]
    if task.name in NUMBERED:
        return _numbered(task, ids)
    if task.vocabulary in BYTES:
        return tuple(_byte(token) for token in ids)
    letters = getattr(task, "alphabet", None)
    if isinstance(letters, int) and letters <= 26:
        return tuple(_letter(token, letters) for token in ids)
    return tuple(str(token) for token in ids)


def _numbered(task: Task, ids: Sequence[int]) -> tuple[str, ...]:
    """k1 v1 k2 v2 ..: the first key that comes is k1, the first value v1."""
    names = [
        name
        for name, field in NUMBERED[task.name]
        for _ in range(int(getattr(task, field)) if field else 1)
    ]
    known: dict[str, dict[int, int]] = {}
    found: list[str] = []
    for token in ids:
        name = names[token] if token < len(names) else "."
        numbers = known.setdefault(name, {})
        number = numbers.setdefault(token, len(numbers) + 1)
        found.append(f"{name}{number}" if name.islower() else name)
    return tuple(found)


def _letter(token: int, letters: int) -> str:
    return chr(97 + token) if token < letters else SPECIAL[min(token - letters, 2)]


def _byte(token: int) -> str:
    if token == MARK:
        return "_"
    character = chr(token) if token < 127 else "?"
    return {" ": "␣", "\n": "↵"}.get(character, character if character.isprintable() else "?")


def asked(targets: Int64[Tensor, " time"]) -> tuple[int, ...]:
    """Places at which an answer is due."""
    return tuple(place for place, target in enumerate(targets) if int(target) != IGNORE)


def told(task: Task, tokens: Int64[Tensor, " time"]) -> tuple[int, ...]:
    """Places of the needle; none in other tasks."""
    if not isinstance(task, Needle):
        return ()
    begin, long = task.needles(tokens[None])
    return tuple(range(int(begin[0]), int(begin[0]) + long))
