"""Whether everything that a space derives is a memory, and every memory a model.

Samples are drawn from the space. A mutant is a sample of which one choice is made differently: what
still fits stays as it was, the rest is chosen anew. Each must be built by the grammar and as a
small model, and its record must give the same memory again. What only the memory as a whole can
refuse is drawn again and counted. With `--out` outcomes are kept as JSON lines, and the same
command goes on from there. Exit code 1 if anything failed.

python benchmarks/derivations.py --samples 10000 --mutants 10000 --out runs/derivations.jsonl
python benchmarks/derivations.py --space hybrids --samples 200 --mutants 200
"""

import argparse
import json
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from miras.canonical import key
from miras.load import dump
from miras.model import Model, ModelSpec, Shell
from miras.part import SpecError
from miras.search import Space, load_space
from miras.search.proposing.variation import Varied
from miras.search.space.derive import (
    Candidate,
    Derivation,
    FromChoices,
    FromRandom,
    Refusal,
    build,
    derive,
)
from miras.stack import layers_of

SHELL = Shell(dim=16, heads=2)

TRIES = 100
"""Draws, or changes, of which one must be a memory."""


class Outcome(NamedTuple):
    """What became of one sample, or of one mutant."""

    kind: str  # sample or mutant
    number: int
    outcome: str  # built, refused by a model (with a sentence), failed
    redrawn: dict[str, int]  # rules that refused what was drawn before
    seconds: float
    changed: str = ""  # the choice that was made differently
    sentence: str = ""
    choices: str = ""  # of what failed


def main() -> None:
    """Draw, change, build, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--space", default="everything", help="a space by name, or a file")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--mutants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="stop after so long")
    parser.add_argument("--out", type=Path, help="JSON lines of outcomes; goes on from there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    space, began = load_space(options.space), time.monotonic()
    outcomes = read(options.out) if options.out else []
    done = {(each.kind, each.number) for each in outcomes}
    wanted = [("sample", n) for n in range(options.samples)]
    wanted += [("mutant", n) for n in range(options.mutants)]
    said = began
    for kind, number in wanted:
        if (kind, number) in done:
            continue
        now = time.monotonic()
        if options.minutes and now - began > 60 * options.minutes:
            break
        if now - said > 10:
            said = now
            print(f"{len(outcomes)} of {len(wanted)}: {counted(outcomes)}", file=sys.stderr)
        found = outcome_of(space, kind, number, options.seed)
        outcomes.append(found)
        if found.outcome == "failed":
            print(f"--- {kind} {number}: {found.sentence}\n{found.choices}", flush=True)
        if options.out:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found._asdict()) + "\n")
    print(f"{space.name}, seed {options.seed}: {counted(outcomes)}")
    redrawn = Counter[str]()
    for each in outcomes:
        redrawn.update(each.redrawn)
    share = redrawn.total() / max(1, redrawn.total() + len(outcomes))
    rules = ", ".join(f"{rule} {count}" for rule, count in redrawn.most_common(12))
    print(f"drawn again {redrawn.total()} ({100 * share:.1f} % of all draws): {rules or 'none'}")
    if any(each.outcome == "failed" for each in outcomes):
        raise SystemExit(1)


def read(path: Path) -> list[Outcome]:
    """The outcomes of an earlier run."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Outcome(**json.loads(line)) for line in lines]


def counted(outcomes: list[Outcome]) -> str:
    """How many of each kind."""
    found = Counter(f"{each.kind}s {each.outcome}" for each in outcomes)
    return ", ".join(f"{kind} {count}" for kind, count in sorted(found.items())) or "none yet"


def outcome_of(space: Space, kind: str, number: int, seed: int) -> Outcome:
    """Make one sample or mutant, whatever was made before, and build it."""
    generator = np.random.default_rng((seed, number, kind == "mutant"))
    began = time.monotonic()
    redrawn: Counter[str] = Counter()
    derivation: Derivation | None = None
    changed = sentence = ""
    outcome = "built"
    try:
        derivation, memory = sampled(space, generator, redrawn)
        if kind == "mutant":
            changed, derivation, memory = mutated(space, derivation, generator, redrawn)
        again = build(derive(space, FromChoices(derivation.choices), narrow=False).spec)
        assert not isinstance(again, Refusal) and key(again) == key(memory), "its record differs"
        torch.manual_seed(0)
        layers = layers_of(memory)
        shell = SHELL.model_copy(update={"layers": len(layers)})
        Model(ModelSpec.of(shell, layers), vocabulary=16)
        dump(memory)
    except SpecError as error:
        outcome, sentence = "refused by a model", str(error)
    except Exception:  # whatever happens is the outcome
        outcome, sentence = "failed", traceback.format_exc(limit=-3)
    return Outcome(
        kind, number, outcome, dict(redrawn), time.monotonic() - began, changed, sentence,
        json.dumps(derivation.choices) if derivation and outcome != "built" else "",
    )  # fmt: skip


def sampled(
    space: Space, generator: np.random.Generator, redrawn: Counter[str]
) -> tuple[Derivation, Candidate]:
    """A random memory."""
    for _ in range(TRIES):
        derivation = derive(space, FromRandom(generator))
        memory = build(derivation.spec)
        if not isinstance(memory, Refusal):
            return derivation, memory
        redrawn[memory.rule] += 1
    raise AssertionError(f"{TRIES} draws were all refused")


def mutated(
    space: Space, source: Derivation, generator: np.random.Generator, redrawn: Counter[str]
) -> tuple[str, Derivation, Candidate]:
    """A memory with one choice made differently, and the name of the choice."""
    names = list(source.choices)
    for _ in range(TRIES):
        name = names[generator.integers(len(names))]
        derivation = derive(space, Varied(source.choices, generator, {name}))
        memory = build(derivation.spec)
        if isinstance(memory, Refusal):
            redrawn[memory.rule] += 1
        elif derivation.choices != source.choices:
            return name, derivation, memory
    raise AssertionError(f"{TRIES} changes were all refused, or changed nothing")


if __name__ == "__main__":
    main()
