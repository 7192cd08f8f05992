"""Where the time of a training step goes: a split per memory, before and after a change.

Two layers of width 64 learn associative recall, 64 sequences of 64 tokens a step, as `miras train`
does it. Each part runs forward and backward by itself, on the inputs that it has inside the step;
`other` is what of the step no part accounts for: residual sums, the loss, Python, memory that parts
alone find in the cache. `floor` is the same step with a single sequence: about what Python and the
dispatch of operations cost.

python benchmarks/training.py                                  # a table
python benchmarks/training.py --memories gla titans-lmm --json # JSON lines
python benchmarks/training.py --against ../earlier             # beside another checkout of miras
python benchmarks/training.py --study --compile                # processes, evaluation, compile

With `--against` both checkouts are measured in turns, and each figure is a median over the rounds.
Times are those of the processor, which other programs on the machine hardly touch; steps per second
of `--study` are those of the clock.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

MEMORIES = ("gated-deltanet", "softmax-attention", "gla", "titans-lmm", "deltanet")
PARTS = ("data", "embedding", "operator", "layer", "mlp", "norms", "head", "optimizer", "other")
MEANING = {
    "data": "a batch is drawn",
    "embedding": "rows of the embedding, and their gradient",
    "operator": "the memory itself: key map, gates resolved, plan",
    "layer": "around it: projections, convolution, gates, norm of reads, output gate",
    "mlp": "SwiGLU",
    "norms": "RMS norms of the blocks and before the head",
    "head": "logits at scored positions and cross-entropy",
    "optimizer": "clipping, AdamW, schedule",
}


def main() -> None:
    """Measure one checkout, or two in turns, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--memories", nargs="+", default=MEMORIES, help="names of known memories")
    parser.add_argument("--batch", type=int, default=64, help="sequences per step")
    parser.add_argument("--time", type=int, default=64, help="tokens per sequence")
    parser.add_argument("--pairs", type=int, default=8, help="pairs of a sequence")
    parser.add_argument("--rounds", type=int, default=9, help="of which medians are taken")
    parser.add_argument("--against", type=Path, help="another checkout of the repository")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--study", action="store_true", help="processes, evaluation, compile")
    parser.add_argument("--compile", action="store_true", help="with --study: torch.compile too")
    options = parser.parse_args()
    sizes = {"batch": options.batch, "time": options.time, "pairs": options.pairs}
    for name in options.memories:
        lines = study(name, sizes, options) if options.study else compare(name, sizes, options)
        if options.json:
            for line in lines:
                print(json.dumps(line), flush=True)
        else:
            show(lines)


def compare(name: str, sizes: dict[str, int], options: Any) -> list[dict[str, Any]]:
    """The split of each checkout, in milliseconds of the processor."""
    trees = {"this": Path(__file__).resolve().parents[1]}
    if options.against:
        trees = {"other": options.against.resolve()} | trees
    workers = {tree: Worker(name, sizes, path) for tree, path in trees.items()}
    rounds = [{tree: worker.ask() for tree, worker in workers.items()}]
    rounds = [
        {tree: worker.ask() for tree, worker in workers.items()} for _ in range(options.rounds)
    ]
    for worker in workers.values():
        worker.close()
    found: list[dict[str, Any]] = []
    for tree in trees:
        parts = {
            part: statistics.median(each[tree][part] for each in rounds) for part in rounds[0][tree]
        }
        named = sum(parts[part] for part in PARTS[:-1])
        parts["other"] = parts["step"] - named
        found.append({"memory": name, "checkout": tree, **sizes, **parts})
    if len(found) == 2:
        ratios = [each["other"]["step"] / each["this"]["step"] for each in rounds]
        found[1]["times_faster"] = statistics.median(ratios)
    return found


def show(lines: list[dict[str, Any]]) -> None:
    """Lines of one memory as a table: a row per figure, a column per line."""
    ignored = ("memory", "checkout", "batch", "time", "pairs")
    print(f"\n{lines[0]['memory']}: milliseconds, where nothing else stands")
    if len(lines) > 1:
        print(f"  {'':12}" + "".join(f"{line['checkout']:>10}" for line in lines))
    order = [part for part in PARTS if part in lines[0]]
    for part in [*order, *(key for key in lines[-1] if key not in (*order, *ignored))]:
        cells = "".join(f"{line[part]:10.2f}" if part in line else " " * 10 for line in lines)
        print(f"  {part:12}{cells}  {MEANING.get(part, '')}".rstrip())


class Worker:
    """A process that measures one memory in one checkout whenever it is asked."""

    def __init__(self, name: str, sizes: dict[str, int], tree: Path, threads: int = 1) -> None:
        flags = [flag for key, size in sizes.items() for flag in (f"--{key}", str(size))]
        search = os.pathsep.join(filter(None, (str(tree), os.environ.get("PYTHONPATH"))))
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).resolve().with_name("training_step.py")),
                name,
                *flags,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": search},
            cwd=tree,
            text=True,
        )

    def send(self, task: str) -> None:
        """Have something measured."""
        assert self.process.stdin is not None
        self.process.stdin.write(task + "\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, float]:
        """What was measured."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, task: str = "split") -> dict[str, float]:
        """Have something measured and wait for it."""
        self.send(task)
        return self.receive()

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def study(name: str, sizes: dict[str, int], options: Any) -> list[dict[str, Any]]:
    """Steps per second of the clock with threads and with processes; evaluation; compile."""
    found: dict[str, Any] = {"memory": name, "checkout": "this", **sizes}
    tree = Path(__file__).resolve().parents[1]
    ways = {"1 thread": (1, 1), "2 threads": (1, 2), "2 processes": (2, 1)}
    crews = {
        way: [Worker(name, sizes, tree, threads) for _ in range(count)]
        for way, (count, threads) in ways.items()
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, crew in crews.items():
            for worker in crew:
                worker.send("rate")
            rates[way].append(sum(worker.receive()["rate"] for worker in crew))
    found |= {f"steps/s, {way}": statistics.median(rate) for way, rate in rates.items()}
    first = crews["1 thread"][0]
    points = [first.ask("evaluation") for _ in range(options.rounds)]
    found |= {part: statistics.median(each[part] for each in points) for part in points[0]}
    found |= first.ask("compiled") if options.compile else {}
    for crew in crews.values():
        for worker in crew:
            worker.close()
    return [found]


if __name__ == "__main__":
    main()
