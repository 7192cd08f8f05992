"""Whether cost grows linearly: time per token and memory of training steps at growing lengths.

Every point runs in a process of its own, on one thread, forked from one that has torch loaded. Its
memory is the peak of the process while forward and backward run, less what it held just before,
with the inputs made: outputs, gradients of the inputs and what the plan keeps. On Linux what was
freed is first given back to the system (`malloc_trim`) and the peak is set back before the step
(`/proc/self/clear_refs`), then read as VmHWM; elsewhere it is `ru_maxrss`, which a larger peak
while the inputs were made hides.
"""

import ctypes
import gc
import multiprocessing
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from miras.benchmarks.cases import chosen
from miras.benchmarks.inputs import Inputs, Sizes, ours, plan_name
from miras.benchmarks.measure import seconds
from miras.benchmarks.records import Record, processor
from miras.explain.counting import state_floats

LENGTHS = (1024, 4096, 16_384, 65_536, 131_072)

LINEAR = (
    *("mamba-2", "retnet", "gla", "linear-attention"),
    *("deltanet", "gated-deltanet", "kda", "gated-deltanet-huber", "linear-titans"),
    *("moneta", "yaad", "titans-lmm", "ttt-linear", "ttt-mlp"),
    *("mingru", "mamba-1", "lstm"),
    *("gsa", "mesanet", "mamba-3", "armt", "benna-fusi"),
)
"""Known memories whose cost per token does not depend on the length: some for every plan."""

_LIBC = ctypes.CDLL(None)

CHUNK = 64
"""Tokens for which one state is counted among what the inputs make necessary."""


class Point(NamedTuple):
    """One memory at one length."""

    name: str
    tokens: int
    sizes: Sizes


def points(names: list[str], lengths: list[int], sizes: Sizes) -> list[Point]:
    """All lengths of all memories, short ones first."""
    return [Point(name, tokens, sizes) for tokens in lengths for name in names or LINEAR]


def measured(wanted: list[Point], known: list[Record], limit: float = 120.0) -> Iterator[Record]:
    """Records of points that are not known yet.

    A memory that would take longer than `limit` seconds at its next length, four times as long, is
    left out there, and the record says so.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["miras.benchmarks.lengths"])
    done = {(record["memory"], record["tokens"], *record["sizes"].values()) for record in known}
    latest = {record["memory"]: record for record in known}
    for point in wanted:
        sizes = point.sizes._replace(time=point.tokens)
        key = (point.name, point.tokens, *sizes._asdict().values())
        if key in done:
            continue
        before = latest.get(point.name)
        slow: float = before.get("both_seconds", 0.0) if before else 0.0
        if before and slow * point.tokens / before["tokens"] > limit:
            record: Record = {"memory": point.name, "tokens": point.tokens}
            record |= {"sizes": sizes._asdict(), "skipped": f"more than {limit:g} s expected"}
        else:
            with context.Pool(1) as pool:
                record = pool.apply(measure, (point,))
        latest[point.name] = record
        yield record


def measure(point: Point) -> Record:
    """One point, in this process."""
    torch.set_num_threads(1)
    (case,) = chosen([point.name])
    sizes = point.sizes._replace(time=point.tokens)
    step(case.inputs(sizes._replace(time=min(256, point.tokens)), "cpu"))  # code and libraries
    given = case.inputs(sizes, "cpu")
    gc.collect()
    held = _reset_peak()
    times = [_timed(given)]
    extra = _peak() - held
    while len(times) < 5 and sum(times) < 2.0:
        times.append(_timed(given))
    heads, key_dim, value_dim = *given.key.shape[2:], given.value.shape[-1]
    state = 4 * sizes.batch * sum(state_floats(given.memory, heads, key_dim, value_dim).values())
    return {
        "memory": point.name,
        "plan": plan_name(given, "auto"),
        "tokens": point.tokens,
        "sizes": sizes._asdict(),
        "processor": processor(),
        "torch": torch.__version__,
        "both_seconds": round(median(times), 6),
        "repeats": len(times),
        "extra_bytes": extra,
        "input_bytes": sum(4 * leaf.numel() for leaf in given.leaves),
        "state_bytes": state,
        "chunk_states_bytes": state * -(-point.tokens // CHUNK),
    }


def step(given: Inputs) -> None:
    """Forward and backward by all inputs."""
    entrant = ours(given)
    output = entrant.forward()
    torch.autograd.grad(output, entrant.leaves, torch.ones_like(output), allow_unused=True)


def _timed(given: Inputs) -> float:
    return seconds(lambda: step(given), given.device)


def _reset_peak() -> int:
    """Bytes that the process holds now; from here on its peak counts anew where that can be."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)  # what was freed and is kept for later would hide what is taken next
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5", encoding="utf-8")
    return _peak()


def _peak() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
