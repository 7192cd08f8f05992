"""Files of records: what a killed writer leaves is no loss, damage is told with file and line."""

import warnings
from pathlib import Path

import pytest
from plot_cases import record, result
from typer.testing import CliRunner

from miras.cli import app
from miras.lines import DamagedLines, append, read
from miras.result import Result, TrialRecord

WHOLE = result().model_dump_json()
TORN = [WHOLE[:end] for end in (1, 2, 17, 20, 40, len(WHOLE) // 2, len(WHOLE) - 2, len(WHOLE) - 1)]
DAMAGED = [
    WHOLE[20:],
    WHOLE.replace('"score"', '"sco', 1),
    "\0" * 30,
    WHOLE + WHOLE,
    "x" + WHOLE,
    "no line of ours",
]


@pytest.mark.parametrize("torn", TORN)
def test_what_a_killed_writer_leaves_is_no_damage(torn: str, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(torn)
    assert read(path, Result) == []
    append(path, result())
    assert read(path, Result) == [result()]


@pytest.mark.parametrize("damaged", DAMAGED)
@pytest.mark.parametrize("last", [False, True])
def test_damage_is_told_with_file_and_line(damaged: str, last: bool, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text("\n".join([WHOLE, damaged, *([] if last else [WHOLE])]) + "\n")
    with pytest.warns(DamagedLines) as told:
        assert read(path, Result) == [result()] * (1 if last else 2)
    (one,) = told
    assert str(one.message).startswith(f"{path}: line 2 is damaged and skipped")


def test_many_damaged_lines_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(f"x\n{WHOLE}\n" * 7)
    with pytest.warns(DamagedLines, match=r"lines 1, 3, 5, 7, 9 and 2 more are damaged") as told:
        assert len(read(path, Result)) == 7
    assert len(told) == 1


def test_a_command_says_it_once_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    for number in range(3):
        append(path, record(number))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][30:], lines[2]]) + "\n")
    for command in (["plot", "frontier", str(tmp_path)], ["report", str(tmp_path)]):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert done.stderr.count("damaged") == 1 == len(done.stderr.strip().splitlines())
        assert f"{path}: line 2 is damaged" in done.stderr
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedLines)
        assert len(read(path, TrialRecord)) == 2
