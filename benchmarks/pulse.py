"""How slow the machine is for those who share it: what a second of work takes by the clock."""

import threading
import time
from collections import deque

WORK, PAUSE = 0.01, 0.24
"""Seconds of work at a time, and between: a twenty-fifth of one core."""

OVER = 20
"""Times that are put together, about five seconds: a single one says nothing."""


class Pulse(threading.Thread):
    """Works a little now and then, as long as its block lasts."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.slowest = 1.0
        """Seconds by the clock for one of work, at the worst time."""
        self.over = threading.Event()

    def run(self) -> None:
        taken: deque[float] = deque(maxlen=OVER)
        while not self.over.wait(PAUSE):
            began, worked = time.monotonic(), time.thread_time()
            while time.thread_time() - worked < WORK:
                pass
            taken.append(time.monotonic() - began)
            if len(taken) == OVER:
                self.slowest = max(self.slowest, sum(taken) / (OVER * WORK))

    def __enter__(self) -> "Pulse":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()
