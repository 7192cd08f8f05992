"""Characters drawn with a pen, as short lists of cells: fonts of strokes, or a folder of drawings.

A drawing belongs to a class (which character it is) and to a hand (the font, or the person).
"""

import string
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from miras.part import SpecError

GRID = 8
"""Cells on each side of a drawing."""

LATIN = (
    "cursive futural futuram gothgbt gothgrt gothiceng gothicger gothicita gothitt rowmand rowmans"
    " rowmant scriptc scripts timesi timesib timesr timesrb"
)
GREEK = "greek greekc greeks"
"""Fonts of the Hershey collection that draw the same letters."""

CANVAS = 105.0
"""Side of the drawings of Omniglot."""

Stroke = list[tuple[float, float]]


class Drawings(NamedTuple):
    """Every drawing as cells along its line, with the numbers of its class and its hand."""

    cells: Int64[np.ndarray, "drawings points"]
    character: Int64[np.ndarray, " drawings"]
    hand: Int64[np.ndarray, " drawings"]


class Drawing(NamedTuple):
    """One drawing; `corner` and `side` are those of the square that it stands in."""

    character: str
    hand: str
    strokes: list[Stroke]
    corner: tuple[float, float]
    side: float


@lru_cache(maxsize=4)
def drawings(path: Path | None, points: int) -> Drawings:
    """All drawings of a folder or of the fonts, but repeats and what could be two characters."""
    found = list(_hershey() if path is None else _folder(path.expanduser()))
    cells = np.array([_cells(drawing, points) for drawing in found])
    characters, character = np.unique([each.character for each in found], return_inverse=True)
    _, hand = np.unique([each.hand for each in found], return_inverse=True)
    _, first, group = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    lowest, highest = np.full((2, len(found)), [[len(characters)], [-1]])
    np.minimum.at(lowest, group, character)
    np.maximum.at(highest, group, character)
    clear = (lowest == highest)[group]
    clear &= first[group] == np.arange(len(found))  # two hands may draw a character alike
    # A character that is left with one drawing cannot be shown and asked.
    clear &= np.bincount(character[clear], minlength=len(characters))[character] > 1
    _, character = np.unique(character[clear], return_inverse=True)
    return Drawings(cells[clear], character, hand[clear])


def _cells(drawing: Drawing, points: int) -> Int64[np.ndarray, " points"]:
    """Cells at even steps along all strokes, pen jumps left out."""
    starts: list[tuple[float, float]] = []
    ends: list[tuple[float, float]] = []
    for stroke in drawing.strokes:
        starts += stroke[:-1] or stroke
        ends += stroke[1:] or stroke
    start: Float64[np.ndarray, "lines 2"] = np.array(starts, float)
    line = np.array(ends, float) - start
    length: NDArray[np.float64] = np.hypot(line[:, 0], line[:, 1]) + 1e-9
    until: NDArray[np.float64] = length.cumsum()
    at = (np.arange(points) + 0.5) / points * until[-1]
    index = (until[:-1, None] < at).sum(0)
    part = 1 - (until[index] - at) / length[index]
    place = start[index] + part[:, None] * line[index]
    cell = np.floor((place - drawing.corner) / drawing.side * GRID).astype(np.int64)
    column, row = cell.clip(0, GRID - 1).T
    return row * GRID + column


def _hershey() -> Iterator[Drawing]:
    if find_spec("HersheyFonts") is None:
        raise SpecError(
            "glyphs come with a package that is not installed: pip install Hershey-Fonts, or all"
            " optional data with pip install 'miras-search[data]'; or give a folder of drawings in"
            " `path`"
        )
    fonts = import_module("HersheyFonts").HersheyFonts()
    for alphabet, names, letters in (
        ("latin", LATIN, string.ascii_letters + string.digits),
        ("greek", GREEK, string.ascii_letters),
    ):
        for font in names.split():
            fonts.load_default_font(font)
            glyphs = {letter: fonts.all_glyphs[letter].strokes for letter in letters}
            glyphs = {letter: [s for s in lines if s] for letter, lines in glyphs.items()}
            heights = [y for lines in glyphs.values() for stroke in lines for _, y in stroke]
            top, side = min(heights), max(heights) - min(heights) + 1e-6
            for letter, strokes in glyphs.items():
                if strokes:
                    widths = [x for stroke in strokes for x, _ in stroke]
                    left = (min(widths) + max(widths) - side) / 2
                    yield Drawing(f"{alphabet} {letter}", font, strokes, (left, top), side)


def _folder(path: Path) -> Iterator[Drawing]:
    files = sorted(path.glob("*/*/*.txt")) if path.is_dir() else []
    if not files:
        raise SpecError(
            f"glyphs finds no drawings in {path}: give the folder of Omniglot's strokes, in which"
            " drawings are alphabet/character/number_person.txt"
        )
    for file in files:
        character = f"{file.parts[-3]} {file.parts[-2]}"
        yield Drawing(character, file.stem.rpartition("_")[2], _strokes(file), (0, 0), CANVAS)


def _strokes(file: Path) -> list[Stroke]:
    strokes: list[Stroke] = [[]]
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"glyphs cannot read {file} ({error}): it should be text") from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() in ("", "START"):
            continue
        if line.strip() == "BREAK":
            strokes.append([])
            continue
        try:
            x, y = (float(part) for part in line.split(",")[:2])
        except ValueError:
            raise SpecError(
                f"{file}:{number}: {line.strip()!r} is no point of a drawing: a line is START,"
                " BREAK or x,y,time"
            ) from None
        strokes[-1].append((x, -y))
    if not any(strokes):
        raise SpecError(f"{file} has no strokes: take it out of the folder")
    return [stroke for stroke in strokes if stroke]
