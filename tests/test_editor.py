"""What an editor knows of our files: schemas, the lines that name them, and `miras init`."""

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource
from typer.testing import CliRunner

from miras.beginning import FIRST, NAMES
from miras.checking import check, kind_of
from miras.cli import app
from miras.editing import KINDS, schema_of, texts
from miras.known import known
from miras.load import read, reads
from miras.part import leaves

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT / "spaces" / "schemas"
SHIPPED = sorted(
    [
        *(ROOT / "spaces").rglob("*.yaml"),
        *(ROOT / "studies").rglob("*.yaml"),
        *(ROOT / "miras" / "starter").glob("*.yaml"),
    ]
)


@cache
def registry(folder: Path) -> Registry[Any]:
    files = ((path.as_uri(), json.loads(path.read_text())) for path in folder.glob("*.json"))
    return Registry().with_resources((uri, Resource.from_contents(data)) for uri, data in files)


def validator(path: Path) -> Draft7Validator:
    """Of a schema file that may refer to those beside it."""
    return Draft7Validator({"$ref": path.as_uri()}, registry=registry(path.parent))


def named(path: Path) -> Path:
    """The schema that the first line of a file names."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    found = FIRST.fullmatch(first)
    assert found, f"{path} begins with {first!r}"
    return Path(os.path.normpath(path.parent / first.removeprefix(found.group(1))))


def test_schemas_are_current() -> None:
    """After a change of parts: `miras schema --write spaces/schemas`."""
    made = texts()
    assert {path.stem for path in SCHEMAS.glob("*.json")} == set(made)
    for name, text in made.items():
        assert (SCHEMAS / f"{name}.json").read_text(encoding="utf-8") == text, name
        Draft7Validator.check_schema(json.loads(text))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shipped_file_fits_the_schema_that_it_names(path: Path) -> None:
    schema, document = named(path), read(path)
    kind = "map" if path.parent.name == "map" else kind_of(document)
    assert schema.exists() and schema.resolve() == SCHEMAS / f"{kind}.json"
    errors = list(validator(SCHEMAS / f"{kind}.json").iter_errors(document.data))
    assert not errors, best_match(errors)


PLAIN = "architecture: matrix\n"
STUDY = "space: quickstart\nbudget: {trials: 20}\n"

MISTAKES: list[tuple[str, str, str, str]] = [
    ("memory", "architecture: matrx\n", "architecture", "'matrx' is not one of"),
    ("memory", PLAIN + "bais: l2\n", "", "'bais' was unexpected"),
    ("memory", PLAIN + "bias: {kind: hubber}\n", "bias.kind", "'hubber' is not one of"),
    ("memory", PLAIN + "bias: {kind: huber, treshold: l2}\n", "bias", "'treshold' was unexpected"),
    ("memory", PLAIN + "bias: {threshold: sigmoid}\n", "bias", "'kind' is a required property"),
    ("memory", "architecture: {kind: mlp, depth: two}\n", "architecture.depth", "is not of type"),
    ("memory", PLAIN + "bias: {kind: lp, p: 9.0}\n", "bias.p", "greater than the maximum"),
    ("memory", PLAIN + "retention: {kind: decay, gate: sigmod}\n", "retention.gate", "'sigmod'"),
    ("memory", PLAIN + "wiring: {norm: 3}\n", "wiring.norm", "3 is not of type 'boolean'"),
    ("memory", "use: gated-deltanett\n", "use", "is not one of"),
    ("memory", "use: gla\nretention: {gat: sigmoid}\n", "retention", "'gat' was unexpected"),
    ("memory", "use: gla\nevery: 0\n", "every", "less than the minimum"),
    ("memory", "compose: chian\nof: [gla, gla]\n", "compose", "'chian' is not one of"),
    ("memory", "compose: chain\nof: [gla, glaa]\n", "of.1", "'glaa'"),
    ("memory", "compose: chain\nof: [gla]\n", "of", "too short"),
    ("memory", "compose: chain\nof: [gla, {use: gla, bias: l22}]\n", "of.1.bias", "'l22'"),
    ("model", "model: {dim: wide, pattern: [gla]}\n", "model.dim", "is not of type 'integer'"),
    ("model", "model: {pattern: [gla, {use: glla}]}\n", "model.pattern.1.use", "is not one of"),
    ("training", "model: {pattern: [gla]}\ntraining: {txt: a}\n", "training", "'txt'"),
    ("space", PLAIN + "bias: {any: [l2, hubber]}\n", "bias.any.1", "'hubber'"),
    ("space", PLAIN + "bias: {any: al}\n", "bias.any", "'al'"),
    ("space", PLAIN + "bias: {kind: lp, p: {float: [1.0]}}\n", "bias.p.float", "too short"),
    ("space", PLAIN + "bias: {kind: lp, pp: 2.0}\n", "bias", "'pp'"),
    ("space", PLAIN + "bais: {any: all}\n", "", "'bais' was unexpected"),
    ("space", "mutate: gla\nchanges: 0\n", "changes", "less than the minimum"),
    ("space", "pattern: [gla]\ndim: 64\n", "", "'dim' was unexpected"),
    ("study", STUDY + "tasks: [mqarr]\n", "tasks.0", "'mqarr'"),
    ("study", STUDY + "tasks: [{kind: mqar, stepps: 3}]\n", "tasks.0", "'stepps' was unexpected"),
    ("study", STUDY + "tasks: [mqar]\nbaselines: [glaa]\n", "baselines.0", "is not one of"),
    ("study", STUDY + "tasks: [mqar]\nworkers: none\n", "workers", "is not of type 'integer'"),
    ("study", STUDY + "tasks: [mqar]\nsampler: {kind: tpee}\n", "sampler.kind", "'tpee'"),
    ("study", "space: {architecture: matrx}\nbudget: {trials: 9}\ntasks: [mqar]\n",
     "space.architecture", "'matrx'"),
    ("sweep", "name: s\ncompare: [{task: mqar, memories: [glaa]}]\n", "compare.0.memories.0", ""),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "path", "words"), MISTAKES)
def test_mistakes_are_refused_where_they_stand(kind: str, text: str, path: str, words: str) -> None:
    errors = validator(SCHEMAS / f"{kind}.json").iter_errors(reads(text).data)
    found = [(".".join(map(str, each.absolute_path)), each.message) for each in _innermost(errors)]
    assert any(where == path and words in message for where, message in found), found


def _innermost(errors: Any) -> Iterator[Any]:
    """The complaints themselves: of a union those about each of its alternatives."""
    for error in errors:
        if error.context:
            yield from _innermost(error.context)
        else:
            yield error


def offered(schema: dict[str, Any], *steps: str) -> list[tuple[list[Any], list[str]]]:
    """Lists of names with descriptions that the schema gives at a setting, shorthands first."""
    defs = schema["$defs"]

    def at(node: Any, rest: tuple[str, ...]) -> Iterator[tuple[list[Any], list[str]]]:
        if not isinstance(node, dict):
            return
        if "$ref" in node:
            yield from at(defs[node["$ref"].rpartition("/")[2]], rest)
        if rest and rest[0] in node.get("properties", {}):
            yield from at(node["properties"][rest[0]], rest[1:])
        elif rest and rest[0] == "[]" and "items" in node:
            yield from at(node["items"], rest[1:])
        if not rest and "enumDescriptions" in node:
            yield node["enum"], node["enumDescriptions"]
        for name in ("anyOf", "allOf", "oneOf"):
            for each in node.get(name, ()):
                yield from at(each, rest)
        for name in ("then", "else"):
            yield from at(node.get(name), rest)

    return list(at(schema, steps))


OPEN: list[tuple[str, tuple[str, ...], str]] = [
    *(("memory", (axis,), axis) for axis in ("architecture", "bias", "retention", "optimizer")),
    *(("memory", (axis, "kind"), axis) for axis in ("architecture", "bias", "optimizer")),
    ("memory", ("architecture", "features"), "features"),
    ("memory", ("retention", "gate"), "gate"),
    ("memory", ("optimizer", "step", "kind"), "gate"),
    *(("space", (axis,), axis) for axis in ("architecture", "bias", "retention", "optimizer")),
    *(("space", (axis, "any", "[]"), axis) for axis in ("architecture", "bias", "retention")),
    ("space", ("architecture", "features", "any", "[]"), "features"),
    ("space", ("optimizer", "step", "any", "[]", "kind"), "gate"),
    ("model", ("model", "pattern", "[]", "bias"), "bias"),
    ("study", ("tasks", "[]"), "tasks"),
    ("study", ("tasks", "[]", "kind"), "tasks"),
    ("study", ("sampler",), "search.sampler"),
]


@pytest.mark.parametrize(("kind", "steps", "axis"), OPEN)
def test_open_positions_offer_all_kinds_with_descriptions(
    kind: str, steps: tuple[str, ...], axis: str
) -> None:
    parts = leaves(f"miras.{axis}")
    names, words = next(
        (names, words) for names, words in offered(_whole(kind), *steps) if set(names) == set(parts)
    )
    assert dict(zip(names, words, strict=True)) == {
        name: part.summary() for name, part in parts.items()
    }


@cache
def _whole(kind: str) -> dict[str, Any]:
    return schema_of(kind)


@pytest.mark.parametrize(
    ("kind", "steps"),
    [("memory", ("use",)), ("space", ("use",)), ("space", ("mutate",)),
     ("model", ("model", "pattern", "[]")), ("study", ("baselines", "[]"))],
)  # fmt: skip
def test_known_memories_are_offered_with_their_papers(kind: str, steps: tuple[str, ...]) -> None:
    found = dict(zip(*offered(_whole(kind), *steps)[0], strict=True))
    assert list(found) == list(known())
    assert found["gated-deltanet"] == known()["gated-deltanet"].paper


@pytest.mark.parametrize("kind", KINDS)
def test_a_printed_schema_needs_no_other_file(kind: str) -> None:
    text = json.dumps(_whole(kind))
    assert '"$ref": "' in text and all(
        part.startswith("#/$defs/") for part in text.split('"$ref": "')[1:]
    )


def run(*words: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, list(words))
    return found.exit_code, found.stdout, found.stderr


def test_commands_of_schemas(tmp_path: Path) -> None:
    assert json.loads(run("schema", "map")[1])["title"] == "map"
    code, _, errors = run("schema", "memmory")
    assert code == 2 and "write one of memory, model" in errors
    assert len(run("schema", "--write", str(tmp_path / "s"))[1].splitlines()) == len(KINDS) + 1


def test_a_beginning(tmp_path: Path) -> None:
    """Three files that are right, with their schemas; a second time nothing is overwritten."""
    folder = tmp_path / "mine"
    code, out, errors = run("init", str(folder))
    assert code == 0, errors
    assert "miras search" in out
    for name in NAMES:
        path = folder / name
        assert named(path) == folder / "schemas" / name.replace(".yaml", ".json")
        assert validator(named(path)).is_valid(read(path).data)
        assert check(path)
        assert path.read_text(encoding="utf-8").count("\n#") > 5
    (folder / "space.yaml").write_text("mine")
    code, _, errors = run("init", str(folder))
    assert code == 2 and len(errors.splitlines()) == 1 and "nothing is overwritten" in errors
    assert (folder / "space.yaml").read_text() == "mine"
