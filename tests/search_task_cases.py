"""Search tasks with all kinds of settings, beside those of `task_cases`."""

from miras.tasks import Task
from miras.tasks.flip_flop import FlipFlop, Stream
from miras.tasks.ladder import Rung
from miras.tasks.overwrite import Overwrite

SEARCH: dict[str, Task] = {
    "overwrite small": Overwrite(
        rungs=(Rung(22, 2), Rung(26, 5)),
        extrapolation=(Rung(31, 3),),
        keys=9,
        values=60,
        writes=0.7,
        batch=11,
        steps=4,
    ),
    "flip small": FlipFlop(
        trained=Stream(40, 0.5), tails=(Stream(60, 0.3),), target=0.01, batch=9, test=600
    ),
}
