"""Reads an HTML page as a stranger's browser would: what it fetches, shows and points to."""

import base64
import re
from html.parser import HTMLParser
from itertools import pairwise

SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻ᵏᵛᵀˡ", "0123456789−kvTl")
VOID = ("meta", "img", "wbr")
FETCHING = ("src", "href", "srcset", "data", "poster", "action", "background", "xlink:href")
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


class Page(HTMLParser):
    """Refuses an element that is not closed, or closed where another one is open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.raw = text
        self.open: list[str] = []
        self.sources: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.alts: list[str] = []
        self.outline: list[tuple[int, str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    @property
    def headings(self) -> list[str]:
        """The sections."""
        return [text for level, text in self.outline if level == 2]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.sources += [value or "" for name, value in attrs if name in FETCHING]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        assert not any(name.startswith("on") for name in given), "a script in an attribute"
        if tag == "img":
            self.alts.append(given.get("alt") or "")
        if tag in HEADINGS:
            self.outline.append((int(tag[1]), ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            return
        self.text += data
        if self.open and self.open[-1] in HEADINGS:
            level, text = self.outline[-1]
            self.outline[-1] = (level, text + data)

    def check(self) -> None:
        """One file that needs no other, with its headings in order and words for its figures."""
        inner = [source.removeprefix("#") for source in self.sources if source.startswith("#")]
        assert set(inner) <= set(self.ids) and len(set(self.ids)) == len(self.ids)
        fetched = [source for source in self.sources if not source.startswith("#")]
        for source in fetched:
            before, _, data = source.partition(",")
            assert before == "data:image/svg+xml;base64"
            drawing = base64.b64decode(data).decode()
            pointed = re.findall(r"""(?:href|src)=["']([^"']*)|url\(([^)]*)""", drawing)
            assert all("".join(each).strip("\"'").startswith("#") for each in pointed)
        assert len(fetched) == len(self.alts) and all(self.alts)
        assert not {"script", "link", "iframe", "object", "embed", "base"} & set(self.tags)
        (style,) = re.findall(r"<style>(.*?)</style>", self.raw, re.DOTALL)
        assert "url(" not in style and "@import" not in style and " style=" not in self.raw
        levels = [level for level, _ in self.outline]
        assert levels[0] == 1 and levels.count(1) == 1 and all(text for _, text in self.outline)
        assert all(after <= before + 1 for before, after in pairwise(levels))


def letters(text: str) -> str:
    """What a line says without its layout; `1e-06` as it is typeset."""
    text = re.sub(r"\b1e-0?(\d+)", r"10−\1", text).replace("..", "…").replace("-", "−")
    text = re.sub(r"([ᵏᵛᵀˡ⁰¹²′″])(_(?:\{[^}]*\}|\w))", r"\2\1", text).translate(SUPERSCRIPTS)
    return re.sub(r"[\s_^<>(){}*\u0304]|[₀-₉]", lambda each: _digit(each.group()), text)


def _digit(sign: str) -> str:
    return "0123456789"["₀₁₂₃₄₅₆₇₈₉".index(sign)] if sign in "₀₁₂₃₄₅₆₇₈₉" else ""
