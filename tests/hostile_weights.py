"""Weights that were made to do harm, or that went wrong: models, and unfinished trainings."""

import json
import os
import pickle
import struct
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from hostile_files import ON_TEXT, TEXT, Case, Evil, texts
from safetensors.torch import save, save_file

from miras import checkpoint, resume
from miras.model import Model, ModelSpec
from miras.result import Point
from miras.training_step import adamw


def spec(name: str = "gla") -> ModelSpec:
    """A small model."""
    return ModelSpec.model_validate({"dim": 8, "layers": 1, "heads": 1, "pattern": [name]})


@cache
def whole() -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and header of a good checkpoint."""
    model = Model(spec(), 256)
    tensors = {name: leaf.detach().clone() for name, leaf in model.named_parameters()}
    header = {"format": checkpoint.FORMAT, "spec": model.spec.model_dump_json()}
    return tensors, header | {"vocabulary": "256", "about": "{}"}


def forged(change: Callable[[dict[str, Any], dict[str, str]], object], at: Path) -> None:
    """A checkpoint with something changed in its tensors or its header."""
    tensors, header = dict(whole()[0]), dict(whole()[1])
    change(tensors, header)
    save_file(tensors, at / "model.safetensors", metadata=header)


def raw(header: bytes | dict[str, Any], data: bytes, at: Path, size: int | None = None) -> None:
    """A safetensors file, byte by byte."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = struct.pack("<Q", len(text) if size is None else size)
    (at / "model.safetensors").write_bytes(length + text + data)


def cut(share: float, at: Path) -> None:
    """A good file, cut short."""
    tensors, header = whole()
    found = save(tensors, header)
    (at / "model.safetensors").write_bytes(found[: int(len(found) * share)])


def _poison(value: float, tensors: dict[str, Any], header: dict[str, str]) -> None:
    tensors["embedding.weight"] = tensors["embedding.weight"].clone()
    tensors["embedding.weight"][3, 3] = value


def _huge(tensors: dict[str, Any], header: dict[str, str]) -> None:
    giant = ModelSpec.model_validate(
        {"dim": 65536, "layers": 8, "heads": 1, "mlp_width": 2**20, "pattern": ["gla"]}
    )
    header["spec"] = giant.model_dump_json()


def _nested(tensors: dict[str, Any], header: dict[str, str]) -> None:
    header["spec"] = '{"pattern": ' + "[" * 100_000 + "]" * 100_000 + "}"


def _zip(at: Path) -> None:
    torch.save({"weight": Evil()}, at / "model.safetensors")


def _offsets(begin: int, end: int, at: Path) -> None:
    raw({"a": {"dtype": "F32", "shape": [2], "data_offsets": [begin, end]}}, b"\0" * 8, at)


def _shape(at: Path) -> None:
    shape = [2**40, 2**40]
    raw({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 8]}}, b"\0" * 8, at)


def _generate(write: Callable[..., object], words: str) -> Case:
    return Case(write, "generate {}", words)


def _forge(change: Callable[[dict[str, Any], dict[str, str]], object], words: str) -> Case:
    return _generate(partial(forged, change), words)


FILE = "model.safetensors"
CHECKPOINTS = {
    "empty": _generate(texts(FILE, b""), "not a safetensors file"),
    "a text": _generate(texts(FILE, "not a model"), "not a safetensors file"),
    "a pickle": _generate(texts(FILE, pickle.dumps(Evil())), "not a safetensors file"),
    "a pickle of torch": _generate(_zip, "not a safetensors file"),
    "cut in its header": _generate(partial(cut, 0.05), "not a safetensors file"),
    "cut in its weights": _generate(partial(cut, 0.9), "not a safetensors file"),
    "header longer than the file": _generate(
        partial(raw, b"{}", b"", size=2**63), "not a safetensors file"
    ),
    "header that is no JSON": _generate(partial(raw, b"{{{{", b""), "not a safetensors file"),
    "header without a bottom": _generate(
        partial(raw, b'{"a":' * 50_000, b""), "not a safetensors file"
    ),
    "weights beyond the file": _generate(partial(_offsets, 0, 2**40), "not a safetensors file"),
    "weights before the file": _generate(partial(_offsets, 8, 0), "not a safetensors file"),
    "a shape that overflows": _generate(_shape, "not a safetensors file"),
    "another program's": _generate(
        partial(raw, {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"\0" * 8),
        "not a miras model",
    ),
    "weights of another memory": _forge(
        lambda tensors, header: header.update(spec=spec("lstm").model_dump_json()), "do not fit"
    ),
    "a wrong shape": _forge(
        lambda tensors, header: tensors.update({"embedding.weight": torch.zeros(8, 256)}),
        "embedding.weight is",
    ),
    "a missing layer": _forge(
        lambda tensors, header: tensors.pop("blocks.0.memory.out.weight"), "is missing"
    ),
    "one tensor too many": _forge(
        lambda tensors, header: tensors.update({"../../etc/passwd": torch.zeros(1)}), "none of its"
    ),
    "whole numbers": _forge(
        lambda tensors, header: tensors.update(
            {"embedding.weight": torch.zeros(256, 8, dtype=torch.int64)}
        ),
        "no real numbers",
    ),
    "NaN": _forge(partial(_poison, float("nan")), "not finite"),
    "infinity": _forge(partial(_poison, float("inf")), "not finite"),
    "no spec": _forge(lambda tensors, header: header.pop("spec"), "do not fit"),
    "a spec that is no JSON": _forge(
        lambda tensors, header: header.update(spec="import os"), "do not fit"
    ),
    "a spec without a bottom": _forge(_nested, "do not fit"),
    "a spec larger than the machine": _forge(_huge, "do not fit"),
    "a vocabulary beyond measure": _forge(
        lambda tensors, header: header.update(vocabulary=str(10**15)), "do not fit"
    ),
    "a negative vocabulary": _forge(
        lambda tensors, header: header.update(vocabulary="-1"), "do not fit"
    ),
    "a vocabulary that is a word": _forge(
        lambda tensors, header: header.update(vocabulary="many"), "do not fit"
    ),
    "a folder": _generate(lambda at: (at / FILE).mkdir(), "no such file"),
    "a pipe": _generate(lambda at: os.mkfifo(at / FILE), "no such file"),
    "a circle of links": _generate(lambda at: (at / FILE).symlink_to(FILE), "no such file"),
    "a pickle beside it": _generate(
        lambda at: (forged(lambda *_: None, at), texts("tokenizer.json", pickle.dumps(Evil()))(at)),
        "tokenizer",
    ),
}


def unfinished(change: Callable[[bytes], bytes], at: Path) -> None:
    """A text, and beside it a run whose unfinished training is not what it was."""
    texts("a.txt", TEXT)(at)
    (at / "run").mkdir()
    model = Model(spec(), 256)
    at_step = resume.Progress(step=1, tokens=8, curve=[Point(step=1, tokens=8, loss=1, score=0)])
    keeper = resume.Keeper(at / "run" / "unfinished.safetensors", 0.0, {"text": "another"})
    keeper.save(model, adamw(model), at_step)
    keeper.path.write_bytes(change(keeper.path.read_bytes()))


def _unfinished(change: Callable[[bytes], bytes], words: str) -> Case:
    return Case(partial(unfinished, change), ON_TEXT, words)


UNFINISHED = {
    "of another training": _unfinished(lambda found: found, "belongs to another training"),
    "cut": _unfinished(lambda found: found[: len(found) // 2], "no whole checkpoint"),
    "a pickle": _unfinished(lambda found: pickle.dumps(Evil()), "no whole checkpoint"),
    "one bit": _unfinished(lambda found: found[:-9] + b"\1" + found[-8:], "is damaged"),
    "a step of its own": _unfinished(
        lambda found: found.replace(b'\\"step\\": 1, \\"tok', b'\\"step\\": 9, \\"tok'),
        "is damaged",
    ),
}
