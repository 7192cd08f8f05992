"""Reading files that people write: the right value, or one sentence with place and next step."""

import pickle
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BeforeValidator, Field, model_validator

from miras.load import SpecFileError, brief, dump, load, loads, read, reads, validate
from miras.part import IncompatibleParts, Part


class L2(Part):
    """Squared error."""

    kind: Literal["l2"] = "l2"
    target: Literal["value", "value_minus_key"] = "value"


class Huber(Part):
    """Squared near the target, absolute beyond `delta`."""

    kind: Literal["huber"] = "huber"
    delta: float = Field(default=1.0, gt=0)
    window: int = Field(default=1, ge=1)


class Lp(Part):
    """The power p of the error."""

    kind: Literal["lp"] = "lp"
    p: float


class Window(Part):
    """Keeps the last tokens: a kind with a setting of the same name."""

    kind: Literal["window"] = "window"
    window: int = Field(default=64, ge=1)
    sinks: int = 0


class Nothing(Part):
    """Forgets nothing."""

    kind: Literal["nothing"] = "nothing"


def _bare(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


Named = BeforeValidator(_bare)
AnyBias = Annotated[Annotated[L2 | Huber | Lp, Field(discriminator="kind")], Named]
AnyRetention = Annotated[Annotated[Window | Nothing, Field(discriminator="kind")], Named]


class Spec(Part):
    """A small stand-in for a memory."""

    name: str = ""
    bias: AnyBias
    retention: AnyRetention = Window()
    step: float | AnyBias = 0.5
    heads: int | Literal["channels"] | None = None
    flag: bool = False
    dims: tuple[int, ...] = ()
    extra: dict[str, AnyBias] = Field(default_factory=dict)
    default_by_name: AnyBias = Field(default="l2", validate_default=True)  # pyright: ignore

    @model_validator(mode="after")
    def _fit(self) -> "Spec":
        if self.bias.kind == "lp" and self.heads == 13:
            raise IncompatibleParts("bias lp has no 13 heads: use another number\nof heads")
        if self.name == "nowhere":
            raise ValueError("nobody can be called so; choose another name")
        return self


SINKS = "bias: l2\nretention: {kind: window, "


def _nested(depth: int) -> str:
    return "bias: " + "[" * depth + "]" * depth


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdefg", "bcdefgh", strict=True)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 60))

# what is wrong: (text, line, column, path, words of the sentence)
WRONG: dict[str, tuple[str, int, int, str, str]] = {
    "misspelt key": ("bias:\n  kind: huber\n  dleta: 2\n", 3, 3, "bias.dleta", "mean 'delta'"),
    "unknown key": ("bias: l2\nbanana: 2\n", 2, 1, "banana", "write one of name, bias, retention,"),
    "misspelt key at the top": ("bais: l2\n", 1, 1, "bais", "did you mean 'bias'?"),
    "key of another kind": ("bias: {kind: l2, delta: 2}", 1, 18, "bias.delta", "of kind, target"),
    "key further inside": ("bias: l2\nextra: {a: {kind: lp, p: 1, q: 2}}", 2, 29, "extra.a.q", "p"),
    "kind named as a setting": (SINKS + "windw: 3}", 2, 27, "retention.windw", "'window'"),
    "both": (SINKS + "window: 3, sink: 0}", 2, 38, "retention.sink", "'sinks'"),
    "setting named as its kind": (SINKS + "window: 0}", 2, 35, "retention.window", "equal to 1"),
    "wrong type": ("bias: {kind: huber, delta: big}", 1, 28, "bias.delta", 'instead of "big"'),
    "fraction": ("bias: l2\nheads: 1.5", 2, 8, "heads", "whole number or channels instead of 1.5"),
    "list for a number": ("bias: {kind: huber, delta: [1]}", 1, 28, "bias.delta", "of a list"),
    "number for a part": ("bias: 3", 1, 7, "bias", "write one of l2, huber, lp instead of 3"),
    "nothing for a part": ("bias:\n", 1, 6, "bias", "instead of nothing"),
    "text for true or false": ("bias: l2\nflag: maybe", 2, 7, "flag", "write true or false"),
    "number for a list": ("bias: l2\ndims: 3", 2, 7, "dims", "write a list"),
    "text in a list": ("bias: l2\ndims: [1, two]", 2, 11, "dims.1", 'number instead of "two"'),
    "true for a number": ("bias: l2\ndims: [1, true]", 2, 11, "dims.1", "write a number"),
    "list for a text": ("bias: l2\nname: [a]", 2, 7, "name", "write a text"),
    "out of range": ("bias: {kind: huber, delta: -1}", 1, 28, "bias.delta", "greater than 0"),
    "1e-3 as whole number": ("bias: {kind: huber, window: 1e-3}", 1, 29, "bias.window", "of 0.001"),
    "bad pair": ("heads: 13\nbias: {kind: lp, p: 3}", 2, 7, "bias", "another number of heads"),
    "objection of a validator": ("bias: l2\nname: nowhere", 1, 1, "", "choose another name"),
    "unknown name": ("bias: hubr", 1, 7, "bias", "one of l2, huber, lp instead of \"hubr\" (did"),
    "unknown kind": ("bias:\n  kind: Hubr", 2, 9, "bias.kind", "(did you mean 'huber'?)"),
    "unknown literal": ("bias: {kind: l2, target: valu}", 1, 26, "bias.target", "mean 'value'"),
    "number or part": ("bias: l2\nstep: {kind: huber, dlta: 1}", 2, 21, "step.dlta", "'delta'"),
    "not number nor part": ("bias: l2\nstep: zz", 2, 7, "step", "number or one of l2, huber, lp"),
    "no kind": ("bias: {delta: 2}", 1, 7, "bias", "add `kind:` with one of l2, huber, lp"),
    "part left out": ("name: x", 1, 1, "bias", "is missing; add `bias:` with one of l2,"),
    "setting left out": ("name: x\nbias: {kind: lp}", 2, 1, "bias.p", "is missing; add `p:`"),
    "bare name lacks a setting": ("name: x\nbias: lp", 2, 1, "bias.p", "add `p:` with a"),
    "duplicate key": ("bias: l2\nname: x\nbias: huber", 3, 1, "bias", "first in line 1; keep one"),
    "duplicate key inside": ("bias: {kind: l2, kind: lp}", 1, 18, "bias.kind", "keep one"),
    "hole": ("bias: {any: [l2, huber]}", 1, 7, "bias", "give the space to `miras search`"),
    "hole of all": ("bias: {any: all}", 1, 7, "bias", "or write one of the choices"),
    "hole in a kind": ("bias: {kind: {any: [l2]}}", 1, 14, "bias.kind", "`miras search`"),
    "hole of floats": ("bias: {kind: huber, delta: {float: [1]}}", 1, 28, "bias.delta", "search"),
    "hole of ints": ("bias: {kind: huber, window: {int: [1, 2]}}", 1, 29, "bias.window", "search"),
    "hole in a list": ("bias: l2\ndims: [1, {int: [1, 2]}]", 2, 11, "dims.1", "search"),
    "merge key": ("a: &a {name: x}\n<<: *a\nbias: l2", 2, 1, "<<", "write the keys out"),
    "list as a key": ("bias: l2\n? [1, 2]\n: 3", 2, 3, "", "write a name"),
    "tag": ("bias: !huber {delta: 2}", 1, 7, "bias", "leave the tag out"),
    "python tag": ("bias: !!python/object/apply:os.getcwd []", 1, 7, "bias", "leave the tag out"),
    "tag that does not fit": ("bias: l2\nheads: !!int twelve", 2, 8, "heads", "ordinary number"),
    "number without end": ("bias: l2\nheads: " + "9" * 5000, 2, 8, "heads", "ordinary number"),
    "tab": ("bias:\n\tkind: l2", 2, 1, "", "a tab where YAML takes only spaces; replace it"),
    "tab in the middle": ("bias:\n  kind: huber\n\tdelta: 2", 3, 1, "", "a tab"),
    "empty": ("", 1, 1, "", "the file is empty; write lines of the form `key: value`"),
    "only a comment": ("# nothing\n", 1, 1, "", "the file is empty"),
    "only null": ("\n~\n", 2, 1, "", "the file has no keys"),
    "list at the top": ("# a\n- l2\n", 2, 1, "", "the file has no keys; write lines"),
    "a sentence": ("just a sentence", 1, 1, "", "with a space after the colon"),
    "no space after the colon": ("bias:l2", 1, 1, "", "with a space after the colon"),
    "HTML": ("<!doctype html>\n<title>404: not found</title>\n", 2, 11, "", "not valid YAML"),
    "bracket left open": ("bias: {kind: l2\nname: x\n", 2, 5, "", "close the bracket"),
    "quote left open": ("bias: 'l2\nname: x\n", 3, 1, "", "that starts in line 1"),
    "two colons": ("bias: l2: 3", 1, 9, "", "put the text in quotes"),
    "sign that cannot start": ("bias: @l2", 1, 7, "", "put the text in quotes"),
    "line without a key": ("bias: l2\nhuber\nname: x\n", 3, 1, "", "write `key: value`"),
    "wrong indentation": ("bias: l2\n  name: x", 2, 7, "", "not valid YAML"),
    "two documents": ("bias: l2\n---\nbias: l2\n", 2, 1, "", "keep one document"),
    "unknown alias": ("bias: *b", 1, 7, "", "write the value out"),
    "control character": ("bias: l2\nname: \x00", 2, 7, "", "a control character"),
    "alias that contains itself": ("bias: &b [*b]", 1, 7, "bias.0", "contains itself"),
    "mapping that contains itself": ("bias: &b\n  kind: *b", 1, 7, "bias.kind", "contains itself"),
    "recursion bomb": (LAUGHS, 1, 32, "e.0.6.8", "more than 20000 values once aliases"),
    "depth bomb": (_nested(100_000), 1, 56, "", "nested more than 50 deep; write it flatter"),
    "depth bomb of mappings": ("{a: " * 100_000, 1, 198, "", "nested more than 50 deep"),
    "depth bomb of dashes": ("- " * 100_000, 1, 101, "", "nested more than 50 deep"),
    "depth bomb of aliases": (CHAIN, 1, 10, "a48.0.0.0", "nested more than 50 deep"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_text_has_place_path_and_next_step(case: str) -> None:
    text, line, column, path, words = WRONG[case]
    with pytest.raises(SpecFileError) as caught:
        loads(text, Spec, "spec.yaml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"spec.yaml:{line}:{column}: " + (f"{path}: " if path else ""))
    assert words in message
    assert len(message) < 300
    for noise in ("Traceback", "pydantic", "Error", "Input should", "L2", "tagged-union"):
        assert noise not in message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_all_problems_at_once_in_the_order_of_the_file() -> None:
    text = """
bias: {kind: huber, dleta: 2, window: 0}
heads: many
retention: {any: [window]}
nmae: x
"""
    with pytest.raises(SpecFileError) as caught:
        loads(text, Spec, "a.yaml")
    lines = str(caught.value).splitlines()
    assert [line.split(" ")[0] + line.split(" ")[1] for line in lines] == [
        "a.yaml:2:21:bias.dleta:",
        "a.yaml:2:39:bias.window:",
        "a.yaml:3:8:heads:",
        "a.yaml:4:12:retention:",
        "a.yaml:5:1:nmae:",
    ]
    assert [problem.place.line for problem in caught.value.problems if problem.place] == [
        2, 2, 3, 4, 5,
    ]  # fmt: skip


def test_all_duplicates_at_once() -> None:
    with pytest.raises(SpecFileError) as caught:
        loads("bias: l2\nbias: l2\nname: x\nname: y\n", Spec)
    assert len(caught.value.problems) == 2


def test_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfbias: l2\r\nnmae: x\r\n")
    with pytest.raises(SpecFileError, match=r"a\.yaml:2:1: nmae"):
        load(file, Spec)


def test_aliases_are_read() -> None:
    spec = loads("bias: &b {kind: huber, delta: 2}\nextra: {one: *b, two: *b}", Spec)
    assert spec.extra == {"one": Huber(delta=2), "two": Huber(delta=2)}


def test_part_of_a_document_is_validated() -> None:
    document = reads("any:\n  - l2\n  - {kind: huber, delta: 2}\n  - {kind: lp, q: 2, p: 1}\n", "s")
    assert validate(document, AnyBias, ("any", 0)) == L2()
    assert validate(document, AnyBias, ("any", 1)) == Huber(delta=2)
    with pytest.raises(SpecFileError, match=r"^s:4:16: any\.2\.q: no such setting"):
        validate(document, AnyBias, ("any", 2))


def test_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("bias: {kind: huber, delta: 1e-3}\nflag: true\n")
    assert load(file, Spec) == Spec(bias=Huber(delta=1e-3), flag=True)
    assert read(str(file)).data == {"bias": {"kind": "huber", "delta": 1e-3}, "flag": True}


def test_errors_survive_another_process() -> None:
    with pytest.raises(SpecFileError) as caught:
        loads("bias: x", Spec)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.problems) == (str(caught.value), caught.value.problems)


def test_messages_hold_nothing_that_a_terminal_obeys() -> None:
    with pytest.raises(SpecFileError) as caught:
        loads('bias: l2\n"a\\e[31m\\nb": 1', Spec)
    assert str(caught.value).isprintable()


def test_dump_leaves_defaults_out() -> None:
    spec = Spec(bias=Huber(delta=2), extra={"a": L2()}, dims=(1, 2), step=Lp(p=1e-10))
    assert dump(spec) == (
        "bias: {kind: huber, delta: 2.0}\nstep: {kind: lp, p: 1.0e-10}\ndims: [1, 2]\n"
        "extra:\n  a: {kind: l2}\n"
    )
    assert dump(Spec(bias=L2())) == "bias: {kind: l2}\n"


numbers = st.floats(allow_nan=False)
biases = st.one_of(
    st.builds(L2, target=st.sampled_from(["value", "value_minus_key"])),
    st.builds(Huber, delta=st.floats(min_value=0, exclude_min=True)),
    st.builds(Lp, p=numbers),
)
awkward = st.sampled_from(
    ["no", "1e3", "0o17", "1_0", "12:30", "~", "", " x", "a: b", "#", "=", "<<", "\u2028"]
)


@given(
    st.builds(
        Spec,
        name=st.text() | awkward,
        bias=biases,
        step=numbers | biases,
        heads=st.none() | st.just("channels") | st.integers(max_value=12),
        dims=st.lists(st.integers()).map(tuple),
        extra=st.dictionaries(st.text(min_size=1).filter(lambda key: key != "<<"), biases),
        default_by_name=biases,
    )
)
@example(Spec(bias=L2(), name="\x85"))  # a line break that PyYAML writes and does not read
def test_dump_loads_back_equal(spec: Spec) -> None:
    assert loads(dump(spec), Spec) == spec and reads(dump(spec)).data == brief(spec)


@given(st.text())
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    try:
        loads(text, Spec)
    except SpecFileError as error:
        assert all(line.isprintable() for line in str(error).splitlines())
