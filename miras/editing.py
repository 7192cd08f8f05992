"""Behind `miras schema`: what an editor must know of the files that people write."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from miras.part import SpecError

KINDS = ("memory", "model", "training", "space", "study", "sweep", "demonstrations", "map")

GRAMMAR = "grammar"
"""The file of definitions that several schemas share."""


def schema(
    kind: Annotated[str, typer.Argument(help=", ".join(KINDS))] = "",
    write: Annotated[
        Path | None,
        typer.Option(
            readable=False, help="write the schemas of all kinds into this folder instead"
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of a kind of file, or write those of all kinds, for editors.

    An editor that speaks YAML completes and checks a file whose first line names its schema:
    `# yaml-language-server: $schema=schemas/memory.json`. `miras schema --write schemas` makes
    that folder, with the parts of your own that are installed.
    """
    if write is not None:
        for path in save(write):
            print(path)
    else:
        print(json.dumps(schema_of(kind), indent=2))


def schema_of(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind of file, whole."""
    return _made(kind, None)


def save(folder: Path) -> list[Path]:
    """Write the schemas of all kinds, and the definitions that they share."""
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Path] = []
    for name, text in texts().items():
        path = folder / f"{name}.json"
        path.write_text(text, encoding="utf-8")
        found.append(path)
    return found


@cache
def texts() -> dict[str, str]:
    """The schemas of all kinds as files that stand side by side, by name."""
    shared = _grammar()
    made = {kind: _made(kind, shared.defs) for kind in KINDS}
    return {name: _text(each) for name, each in {GRAMMAR: shared.whole(GRAMMAR), **made}.items()}


def _grammar() -> Any:
    """The definitions of memories, models, tasks and streams."""
    from miras.composition import AnyCell
    from miras.model import ModelFile
    from miras.schema import GRAMMAR as PACKAGES
    from miras.schema import Maker
    from miras.streams import AnyStream
    from miras.tasks import AnyTask

    return Maker(tuple[AnyCell, ModelFile, AnyTask, AnyStream], PACKAGES, holes=False)


def _made(kind: str, beside: Mapping[str, Any] | None) -> dict[str, Any]:
    from miras.schema import GRAMMAR as PACKAGES
    from miras.schema import Maker
    from miras.schema.pieces import known_names, refer

    if kind == "space":
        from miras.search import space_schema

        return space_schema()
    maker = Maker(_model(kind), (*PACKAGES, "miras.search.sampler"), holes=False)
    if kind == "memory":
        maker.root = {"type": "object", "allOf": [refer("memory")]}
    if kind == "study":
        maker.defs["known"] = known_names()
        fields: dict[str, Any] = maker.root["properties"]
        fields["baselines"] = {**fields["baselines"], "items": refer("known")}
        written = {"type": "object"} if beside is None else {"$ref": "space.json"}
        fields["space"] = {**fields["space"], "anyOf": [{"type": "string"}, written]}
    return maker.whole(kind, beside)


def _model(kind: str) -> Any:
    from miras.composition import AnyCell
    from miras.demonstration.spec import Demonstrations
    from miras.mapping import Systems
    from miras.model import ModelFile
    from miras.search import Study
    from miras.search.sweep.comparison import Sweep
    from miras.text.settings import TrainingFile

    models: dict[str, Any] = {
        "memory": AnyCell,
        "model": ModelFile,
        "training": TrainingFile,
        "study": Study,
        "sweep": Sweep,
        "demonstrations": Demonstrations,
        "map": Systems,
    }
    if kind not in models:
        raise SpecError(f"there is no schema {kind!r}: write one of {', '.join(KINDS)}")
    return models[kind]


def _text(schema: Mapping[str, Any]) -> str:
    """JSON with a line for each definition: it stays small, and changes can be read."""
    parts = [f" {json.dumps(key)}: {_part(key, value)}" for key, value in schema.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _part(key: str, value: Any) -> str:
    if key not in ("$defs", "properties"):
        return json.dumps(value, ensure_ascii=False)
    lines = [
        f"  {json.dumps(name)}: {json.dumps(inner, ensure_ascii=False)}"
        for name, inner in value.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n }"
