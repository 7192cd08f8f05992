"""How much faster each plan is than the definition: forward and backward, medians of one run.

Times are those of the processor, which other programs on the machine hardly touch.

python benchmarks/plans.py --time 256 --repeats 3 gated-deltanet titans-lmm
python benchmarks/plans.py --json > plans.jsonl
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from miras import definition
from miras.known import cells as known
from miras.memory import Memory
from miras.plans import Plan, plans
from miras.testing import random_tensors


def main() -> None:
    """Measure and print one line per memory and plan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("memories", nargs="*", help="names of known memories; all if left out")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--time", type=int, default=256, help="tokens")
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--size", type=int, default=32, help="key size of a head")
    parser.add_argument("--value-size", type=int, help="value size of a head, if another")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the median counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", help="one plan, by name")
    parser.add_argument("--no-definition", action="store_true", help="leave the slow one out")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.memories or known():
        memory = known()[name]
        value_size = options.value_size or options.size
        sizes = (options.batch, options.time, options.heads, options.size, value_size)
        literal = None if options.no_definition else measure(memory, None, sizes, options.repeats)
        for kind, plan in plans().items():
            if kind == "sequential" or not plan.fits(memory) or options.only not in (None, kind):
                continue
            figures = {"memory": name, "plan": kind, "sizes": "x".join(map(str, sizes))}
            fast = measure(memory, plan, sizes, options.repeats)
            for what, place in (("forward", 0), ("forward_backward", 1)):
                figures[f"{what}_ms"] = round(1e3 * fast[place], 3)
                if literal:
                    figures[f"{what}_times_faster"] = round(literal[place] / fast[place], 1)
            if options.json:
                print(json.dumps(figures), flush=True)
            else:
                print("  ".join(f"{key} {value}" for key, value in figures.items()), flush=True)


def measure(
    memory: Memory, plan: Plan | None, sizes: tuple[int, int, int, int, int], repeats: int
) -> tuple[float, float]:
    """Median processor seconds, forward and both ways, of a plan or (none) the definition."""
    batch, tokens, heads, key_dim, value_dim = sizes
    tensors = random_tensors(
        memory,
        batch=batch,
        time=tokens,
        heads=heads,
        key_dim=key_dim,
        value_dim=value_dim,
        dtype=torch.float32,
    )
    query, key, value, gates, _ = tensors
    inputs = [tensor.requires_grad_() for tensor in (query, key, value, *gates.values())]
    state = tensors.start(memory)

    def forward() -> torch.Tensor:
        if plan is None:
            return definition.run(memory, query, key, value, gates, state)[0]
        prepared = definition.prepare(memory, query, key, value, gates, 0)
        return definition.finish(memory, plan.run(memory, prepared, state)[0])

    upstream = torch.randn(batch, tokens, heads, value_dim)

    def both() -> None:
        torch.autograd.grad(forward(), inputs, upstream, allow_unused=True)

    return _median(forward, repeats), _median(both, repeats)


def _median(action: Callable[[], object], repeats: int) -> float:
    def once() -> float:
        before = time.process_time()
        action()
        return time.process_time() - before

    once()
    return statistics.median(once() for _ in range(repeats))


if __name__ == "__main__":
    main()
