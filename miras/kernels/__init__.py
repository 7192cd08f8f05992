"""Small kernels in C++ for what goes number by number: loops over tokens that PyTorch takes apart.

They are optional. A kernel is compiled with the system's `c++` when a plan first needs it, in a
second or two, into the user's cache (`$XDG_CACHE_HOME/miras` or `~/.cache/miras`); the name of the
file says source, compiler and processor, so nothing stale is ever loaded. Processes that need it at
once wait for one of them (a lock on a file), and a file appears whole or not at all. Importing
miras compiles nothing. Without a compiler, on other devices, in other types, or with
`MIRAS_KERNELS=0` in the environment, plans run what they are written in, PyTorch, which is also
what kernels are tested against. If compiling fails one warning says so.

The sources know nothing of PyTorch: functions of plain pointers, called without Python's lock. Work
is split over as many threads as PyTorch has.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from miras.kernels.threads import together

SWITCH = "MIRAS_KERNELS"
"""Environment variable: 0 means PyTorch alone."""

FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-shared", "-fPIC"),
    *("-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd"),
)
"""No fast mathematics: sums are reordered where the source says so, infinities stay infinities."""

WORTH = 2**17
"""Numbers below which work is not split: starting threads takes as long."""

TYPES = {torch.float32: "float", torch.float64: "double"}

Argument = Tensor | int | ctypes.Array[ctypes.c_int64] | None


def text(*names: str) -> str:
    """Sources of this folder, one after the other."""
    folder = files(__name__)
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


def switched_off() -> bool:
    """Whether the environment wants PyTorch alone."""
    return os.environ.get(SWITCH, "1") == "0"


@contextmanager
def without() -> Generator[None]:
    """PyTorch alone for a while, in the whole process."""
    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SWITCH]
        else:
            os.environ[SWITCH] = before


def usable(*tensors: Tensor) -> bool:
    """Whether kernels can be asked for these tensors: one type that they know, on a CPU."""
    kinds = {(tensor.dtype, tensor.device.type) for tensor in tensors}
    return len(kinds) == 1 and next(iter(kinds)) in {(kind, "cpu") for kind in TYPES}


def kernel(source: str, name: str, like: Tensor, *others: Tensor) -> Callable[..., None] | None:
    """The function `name` of a source for the one type of all these, or None where there is none.

    It takes contiguous tensors (None for one left out) and numbers, and last how many items of work
    there are; the C++ function takes the range of items instead.
    """
    if switched_off() or torch.compiler.is_compiling():
        return None
    if not usable(like, *others):
        return None
    library = _library(source)
    if library is None:
        return None
    function = library[f"{name}_{TYPES[like.dtype]}"]

    return partial(_call, function, like)


def _call(function: Any, like: Tensor, *arguments: Argument, items: int) -> None:
    given = [_argument(each, like) for each in arguments]
    size = sum(each.numel() for each in arguments if isinstance(each, Tensor))
    count = min(torch.get_num_threads(), items)
    if count <= 1 or size < WORTH:
        _some(function, given, 0, items)
    else:
        together(partial(_part, function, given, items), count)


def _part(function: Any, given: list[Any], items: int, place: int, count: int) -> None:
    _some(function, given, items * place // count, items * (place + 1) // count)


def _some(function: Any, given: list[Any], first: int, last: int) -> None:
    function(*given, ctypes.c_int64(first), ctypes.c_int64(last))


def once() -> None:
    """Raise where the derivative that a kernel is asked for is to be differentiated again."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            f"a compiled kernel has no derivative of its derivative: set {SWITCH}=0 in the"
            " environment where you need one"
        )


def _argument(each: Argument, like: Tensor) -> Any:
    if each is None:
        return ctypes.c_void_p(None)
    if isinstance(each, ctypes.Array):
        return each
    if isinstance(each, int):
        return ctypes.c_int64(each)
    if not each.is_contiguous() or each.dtype != like.dtype:
        raise ValueError(f"kernels take contiguous tensors of one type, not {tuple(each.stride())}")
    return ctypes.c_void_p(each.data_ptr())


@cache
def _library(source: str) -> ctypes.CDLL | None:
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if compiler is None or platform.system() == "Windows":
        return None
    all_of_it = "\0".join((source, compiler, *FLAGS, _processor()))
    try:
        path = _folder() / f"kernel-{hashlib.sha256(all_of_it.encode()).hexdigest()[:24]}.so"
        if not path.exists():
            _compile(compiler, source, path)
        return ctypes.CDLL(str(path))
    except (OSError, RuntimeError, subprocess.SubprocessError) as problem:  # or no home
        said: bytes = getattr(problem, "stderr", None) or b""
        lines = said.decode(errors="replace").splitlines()
        why = next((line for line in lines if "error" in line), str(problem))
        warnings.warn(
            f"a kernel of miras could not be compiled ({why}): its plan runs in PyTorch;"
            f" set {SWITCH}=0 to not try",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def _compile(compiler: str, source: str, path: Path) -> None:
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():  # another process was quicker
            return
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            code, whole = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
            code.write_text(source, encoding="utf-8")
            command = [compiler, *FLAGS, str(code), "-o", str(whole)]
            subprocess.run(command, check=True, capture_output=True, timeout=300)
            whole.replace(path)


def _folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "miras"


@cache
def _processor() -> str:
    """What `-march=native` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    chosen = (line for line in lines if line.startswith(("model name", "flags", "Features")))
    return platform.machine() + platform.processor() + "".join(sorted(set(chosen)))
