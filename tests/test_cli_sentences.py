"""What the system refuses is told in one sentence, with the path that somebody has given."""

import errno
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from miras.cli import app, sentence
from miras.part import SpecError
from miras.whole_file import replacing


def test_errors_of_the_system_are_sentences() -> None:
    refused = PermissionError(errno.EACCES, "Permission denied", "books/a.txt")
    assert sentence(refused).startswith("books/a.txt: permission denied. Give another path")
    assert sentence(OSError(errno.ENOSPC, "No space left on device")).startswith("no space left")
    assert sentence(OSError("as a library says it")) == "as a library says it"
    assert sentence(SpecError("what to do")) == "what to do"


def test_a_draft_is_no_path_that_anybody_has_given(tmp_path: Path) -> None:
    wanted = tmp_path / "mine.py"
    with pytest.raises(PermissionError) as found, replacing(wanted) as draft:
        raise PermissionError(errno.EACCES, "Permission denied", str(draft))
    assert found.value.filename == str(wanted)


@pytest.mark.parametrize(
    "command", [["check", "locked.yaml"], ["train", "locked.yaml", "--task", "mqar"]]
)
def test_paths_are_left_to_the_commands(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may not be read; root may read all, so the system is asked to refuse."""
    monkeypatch.chdir(tmp_path)
    path = Path("locked.yaml")
    path.write_text("name: mine\n")
    path.chmod(0)

    def refuse(self: Path, *_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    for name in ("read_text", "read_bytes", "open"):
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr(os, "access", lambda *_: False)  # typer would ask, and answer in a box
    done = CliRunner().invoke(app, command)
    assert done.exit_code != 0
    assert "locked.yaml" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert "permission denied" in done.stderr.lower() and "[Errno" not in done.stderr
