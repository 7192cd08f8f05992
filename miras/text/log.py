"""How a training on text goes: one line of JSON per few steps, and TensorBoard for who wants it."""

import json
import os
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from miras.part import SpecError
from miras.whole_file import replacing


class Entry(BaseModel):
    """One line of log.jsonl. All but `seconds` are the same in every repetition."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    tokens: int
    loss: float = Field(description="mean of the steps since the line before, in nats per token")
    learning_rate: float
    norm: float = Field(description="of the gradient of this step, before it was clipped")
    held_out_loss: float | None = Field(default=None, description="nats per token")
    bits_per_byte: float | None = Field(default=None, description="of the held-out text")
    seconds: float = Field(description="in all sittings")


@runtime_checkable
class Writer(Protocol):
    """What is used of TensorBoard."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Write down one number."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


class Log:
    """Writes lines, and after an interruption goes on where the checkpoint is."""

    def __init__(self, path: Path, step: int, board: Path | None = None) -> None:
        """Lines after `step` are of steps that are taken again: they are dropped."""
        kept = [line for line in _lines(path) if _step(line) <= step]
        with replacing(path) as draft:
            draft.write_bytes(b"".join(kept))
        self.file = path.open("ab")
        self.board = None if board is None else _board(board, step)

    def write(self, entry: Entry) -> None:
        """Add a line; it is in the hands of the system when this returns."""
        self.file.write(entry.model_dump_json(exclude_none=True).encode() + b"\n")
        self.file.flush()
        if self.board is not None:
            for name, value in entry.model_dump(exclude={"step", "seconds"}).items():
                if value is not None:
                    self.board.add_scalar(name, value, entry.step)

    def settle(self) -> None:
        """Make all lines survive a power cut, before a checkpoint says that they are there."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """Write what is left."""
        self.file.close()
        if self.board is not None:
            self.board.close()


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []


def _step(line: bytes) -> float:
    """The step of a line; infinite for what is no whole line."""
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return float("inf")
    step = cast(dict[str, Any], found).get("step") if isinstance(found, dict) else None
    return float(step) if isinstance(step, int) and line.endswith(b"\n") else float("inf")


def _board(folder: Path, step: int) -> Writer:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise SpecError(
            "--tensorboard: pip install 'miras-search[track]', or leave it out"
        ) from None
    return cast(Any, SummaryWriter)(str(folder), purge_step=step + 1)
