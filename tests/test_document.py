"""What YAML means here, and where in a text each value stands."""

import math
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from miras.document import Document, SpecFileError, read, reads
from miras.part import SpecError

FILES: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "quickstrat.yaml: there is no such file; check its name (did you mean"),
    "latin-1": ("# a\nname: é".encode("latin-1"), "quickstrat.yaml:2:7: not a text in UTF-8"),
    "utf-16": ("bias: l2".encode("utf-16"), "quickstrat.yaml:1:1: not a text in UTF-8"),
    "too large": (b"#" * 300_000, "quickstrat.yaml: larger than 256 KiB; shorten it"),
    "binary": (b"\x7fELF\x00\x00", "quickstrat.yaml:1:1: a control character"),
}


@pytest.mark.parametrize("case", FILES)
def test_wrong_file(case: str, tmp_path: Path) -> None:
    content, words = FILES[case]
    (tmp_path / "quickstart.yaml").write_text("bias: l2")
    file = tmp_path / "quickstrat.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SpecFileError) as caught:
        read(file)
    assert str(caught.value).startswith(f"{tmp_path}/{words}")
    assert "\n" not in str(caught.value)


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(SpecFileError, match="this is a folder; name one"):
        read(str(tmp_path))
    with pytest.raises(SpecFileError, match=r"cannot be read .*; check the path"):
        read(str(Path(__file__) / "spec.yaml"))


def test_depth_limit_does_not_depend_on_the_stack() -> None:
    def deep(levels: int) -> Document:
        return deep(levels - 1) if levels else reads("bias: " + "[" * 45 + "]" * 45)

    assert deep(sys.getrecursionlimit() // 3).data["bias"]


def test_largest_file_is_read_in_seconds() -> None:
    text = "bias: [" + "1, " * 19_000 + "1]"
    started = time.perf_counter()
    assert len(reads(text).data["bias"]) == 19_001
    assert time.perf_counter() - started < 20


# what is written: what is meant, where YAML 1.1 means something else
SCALARS: dict[str, Any] = {
    "1e-3": 1e-3, "1e3": 1000.0, "1E+3": 1000.0, "-.5": -0.5, "5.": 5.0, "1.0e-3": 1e-3,
    "no": "no", "off": "off", "yes": "yes", "on": "on", "y": "y", "n": "n", "No": "No",
    "true": True, "false": False, "True": True, "~": None, "null": None, "": None,
    "12:30:45": "12:30:45", "1_000": "1_000", "010": 10, "0o17": 15, "0x1F": 31, "+3": 3,
    "2026-11-21": "2026-11-21", "=": "=", "1.2.3": "1.2.3", "e3": "e3", ".": ".", "inf": "inf",
    ".inf": math.inf, "-.INF": -math.inf, "'1'": "1", '"true"': "true", "!!str 5": "5",
    "!!float 5": 5.0, "é": "é",
}  # fmt: skip


@pytest.mark.parametrize("text", SCALARS)
def test_scalars_of_yaml_1_2(text: str) -> None:
    value = reads(f"a: {text}").data["a"]
    assert value == SCALARS[text]
    assert type(value) is type(SCALARS[text])


def test_keys_are_texts() -> None:
    assert reads("{1: a, no: b, null: c, 1e3: d}").data == {
        "1": "a", "no": "b", "null": "c", "1e3": "d",
    }  # fmt: skip
    assert math.isnan(reads("a: .nan").data["a"])


def test_document_raises_at_a_path() -> None:
    document = reads("space:\n  bias: {any: [l2, {kind: lp, p: {float: [3, 1]}}]}\n", "s.yaml")
    path = ("space", "bias", "any", 1, "p", "float")
    assert document.value(path) == [3, 1]
    error = document.error(path, "the bounds are the wrong way round; write [1, 3]")
    assert isinstance(error, SpecError)
    assert str(error).startswith("s.yaml:2:42: space.bias.any.1.p.float: the bounds are")
    assert str(document.error(path[:-1], "x", at_key=True)).startswith("s.yaml:2:31: ")
    # of what is not there, the place is that of the key above it
    assert str(document.error(("space", "bias", "none", "x"), "y")).startswith(
        "s.yaml:2:3: space.b"
    )
    assert str(document.error(("other",), "y")) == "s.yaml:1:1: other: y"
