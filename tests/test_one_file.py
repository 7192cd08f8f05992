"""Adding a part is one new file (those of docs/parts.md): everything else picks it up."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from docs_pages import ROOT, blocks, files

FILES = files("parts.md")
CAUCHY = FILES["miras/bias/cauchy.py"]

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

USED = """
import json, sys
from miras import testing
from miras.canonical import key
from miras.checking import memory as read
from miras.explain import explain, text
from miras.operator import choose
from miras.part import leaves

keys = set()
for axis, kind, file in json.loads(sys.argv[1]):
    part = leaves(f"miras.{axis}")[kind]()
    testing.check_part(part)
    getattr(testing, f"check_{axis}")(part)
    memory = read(file)
    keys.add(key(memory))
    assert len(text(explain(memory))) > 400
    testing.check_plan(memory, choose(memory, 4, 4))
    testing.check_split(memory)
    testing.check_causality(memory)
assert len(keys) == len(json.loads(sys.argv[1]))

from sampler_cases import PLAIN, alike, ground, search
best = {
    kind: max(value[0] for _, value in search(kind, ground(PLAIN), 40, alike) if value)
    for kind in ("climb", "random")
}
assert best["climb"] == 1.0 > best["random"], best

from pathlib import Path
from miras.plots import figures, panels, records
run = Path(sys.argv[2])
(panel, *_) = panels("effort", records(run))
assert "what a second buys" in figures()["effort"].summary.lower()
assert len(panel.rows) > 5 and all(row.seconds > 0 for row in panel.rows)
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, without results, to which the files of the page are added."""
    found = tmp_path_factory.mktemp("checkout")
    for folder in ("miras", "search", "plots", "spaces", "studies", "tests"):
        unwanted = shutil.ignore_patterns("__pycache__", "*.jsonl", "*.png", "*.svg")
        shutil.copytree(ROOT / folder, found / folder, symlinks=True, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", found)
    for name, text in FILES.items():
        (found / name).write_text(text, encoding="utf-8")
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


def test_every_part_of_the_page_is_used_as_the_page_says(checkout: Path, tmp_path: Path) -> None:
    """Beside its file each part has a memory, which plans, splits and explanations agree on."""
    asked: list[tuple[str, str, str]] = []
    for file, memory in pairwise(blocks("parts.md")):
        if file.file.startswith("miras/") and memory.language == "yaml":
            _, axis, name = Path(file.file).with_suffix("").parts
            (tmp_path / f"{name}.yaml").write_text(memory.text, encoding="utf-8")
            asked.append((axis, name, str(tmp_path / f"{name}.yaml")))
    assert len(asked) == sum(name.startswith("miras/") for name in FILES) == 6
    done = python(checkout, "-c", USED, json.dumps(asked), str(ROOT / "studies/quickstart"))
    assert done.returncode == 0, done.stderr


def test_the_tests_of_all_parts_run_on_them(checkout: Path) -> None:
    names = " or ".join(Path(name).stem for name in FILES if name.startswith("miras/"))
    suites = [f"tests/{name}.py" for name in ("test_parts", "test_truth_biases")]
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", f"({names}) and not start")
    done = python(checkout, *words, *suites)
    assert done.returncode == 0, done.stdout
    passed = int(done.stdout.split(" passed")[0].split()[-1])
    assert passed >= 9 * 6


def test_parts_of_another_package_are_found(tmp_path: Path) -> None:
    """Through the entry points that the page shows, in a package as pip installs it."""
    (toml,) = (block for block in blocks("parts.md") if block.language == "toml")
    points = tomllib.loads(toml.text)["project"]["entry-points"]["miras.parts"]
    (tmp_path / "mine").mkdir()
    sources = {Path(name).stem: text for name, text in FILES.items()}
    sources["climb"] = (
        sources["climb"]
        .replace("from ..", "from miras.search.")
        .replace("from .", "from miras.search.sampler")
    )
    for value in points.values():
        name = value.removeprefix("mine.")
        (tmp_path / "mine" / f"{name}.py").write_text(sources[name], encoding="utf-8")
    about = tmp_path / "mine-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (about / "entry_points.txt").write_text("\n".join(["[miras.parts]", *lines]))
    script = (
        "from miras.checking import memory\n"
        "from miras.search import Study\n"
        "assert memory('mine.yaml').bias.kind == 'cauchy'\n"
        "budget = {'trials': 9}\n"
        "given = {'space': 'quickstart', 'tasks': ['mqar'], 'sampler': 'climb', 'budget': budget}\n"
        "assert Study.model_validate(given).sampler.kind == 'climb'\n"
    )
    (tmp_path / "mine.yaml").write_text("architecture: matrix\nbias: cauchy\nretention: softsign\n")
    done = python(tmp_path, "-c", script)
    assert done.returncode == 0, done.stderr


def test_the_suite_finds_a_wrong_derivative(checkout: Path) -> None:
    wrong = CAUCHY.replace("residual / (1 +", "2 * residual / (1 +")
    assert wrong != CAUCHY
    script = wrong + "\nfrom miras.testing import check_bias\ncheck_bias(Cauchy())\n"
    done = python(checkout, "-c", script)
    assert done.returncode == 1
    assert "is not the derivative of its loss" in done.stderr
