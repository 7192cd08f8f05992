"""Tasks on digits and glyphs: what is read, how it is split, and what a wrong folder says."""

from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from task_cases import held_out, rows, solver

from miras.part import SpecError
from miras.tasks import IGNORE, HeldOut
from miras.tasks.digits import Digits, _everything
from miras.tasks.glyphs import Glyphs, _known, _pool
from miras.tasks.ladder import Rung
from miras.tasks.strokes import Drawing, _cells, drawings

with_digits = pytest.mark.skipif(find_spec("sklearn") is None, reason="needs scikit-learn")
with_fonts = pytest.mark.skipif(find_spec("HersheyFonts") is None, reason="needs Hershey-Fonts")


@with_digits
def test_digits_of_the_splits_are_all_different_pictures() -> None:
    task, seen = Digits(), list[set[bytes]]()
    splits: tuple[HeldOut, ...] = ("validation", "test")
    for split in splits:
        seen.append(set(rows(held_out(task.model_copy(update={split: 300}), split))))
    seen.append(set(rows([*islice(task.train_stream(0), 300)])))
    assert [len(each) for each in seen] == [198, 259, 1340]
    assert len(set.union(*seen)) == 1797


@with_digits
def test_digits_are_read_row_by_row() -> None:
    data = import_module("sklearn.datasets").load_digits()
    batch = next(Digits(batch=5).train_stream(0))
    assert batch.tokens.shape == (5, 65) and (batch.tokens[:, -1] == 17).all()
    for tokens, target in zip(batch.tokens.numpy(), batch.targets.numpy(), strict=True):
        picture = (data.images == tokens[:-1].reshape(8, 8)).all((1, 2)).nonzero()[0]
        assert len(picture) == 1 and target[-1] == 18 + data.target[picture[0]]
        assert (target[:-1] == IGNORE).all()


def test_missing_packages_are_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("digits", "strokes"):
        monkeypatch.setattr(f"miras.tasks.{module}.find_spec", lambda name: None)
    drawings.cache_clear()
    _everything.cache_clear()
    monkeypatch.setattr("miras.tasks.digits._images", lambda split: _everything())
    monkeypatch.setattr("miras.tasks.glyphs._pool", lambda *place: drawings(None, 12))
    with pytest.raises(SpecError, match=r"pip install scikit-learn, or .*miras-search\[data\]"):
        next(Digits().train_stream(0))
    with pytest.raises(SpecError, match=r"pip install Hershey-Fonts, .*folder of drawings"):
        next(Glyphs().train_stream(0))


@with_fonts
@pytest.mark.parametrize("apart", ["glyph", "font"])
def test_glyphs_of_the_splits_share_no_character_or_no_hand(apart: str) -> None:
    everything = drawings(None, 12)
    split_by = everything.character if apart == "glyph" else everything.hand
    groups: list[set[int]] = []
    for split in ("train", "validation", "test"):
        pool = _pool(None, 12, apart, split, 2)
        assert len(pool.counts) >= 20  # for 20 ways
        used = np.concatenate([row[:n] for row, n in zip(pool.table, pool.counts, strict=True)])
        groups.append(set(split_by[used].tolist()))
    assert len(set.union(*groups)) == sum(map(len, groups))


@with_fonts
@pytest.mark.parametrize("shots", [1, 3])
def test_glyphs_show_each_character_and_ask_one_by_another_drawing(shots: int) -> None:
    ways = 3
    rung = Rung((ways * shots + 1) * 13, ways)
    task = Glyphs(rungs=(rung,), extrapolation=(), shots=shots, apart="font")
    known = _known(None, 12)
    tokens, targets = task.sample(rung, 200, np.random.default_rng(0))
    asked: list[int] = []
    for row, wanted in zip(tokens.reshape(200, -1, 13), targets, strict=True):
        cells = [part[:-1].tobytes() for part in row]
        characters = [known[each] for each in cells]
        labels: dict[int, int] = {}
        for character, label in zip(characters[:-1], row[:-1, -1].tolist(), strict=True):
            assert labels.setdefault(character, label) == label and 64 <= label < 96
        assert len(labels) == len(set(labels.values())) == ways and row[-1, -1] == 96
        assert all(characters[:-1].count(each) == shots for each in labels)
        assert wanted[-1] == labels[characters[-1]] and (wanted[:-1] == IGNORE).all()
        assert cells[-1] not in cells[:-1]
        asked.append(list(labels).index(characters[-1]))
    assert np.bincount(asked) / 200 == pytest.approx([1 / 3] * 3, abs=0.12)


def test_cells_follow_the_pen() -> None:
    square = Drawing("a", "b", [[(0, 0), (8, 0)], [(8, 8), (0, 8)]], (0, 0), 8.0)
    assert _cells(square, 8).tolist() == [1, 3, 5, 7, 63, 61, 59, 57]
    dot = Drawing("a", "b", [[(3.5, 2.5)]], (0, 0), 8.0)
    assert _cells(dot, 3).tolist() == [2 * 8 + 3] * 3


@pytest.fixture
def omniglot(tmp_path: Path) -> Path:
    """Eight characters by five persons, as Omniglot writes them."""
    noise = np.random.default_rng(0)
    for character in range(12):
        folder = tmp_path / f"Alphabet_{character % 2}/character{character:02d}"
        folder.mkdir(parents=True)
        corners = noise.uniform(10, 95, (4, 2))
        for person in range(5):
            points = corners + noise.normal(0, 4, corners.shape)
            lines = [f"{x:.3f},{-y:.3f},{t}" for t, (x, y) in enumerate(points)]
            text = ["START", *lines[:2], "BREAK", *lines[2:], "BREAK"]
            (folder / f"{character:04d}_{person:02d}.txt").write_text("\n".join(text))
    return tmp_path


def test_a_folder_of_omniglot_is_read(omniglot: Path) -> None:
    found = drawings(omniglot, 12)
    assert len(found.cells) == 60 and np.bincount(found.character).tolist() == [5] * 12
    assert np.bincount(found.hand).tolist() == [12] * 5
    task = Glyphs(path=omniglot, rungs=(Rung(39, 2),), extrapolation=(), test=40)
    assert task.evaluate(solver(task)).score == 1.0
    with pytest.raises(SpecError, match="needs 8 characters with 2 drawings, the train split has"):
        Glyphs(path=omniglot).sample(Rung(117, 8), 3, np.random.default_rng(0))


def test_a_wrong_folder_is_told_in_a_sentence(omniglot: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"finds no drawings in .*nowhere: .*number_person\.txt"):
        next(Glyphs(path=tmp_path / "nowhere").train_stream(0))
    file = omniglot / "Alphabet_0/character00/0000_00.txt"
    for content, sentence in (
        ("START\n1,2,3\nhello\n", r"0000_00.txt:3: 'hello' is no point of a drawing"),
        ("START\nBREAK\n", "0000_00.txt has no strokes: take it out"),
        (b"\xff\xfe", "cannot read .*0000_00.txt"),
    ):
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        drawings.cache_clear()
        _pool.cache_clear()
        with pytest.raises(SpecError, match=sentence):
            next(Glyphs(path=omniglot).train_stream(0))
    with pytest.raises(ValidationError, match=r"should be \[117, 8\]"):
        Glyphs(rungs=(Rung(100, 8),))
    with pytest.raises(ValidationError, match="needs 8 labels, there are 4"):
        Glyphs(rungs=(Rung(117, 8),), labels=4)
