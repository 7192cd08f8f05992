"""The workers of one parent on a Ray cluster.

Ray finds them a place and says when one is lost; what they do, and what is done already, is between
each of them and the ledger. A node runs `attend`: it keeps one process that works, as on the
machine of the parent. Ray's own process has many threads, of which no training may be a fork.

A worker that is lost with its node is not run again by Ray: the parent gives back what it held and
hires another one, which begins wherever there is room.
"""

import logging
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from miras.part import SpecError

from ..ledger.ledger import Ledger
from ..ledger.place import Place, Site
from ..ledger.storage import url_of
from .crew import Gone, Processes

POLL = 0.25
OFTEN = 5.0
"""Seconds after which a parent asks again how much room the cluster has."""

PATIENCE = 15.0
"""Seconds that workers have to end in order."""

LOST = ("WorkerCrashedError", "NodeDiedError", "LocalRayletDiedError", "OutOfMemoryError")
"""Ray's names for what happens to a worker and not through it: another one may fare better."""


class Cluster(NamedTuple):
    """A Ray cluster, and what a worker gets of it beside a processor; called, it makes a crew."""

    address: str = "auto"  # the cluster that runs on this machine
    gpus: float = 0.0

    def __call__(self, site: Site, say: Callable[[str], None]) -> "ClusterCrew":
        return ClusterCrew(self, site, say)


class ClusterCrew:
    """Workers on the nodes of a Ray cluster."""

    def __init__(self, cluster: Cluster, site: Site, say: Callable[[str], None]) -> None:
        if cluster.gpus > 1 and cluster.gpus % 1:
            raise SpecError(f"a worker cannot have {cluster.gpus:g} GPUs: write 2, 3, ... above 1")
        self.ray, self.ours = joined(cluster.address)
        self.need = {"CPU": 1.0, "GPU": cluster.gpus}
        self.site = site._replace(device="cuda") if cluster.gpus else site
        self.say, self.due, self.short = say, 0.0, False
        self.workers: dict[Any, str] = {}  # what Ray calls them: what the ledger calls them
        self.home = socket.gethostname()
        try:
            same_machine(site.ledger, self.home, {n["NodeManagerHostname"] for n in self.nodes()})
        except SpecError:
            self.end()
            raise
        # A process of Ray's for each worker: what it had imported and started ends with it.
        self.attend = self.ray.remote(
            num_cpus=1,
            num_gpus=cluster.gpus,
            max_retries=0,
            max_calls=1,
            scheduling_strategy="SPREAD",
        )(attend)

    def __len__(self) -> int:
        return len(self.workers)

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes that are there."""
        return [node for node in self.ray.nodes() if node["Alive"]]

    def hire(self) -> None:
        """One more worker, on whatever node has room; it waits until there is one."""
        # Processes of two nodes may have the same number: every worker has a name of its own.
        folder, parent = self.site.place
        name = f"{parent}/{uuid.uuid4().hex[:8]}"
        site = self.site._replace(place=Place(folder, name))
        reference = self.attend.remote(site, self.home)
        self.workers[reference] = name

    def bury(self) -> list[Gone]:
        """Those that are gone since this was asked last."""
        every = list(self.workers)
        if not every:
            return []
        if time.monotonic() > self.due:
            self.due = time.monotonic() + OFTEN
            self._tell_room(len(every))
        ready, _ = self.ray.wait(every, num_returns=len(every), timeout=0)
        return [self._ending(each, self.workers.pop(each)) for each in ready]

    def _ending(self, reference: Any, name: str) -> Gone:
        try:
            return Gone(f"{name}/", *self.ray.get(reference))
        except Exception as error:  # of a kind that Ray makes for the occasion
            kinds = {kind.__name__ for kind in type(error).__mro__}
            lost = next((kind for kind in LOST if kind in kinds), "")
            why = f"its process or its node is lost (Ray: {lost})" if lost else _last(str(error))
            return Gone(f"{name}/", not lost, why)

    def _tell_room(self, wanted: int) -> None:
        nodes = self.nodes()
        room = sum(room_of(node["Resources"], self.need) for node in nodes)
        short = room < wanted
        if short and not self.short:
            each = "1 CPU" + (f" and {self.need['GPU']:g} GPU" if self.need["GPU"] else "")
            self.say(
                f"the cluster has {len(nodes)} node{'s' * (len(nodes) != 1)}, with room for {room}"
                f" of {wanted} workers of {each}: the others begin when a node joins it"
            )
        if self.short and not short:
            self.say(f"the cluster has room for all {wanted} workers again")
        self.short = short

    def wait(self) -> None:
        """Let workers go that have seen by themselves that nothing is left."""
        if self.workers:
            self.ray.wait(list(self.workers), num_returns=len(self.workers), timeout=PATIENCE)

    def end(self) -> None:
        """End all workers in order, and those that do not follow by force; leave the cluster."""
        every = list(self.workers)
        for reference in every:
            self.ray.cancel(reference)
        if every:
            _, left = self.ray.wait(every, num_returns=len(every), timeout=PATIENCE)
            for reference in left:
                self.ray.cancel(reference, force=True)
        self.workers.clear()
        if self.ours:
            self.ray.shutdown()


def joined(address: str) -> tuple[Any, bool]:
    """Ray, once it is connected to a cluster, and whether it was not before. Raises SpecError."""
    # Ray is to leave alone what processes without a GPU see of them, and to say soon that nobody
    # answers: by default it asks for a quarter of an hour.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise SpecError("--engine ray needs Ray: pip install 'miras-search[ray]'") from None
    if ray.is_initialized():
        return ray, False
    known = (ImportError, RuntimeError, ValueError, OSError, ray.exceptions.RayError)
    try:
        _knock(os.environ.get("RAY_ADDRESS") or address)
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except known as error:
        where = "running here" if address == "auto" else f"at {address}"
        raise SpecError(
            f"there is no Ray cluster {where} ({_last(str(error))}): start one with"
            " `ray start --head`, or write --address MACHINE:6379"
        ) from None
    return ray, True


def _knock(address: str) -> None:
    """Make sure that somebody is at an address. Raises ValueError and OSError."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address == "auto":
        return
    if not port.isdigit():
        raise ValueError("that names no port")
    socket.create_connection((host.strip("[]"), int(port)), timeout=10.0).close()


def same_machine(ledger: str, home: str, machines: set[str]) -> None:
    """Make sure that all machines reach the ledger. Raises SpecError."""
    others = ", ".join(sorted(machines - {home}))
    if others and url_of(ledger).get_backend_name() == "sqlite":
        raise SpecError(
            f"the cluster has machines ({others}) other than {home}, where the ledger is a file:"
            " let them share one with --storage postgresql://user@machine/name"
        )


def room_of(there: dict[str, float], need: dict[str, float]) -> int:
    """How many workers a node of these resources has room for."""
    each = [there.get(name, 0.0) / amount for name, amount in need.items() if amount]
    return int(min(each) + 1e-9)


def attend(site: Site, home: str) -> tuple[bool, str]:
    """What a node does: keep one worker until it ends; whether that gave up by itself, and why."""
    here = socket.gethostname()
    try:
        same_machine(site.ledger, home, {here})
        site.place.folder.mkdir(parents=True, exist_ok=True)
        with Ledger(site.ledger, site.study):
            pass  # a worker waits for a ledger that is gone: one that is out of reach is told
    except (SpecError, OSError) as error:
        return True, f"{here}: {error}"
    # Its process is to begin as a worker begins, not as another main program of Ray.
    vars(sys.modules["__main__"]).pop("__file__", None)
    crew = Processes(site)
    crew.hire()
    try:
        while not (gone := crew.bury()):
            time.sleep(POLL)
    finally:
        crew.end()
    return gone[0].failed, f"{here}: {_tail(site)}" if gone[0].failed else ""


def _tail(site: Site) -> str:
    with site.place.log.open("rb") as file:
        file.seek(max(0, site.place.log.stat().st_size - 10_000))
        return _last(file.read().decode(errors="replace"))


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
