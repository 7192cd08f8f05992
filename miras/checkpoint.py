"""Trained models on disk: safetensors with the model's spec in the header, no pickle."""

import json
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model  # pyright: ignore[reportUnknownVariableType]

from miras.model import Model, ModelSpec
from miras.part import SpecError

FORMAT = "miras-model-1"


def save(model: Model, path: Path, about: dict[str, Any] | None = None) -> None:
    """Write weights and spec; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {
        "format": FORMAT,
        "spec": model.spec.model_dump_json(),
        "vocabulary": str(model.vocabulary),
        "about": json.dumps(about or {}),
    }
    part = path.with_name(path.name + ".part")
    save_model(model, str(part), metadata=header)
    part.replace(path)


def load(path: Path) -> Model:
    """The model that `save` wrote. Raises SpecError with what is wrong and what to do."""
    if not path.is_file():
        raise SpecError(f"{path}: there is no such file: give a checkpoint that miras train wrote")
    try:
        with cast(Any, safe_open)(str(path), framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise SpecError(f"{path}: not a safetensors file, or cut short ({error})") from None
    if header.get("format") != FORMAT:
        raise SpecError(f"{path}: a safetensors file, but not a miras model of this version")
    try:
        model = Model(ModelSpec.model_validate_json(header["spec"]), int(header["vocabulary"]))
        load_model(model, str(path))
    except (KeyError, ValueError, ValidationError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise SpecError(f"{path}: spec and weights do not fit ({first}): train again") from None
    return model
