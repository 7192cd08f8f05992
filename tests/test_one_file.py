"""Adding a bias is one new file: everything else picks it up."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

CAUCHY = '''"""Logarithmic error: far outliers push less than near ones."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from miras.bias import Bias, Gates


class Cauchy(Bias):
    """loss = c^2 / 2 sum_j log(1 + r_j^2 / c^2), error_j = r_j / (1 + r_j^2 / c^2).

    r = prediction - target. The error is largest at |r_j| = c and falls off beyond it.

    Source: Holland and Welsch 1977, the Cauchy weight of robust regression.
    """

    kind: Literal["cauchy"] = "cauchy"
    scale: float = Field(default=1.0, gt=0.0, le=10.0, description="c, in value units")
    bounded: ClassVar[bool] = True
    coordinate_wise: ClassVar[bool] = True

    def loss(self, prediction: Tensor, target: Tensor, gates: Gates) -> Tensor:
        ratio = ((prediction - target) / self.scale).square()
        return self.scale**2 / 2 * ratio.log1p().sum(-1)

    def error(
        self, prediction: Tensor, target: Tensor, gates: Gates, limit: Tensor | None = None
    ) -> Tensor:
        residual = prediction - target
        return residual / (1 + (residual / self.scale).square())

    def formula(
        self, prediction: str, target: str, gates: Mapping[str, str], limit: str | None = None
    ) -> str:
        return f"r / (1 + r² / {self.scale**2:g}), r = {prediction} − {target}"
'''

SEEN = """
import json, sys
from pathlib import Path
from typing import Any

import miras
from miras import Memory, testing
from miras.canonical import key
from miras.explain import explain
from miras.load import loads, reads
from miras.operator import choose
from miras.part import leaves
from miras.search.space.derive import build, derivations
from miras.search.space.space import space_of, space_schema

text = "architecture: {kind: matrix, features: l2}\\nbias: %s\\nretention: decay"
memory = loads(text % "cauchy", Memory)
wide = loads(text % "{kind: cauchy, scale: 2.0}", Memory)
schema: Any = Memory.model_json_schema()
bias = schema["properties"]["bias"]
space = space_of(reads(text % "{any: all}"))
drawn = [build(derivation.spec) for derivation in derivations(space)]

testing.check_part(memory.bias)
testing.check_bias(memory.bias)
testing.check_bias(wide.bias)
plan = choose(memory, 4, 4)
testing.check_plan(memory, plan)
testing.check_split(memory)
testing.check_causality(memory)
kinds = {m.bias.kind for m in drawn if isinstance(m, Memory)}
for name, found in {
    "file": Path(miras.__file__).parent.as_posix(),
    "kinds": sorted(leaves("miras.bias")),
    "schema": "Cauchy" in schema["$defs"] and "cauchy" in json.dumps(bias),
    "fields": sorted(schema["$defs"]["Cauchy"]["properties"]),
    "space schema": "cauchy" in json.dumps(space_schema()),
    "drawn": sorted(kinds),
    "keys differ": len({key(memory), key(wide), key(loads(text % "l2", Memory))}) == 3,
    "explained": "r / (1 + r²" in str(explain(memory)),
    "plan": plan,
}.items():
    print(json.dumps([name, found]))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, without results, to which one file is added and nothing else."""
    found = tmp_path_factory.mktemp("checkout")
    for folder in ("miras", "search", "plots", "spaces", "studies", "tests"):
        unwanted = shutil.ignore_patterns("__pycache__", "*.jsonl", "*.png", "*.svg")
        shutil.copytree(ROOT / folder, found / folder, symlinks=True, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", found)
    (found / "miras" / "bias" / "cauchy.py").write_text(CAUCHY)
    return found


def python(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join((str(checkout), str(checkout / "tests")))
    return subprocess.run(
        [sys.executable, *words],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_schema_spaces_plans_and_suites_see_it(checkout: Path) -> None:
    done = python(checkout, "-c", SEEN)
    assert done.returncode == 0, done.stderr
    found = dict(json.loads(line) for line in done.stdout.splitlines())
    assert found["file"] == (checkout / "miras").as_posix()
    assert "cauchy" in found["kinds"]
    assert found["schema"] is True
    assert {"kind", "scale"} < set(found["fields"])  # and those that every bias has
    assert found["space schema"] is True
    # All biases but those that a rule refuses on this memory.
    assert set(found["drawn"]) == set(found["kinds"])
    assert found["keys differ"] is True
    assert found["explained"] is True
    assert found["plan"] != "sequential"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("ls", "bias"), "loss = c^2 / 2 sum_j log"),
        (("schema", "memory"), '"cauchy"'),
        (("check", "memory.yaml"), "memory.yaml"),
        (("explain", "memory.yaml"), "r / (1 + r² / 4)"),
    ],
)
def test_the_command_line_sees_it(checkout: Path, words: tuple[str, ...], wanted: str) -> None:
    text = "architecture: {kind: matrix, features: l2}\nbias: {kind: cauchy, scale: 2.0}\n"
    (checkout / "memory.yaml").write_text(text)
    done = python(checkout, "-m", "miras.cli", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert wanted in done.stdout


def test_the_tests_of_all_parts_run_on_it(checkout: Path) -> None:
    files = [f"tests/{name}.py" for name in ("test_parts", "test_truth_biases")]
    done = python(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "cauchy", *files)
    assert done.returncode == 0, done.stdout
    passed = int(done.stdout.split(" passed")[0].split()[-1])
    assert passed >= 9


def test_the_suite_finds_a_wrong_derivative(checkout: Path) -> None:
    wrong = CAUCHY.replace("residual / (1 +", "2 * residual / (1 +")
    assert wrong != CAUCHY
    script = wrong + "\nfrom miras.testing import check_bias\ncheck_bias(Cauchy())\n"
    done = python(checkout, "-c", script)
    assert done.returncode == 1
    assert "is not the derivative of its loss" in done.stderr
