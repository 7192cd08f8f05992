"""What an import loads, and what the wheel holds."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from test_house import ROOT, module_name, sources


def python(*arguments: str | Path, **settings: str) -> str:
    """What a fresh interpreter prints, away from the repository."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=settings.pop("cwd", "/"),
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_importing_miras_loads_neither_search_nor_figures() -> None:
    later = {"optuna", "matplotlib", "typer", "miras.search", "miras.plots"}
    for use, wanted, unwanted in (
        ("miras", "miras", later | {"torch"}),
        ("miras.Memory, miras.Layer, miras.run", "miras.operator", later),
    ):
        code = f"import miras, sys; {use}; print(*sys.modules)"
        loaded = set(python("-c", code, PYTHONPATH=str(ROOT)).split())
        assert wanted in loaded
        assert not loaded & unwanted


@pytest.mark.slow
def test_wheel_is_whole_and_its_command_runs(tmp_path: Path) -> None:
    tree, target = tmp_path / "tree", tmp_path / "site"
    ignored = shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, tree, symlinks=True, ignore=ignored)
    pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
    python(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, tree)
    (wheel,) = tmp_path.glob("miras_search-*.whl")

    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {module_name(path): path for path in sources("miras", "search", "plots", "benchmarks")}
    for path in wanted.values():
        inside = path.relative_to(ROOT)
        name = inside if inside.parts[0] == "miras" else Path("miras") / inside
        assert name.as_posix() in held
    data = [path for folder in ("spaces", "studies") for path in (ROOT / folder).glob("**/*.yaml")]
    data += [*(ROOT / "plots").glob("*.mplstyle"), ROOT / "miras/py.typed"]
    for path in data:
        inside = path.relative_to(ROOT).as_posix().removeprefix("miras/")
        assert f"miras/{inside}" in held
    assert not any(name.startswith(("tests/", "search/", "plots/")) for name in held)

    python(*pip, "install", "--no-deps", "--target", target, wheel)
    code = "import miras.search, miras.plots; print(miras.__file__, miras.plots.__file__)"
    assert python("-c", code, PYTHONPATH=str(target)).count(str(target)) == 2
    assert "Usage: miras" in python(target / "bin/miras", "--help", PYTHONPATH=str(target))
