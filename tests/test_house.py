"""The house: who may import whom, sizes of files, and names of packages."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("miras", "search", "plots", "tests", "benchmarks")
COMMANDS = {
    *("cli", "terminal", "checking", "listing", "running", "demonstrating", "mapping", "benching"),
    *("validating", "searching", "migrating", "confirming", "task_table"),
    "documentation",
    *("exporting", "looking", "reporting"),
    *("training", "training_text", "editing", "beginning"),
}
"""Modules behind the command line: these alone import search, plots, benchmarks, in functions."""

LEVELS = (
    {
        *(
            "part",
            "document",
            "problems",
            "load",
            "lines",
            "result",
            "token",
            "info",
            "fused",
            "linear",
            "kernels",
        ),
        *("statistics", "score", "whole_file", "page"),
    },
    {"gate", "features", "tasks", "streams"},
    {"dream"},
    {"architecture", "bias", "retention", "optimizer"},
    {"memory", "rules", "state"},
    {"composition", "known", "stack", "schema"},
    {"surprise", "batch", "definition", "canonical", "explain", "plans", "operator"},
    {"layer"},
    {"model", "checkpoint"},
    {"cost", "resume", "training_step"},
    {"train", "demonstration"},
    {"text"},
    {"testing", "export", "hf", "look"},
    COMMANDS,
)
"""Modules and folders of miras, lowest first; none imports from a level above its own."""

AXES = {  # folder of parts: what its files may import from miras, beside their own contract
    "gate": {"part"},
    "features": {"part", "gate", "fused"},
    "tasks": {"part", "score"},
    "streams": {"part"},
    "dream": {"part", "gate", "info"},
    "architecture": {"part", "gate", "features", "token", "info", "linear"},
    "bias": {"part", "gate", "features", "token", "info"},
    "retention": {"part", "gate", "features", "token", "info", "linear"},
    "optimizer": {"part", "gate", "features", "token", "info", "dream", "linear"},
}

WRAPPING = {
    ("miras.gate.sqrt_complement", "miras.gate.sigmoid"),
    ("miras.optimizer.hebbian", "miras.optimizer.erase_write"),
}
"""Parts made by wrapping another one of the same folder, the only reason to know it."""

LIBRARY = {"torch", "numpy", "pydantic", "pydantic_core", "yaml", "einops", "jaxtyping"}
FOREIGN = {  # what a folder or module may import from others, at its top or inside functions
    "miras": LIBRARY | {"safetensors"},
    "miras.cli": LIBRARY | {"typer", "rich"},
    "miras.terminal": {"rich"},
    "miras.search": LIBRARY | {"optuna", "rich", "sqlalchemy", "threadpoolctl"},
    "miras.statistics": {"numpy", "scipy"},
    "miras.hf": LIBRARY | {"safetensors", "tokenizers", "transformers"},
    "miras.plots": {"matplotlib", "numpy", "pydantic"},
}
OPTIONAL = {
    "fla",
    "triton",
    "transformers",
    "lm_eval",
    "tensorboard",
    "tokenizers",
    "optuna_dashboard",
    "psycopg",
    "pytest",
    "hypothesis",
}
"""Packages of extras: imported inside functions only, where they are wanted."""


class Import(NamedTuple):
    """One name that a file imports while it runs, as the full path of a module or a member."""

    target: str
    line: int
    lazy: bool

    @property
    def top(self) -> str:
        return self.target.partition(".")[0]

    def inside(self, package: str) -> str:
        """The first name below a package, or nothing if the target is elsewhere."""
        inner = self.target.startswith(package + ".")
        return self.target[len(package) + 1 :].partition(".")[0] if inner else ""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "miras" else ("miras", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(*folders: str) -> list[Path]:
    """The Python files of top-level folders, not following the links inside miras."""
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [path for path in found if not any(parent.is_symlink() for parent in path.parents)]


def imports(path: Path) -> Iterator[Import]:
    """All imports of a file but those for the type checker alone."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]

    def walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            children: list[ast.AST] = list(node.orelse)
        else:
            children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, lazy) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(up if node.level else []), *filter(None, [node.module])])
            yield from (Import(f"{base}.{alias.name}", node.lineno, lazy) for alias in node.names)
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in children:
            yield from walk(child, inside)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), False)


def exists(name: str) -> bool:
    """Whether a full path is a module of miras, not a member of one."""
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def level(name: str) -> int:
    for number, names in enumerate(LEVELS):
        if name in names:
            return number
    raise AssertionError(f"miras.{name} has no level yet: enter it into LEVELS of this file")


def where(path: Path, found: Import) -> str:
    return f"{path.relative_to(ROOT)}:{found.line} imports {found.target}"


MIRAS = [path for path in sources("miras") if module_name(path) != "miras"]


@pytest.mark.parametrize("path", MIRAS, ids=module_name)
def test_nothing_imports_from_above(path: Path) -> None:
    own = module_name(path).split(".")[1]
    height = level(own)
    for found in imports(path):
        if found.top != "miras" or found.target == "miras.__version__":
            continue
        other = found.inside("miras")
        assert exists(f"miras.{other}"), f"{where(path, found)}: name the module, not the package"
        if other in ("search", "plots", "benchmarks"):
            assert own in COMMANDS and found.lazy, where(path, found)
        else:
            assert level(other) <= height, where(path, found)


def test_package_offers_the_library_alone() -> None:
    for found in imports(ROOT / "miras/__init__.py"):
        assert found.inside("miras") not in {"search", "plots", "testing", *COMMANDS}, found


@pytest.mark.parametrize("axis", AXES)
def test_parts_do_not_know_each_other(axis: str) -> None:
    package = f"miras.{axis}"
    for path in sources(f"miras/{axis}"):
        for found in imports(path):
            if found.top != "miras":
                continue
            other = found.inside("miras")
            assert other in AXES[axis] | {axis}, where(path, found)
            sibling = f"{package}.{found.inside(package)}"
            if (module_name(path), sibling) in WRAPPING or path.name == "__init__.py":
                continue
            if other == axis and exists(sibling):
                text = ROOT.joinpath(*sibling.split(".")).with_suffix(".py").read_text()
                assert 'kind: Literal["' not in text, f"{where(path, found)}, another part"


def test_no_circles() -> None:
    paths = {module_name(path): path for path in sources("miras", "search", "plots")}
    edges = {
        name: {
            target
            for found in imports(path)
            if not found.lazy
            for target in (found.target, found.target.rpartition(".")[0])
            if target in paths and target != name
        }
        for name, path in paths.items()
    }
    # a folder's __init__ gathers its files, which import the contract from it: that is no circle
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name in done:
            return
        for target in sorted(edges[name]):
            if not target.startswith(name + "."):
                visit(target, (*above, name))
        done.add(name)

    for name in sorted(paths):
        visit(name, ())


@pytest.mark.parametrize("path", sources("miras", "search", "plots"), ids=module_name)
def test_only_packages_that_are_dependencies(path: Path) -> None:
    name = module_name(path)
    group = ".".join(name.split(".")[:2])
    if group.removeprefix("miras.") in COMMANDS:
        group = "miras.cli"
    allowed = FOREIGN.get(group, FOREIGN["miras"])
    for found in imports(path):
        if found.top == "miras" or found.top in sys.stdlib_module_names:
            continue
        assert found.top in allowed | (OPTIONAL if found.lazy else set()), where(path, found)


@pytest.mark.parametrize("path", sources("search", "plots"), ids=module_name)
def test_search_and_plots_know_little_of_miras(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level:
            line = f"{path.relative_to(ROOT)}:{node.lineno}"
            assert not f"{node.module}.".startswith(f"miras.{folder}."), f"{line}: write from ."
    for found in imports(path):
        other = found.inside("miras")
        if folder == "plots":
            assert other in ("", "plots", "lines", "result", "statistics", "page"), where(
                path, found
            )
        else:
            assert other not in {"plots", *COMMANDS}, where(path, found)


@pytest.mark.parametrize("path", sources(*FOLDERS), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("folder", ["search", "plots", "benchmarks"])
def test_folders_refuse_other_names(folder: str) -> None:
    spec = importlib.util.spec_from_file_location(folder, ROOT / folder / "__init__.py")
    assert spec and spec.loader
    with pytest.raises(ImportError, match=f"import miras.{folder} instead"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    link = ROOT / "miras" / folder
    assert link.is_symlink() and link.resolve() == ROOT / folder
