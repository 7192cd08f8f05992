"""A small text, a small training on it, and processes to kill."""

import json
import os
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from miras import checkpoint
from miras.model import ModelSpec
from miras.text.settings import Training, TrainingFile

STEPS = 12
SENTENCE = "the memory remembers what it has read. "


def write_book(folder: Path) -> Path:
    """A folder with a text, lines of JSON and something that is no text."""
    (folder / "a.txt").write_text(SENTENCE * 60)
    lines = [json.dumps({"text": f"line {i} für alle", "id": i}) for i in range(60)]
    (folder / "b.jsonl").write_text("\n".join(lines))
    (folder / "picture.png").write_bytes(b"\x89PNG")
    return folder


def file(book: Path, memory: Any = "gla", **changes: Any) -> TrainingFile:
    model = ModelSpec.model_validate({"dim": 16, "layers": 1, "heads": 2, "pattern": [memory]})
    fields: dict[str, Any] = {"text": book, "context": 16, "batch": 4, "pieces": 2, "windows": 8}
    fields |= {"steps": STEPS, "log": 1, "look": 5, "checkpoint": 3}
    return TrainingFile(model=model, training=Training.model_validate(fields | changes))


def curve(folder: Path) -> list[dict[str, Any]]:
    """The lines of a log but for the seconds: JSON has all digits of a number."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in line if name != "seconds"} for line in lines]


def equal(one: Path, other: Path) -> None:
    assert curve(one) == curve(other)
    names = [name for name, _ in checkpoint.load(one / "model.safetensors").named_parameters()]
    weights = [checkpoint.load(each / "model.safetensors").state_dict() for each in (one, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in names)


def forked(work: Callable[[], object]) -> int:
    """Do something in a process of its own; its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: none here
        number = os.fork()
    if number:
        return number
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(number: int) -> int:
    """How a process ended: its exit code, or less than 0 the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
