"""An unfinished training on disk: the next process goes on as if it had not been interrupted.

One safetensors file, no pickle: weights, both moments of AdamW, the losses since the last point of
the curve, the state of torch's random generators, and in the header what the training is and how
far it came. The learning rate and the batch of a step are functions of the step, so nothing of them
is kept. What goes on gives the same numbers bit for bit, on the same machine with as many threads.
"""

import hashlib
import json
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from miras import __version__
from miras.model import Model, ModelSpec
from miras.result import Point
from miras.tasks import Task

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
    """Writes a training to its file every so often, and finds it there again."""

    def __init__(self, path: Path, every: float, about: Mapping[str, object]) -> None:
        self.path, self.every = path, every
        self.about: dict[str, object] = json.loads(json.dumps(about))
        self.written = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self.written >= self.every

    def load(self, model: Model, optimizer: torch.optim.Optimizer) -> Progress:
        """Take up what the file holds; from the start, with a warning, if it is not this training.

        Nothing is changed before the whole file is known to be good.
        """
        if not self.path.exists():
            return Progress()
        try:
            header, tensors = _read(self.path)
            differing = _differences(self.about, header["about"])
            if differing:
                raise _UnusableError("belongs to another training: " + "; ".join(differing))
            found = _restored(header["progress"], tensors, model, optimizer)
        except _UnusableError as reason:
            warnings.warn(
                f"{self.path} {reason}. The training starts over", CheckpointWarning, stacklevel=3
            )
            return Progress()
        return found

    def save(self, model: Model, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Replace the file as a whole: a process that is killed leaves the old one or the new one.

        A full disk is told and does not end the training.
        """
        tensors = _tensors(model, optimizer, progress)
        header = {
            "about": self.about,
            "progress": {
                "step": progress.step,
                "tokens": progress.tokens,
                "length": progress.length,
                "seconds": progress.seconds,
                "paused": progress.paused,
                "curve": [point.model_dump() for point in progress.curve],
            },
        }
        text = json.dumps(header)
        about = {"format": FORMAT, "training": text, "digest": _digest(text, tensors)}
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, draft, metadata=about)
            with draft.open("rb+") as file:
                os.fsync(file.fileno())
            draft.replace(self.path)
            _settle(self.path.parent)
        except (OSError, SafetensorError) as error:
            draft.unlink(missing_ok=True)
            message = (
                f"{self.path}: the checkpoint could not be written ({error}); training goes on"
            )
            warnings.warn(message, CheckpointWarning, stacklevel=3)
        self.written = time.monotonic()

    def remove(self) -> None:
        """Remove the file, and drafts of processes that were killed while they wrote."""
        self.path.unlink(missing_ok=True)
        for draft in self.path.parent.glob(f"{self.path.name}.*.part"):
            draft.unlink(missing_ok=True)


class _UnusableError(Exception):
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


def _differences(here: Mapping[str, object], there: Mapping[str, object]) -> list[str]:
    found: list[str] = []
    for name in [*here, *(each for each in there if each not in here)]:
        mine, other = here.get(name), there.get(name)
        if mine == other:
            continue
        short = not isinstance(mine, dict | list) and not isinstance(other, dict | list)
        found.append(f"{name} {other}, here {mine}" if short else f"another {name}")
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


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with cast(Any, safe_open)(str(path), framework="pt") as file:
            about: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _UnusableError(f"is no whole checkpoint ({error})") from None
    if about.get("format") != FORMAT:
        raise _UnusableError("is no checkpoint of a training by this version of miras")
    text = about.get("training", "")
    if about.get("digest") != _digest(text, tensors):
        raise _UnusableError("is damaged: it does not hold what was written")
    return json.loads(text), tensors


def _restored(
    about: dict[str, Any],
    tensors: dict[str, Tensor],
    model: Model,
    optimizer: torch.optim.Optimizer,
) -> Progress:
    leaves = _leaves(model)
    stored = {
        name.removeprefix("model/"): leaf
        for name, leaf in tensors.items()
        if name.startswith("model/")
    }
    if {name: leaf.shape for name, leaf in stored.items()} != {
        name: leaf.shape for name, leaf in leaves.items()
    }:
        raise _UnusableError("holds tensors of other names or shapes than this model")
    device = model.embedding.weight.device
    curve = [Point.model_validate(point) for point in about.pop("curve")]
    losses = list(tensors["losses"].to(device)) if "losses" in tensors else []
    with torch.no_grad():
        for name, leaf in leaves.items():
            leaf.copy_(stored[name])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, leaf in tensors.items():
        if name.startswith("optimizer/"):
            _, index, kind = name.split("/")
            moments.setdefault(int(index), {})[kind] = leaf
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    torch.set_rng_state(tensors["random/cpu"])
    if "random/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random/cuda"], device)
    return Progress(**about, curve=curve, losses=losses)


def _settle(folder: Path) -> None:
    """Make a new name in a folder survive a power cut, where the system can."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
