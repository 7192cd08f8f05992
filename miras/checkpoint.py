"""Trained models on disk: safetensors with the model's spec in the header, no pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model  # pyright: ignore[reportUnknownVariableType]

from miras.model import Model, ModelSpec, skeleton
from miras.part import SpecError
from miras.whole_file import replacing

FORMAT = "miras-model-1"
_REAL = {"F64", "F32", "F16", "BF16"}


def save(model: Model, path: Path, about: dict[str, Any] | None = None) -> None:
    """Write weights and spec; the file appears whole or not at all."""
    header = {
        "format": FORMAT,
        "spec": model.spec.model_dump_json(),
        "vocabulary": str(model.vocabulary),
        "about": json.dumps(about or {}),
    }
    with replacing(path) as draft:
        save_model(model, str(draft), metadata=header)


def load(path: Path) -> Model:
    """The model that `save` wrote. Raises SpecError with what is wrong and what to do.

    Names and shapes are compared before anything is allocated: a small file with a huge spec, or
    the weights of another model, cost nothing.
    """
    if not path.is_file():
        raise SpecError(f"{path}: there is no such file: give a checkpoint that miras train wrote")
    with path.open("rb"):
        pass  # where a person may not read it the system says so, safetensors does not
    try:
        with cast(Any, safe_open)(str(path), framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
            stored = {name: file.get_slice(name) for name in list(file.keys())}
            sizes = {name: tuple(leaf.get_shape()) for name, leaf in stored.items()}
            whole = [name for name, leaf in stored.items() if leaf.get_dtype() not in _REAL]
    except (SafetensorError, OSError, ValueError) as error:
        raise SpecError(
            f"{path}: not a safetensors file, or cut short ({_first(error)}): give another"
        ) from None
    if header.get("format") != FORMAT:
        raise SpecError(
            f"{path}: a safetensors file, but not a miras model of this version: give another"
        )
    if whole:
        raise SpecError(f"{path}: {whole[0][:60]} holds no real numbers: train again")
    try:
        spec = ModelSpec.model_validate_json(header["spec"])
        vocabulary = int(header["vocabulary"])
        _compare(sizes, skeleton(spec, vocabulary))
        model = Model(spec, vocabulary)
        load_model(model, str(path))
    except (KeyError, ValueError, RuntimeError, RecursionError) as error:
        raise SpecError(
            f"{path}: spec and weights do not fit ({_first(error)}): train again"
        ) from None
    for name, leaf in model.named_parameters():
        if not leaf.isfinite().all():
            raise SpecError(
                f"{path}: {name} holds numbers that are not finite: train again with a smaller --lr"
            )
    return model


def _compare(sizes: Mapping[str, tuple[int, ...]], wanted: Model) -> None:
    """Whether a file holds all tensors of a model, each under one of its names, and no others."""
    shared: dict[int, list[str]] = {}
    for name, leaf in wanted.state_dict(keep_vars=True).items():
        shared.setdefault(id(leaf), []).append(name)
        if name in sizes and sizes[name] != tuple(leaf.shape):
            raise ValueError(f"{name} is {list(sizes[name])}, not {list(leaf.shape)}")
    for names in shared.values():
        if not any(name in sizes for name in names):
            raise ValueError(f"{names[0]} is missing")
    if others := sizes.keys() - {name for names in shared.values() for name in names}:
        raise ValueError(f"{min(others)[:60]} is none of its tensors")


def _first(error: Exception) -> str:
    """The beginning of what an error says, as part of a sentence."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return "".join(c if c.isprintable() else " " for c in text)[:200]
