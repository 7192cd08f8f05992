"""Text as token ids and back: bytes, or the tokenizer.json of a person."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from miras.part import SpecError

ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "[SEP]")
"""Usual names of the token that ends a document."""

MOST = 2**20
"""Token ids at most: an embedding has a row for each."""

LARGEST = 2**26
"""Bytes of a tokenizer.json at most."""


@runtime_checkable
class Coder(Protocol):
    """Turns text into token ids below `vocabulary`; `end` ends a document."""

    vocabulary: int
    end: int | None
    name: str  # equal names: equal ids

    def encode(self, text: bytes) -> NDArray[Any]:
        """The ids of a piece of text."""
        ...

    def decode(self, ids: Sequence[int]) -> bytes:
        """The text of some ids."""
        ...


class Bytes:
    """Each byte is a token; a zero byte, which no text holds, ends a document."""

    vocabulary: int = 256
    end: int | None = 0
    name: str = "bytes"

    def encode(self, text: bytes) -> NDArray[Any]:
        """The bytes themselves."""
        return np.frombuffer(text, np.uint8)

    def decode(self, ids: Sequence[int]) -> bytes:
        """The bytes themselves."""
        return bytes(ids)


class Tokenizer:
    """The tokenizer.json of a person, read by the package `tokenizers`."""

    def __init__(self, path: Path) -> None:
        try:
            from tokenizers import Tokenizer as Read
        except ImportError:
            raise SpecError(
                f"{path}: to read a tokenizer, pip install 'miras-search[hf]'; without one each"
                " byte is a token"
            ) from None
        try:
            with path.open("rb") as file:
                raw = file.read(LARGEST + 1)
        except OSError as error:
            raise SpecError(f"{path}: cannot be read ({error.strerror}): check the path") from None
        if len(raw) > LARGEST:
            raise SpecError(f"{path}: larger than {LARGEST // 2**20} MiB: name a tokenizer.json")
        try:
            self.inner = cast(Any, Read).from_str(raw.decode())
        except Exception as error:  # the package raises nothing narrower
            first = str(error).splitlines()[0][:100]
            raise SpecError(f"{path}: not a tokenizer.json ({first}): name another") from None
        self.inner.no_truncation()
        self.inner.no_padding()
        names: dict[str, int] = self.inner.get_vocab(with_added_tokens=True)
        self.vocabulary = max(names.values(), default=-1) + 1
        if not 2 <= self.vocabulary <= MOST:
            raise SpecError(
                f"{path}: its largest id is {self.vocabulary - 1}, a tokenizer here has 2 to {MOST}"
                " ids: name another"
            )
        self.end: int | None = next((names[name] for name in ENDS if name in names), None)
        self.name = "tokenizer " + blake2b(raw, digest_size=16).hexdigest()

    def encode(self, text: bytes) -> NDArray[Any]:
        """Ids of a piece of text; what is not UTF-8 in it is read as the sign of a fault."""
        said = text.decode(errors="replace")
        return np.asarray(self.inner.encode(said, add_special_tokens=False).ids, np.int64)

    def decode(self, ids: Sequence[int]) -> bytes:
        """The text of some ids, special tokens included."""
        return self.inner.decode(list(ids), skip_special_tokens=False).encode()


def coder(path: Path | None) -> Coder:
    """The tokenizer of a file; bytes where there is none."""
    return Bytes() if path is None else Tokenizer(path.expanduser())
