"""Follows a page of the documentation: its commands and snippets, each in a process of its own.

Reads steps as JSON from standard input and writes what came of each as one line of JSON. The
processes are copies of this one, which has imported once what all of them need: to start Python and
torch anew for each would take two seconds every time.
"""

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

NEEDED = ("cli", "hf", "known", "plots", "running", "search", "search.sweep.sweep", "training_text")


def preload() -> None:
    """Import what commands import, and read the known memories."""
    for name in NEEDED:
        importlib.import_module(f"miras.{name}")
    importlib.import_module("miras.known").known()


def command(words: list[str]) -> None:
    from miras.cli import app

    sys.argv = words
    app()


def python(text: str) -> None:
    sys.path.insert(0, str(Path.cwd()))
    exec(compile(text, "snippet", "exec"), {"__name__": "__main__"})


def follow(step: dict[str, Any]) -> dict[str, Any]:
    """Run one step and say how it ended, with all that it said."""
    before = cpu()
    os.chdir(step["folder"])
    with tempfile.TemporaryFile() as said:
        if "shell" in step:
            code = subprocess.run(step["shell"], shell=True, stdout=said, stderr=said).returncode
        else:
            code = in_a_process(step, said.fileno())
        said.seek(0)
        text = said.read().decode(errors="replace")
    return {"code": code, "said": text, "seconds": cpu() - before}


def cpu() -> float:
    """Seconds of one core that all steps took so far, with the processes that they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def in_a_process(step: dict[str, Any], said: int) -> int:
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        command(step["command"]) if "command" in step else python(step["python"])
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    preload()
    for each in json.load(sys.stdin):
        print(json.dumps(follow(each)), flush=True)
