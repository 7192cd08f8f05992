"""Pieces of which schemas are made: references, names with their meaning, holes."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, cast

from miras.known import known

Schema = dict[str, Any]

ABOUT = ("description", "default", "deprecated", "examples")
"""What says something of a value and does not limit it."""

EVERY = {"enum": ["all", "open"], "enumDescriptions": ["every part", "and all their settings"]}

TITLES = frozenset({"name", "paper", "equation", "departures"})
"""What a memory says about itself: never left open."""


def refer(name: str) -> Schema:
    """A reference to a definition."""
    return {"$ref": f"#/$defs/{name}"}


def listed(names: Mapping[str, str]) -> Schema:
    """Names to choose from, with what each is."""
    return {"enum": list(names), "enumDescriptions": list(names.values())}


def known_names() -> Schema:
    """The known memories, with their papers."""
    return listed({name: memory.paper or "known" for name, memory in known().items()})


def several(option: Schema) -> Schema:
    """One of several, in a space."""
    return hole({"any": {"type": "array", "items": option, "minItems": 1}})


def hole(keys: Schema) -> Schema:
    """An object that leaves a value open by one of these keys."""
    return {
        "type": "object",
        "properties": keys | ({"weights": WEIGHTS} if "any" in keys else {}),
        "additionalProperties": False,
        "oneOf": [{"required": [key]} for key in keys],
    }


WEIGHTS: Schema = {
    "type": "array",
    "items": {"type": "number", "exclusiveMinimum": 0},
    "minItems": 2,
    "description": "how often chance takes each",
}


def opened(value: Schema) -> Schema:
    """A value, or a hole in its place; a choice of parts has its own."""
    name = str(value.get("$ref", "")).rpartition("/")[2]
    if name.islower() and "." not in name:
        return value
    about = {name: value[name] for name in ABOUT if name in value}
    plain = {name: inner for name, inner in value.items() if name not in ABOUT}
    options = cast(list[Schema], plain["anyOf"] if set(plain) == {"anyOf"} else [plain])
    ends: Schema = {"type": "array", "minItems": 2, "maxItems": 3}
    numbers = {"float": ends, "int": ends | {"maxItems": 2}}
    numeric = any(each.get("type") in ("number", "integer") for each in options)
    items: Schema = {"anyOf": [*options, *([hole(numbers)] if numeric else []), EVERY]}
    choose: Schema = {"anyOf": [EVERY, {"type": "array", "items": items, "minItems": 1}]}
    return about | {"anyOf": [*options, hole((numbers if numeric else {}) | {"any": choose})]}


def shared(defs: Mapping[str, Schema]) -> dict[str, Schema]:
    """The definitions with those settings written once that several of them have."""
    counts = Counter(
        (name, json.dumps(value)) for each in defs.values() for name, value in _settings(each)
    )
    often = [key for key, count in counts.items() if count > 1 and len(key[1]) > SHORT]
    names: dict[tuple[str, str], str] = {}
    for name, text in often:
        number = sum(each.startswith(f"setting-{name}-") for each in names.values()) + 1
        names[name, text] = f"setting-{name}-{number}"

    def place(node: Any) -> Any:
        if isinstance(node, list):
            return [place(each) for each in cast(list[Any], node)]
        if not isinstance(node, dict):
            return node
        return {
            key: {
                name: refer(names[found])
                if (found := (name, json.dumps(inner))) in names
                else inner
                for name, inner in cast(Schema, value).items()
            }
            if key == "properties"
            else place(value)
            for key, value in cast(Schema, node).items()
        }

    found = {name: place(each) for name, each in defs.items()}
    return found | {name: json.loads(text) for (_, text), name in names.items()}


SHORT = 60
"""Characters of a setting that is not worth a reference."""


def _settings(node: Any) -> Iterator[tuple[str, Schema]]:
    if isinstance(node, list):
        for each in cast(list[Any], node):
            yield from _settings(each)
    elif isinstance(node, dict):
        for key, value in cast(Schema, node).items():
            if key == "properties":
                yield from cast(Schema, value).items()
            else:
                yield from _settings(value)
