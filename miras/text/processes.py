"""Processes that train together, as `torchrun` starts them: each has a share of every batch."""

import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from miras.part import SpecError


class Processes(NamedTuple):
    """This process among all."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait for all."""
        if self.size > 1:
            dist.barrier()

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def together(self, module: nn.Module) -> nn.Module:
        """The module, its gradients averaged over all processes."""
        if self.size == 1:
            return module
        places = [self.device] if self.device.type == "cuda" else None
        # Some memories have parameters that not every batch reaches.
        return DistributedDataParallel(module, device_ids=places, find_unused_parameters=True)

    def alone(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Inside, gradients of a module are added up here and averaged later."""
        return nullcontext() if self.size == 1 else cast(Any, module).no_sync()


@contextmanager
def processes(device: str) -> Generator[Processes]:
    """This process, and its device: `auto` takes a GPU where there is one."""
    count, rank = (_number(name, other) for name, other in (("WORLD_SIZE", 1), ("RANK", 0)))
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        place = torch.device(kind)
    except RuntimeError:
        raise SpecError(
            f"--device {device}: there is no such device: write cpu, cuda or auto"
        ) from None
    if place.type == "cuda" and not torch.cuda.is_available():
        raise SpecError("--device cuda: torch sees no GPU here: write --device cpu")
    if count == 1:
        yield Processes(0, 1, place)
        return
    if place.type == "cuda":
        place = torch.device("cuda", _number("LOCAL_RANK", rank))
        torch.cuda.set_device(place)
        dist.init_process_group("nccl", device_id=place)
    else:
        dist.init_process_group("gloo")
    try:
        yield Processes(rank, count, place)
    finally:
        dist.destroy_process_group()


def _number(name: str, other: int) -> int:
    text = os.environ.get(name, str(other))
    if not text.isdecimal():
        raise SpecError(f"{name}={text}: start several processes with torchrun, which sets it")
    return int(text)
