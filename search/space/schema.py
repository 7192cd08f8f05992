"""The JSON Schema of a space file: memories, compositions and patterns, with holes for values."""

from miras.composition import AnyCell
from miras.schema.maker import GRAMMAR, Maker, merged
from miras.schema.pieces import TITLES, Schema, hole, known_names, listed, refer, several

from .cells import MOST_CHANGES


def space_schema() -> Schema:
    """What an editor needs for a space."""
    maker = Maker(AnyCell, GRAMMAR, holes=True)
    maker.defs |= _cells(maker)
    titles = dict.fromkeys(sorted(TITLES), True)
    maker.defs["pattern"] = {
        "type": "object",
        "description": "memories layer by layer, repeated until every layer has one",
        "properties": titles | {"pattern": _list(refer("cell"))},
        "required": ["pattern"],
        "additionalProperties": False,
    }
    maker.root = {
        "type": "object",
        "if": {"required": ["pattern"]},
        "then": refer("pattern"),
        "else": refer("memory"),
    }
    return maker.whole("space")


def _cells(maker: Maker) -> dict[str, Schema]:
    """What may stand for a memory; the keys that are written say which form it is."""
    cell = refer("cell")
    compositions = maker.unions["composition"].members
    kinds = listed({kind: _first(maker.defs[each]) for kind, each in compositions.items()})
    use = refer("known") | {"description": "a known memory; what stands beside it changes it"}
    several_kinds: Schema = {"type": "array", "items": kinds, "minItems": 1}
    compose = {"anyOf": [kinds, hole({"any": several_kinds})]}
    memory = maker.defs["Memory"]
    composed = [maker.defs[each] for each in compositions.values()]
    for each in composed:
        of = each["properties"]["of"]
        each["properties"]["of"] = _list(cell) if of.get("type") == "array" else cell
        each["properties"]["use"] = use
        each.pop("required", None)
    every = merged(composed) | {"compose": compose, "use": use}
    written = {kind: refer(each) for kind, each in compositions.items()}
    return {
        "known": known_names(),
        "compositions": {
            "description": "several memories under one roof",
            "type": "object",
            "properties": every,
            "additionalProperties": False,
            "allOf": [
                {"if": {"properties": {"compose": {"const": kind}}}, "then": then}
                for kind, then in written.items()
            ],
        },
        "changed": {
            "description": "a known memory, partly opened or changed",
            "type": "object",
            "properties": merged([memory, *composed]) | {"compose": compose, "use": use},
            "additionalProperties": False,
        },
        "mutation": _mutation(),
        "memory": {
            "type": "object",
            "properties": {
                "use": use,
                "compose": compose,
                "mutate": cell | {"description": "a known memory of which places are changed"},
            },
            "if": {"required": ["mutate"]},
            "then": refer("mutation"),
            "else": _chosen("any", several(cell), _composed_or_plain()),
        },
        "cell": {"anyOf": [refer("known"), refer("memory")]},
    }


def _composed_or_plain() -> Schema:
    used = _chosen("use", refer("changed"), refer("Memory"))
    return _chosen("compose", refer("compositions"), used)


def _chosen(key: str, then: Schema, otherwise: Schema) -> Schema:
    return {"if": {"required": [key]}, "then": then, "else": otherwise}


def _mutation() -> Schema:
    changes: Schema = {"type": "integer", "minimum": 1, "maximum": MOST_CHANGES}
    ends: Schema = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
    among = {"if": {"type": "object"}, "then": refer("changed"), "else": {"enum": ["open", "all"]}}
    return {
        "type": "object",
        "description": "a known memory of which a few places are changed",
        "properties": {
            **dict.fromkeys(sorted(TITLES), True),
            "mutate": refer("cell"),
            "changes": {
                "description": "how many places are changed at most",
                "anyOf": [changes, hole({"int": ends})],
            },
            "among": {"description": "what may be taken instead"} | among,
        },
        "required": ["mutate"],
        "additionalProperties": False,
    }


def _list(item: Schema) -> Schema:
    """A list, or one of several."""
    listed_items: Schema = {"type": "array", "items": item, "minItems": 1}
    return {"anyOf": [listed_items, several(listed_items)]}


def _first(part: Schema) -> str:
    return str(part.get("description", "")).split("\n\n")[0].replace("\n", " ")
