"""Workers on a Ray cluster: places found, a node lost, and sentences where it cannot work."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from search_conduct import study
from typer.main import get_command
from typer.testing import CliRunner

from miras.cli import app
from miras.lines import read
from miras.part import SpecError
from miras.result import TrialRecord
from miras.search.ledger.ledger import Ledger
from miras.search.ledger.place import Place, Site
from miras.search.ledger.telling import opened
from miras.search.workers.cluster import Cluster, attend, room_of, same_machine

NODE = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 80 * 2**20}
PATIENCE = 600.0
"""Seconds: much more than anything here takes, unless the machine is busy with something else."""


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of three nodes on this machine, which pretend to have a GPU each."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    utils: Any = pytest.importorskip("ray.cluster_utils")
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # the path of a socket must be short
    monkeypatch.setenv("RAY_TMPDIR", folder)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    head = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    found: Any = None
    try:
        found = utils.Cluster(initialize_head=True, head_node_args=NODE | head)
        for _ in range(2):
            found.add_node(**NODE)
        yield found
    finally:
        if found is not None:
            found.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def until(condition: Callable[[], bool], search: "subprocess.Popen[str]") -> float:
    """Wait for something to happen in a search; how long it took."""
    began = time.monotonic()
    while not condition():
        assert search.poll() is None and time.monotonic() < began + PATIENCE, "nothing happened"
        time.sleep(0.05)
    return time.monotonic() - began


def node_of(owner: str, nodes: Any) -> Any:
    """The node on which a worker is: it has the environment that its raylet gave Ray's process."""
    process = int(owner.rpartition("/")[2].rstrip("."))
    given = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
    raylet = int(dict(each.split("=", 1) for each in given if each)["RAY_RAYLET_PID"])
    return next(
        node
        for node in nodes.list_all_nodes()
        if raylet in [each.process.pid for each in node.all_processes["raylet"]]
    )


@pytest.mark.slow
def test_a_node_is_removed(
    nodes: Any, tmp_path: Path, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two workers on three nodes: one goes with its node, and the third node gets another one."""
    folder, log, trials = tmp_path / "run", tmp_path / "runs.txt", 14
    changes = {"learning_rate": 0.01, "sampler": {"kind": "random"}, "workers": 2}
    study(tmp_path, description=str(log), budget={"trials": trials}, **changes)
    here = Path(__file__).parent
    command = [sys.executable, str(here / "search_fake.py"), str(tmp_path / "test.yaml")]
    search = subprocess.Popen(
        [*command, str(folder), "search_fake:gated", nodes.address],
        env=os.environ | {"PYTHONPATH": f"{here.parent}{os.pathsep}{here}"},
        text=True,
    )
    request.addfinalizer(search.wait)
    request.addfinalizer(search.kill)
    until(lambda: (folder / "ledger.db").exists(), search)
    with Ledger(folder / "ledger.db", "test") as ledger:

        def held() -> dict[str, int]:
            return {owner: slot for slot, owner, _ in ledger.held()}

        def two_at_work() -> bool:
            return len(held()) == 2 and ledger.states(trials)["done"] > 0

        started = until(two_at_work, search)
        before = held()
        first = ledger.record(0)
        lost = next(each for each in before if node_of(each, nodes) is not nodes.head_node)
        (other,) = before.keys() - {lost}
        nodes.remove_node(node_of(lost, nodes), allow_graceful=False)
        free = until(lambda: lost not in held(), search)
        taken = until(lambda: len(held()) == 2, search)
        after = held()
        (new,) = after.keys() - {other}
        assert after == {other: before[other], new: before[lost]}
        assert node_of(new, nodes) is not node_of(other, nodes)
        log.with_suffix(".open").touch()
        assert search.wait(timeout=PATIENCE) == 0
        assert ledger.states(trials) == {"open": 0, "running": 0, "waiting": 0, "done": trials}
        assert not ledger.untold() and ledger.record(0) == first
    records = read(folder / "trials.jsonl", TrialRecord)
    assert sorted(record.number for record in records) == list(range(trials))
    assert len({record.key for record in records}) == trials
    storage = optuna.load_study(study_name="test", storage=opened("journal", folder))
    assert sorted(trial.user_attrs["trial"] for trial in storage.trials) == list(range(trials))
    assert {trial.state.name for trial in storage.trials} == {"COMPLETE"}
    # each on a GPU that Ray chose, and nothing that had ended was done again
    runs = Counter(tuple(line.split()) for line in log.read_text().splitlines())
    assert len(runs) == sum(runs.values()) == 2 * trials
    assert {run[2:] for run in runs} == {("cuda", "0")}
    said = capfd.readouterr().out
    assert f"{before[lost]:>4}  its worker died; it is taken up again" in said
    assert "a worker is gone: its process or its node is lost" in said
    print(f"two at work after {started:.1f} s; node removed: its trial free after {free:.1f} s,")
    print(f"at work again on another node {taken:.1f} s later")


def test_what_a_cluster_cannot_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(Place(tmp_path, "here"), f"sqlite:///{tmp_path}/ledger.db", "test", "a:b", 60.0)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SpecError, match=r"needs Ray: pip install 'miras-search\[ray\]'"):
        Cluster()(site, print)
    with pytest.raises(SpecError, match=r"cannot have 1.5 GPUs: write 2, 3"):
        Cluster(gpus=1.5)(site, print)
    with pytest.raises(SpecError, match=r"\(there\) other than here, .* --storage postgresql://"):
        same_machine(site.ledger, "here", {"here", "there"})
    same_machine(site.ledger, "here", {"here"})
    same_machine("postgresql://user@machine/name", "here", {"here", "there"})
    for options, sentence in (
        ("--address machine:6379", "--address says something of a cluster: write --engine ray"),
        ("--gpus-per-worker 1", "--gpus-per-worker says something of a cluster"),
        ("--engine ray --optuna other", "--optuna other: write journal, sqlite or"),
        ("--engine ray", "--engine ray needs Ray"),
    ):
        monkeypatch.chdir(tmp_path)
        study(tmp_path)
        result = CliRunner().invoke(app, ["search", "test.yaml", *options.split()])
        assert result.exit_code == 2 and sentence in result.stderr, result.output


def test_a_node_that_cannot_work_says_why(tmp_path: Path) -> None:
    """What a node answers, and with it whether another worker would fare alike."""
    (tmp_path / "file").touch()
    ledger = f"sqlite:///{tmp_path}/ledger.db"
    site = Site(Place(tmp_path / "file" / "run", "x"), ledger, "test", "a:b", 60.0)
    failed, why = attend(site, os.uname().nodename)
    assert failed and "Not a directory" in why
    failed, why = attend(site, "elsewhere")
    assert failed and "other than elsewhere, where the ledger is a file" in why
    server = "postgresql://nobody@/nothing?host=/nowhere"
    failed, why = attend(site._replace(place=Place(tmp_path, "x"), ledger=server), "elsewhere")
    assert failed and ("does not answer" in why or "needs a driver" in why)


def test_room_on_a_node() -> None:
    one = {"CPU": 1.0, "GPU": 0.0}
    assert room_of({"CPU": 4.0, "memory": 1e9}, one) == 4 and room_of({"GPU": 2.0}, one) == 0
    share = {"CPU": 1.0, "GPU": 0.1}
    assert room_of({"CPU": 64.0, "GPU": 1.0}, share) == 10 and room_of({"CPU": 64.0}, share) == 0


def test_commands_of_the_page() -> None:
    """They are for clusters and cannot be run here, but every option of theirs is there."""
    page = (Path(__file__).parents[1] / "docs/search-cluster.md").read_text(encoding="utf-8")
    commands = [line.split()[1:] for line in page.splitlines() if line.startswith("miras ")]
    assert {name for name, *_ in commands} == {"search", "work", "status", "confirm", "migrate"}
    group: Any = get_command(app)
    for name, *arguments in commands:
        group.commands[name].make_context(name, arguments)
    for option in ("--gpus-per-worker", "--address", "--engine", "--minutes", "--out"):
        assert option in page
        assert any(option in each.opts for each in group.commands["work"].params)
