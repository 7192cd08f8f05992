"""A space: the YAML of a memory with holes in it, checked before anything is drawn from it.

    bias: {any: [l2, dot, {kind: lp, p: {float: [1.0, 3.0]}}]}      one of several
    retention: {any: all}                                            every part of that axis
    retention: {any: open}                                   the same with their settings open
    bias: {any: [all, {kind: lp, p: {any: [1.5, 3.0]}}]}         every part, and these for lp
    optimizer: {kind: gd, step: {kind: sigmoid, scale: {any: [1, 2]}}}
    {use: gated-deltanet, retention: {axis: {any: all}}}             a known memory, partly opened

A hole may stand wherever a value may, in holes too; what a hole does not name stays at its default.
Choices have stable names: they are sorted, and adding one does not rename another.

    bias: {any: [l2, huber], weights: [3, 1]}             chance takes l2 three times as often
    {compose: chain, of: [gla, {any: [gla, deltanet]}]}   a composition, with holes in its cells
    {compose: {any: [parallel, serial]}, of: [gla, kda]}  two kinds of composition of the same cells
    {pattern: {any: [[gla, sliding-window], [gla]]}}      the memories of a model, layer by layer
    {mutate: gated-deltanet, changes: 2}                  a known memory, changed in 1 or 2 places
    {mutate: {any: [gla, kda]}, changes: {int: [0, 3]}, among: {bias: {any: all}, retention: ...}}

Weights count where chance decides; a sampler that learns is not told. A *place* is a choice or a
setting of the known memory: how many are changed (`changes`), and which (`change.1`, `change.2`),
is chosen first, all sets of places alike. To change a choice is to take another kind. `among` says
what may be taken instead: `open` parts have settings (the default), of `all` they have none; or it
names places and what may stand there. See `mutation`.

Names of holes in a cell begin with its place: `of.0.bias.lp.p`, `pattern.1.retention`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from miras.composition import AnyCell
from miras.load import DataPath, Document, SpecFileError, nearest, read
from miras.model import ModelSpec
from miras.part import SpecError

from .holes import Reader
from .nodes import Fields, Node, Number, fingerprint, size, walk
from .opening import TITLES, type_of
from .schema import space_schema as space_schema


@dataclass(frozen=True)
class Space:
    """Memories to search among: `root` says what may vary, `data` is what was written."""

    name: str
    root: Node
    data: Mapping[str, Any]

    @cached_property
    def size(self) -> int:
        """Ways to fill the holes, whether the parts fit or not; a real number counts as one."""
        return size(self.root)

    @cached_property
    def continuous(self) -> bool:
        """Whether a real number is among the holes, so that there is no end of memories."""
        return any(isinstance(node, Number) and not node.whole for node in walk(self.root))

    @cached_property
    def fingerprint(self) -> str:
        """16 digits that say whether choices mean what they meant: see `nodes.fingerprint`."""
        return fingerprint(self.root)

    def describe(self) -> str:
        """How large it is, in words."""
        ways = f"{self.size:,} way{'s' if self.size > 1 else ''} to fill its holes"
        return ways + (", times real numbers" if self.continuous else "")


def load_space(space: Path | str) -> Space:
    """The space in a file, or the one of that name in `spaces/`. Raises SpecFileError."""
    path = Path(space)
    if not path.suffix and not path.exists():
        folder = Path(str(files("miras") / "spaces"))
        path = folder / f"{space}.yaml"
        if not path.exists():
            names = [found.stem for found in folder.glob("*.yaml")]
            raise SpecError(
                f"there is no space {str(space)!r}{nearest(str(space), names)}: write one of"
                f" {', '.join(sorted(names))}, or the path of a YAML file"
            )
    return space_of(read(path), name=path.stem)


def space_of(document: Document, at: DataPath = (), name: str = "") -> Space:
    """The space in a document, or in a part of it. Raises SpecFileError with all that is wrong."""
    reader = Reader(document)
    data = cast("dict[str, Any]", document.value(at))
    root = _stack(reader, at, data) if "pattern" in data else reader.node(at, AnyCell, {})
    if reader.problems:
        raise SpecFileError(reader.problems)
    return Space(str(data.get("name") or name), root, data)


def _stack(reader: Reader, at: DataPath, data: Mapping[str, Any]) -> Node:
    """The memories of a stack of layers."""
    for name in data:
        if name not in ("pattern", *TITLES):
            message = "no setting of a space of patterns: the shell of a study says the rest"
            reader.complain((*at, name), message, at_key=True)
    wanted = type_of(ModelSpec.model_fields["pattern"])
    return Fields("", {"pattern": reader.node((*at, "pattern"), wanted, {})})
