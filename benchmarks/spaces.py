"""How many memories each space of the project holds, written to `spaces/counts.json`.

python benchmarks/spaces.py
python benchmarks/spaces.py quickstart --seed 1
"""

import argparse
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from miras.search import load_space
from miras.search.space.census import LIMIT, Census, census, summary


def main() -> None:
    """Count, print one line per space, and write what was counted beside what was known before."""
    folder = Path(str(files("miras") / "spaces"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("spaces", nargs="*", help="names of spaces; all if left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=LIMIT, help="memories to build and compare")
    parser.add_argument("--out", type=Path, default=folder / "counts.json")
    options = parser.parse_args()
    rows: dict[str, Any] = {}
    if options.out.exists():
        rows = {row["name"]: row for row in json.loads(options.out.read_text(encoding="utf-8"))}
    every = sorted(path.stem for path in folder.glob("*.yaml"))
    for name in options.spaces or every:
        found = census(load_space(name), options.limit, options.seed)
        print(f"{name}: {summary(found)}", flush=True)
        rows[name] = row_of(found)
        kept = [rows[each] for each in every if each in rows]
        options.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def row_of(found: Census) -> dict[str, Any]:
    """What the table of spaces shows of one."""
    return {
        "name": found.space,
        "structures": found.structures,
        "continuous": found.continuous,
        "well_typed": round(found.well_typed),
        "interval": [round(end) for end in found.interval],
        "method": found.method,
        "refused": found.refused,
        "known": list(found.known),
    }


if __name__ == "__main__":
    main()
