"""What kind of file is this, and is it right? Behind `miras check` and `explain`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from miras.composition import AnyCell, AnyComposition
from miras.demonstration.spec import load_demonstrations
from miras.known import expand, named
from miras.load import Document, read, validate
from miras.memory import Memory
from miras.model import ModelFile
from miras.part import SpecError
from miras.text.settings import TrainingFile


def kind_of(document: Document) -> str:
    """`memory`, `model`, `training`, `sweep`, `demonstrations`, `study` or `space`, by its keys."""
    data = document.value(())
    keys = set(cast(Mapping[str, Any], data)) if isinstance(data, Mapping) else set[str]()
    if "training" in keys:
        return "training"
    if "model" in keys:
        return "model"
    if "compare" in keys:
        return "sweep"
    if "demonstrate" in keys:
        return "demonstrations"
    if "space" in keys or "tasks" in keys:
        return "study"
    return "space" if _has_hole(data) else "memory"


def check(path: Path) -> str:
    """A sentence on a file that is right. Raises SpecFileError on one that is not."""
    document = read(path)
    kind = kind_of(document)
    if kind == "memory":
        memory = _memory(document)
        warned = "".join(f"\n  note: {warning}" for warning in memory.warnings)
        return f"a memory, {memory.name or 'without a name'}{warned}"
    if kind == "model":
        model = validate(document, ModelFile).model
        names = ", ".join(dict.fromkeys(memory.name or "unnamed" for memory in model.pattern))
        return f"a model of {model.layers} layers of {names}"
    if kind == "training":
        training = validate(document, TrainingFile).training
        return f"a training of {training.length} steps on {', '.join(map(str, training.text))}"
    if kind == "demonstrations":
        return f"{len(load_demonstrations(path).demonstrate)} demonstrations"
    from miras.search import load_space, load_study
    from miras.search.sweep.comparison import load_sweep

    if kind == "sweep":
        runs = sum(len(each.memories) for each in load_sweep(path).compare)
        return f"a sweep of {runs} pairs of memory and task"
    if kind == "study":
        study = load_study(path)
        return f"a study of {len(study.tasks)} tasks and {study.budget.trials} trials"
    return f"a space: {load_space(path).describe()}"


def memory(file: str) -> AnyCell:
    """The memory of a file or of a name."""
    if not file.endswith((".yaml", ".yml")) and not Path(file).exists():
        return named(file)
    document = read(file)
    if (kind := kind_of(document)) in ("model", "training"):
        whole = validate(document, ModelFile if kind == "model" else TrainingFile)
        return whole.model.pattern[0]
    return _memory(document)


def _memory(document: Document) -> AnyCell:
    if "use" in document.data:
        try:
            document = replace(document, data=expand(document.data))
        except SpecError as error:
            raise document.error(("use",), str(error)) from None
    return validate(document, AnyComposition if "compose" in document.data else Memory)


def _has_hole(data: Any) -> bool:
    if isinstance(data, Mapping):
        fields = cast(Mapping[str, Any], data)
        hole = len(fields) == 1 and next(iter(fields)) in ("any", "float", "int")
        return hole or any(_has_hole(value) for value in fields.values())
    return isinstance(data, list) and any(_has_hole(value) for value in cast(list[Any], data))
