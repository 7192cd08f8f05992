"""Token ids on disk, mapped into memory, and the windows that are cut out of them.

`text.bin` holds the ids one after the other, `text.json` what they are. Both are written once, in
the folder of a run; the ids of texts beyond the memory of the machine are read from there page by
page, and a run goes on with the very text that it began with.
"""

import math
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from miras.part import SpecError
from miras.tasks import Batch, generator
from miras.text.coding import MOST, Coder
from miras.text.documents import documents, fingerprint, listed
from miras.text.settings import Training
from miras.whole_file import replacing

BLOCKS = 20
"""The text is cut into so many blocks and the end of each is held out: what is held out looks like
the text as a whole, not like its last file."""

MARK = 2**20
"""Bytes of text after which the number of tokens so far is written down."""


class Written(BaseModel):
    """What text.json says of text.bin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["miras-text-1"] = "miras-text-1"
    source: str = Field(description="changes with the files and with how they are read")
    digest: str = Field(description="of the ids")
    vocabulary: int = Field(ge=2, le=MOST)
    tokens: int = Field(ge=0, le=2**53)
    marks: tuple[tuple[int, int], ...] = Field(description="tokens and bytes up to some places")


class Tokens(NamedTuple):
    """Token ids, and what they are."""

    ids: NDArray[Any]
    about: Written

    def bytes_between(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[Any]:
        """Bytes of text that the tokens of some ranges stand for; even between two marks."""
        marks = np.asarray(self.about.marks, np.float64)
        tokens, text = marks[:, 0], marks[:, 1]
        return np.interp(end, tokens, text) - np.interp(start, tokens, text)


def kind(vocabulary: int) -> np.dtype[Any]:
    """The smallest type of number that holds all ids."""
    wide = "<u1" if vocabulary <= 2**8 else "<u2" if vocabulary <= 2**16 else "<u4"
    return np.dtype(wide)


def tokens(training: Training, coder: Coder, folder: Path) -> Tokens:
    """The ids of a training's text, from the folder of its run or written there now."""
    files = listed(training)
    source = fingerprint(files, coder.name, training.field)
    about = _found(folder)
    if about is None or about.source != source or about.vocabulary != coder.vocabulary:
        about = _write(files, source, training.field, coder, folder)
    return mapped(about, folder)


def mapped(about: Written, folder: Path) -> Tokens:
    """The ids that lie in a folder."""
    ids = np.memmap(folder / "text.bin", kind(about.vocabulary), "r", shape=(about.tokens,))
    return Tokens(ids, about)


def written(folder: Path) -> Written:
    """What another process has written."""
    about = _found(folder)
    if about is None:
        raise SpecError(f"{folder}: text.bin is not there: all processes need the same folder")
    return about


def _found(folder: Path) -> Written | None:
    """What text.json says, if text.bin is as long as it says."""
    try:
        about = Written.model_validate_json((folder / "text.json").read_bytes())
        size = (folder / "text.bin").stat().st_size
    except (OSError, ValidationError):
        return None
    whole = size == about.tokens * kind(about.vocabulary).itemsize
    return about if whole and about.tokens and len(about.marks) > 1 else None


def _write(files: list[Path], source: str, field: str, coder: Coder, folder: Path) -> Written:
    """Write text.bin, then text.json: without the second the first counts for nothing."""
    (folder / "text.json").unlink(missing_ok=True)
    digest, wide = blake2b(digest_size=16), kind(coder.vocabulary)
    end = None if coder.end is None else np.asarray([coder.end])
    marks, count, text = [(0, 0)], 0, 0
    with replacing(folder / "text.bin") as draft, draft.open("wb") as file:
        for piece in documents(files, field):
            ids = coder.encode(piece.text) if piece.text else np.empty(0, np.uint8)
            if piece.last and end is not None:
                ids = np.concatenate((ids, end))
            raw = ids.astype(wide).tobytes()
            file.write(raw)
            digest.update(raw)
            count, text = count + len(ids), text + len(piece.text)
            if text - marks[-1][1] >= MARK:
                marks.append((count, text))
        if not count:
            raise SpecError(f"{files[0]}: no text in it: name files that hold some")
    about = Written(
        source=source,
        digest=digest.hexdigest(),
        vocabulary=coder.vocabulary,
        tokens=count,
        marks=(*marks, (count, text)) if marks[-1][0] < count else tuple(marks),
    )
    with replacing(folder / "text.json") as draft:
        draft.write_text(about.model_dump_json())
    return about


class Split(NamedTuple):
    """Ranges of training tokens `[blocks, 2]`, and where held-out windows begin."""

    training: NDArray[np.int64]
    held_out: NDArray[np.int64]
    window: int  # tokens: a context and the token after it


def split(count: int, training: Training) -> Split:
    """Hold out the end of each block of a text of so many tokens."""
    window = training.context + 1
    # Small texts get fewer blocks, so that each end holds eight windows or more.
    blocks = max(1, min(BLOCKS, math.floor(count * training.held_out / (8 * window))))
    edges = np.linspace(0, count, blocks + 1).astype(np.int64)
    kept = np.ceil(np.diff(edges) * training.held_out).astype(np.int64)
    ranges = np.stack((edges[:-1], edges[1:] - kept), 1)
    starts: list[NDArray[np.int64]] = [
        np.arange(int(start), int(end) - window + 1, window, dtype=np.int64)
        for start, end in zip(ranges[:, 1].tolist(), edges[1:].tolist(), strict=True)
    ]
    held_out = np.concatenate(starts)
    if not len(held_out) or (ranges[:, 1] - ranges[:, 0]).min() < window:
        needed = math.ceil(window / min(training.held_out, 1 - training.held_out)) + 1
        raise SpecError(
            f"the text has {count} tokens, a context of {training.context} needs {needed} or more:"
            " give more text or a shorter context"
        )
    most = min(training.windows, len(held_out))
    return Split(
        ranges, held_out[np.linspace(0, len(held_out) - 1, most).round().astype(int)], window
    )


def batch(
    text: Tokens, parts: Split, training: Training, step: int, rank: int, ranks: int
) -> Batch:
    """This process' share of the windows of a step: a function of seed and step alone.

    Windows begin anywhere in the training ranges. All processes draw the same ones and take every
    `ranks`-th.
    """
    places = parts.training[:, 1] - parts.training[:, 0] - parts.window + 1
    ends = places.cumsum()
    drawn = generator("text", "train", training.seed, step).integers(0, ends[-1], training.batch)
    drawn = drawn[rank::ranks]
    block = np.searchsorted(ends, drawn, side="right")
    return cut(text, parts.training[block, 0] + drawn - (ends - places)[block], parts.window)


def cut(text: Tokens, starts: NDArray[np.int64], window: int) -> Batch:
    """The windows that begin at some places."""
    found = text.ids[starts[:, None] + np.arange(window)].astype(np.int64)
    if found.max(initial=0) >= text.about.vocabulary:
        raise SpecError(
            f"text.bin holds the id {found.max()}, of {text.about.vocabulary} that there are: it is"
            " damaged; remove it and run again"
        )
    ids = torch.as_tensor(found)
    return Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
