"""Pages as lists of blocks, and their two forms: Markdown, and HTML in one file.

Reports, explanations and demonstrations are written with it. It knows nothing of memories.
"""

from miras.page.blocks import (
    Block,
    Code,
    Equations,
    Heading,
    Items,
    Picture,
    Pictures,
    Table,
    Terms,
    Text,
)
from miras.page.html import to_html
from miras.page.markdown import to_markdown

__all__ = [
    "Block",
    "Code",
    "Equations",
    "Heading",
    "Items",
    "Picture",
    "Pictures",
    "Table",
    "Terms",
    "Text",
    "to_html",
    "to_markdown",
]
