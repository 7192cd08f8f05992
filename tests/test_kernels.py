"""Kernels against PyTorch, and how they come to be compiled."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from miras import kernels
from miras.plans.recurrence import recurrence

COMPILER = pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler here")
ROUNDING = {torch.float32: 1e-4, torch.float64: 1e-12}

CASES = [  # shapes of keep and write
    ((2, 7, 3), (2, 7, 3)),
    ((2, 1, 1), (2, 1, 5)),
    ((1, 1, 1, 1), (3, 9, 2, 5)),
    ((2, 9, 4, 1), (2, 9, 4, 6)),
    ((2, 9, 4, 1, 1), (2, 9, 4, 6, 3)),
    ((2, 9, 1, 6), (2, 9, 4, 6)),
    ((1, 5, 2, 1), (2, 5, 2, 1)),
    ((2, 40, 50, 1), (2, 40, 50, 63)),  # several tiles, the last one not full
    ((2, 100, 1500), (2, 100, 1500)),
]


def outcomes(keep: Tensor, write: Tensor, start: Tensor) -> list[Tensor]:
    inputs = [each.detach().requires_grad_() for each in (keep, write, start)]
    found = recurrence(inputs[0], inputs[1], inputs[2])
    above = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad(found, inputs, above.to(found.dtype))
    return [found.detach(), *gradients]


@COMPILER
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize(("keep", "write"), CASES)
@pytest.mark.parametrize(("power", "threads"), [(0.1, 2), (5.0, 1)])
def test_recurrence_in_one_pass(
    keep: tuple[int, ...],
    write: tuple[int, ...],
    dtype: torch.dtype,
    power: float,
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dice = torch.Generator().manual_seed(0)
    kept = torch.exp(-power * torch.rand(keep, generator=dice)).to(dtype)
    inputs = (kept, torch.randn(write, generator=dice, dtype=dtype))
    start = torch.randn(write[:1] + write[2:], generator=dice, dtype=dtype)
    assert kernels.usable(*inputs)
    before = torch.get_num_threads()
    monkeypatch.setattr(kernels, "WORTH", 0)
    try:
        torch.set_num_threads(threads)
        fast = outcomes(*inputs, start)
    finally:
        torch.set_num_threads(before)
    monkeypatch.setenv(kernels.SWITCH, "0")
    for found, wanted in zip(fast, outcomes(*inputs, start), strict=True):
        torch.testing.assert_close(found, wanted, rtol=ROUNDING[dtype], atol=ROUNDING[dtype])


@COMPILER
def test_what_is_not_a_number_stays_visible() -> None:
    write = torch.zeros(1, 6, 40)
    write[0, 2, 1], write[0, 3, 7] = float("nan"), float("inf")
    found = recurrence(torch.full((1, 1, 1), 0.5), write, torch.zeros(1, 40))
    assert found[0, 2:, 1].isnan().all()
    assert found[0, 3:, 7].isinf().all()
    assert found.isfinite().sum() == 240 - 4 - 3


PROGRAM = """
import torch, miras
from pathlib import Path
folder = Path({folder!r}) / "miras"
assert not folder.exists(), "importing miras compiles"
from miras.plans.recurrence import recurrence
found = recurrence(torch.full((1, 9, 4), 0.5), torch.ones(1, 9, 4), torch.zeros(1, 4))
torch.testing.assert_close(found[0, :, 0], 2 - 2 * 0.5 ** torch.arange(1.0, 10.0))
"""


def started(folder: Path, **others: str) -> subprocess.Popen[str]:
    environment = os.environ | {"XDG_CACHE_HOME": str(folder), "OMP_NUM_THREADS": "1"} | others
    command = [sys.executable, "-c", PROGRAM.format(folder=str(folder))]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


@COMPILER
def test_processes_that_start_together_compile_once(tmp_path: Path) -> None:
    running = [started(tmp_path) for _ in range(2)]
    for process in running:
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
        assert "could not be compiled" not in said
    (whole,) = (tmp_path / "miras").glob("*.so")
    assert whole.stat().st_size > 0
    assert [path.suffix for path in sorted((tmp_path / "miras").iterdir())] == [".lock", ".so"]


def test_without_a_working_compiler_it_warns_once_and_goes_on(tmp_path: Path) -> None:
    process = started(tmp_path, CXX=shutil.which("false") or "/bin/false")
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert said.count("could not be compiled") == 1
    assert not list((tmp_path / "miras").glob("*.so"))


def test_switched_off_nothing_is_compiled(tmp_path: Path) -> None:
    process = started(tmp_path, **{kernels.SWITCH: "0"})
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert not (tmp_path / "miras").exists()
