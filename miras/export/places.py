"""Where in the package an operation stands: the variable it is stored in, and what it is for."""

import dis
import inspect
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

ROOT = str(Path(__file__).parent.parent)
OWN = str(Path(__file__).parent)
ENGINE = tuple(f"{ROOT}/{name}.py" for name in ("definition", "surprise", "batch", "memory"))
"""Files of the recurrence, which call the parts."""

SKIPPED = {"PRECALL", "CACHE", "EXTENDED_ARG", "NOP", "RESUME"}


class Place(NamedTuple):
    """Names of the variables that hold the results, and the function of a part that computed it."""

    names: tuple[str, ...] = ()
    axis: str = ""  # `architecture`, `bias`, ..., or empty for the recurrence itself
    method: str = ""  # that the recurrence called
    function: str = ""  # in which the operation stands


def caller(depth: int) -> FrameType | None:
    """The frame of the function that asks (0), of its caller (1), of whoever called that one."""
    frame = inspect.currentframe()
    for _ in range(depth + 1):
        frame = None if frame is None else frame.f_back
    return frame


def place(frame: FrameType | None) -> Place:
    """The place of the operation that a frame is at."""
    while frame is not None and not _ours(frame):
        frame = frame.f_back
    if frame is None:
        return Place()
    names, function = _stored(frame), frame.f_code.co_name
    inner, axis, method = frame, "", ""
    here: FrameType | None = frame
    while here is not None:
        if here.f_code.co_filename in ENGINE:
            if here is frame:
                method = _named(here)
            else:
                axis, method = _axis(inner), inner.f_code.co_name
            break
        inner, here = here, here.f_back
        while here is not None and here.f_code.co_name.startswith("<"):  # comprehensions
            here = here.f_back
    return Place(names, axis, method, function)


def _named(frame: FrameType) -> str:
    here: FrameType | None = frame
    while here is not None and here.f_code.co_name.startswith("<"):
        here = here.f_back
    return "" if here is None else here.f_code.co_name


def _ours(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.startswith(ROOT) and not name.startswith(OWN)


def _axis(frame: FrameType) -> str:
    return frame.f_code.co_filename[len(ROOT) + 1 :].split("/")[0]


def _stored(frame: FrameType) -> tuple[str, ...]:
    """The variables that a result is stored in, also by a function that returns it."""
    here: FrameType | None = frame
    while here is not None and _ours(here):
        found = _after(here.f_code, here.f_lasti)
        if found is None:
            return ()
        if found:
            return found
        here = here.f_back
    return ()


@cache
def _after(code: CodeType, at: int) -> tuple[str, ...] | None:
    """Variables that the next instructions fill; empty if they return, None if neither."""
    following = [each for each in dis.get_instructions(code) if each.offset > at]
    following = [each for each in following if each.opname not in SKIPPED]
    if not following:
        return None
    first = following[0]
    if first.opname in ("STORE_FAST", "STORE_DEREF"):
        return (str(first.argval),)
    if first.opname == "RETURN_VALUE":
        return ()
    if first.opname == "UNPACK_SEQUENCE":
        stores = following[1 : 1 + int(first.argval)]
        if all(each.opname in ("STORE_FAST", "STORE_DEREF") for each in stores):
            return tuple(str(each.argval) for each in stores)
    return None
