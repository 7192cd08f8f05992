"""What a page is made of."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    """A section begins; of the third level, a part of a section."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph of plain text."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of plain sentences."""

    texts: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Columns and rows of plain text."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure by the path of its PNG beside the Markdown, with the bytes of its SVG."""

    path: str
    words: str
    vector: bytes


@dataclass(frozen=True)
class Pictures:
    """Figures side by side where there is room."""

    members: Sequence[Picture]


@dataclass(frozen=True)
class Code:
    """Text to copy, letter by letter; `wrapped` if its lines mean nothing."""

    text: str
    wrapped: bool = False


@dataclass(frozen=True)
class Equations:
    """Equations one below the other, as `miras explain` writes them: `W_t = α_t W_{t−1}`.

    One that begins with spaces belongs to the line above it.
    """

    lines: Sequence[str]


@dataclass(frozen=True)
class Terms:
    """Equations, each with what it means in words."""

    pairs: Sequence[tuple[str, str]]


Block = Heading | Text | Items | Table | Pictures | Code | Equations | Terms
