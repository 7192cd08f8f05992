"""A PostgreSQL server of one's own for a while: in a temporary folder, reachable from nowhere else.

The server refuses to run as root; then it runs as the user that Debian's package has made for it.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

FOLDERS = ("/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin")
USER = "postgres"


def program(name: str) -> str | None:
    """Where a program of PostgreSQL is, if it is installed."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *FOLDERS]))


def available() -> bool:
    """Whether a server can be started here."""
    if program("pg_ctl") is None or program("initdb") is None:
        return False
    return os.getuid() != 0 or any(each.pw_name == USER for each in pwd.getpwall())


class Server:
    """A running server; `url` is its address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"postgresql://{USER}@/postgres?host={folder}"
        if os.getuid() == 0:
            shutil.chown(folder, USER, USER)
        self._call("initdb", "-A", "trust", "-U", USER, "--no-sync", "-E", "UTF8")
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write(f"listen_addresses = ''\nunix_socket_directories = '{folder}'\n")
        self.start()

    def start(self) -> None:
        """Start it; after a kill it recovers by itself."""
        for _ in range(60):
            if self._call("pg_ctl", "-w", "-l", str(self.folder / "log"), "start", check=False):
                return
            time.sleep(0.2)  # what the killed server left behind is not gone yet
        raise RuntimeError((self.folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        """Kill it without warning."""
        process = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(process, signal.SIGKILL)

    def stop(self) -> None:
        """Stop it in order."""
        self._call("pg_ctl", "-m", "immediate", "stop", check=False)

    def _call(self, name: str, *options: str, check: bool = True) -> bool:
        command: Sequence[str] = (program(name) or name, "-D", str(self.folder / "data"), *options)
        who = USER if os.getuid() == 0 else None
        done = subprocess.run(
            command,
            check=check,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=who,
            group=who,
            extra_groups=[] if who else None,
            cwd=self.folder,
        )
        return done.returncode == 0


@contextmanager
def postgres() -> Generator[Server]:
    """A server that is gone afterwards."""
    # a short path: that of a socket may have 107 characters
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    server: Server | None = None
    try:
        server = Server(folder)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
