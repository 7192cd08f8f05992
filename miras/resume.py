"""An unfinished training on disk: the next process goes on as if it had not been interrupted.

One safetensors file, no pickle: weights, both moments of AdamW, the losses since the last point of
the curve, the state of torch's random generators, and in the header what the training is and how
far it came. The learning rate and the batch of a step are functions of the step, so nothing of them
is kept. What goes on gives the same numbers bit for bit, on the same machine with as many threads.
"""

import hashlib
import json
import time
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from miras import __version__
from miras.model import Model, ModelSpec
from miras.result import Point
from miras.tasks import Task
from miras.whole_file import drafts, replacing

FORMAT = "miras-training-1"


class CheckpointWarning(UserWarning):
    """A checkpoint could not be used or written; the training is complete all the same."""


@dataclass
class Progress:
    """How far a training is."""

    step: int = 0
    tokens: int = 0
    length: int = 0  # of the longest sequence so far
    seconds: float = 0.0  # in all sittings
    paused: float = 0.0  # of these, evaluating and writing checkpoints
    curve: list[Point] = field(default_factory=list[Point])
    losses: list[Tensor] = field(default_factory=list[Tensor])  # since the last point


class Keeper:
    """Writes a training to its file every so often, and finds it there again.

    `about` is what the file must agree in; where only what is named in `mild` differs, the training
    goes on all the same, with a warning.
    """

    def __init__(
        self,
        path: Path,
        every: float,
        about: Mapping[str, object],
        mild: Collection[str] = (),
    ) -> None:
        self.path, self.every, self.mild = path, every, mild
        self.about: dict[str, object] = json.loads(json.dumps(about))
        self.written = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self.written >= self.every

    def load(self, model: Model, optimizer: torch.optim.Optimizer) -> Progress:
        """Take up what the file holds; start over, with a warning, if it is not this training."""
        if not self.path.exists():
            return Progress()
        try:
            return self.take(model, optimizer)
        except UnusableError as reason:
            warnings.warn(
                f"{self.path} {reason}. The training starts over", CheckpointWarning, stacklevel=3
            )
            return Progress()

    def take(self, model: Model, optimizer: torch.optim.Optimizer) -> Progress:
        """Take up what the file holds. Raises UnusableError if it is not this training.

        Nothing is changed before the whole file is known to be good.
        """
        header, tensors = _read(self.path)
        differing = _differences(self.about, header.about)
        if hard := [text for name, text in differing.items() if name not in self.mild]:
            more = f" and {len(hard) - 4} more" if len(hard) > 4 else ""
            raise UnusableError("belongs to another training: " + "; ".join(hard[:4]) + more)
        found = _restored(header.progress, tensors, model, optimizer)
        if differing:
            soft = "; ".join(differing.values())
            message = f"{self.path}: {soft}. The training goes on, not bit for bit the same"
            warnings.warn(message, CheckpointWarning, stacklevel=3)
        return found

    def save(self, model: Model, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Replace the file as a whole: a process that is killed leaves the old one or the new one.

        A full disk is told and does not end the training.
        """
        tensors = _tensors(model, optimizer, progress)
        reached = {name: getattr(progress, name) for name in _Reached.model_fields}
        header = _Header(about=self.about, progress=_Reached.model_validate(reached))
        text = json.dumps(header.model_dump())
        about = {"format": FORMAT, "training": text, "digest": _digest(text, tensors)}
        try:
            with replacing(self.path) as draft:
                save_file(tensors, draft, metadata=about)
        except (OSError, SafetensorError) as error:
            message = (
                f"{self.path}: the checkpoint could not be written ({error}); training goes on"
            )
            warnings.warn(message, CheckpointWarning, stacklevel=3)
        self.written = time.monotonic()

    def remove(self) -> None:
        """Remove the file, and drafts of processes that were killed while they wrote."""
        self.path.unlink(missing_ok=True)
        for draft in drafts(self.path):
            draft.unlink(missing_ok=True)


class _Reached(BaseModel):
    """How far a training is, as the header of its file says it."""

    model_config = ConfigDict(extra="forbid")

    step: int = Field(ge=0)
    tokens: int = Field(ge=0)
    length: int = Field(ge=0)
    seconds: float
    paused: float
    curve: list[Point]


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid")

    about: dict[str, Any]
    progress: _Reached


class UnusableError(Exception):
    """What is wrong with a checkpoint, as the end of a sentence that begins with its path."""


def identity(
    spec: ModelSpec,
    task: Task,
    learning_rate: float,
    seed: int,
    steps: int,
    evaluations: int,
    device: torch.device | str,
) -> dict[str, object]:
    """What a checkpoint must agree in with the training that takes it up."""
    return {
        "model": spec.model_dump(mode="json"),
        "task": task.model_dump(mode="json"),
        "learning rate": learning_rate,
        "seed": seed,
        "steps": steps,
        "evaluations": evaluations,
        "device": torch.device(device).type,
        "type": str(torch.get_default_dtype()),
        "miras": __version__,
        "torch": str(torch.__version__),
    }


def _differences(here: Mapping[str, object], there: Mapping[str, object]) -> dict[str, str]:
    """What differs, as the words of a sentence, by name."""
    found: dict[str, str] = {}
    for name in [*here, *(each for each in there if each not in here)]:
        mine, other = here.get(name), there.get(name)
        if mine == other:
            continue
        short = not isinstance(mine, dict | list) and not isinstance(other, dict | list)
        found[name] = f"{name} {other}, here {mine}" if short else f"another {name}"
    return found


def _tensors(
    model: Model, optimizer: torch.optim.Optimizer, progress: Progress
) -> dict[str, Tensor]:
    """All numbers of a training, by name; a tensor that two modules share is there once."""
    found = {f"model/{name}": leaf for name, leaf in _leaves(model).items()}
    for index, parameter in enumerate(_parameters(optimizer)):
        for name, leaf in optimizer.state.get(parameter, {}).items():
            found[f"optimizer/{index}/{name}"] = leaf
    if progress.losses:
        found["losses"] = torch.stack(progress.losses)
    found["random/cpu"] = torch.get_rng_state()
    device = model.embedding.weight.device
    if device.type == "cuda":
        found["random/cuda"] = torch.cuda.get_rng_state(device)
    return {name: leaf.detach().cpu().contiguous().clone() for name, leaf in found.items()}


def _leaves(model: Model) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        leaf = tensors[name]
        found.update(f"{name} {leaf.dtype} {tuple(leaf.shape)}".encode())
        found.update(leaf.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _read(path: Path) -> tuple[_Header, dict[str, Tensor]]:
    try:
        with cast(Any, safe_open)(str(path), framework="pt") as file:
            about: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UnusableError(f"is no whole checkpoint ({error})") from None
    if about.get("format") != FORMAT:
        raise UnusableError("is no checkpoint of a training by this version of miras")
    text = about.get("training", "")
    if about.get("digest") != _digest(text, tensors):
        raise UnusableError("is damaged: it does not hold what was written")
    try:
        return _Header.model_validate(json.loads(text)), tensors
    except (ValueError, RecursionError):
        raise UnusableError("is damaged: its header is not what this version writes") from None


def _restored(
    reached: _Reached,
    tensors: dict[str, Tensor],
    model: Model,
    optimizer: torch.optim.Optimizer,
) -> Progress:
    leaves, parameters = _leaves(model), _parameters(optimizer)
    expected = {f"model/{name}": leaf for name, leaf in leaves.items()}
    expected |= {
        f"optimizer/{index}/{name}": torch.empty(()) if name == "step" else parameter
        for index, parameter in enumerate(parameters)
        for name in ("step", "exp_avg", "exp_avg_sq")
        if f"optimizer/{index}/step" in tensors
    }
    expected["random/cpu"] = torch.get_rng_state()
    sizes = {name: leaf.shape for name, leaf in tensors.items() if name not in _LOOSE}
    if sizes != {name: leaf.shape for name, leaf in expected.items()}:
        raise UnusableError("holds tensors of other names or shapes than this model")
    device = model.embedding.weight.device
    try:
        torch.set_rng_state(tensors["random/cpu"])
        if "random/cuda" in tensors and device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random/cuda"], device)
    except (RuntimeError, TypeError):
        raise UnusableError("holds no state of the random numbers") from None
    losses = list(tensors["losses"].to(device)) if "losses" in tensors else []
    with torch.no_grad():
        for name, leaf in leaves.items():
            leaf.copy_(tensors[f"model/{name}"])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, leaf in tensors.items():
        if name.startswith("optimizer/"):
            _, index, kind = name.split("/")
            moments.setdefault(int(index), {})[kind] = leaf
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    return Progress(**dict(reached), losses=losses)


_LOOSE = {"losses", "random/cuda"}
"""Tensors of a checkpoint that not every training has, or not at one size."""
