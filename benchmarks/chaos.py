"""Kill everything that takes part in a study, at random, and count what is lost.

`python -m miras.benchmarks.chaos --storage sqlite --kills 500` prints how many finished trials were
lost, how many were told twice, how many memories are equal, how many trials are done, what is left
running, and for how long the trial of a killed worker was ever out of reach of the others.
It also says what a second of work took at the worst time: on a busy machine all take longer.
With PostgreSQL (Debian's: this starts a server of its own) the server is killed too.
"""

import argparse
import tempfile
from pathlib import Path

from miras.benchmarks.pulse import Pulse
from miras.benchmarks.storm import storm


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--storage", choices=("sqlite", "journal", "postgresql"), default="sqlite")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--slots", type=int, default=200)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--lease", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="kept afterwards; a temporary one if left out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        numbers = (given.kills, given.slots, given.workers, given.lease, given.seed)
        with Pulse() as pulse:
            count = storm(folder, given.storage, *numbers)
        print(f"{given.storage} {count}; a second of work took up to {pulse.slowest:.1f} s")


if __name__ == "__main__":
    main()
