"""The map of the field is fresh, and holds every system that the grammar was written for."""

from pathlib import Path

from miras import mapping
from miras.known import known

PAGE = Path(__file__).parents[1] / "spaces" / "README.md"


def test_page_is_fresh() -> None:
    fresh = mapping.page()
    assert PAGE.read_text(encoding="utf-8") == fresh, "run `miras map > spaces/README.md`"
    for name in known():
        assert f"[{name}](known/{name}.yaml)" in fresh


def test_every_system_has_a_file_or_a_reason() -> None:
    rows = mapping.systems()
    assert len(rows) == 66
    assert len({row["system"] for row in rows}) == 66
    for row in rows:
        assert row.get("known") or row.get("note"), row["system"]
        assert set(row.get("known", ())) <= known().keys(), row["system"]


def test_every_known_memory_names_its_source() -> None:
    """Paper and equation, and departures where there are any: an empty list says that none is."""
    for name, memory in known().items():
        assert memory.paper and memory.equation, name


def test_settings_read_like_calls() -> None:
    short = mapping._call("{kind: decay, axis: key, gate: {kind: mamba, per_channel: true}}")  # pyright: ignore[reportPrivateUsage]
    assert short == "decay(axis: key, gate: mamba(per_channel: true))"
