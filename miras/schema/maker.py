"""The schema of one type, rewritten from what pydantic makes of it."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from inspect import getdoc
from typing import Any, NamedTuple, cast

from pydantic import TypeAdapter

from miras.memory import SLOTS
from miras.part import leaves
from miras.schema.pieces import (
    ABOUT,
    EVERY,
    TITLES,
    WEIGHTS,
    Schema,
    known_names,
    listed,
    opened,
    refer,
    shared,
)

DIALECT = "http://json-schema.org/draft-07/schema#"

GRAMMAR = (
    *("miras.architecture", "miras.bias", "miras.retention", "miras.optimizer"),
    *("miras.features", "miras.gate", "miras.dream", "miras.composition"),
    *("miras.tasks", "miras.streams"),
)
"""Axes of choice that the library itself has."""


class Union(NamedTuple):
    """A choice of parts: the field that says which, and for each kind its definition."""

    tag: str
    members: Mapping[str, str]
    package: str


def merged(objects: Iterable[Schema]) -> Schema:
    """The properties of any of several definitions; one that means several things may be each."""
    found: dict[str, list[Schema]] = {}
    for each in objects:
        for name, value in cast(Schema, each.get("properties", {})).items():
            if value not in found.setdefault(name, []):
                found[name].append(value)
    return {name: one[0] if len(one) == 1 else {"anyOf": one} for name, one in found.items()}


class Maker:
    """Rewrites the schema of one type. With `holes`, values may be left open as in a space."""

    def __init__(self, model: Any, packages: tuple[str, ...], holes: bool) -> None:
        raw: Schema = TypeAdapter(model).json_schema()
        self.holes = holes
        self.packages = {frozenset(leaves(package, _tag(package))): package for package in packages}
        self.before: dict[str, Schema] = raw.pop("$defs", {})
        self.names: dict[str, str] = {}
        self.name([raw, self.before])
        self.unions: dict[str, Union] = {}
        self.defs: dict[str, Schema] = {}
        self.root: Schema = self.rewrite(raw)
        for name, part in self.before.items():
            self.defs[self.names.get(name, name)] = self.part(part)
        for name, union in list(self.unions.items()):
            self.defs[name] = self.union(name, union)
        if "composition" in self.unions and not holes:
            self.cells()

    def whole(self, title: str = "", beside: Mapping[str, Schema] | None = None) -> Schema:
        """The finished schema, with the definitions that it needs, each setting written once.

        Definitions that `beside` has as well are looked up there, in the file `grammar.json`.
        """
        needed: dict[str, Schema] = {}
        outside = {name for name, each in (beside or {}).items() if self.defs.get(name) == each}
        names = list(_references(self.root))
        while names:
            name = names.pop()
            if name not in needed and name not in outside:
                needed[name] = self.defs[name]
                names += _references(self.defs[name])
        head = {"$schema": DIALECT} | ({"title": title} if title else {})
        found = (
            head | self.root | ({"$defs": dict(sorted(shared(needed).items()))} if needed else {})
        )
        return _moved(found, outside) if outside else found

    def name(self, node: Any) -> None:
        """Call the parts of an axis by axis and kind: classes may share a name."""
        if isinstance(node, list):
            for each in cast(list[Any], node):
                self.name(each)
        elif isinstance(node, dict):
            fields = cast(Schema, node)
            mapping = cast(dict[str, str], fields.get("discriminator", {}).get("mapping", {}))
            axis = self.packages.get(frozenset(mapping), "").rpartition(".")[2]
            for kind, place in mapping.items() if axis else ():
                self.names[place.rpartition("/")[2]] = f"{axis}.{kind}"
            for value in fields.values():
                self.name(value)

    def rewrite(self, node: Any) -> Any:
        """Choices of parts as references, without the titles that pydantic makes from names."""
        if isinstance(node, list):
            return [self.rewrite(each) for each in cast(list[Any], node)]
        if not isinstance(node, dict):
            return node
        given = cast(Schema, node)
        about = {name: given[name] for name in ABOUT if name in given}
        if isinstance(about.get("default"), dict):
            about = {**about, "default": self.short(about["default"])}
            about = {name: value for name, value in about.items() if value != {}}
        if _is_cell(given):
            self.choice(given["oneOf"][1])
            return about | refer("cell")
        if "discriminator" in given:
            return about | refer(self.choice(given))
        options = cast(list[Schema], given.get("anyOf", []))
        part = next((each for each in options if "discriminator" in each), None)
        if part is not None:
            names = set(part["discriminator"]["mapping"])
            rest = [each for each in options if set(each.get("enum", ())) != names]
            others = [self.rewrite(each) for each in rest if each is not part]
            chosen = refer(self.choice(part))
            return about | ({"anyOf": [chosen, *others]} if others else chosen)
        found = {
            name: value
            if name in ("enum", "const", "required")
            else {each: self.rewrite(inner) for each, inner in value.items()}
            if name == "properties"
            else self.rewrite(value)
            for name, value in given.items()
            if name not in (*ABOUT, "title")
        }
        if "$ref" in found:
            place = str(given["$ref"]).rpartition("/")[2]
            found["$ref"] = refer(self.names.get(place, place))["$ref"]
        if "prefixItems" in found:
            found["items"] = found.pop("prefixItems")
        return about | found

    def choice(self, node: Schema) -> str:
        """The name of a choice of parts."""
        tag, mapping = node["discriminator"]["propertyName"], node["discriminator"]["mapping"]
        package = self.packages.get(frozenset(mapping), "")
        name = package.rpartition(".")[2] or "-or-".join(sorted(mapping))
        places = {kind: str(place).rpartition("/")[2] for kind, place in mapping.items()}
        members = {kind: self.names.get(place, place) for kind, place in places.items()}
        self.unions.setdefault(name, Union(tag, members, package))
        return name

    def short(self, default: Any) -> Any:
        """The default of a part as a person writes it: its kind, and what is not usual in it."""
        if not isinstance(default, dict) or "kind" not in default:
            return {} if isinstance(default, dict) else default
        given = cast(Schema, default)
        for part in self.before.values():
            fields = cast(Schema, part.get("properties", {}))
            if fields.get("kind", {}).get("const") == given["kind"] and set(given) <= set(fields):
                unusual = {
                    name: self.short(value)
                    for name, value in given.items()
                    if value != fields[name].get("default")
                }
                return {"kind": given["kind"], **unusual} if unusual else given["kind"]
        return given

    def part(self, part: Schema) -> Schema:
        """The definition of a part or of another object."""
        found = cast(Schema, self.rewrite(part))
        fields = cast(Schema, found.get("properties", {}))
        for tag in ("kind", "compose"):
            if "const" in fields.get(tag, {}):
                said = str(found.get("description", "")).split("\n\n")[0].replace("\n", " ")
                fields[tag] = {"const": fields[tag]["const"], "description": said}
        if self.holes:
            for name in fields.keys() - {"kind", "compose", "of", *TITLES}:
                fields[name] = opened(fields[name])
        return found

    def union(self, name: str, union: Union) -> Schema:
        """A choice of parts: a kind alone, or a kind with settings; in a space it may be open.

        There the kind may be left out too, where a known memory has one.
        """
        about = _first(getdoc(import_module(union.package))) if union.package else ""
        parts = {kind: self.defs[place] for kind, place in union.members.items()}
        kinds = listed({kind: _first(part.get("description")) for kind, part in parts.items()})
        body: Schema = {"type": "object", "properties": {union.tag: kinds}}
        body["allOf"] = [_if(union.tag, kind, place) for kind, place in union.members.items()]
        if not self.holes:
            body["required"] = [union.tag]
        else:
            body["properties"] = merged(parts.values()) | body["properties"]
            body["additionalProperties"] = False
            items: Schema = {"anyOf": [refer(name), EVERY]}
            choose = {"anyOf": [EVERY, {"type": "array", "items": items, "minItems": 1}]}
            body["properties"] |= {"any": choose, "weights": WEIGHTS}
            alone = {"propertyNames": {"enum": ["any", "weights"]}}
            body["allOf"].append({"if": {"required": ["any"]}, "then": alone})
        found = {"anyOf": [kinds, body]} if union.tag == "kind" else body
        return ({"description": about} if about else {}) | found

    def changed(self, name: str, union: Union) -> Schema:
        """A choice in a known memory, where the kind may be left out to change settings."""
        parts = (self.defs[place] for place in union.members.values())
        settings = {
            "type": "object",
            "properties": merged(parts) | {"kind": True},
            "additionalProperties": False,
        }
        whole = {"if": {"required": ["kind"]}, "then": refer(name), "else": settings}
        return {"if": {"type": "object"}, "then": whole, "else": refer(name)}

    def cells(self) -> None:
        """The memories: by name, by their four choices, composed, or a known one with changes."""
        for name in SLOTS:
            self.defs[f"changed-{name}"] = self.changed(name, self.unions[name])
        compositions = self.unions["composition"].members
        memory, composed = self.defs["Memory"], [self.defs[each] for each in compositions.values()]
        changed = merged([memory, *composed])
        changed |= {name: changed[name] | refer(f"changed-{name}") for name in SLOTS}
        inside = {"type": "object", "properties": changed, "additionalProperties": False}
        self.defs["changed-inside"] = inside
        about = "what is changed inside of the known memory, or all that stands there instead"
        whole = {key: value for key, value in changed["of"].items() if key != "description"}
        changed = changed | {
            "of": {"description": about, "anyOf": [whole, refer("changed-inside")]}
        }
        use = refer("known") | {"description": "a known memory; what stands beside it changes it"}
        every = {"type": "integer", "minimum": 1, "description": "update period of the cell"}
        self.defs["known"] = known_names()
        self.defs["changed-memory"] = {
            "type": "object",
            "properties": changed | {"use": use, "every": every},
            "required": ["use"],
            "additionalProperties": False,
        }
        kinds = {
            kind: _first(self.defs[each]["description"]) for kind, each in compositions.items()
        }
        self.defs["memory"] = {
            "type": "object",
            "properties": {"use": use, "compose": listed(kinds)},
            "if": {"required": ["use"]},
            "then": refer("changed-memory"),
            "else": {
                "if": {"required": ["compose"]},
                "then": refer("composition"),
                "else": refer("Memory"),
            },
        }
        self.defs["cell"] = {"anyOf": [refer("known"), refer("memory")]}


def _if(tag: str, kind: str, place: str) -> Schema:
    return {"if": {"properties": {tag: {"const": kind}}, "required": [tag]}, "then": refer(place)}


def _is_cell(node: Schema) -> bool:
    options = cast(list[Schema], node.get("oneOf", []))
    return len(options) == 2 and options[0].get("$ref") == "#/$defs/Memory"


def _tag(package: str) -> str:
    return "compose" if package == "miras.composition" else "kind"


def _first(text: str | None) -> str:
    return (text or "").split("\n\n")[0].replace("\n", " ")


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for each in cast(list[Any], node) for name in _references(each)]
    if not isinstance(node, dict):
        return []
    fields = cast(Schema, node)
    own = [str(fields["$ref"])[8:]] if str(fields.get("$ref", "")).startswith("#/$defs/") else []
    return own + [name for value in fields.values() for name in _references(value)]


def _moved(node: Any, outside: set[str]) -> Any:
    """With references to definitions of another file."""
    if isinstance(node, list):
        return [_moved(each, outside) for each in cast(list[Any], node)]
    if not isinstance(node, dict):
        return node
    fields = cast(Schema, node)
    if str(fields.get("$ref", "")).rpartition("/")[2] in outside:
        fields = fields | {"$ref": f"grammar.json{fields['$ref']}"}
    return {name: _moved(value, outside) for name, value in fields.items()}
