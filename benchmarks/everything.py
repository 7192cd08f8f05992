"""Whether random memories of a space work: built as a layer, run forward and backward, no NaN.

Memories are drawn one after the other, every `--compositions`-th is put inside a composition. Each
ends as one of: fine, refused (with a sentence), too large (16 tokens write more than `MOST`
numbers), not finite, crash. The last two are printed with their YAML. With `--out` the outcomes are
kept as JSON lines, and the same command goes on from there. Exit code 1 if anything crashed or was
not finite.

python benchmarks/everything.py --samples 200
python benchmarks/everything.py --space slot-memories --seed 1 --out runs/slots.jsonl
"""

import argparse
import json
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError

from miras.composition import AnyCell
from miras.explain.counting import state_floats
from miras.layer import Layer
from miras.load import dump
from miras.memory import Memory
from miras.part import SpecError
from miras.search import Space, load_space
from miras.search.space.derive import draw

TOKENS, DIM, HEADS = 16, 16, 2

MOST = 40_000_000
"""Numbers that 16 tokens may write, one after the other, in all passes, for one sequence."""

SHELLS: tuple[dict[str, Any], ...] = (
    {"compose": "parallel", "of": ["cell", {"use": "sliding-window", "retention": {"size": 4}}]},
    {"compose": "serial", "of": ["cell", "deltanet"]},
    {"compose": "chain", "residual": True, "of": ["cell", "gla"]},
    {"compose": "levels", "of": "cell", "levels": 3},
    {"compose": "resets", "of": "cell", "segment": 5},
    {"compose": "segments", "of": "cell", "segment": 5},
    {"compose": "router", "of": "cell", "copies": 2, "top_k": 1},
    {"compose": "consolidate", "of": ["cell", "deltanet"], "period": 4, "steps": 2, "buffer": 4},
    {"compose": "tiers", "of": "cell", "window": 3, "slots": 4, "period": 4, "promote": 1},
    {"compose": "self_referential", "of": "cell", "chunk": 4},
    {"compose": "context", "of": "cell", "segment": 5, "persistent": 2},
    {"compose": "controller", "of": "cell", "layers": 1, "heads": 2, "feedforward": 8},
)
"""Every kind of composition around a drawn memory."""


class Outcome(NamedTuple):
    """What became of one sample."""

    number: int
    kind: str  # fine, refused, not finite, crash
    seconds: float
    drawn: float  # seconds, of these, that it took to draw
    redrawn: int  # draws that were refused before
    composition: str = ""
    sentence: str = ""
    memory: str = ""  # YAML, of what did not work


def main() -> None:
    """Draw, run, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--space", default="everything", help="a space by name, or a file")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compositions", type=int, default=5, help="every so many; 0: none")
    parser.add_argument("--minutes", type=float, help="stop after so long")
    parser.add_argument("--out", type=Path, help="JSON lines of outcomes; goes on from there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    space, began = load_space(options.space), time.monotonic()
    outcomes = read(options.out) if options.out else []
    said = began
    for number in range(len(outcomes), options.samples):
        now = time.monotonic()
        if options.minutes and now - began > 60 * options.minutes:
            break
        if now - said > 10:
            said = now
            print(f"{number} of {options.samples}: {counted(outcomes)}", file=sys.stderr)
        found = sample(space, options.seed, number, options.compositions)
        outcomes.append(found)
        if found.kind in ("not finite", "crash"):
            print(
                f"--- {found.kind}, sample {number}: {found.sentence}\n{found.memory}", flush=True
            )
        if options.out:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found._asdict()) + "\n")
    print(f"{len(outcomes)} samples of {space.name}, seed {options.seed}: {counted(outcomes)}")
    drawn, seconds = sum(each.drawn for each in outcomes), sum(each.seconds for each in outcomes)
    redrawn = sum(each.redrawn for each in outcomes)
    print(f"{seconds:.0f} s, of these {drawn:.0f} s to draw; {redrawn} draws were refused before")
    if any(each.kind in ("not finite", "crash") for each in outcomes):
        raise SystemExit(1)


def read(path: Path) -> list[Outcome]:
    """The outcomes of an earlier run."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Outcome(**json.loads(line)) for line in lines]


def counted(outcomes: list[Outcome]) -> str:
    """How many of each kind."""
    found = Counter(each.kind for each in outcomes)
    return ", ".join(f"{kind} {count}" for kind, count in found.most_common()) or "none yet"


def sample(space: Space, seed: int, number: int, compositions: int) -> Outcome:
    """One memory: it depends on seed and number alone."""
    began = time.monotonic()
    generator = np.random.default_rng((seed, number))
    torch.manual_seed(number)
    try:
        found = draw(space, generator)
    except SpecError as error:
        seconds = time.monotonic() - began
        return Outcome(number, "refused", seconds, seconds, 0, sentence=str(error))
    drawn, cell, shell = time.monotonic() - began, found.memory, ""
    text = dump(cell)
    kind, sentence = "fine", ""
    try:
        cell = sized(cell)
        memory: AnyCell = cell
        if compositions and number % compositions == compositions - 1:
            around = SHELLS[number // compositions % len(SHELLS)]
            shell = str(around["compose"])
            text = f"# in {shell}\n{text}"
            inside = cell.model_dump(mode="json")
            memory = TypeAdapter[Any](AnyCell).validate_python(filled(around, inside))
        written = TOKENS * passes(cell) * sum(state_floats(cell, *sizes(cell)).values())
        if written > MOST:
            kind, sentence = "too large", f"{TOKENS} tokens write {written:,} numbers"
        else:
            kind, sentence = run(memory)
    except ValidationError as error:
        kind, sentence = "refused", error.errors()[0]["msg"]
    except SpecError as error:
        kind, sentence = "refused", str(error)
    except Exception:
        kind, sentence = "crash", traceback.format_exc(limit=-4)
    seconds = time.monotonic() - began
    text = "" if kind == "fine" else text
    refused = len(found.refused)
    return Outcome(number, kind, seconds, drawn, refused, shell, sentence, text)


def sized(cell: Memory) -> Memory:
    """The memory with the one size of values that it can have, where it cannot have any."""
    _, key_dim, _ = sizes(cell)
    wiring = cell.wiring.model_copy(update={"value_dim": cell.value_size(key_dim)})
    return cell.model_copy(update={"wiring": wiring})


def sizes(cell: Memory) -> tuple[int, int, int]:
    """Heads, size of keys and of values that a layer gives the memory."""
    wiring = cell.wiring
    heads = DIM if wiring.heads == "channels" else wiring.heads or HEADS
    share = max(1, DIM // heads)
    return heads, wiring.key_dim or share, wiring.value_dim or share


def passes(cell: Memory) -> int:
    """How often a token is written."""
    return cell.stepping.passes if cell.stepping else 1


def filled(shell: dict[str, Any], cell: dict[str, Any]) -> dict[str, Any]:
    """A composition around a memory."""
    inside = shell["of"]
    others = [cell if each == "cell" else each for each in inside]
    return shell | {"of": others if isinstance(inside, list) else cell}


def run(memory: AnyCell) -> tuple[str, str]:
    """`fine`, or what is not finite: outputs, or the gradient of the input or of a parameter."""
    layer = Layer(memory, DIM, HEADS)
    x = torch.randn(2, TOKENS, layer.width, requires_grad=True)
    output = layer(x)[0]
    if not output.isfinite().all():
        return "not finite", "outputs"
    output.square().mean().backward()
    gradients = {"input": x.grad} | {name: p.grad for name, p in layer.named_parameters()}
    wrong = [n for n, g in gradients.items() if g is not None and not g.isfinite().all()]
    return ("not finite", f"gradients of {', '.join(wrong)}") if wrong else ("fine", "")


if __name__ == "__main__":
    main()
