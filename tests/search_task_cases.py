"""Search tasks with all kinds of settings, beside those of `task_cases`."""

from miras.tasks import Task
from miras.tasks.automaton import Automaton
from miras.tasks.compositional import Compositional
from miras.tasks.flip_flop import FlipFlop, Stream
from miras.tasks.ladder import Rung
from miras.tasks.overwrite import Overwrite
from miras.tasks.permutation import Permutation

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
    "grid small": Compositional(
        rungs=(Rung(27, 2), Rung(70, 3)),
        extrapolation=(Rung(33, 2),),
        keys=4,
        values=10,
        filler=1,
        batch=10,
    ),
    "automaton small": Automaton(
        rungs=(Rung(40, 3),),
        extrapolation=(Rung(50, 3),),
        alphabet=5,
        edges=2,
        longest=9,
        batch=7,
        test=300,
    ),
    "swaps": Permutation(
        group="S5", moves="swaps", shortest=3, longest=7, lengths=(13, 20), batch=5, test=3000
    ),
    "even": Permutation(group="A5", shortest=5, lengths=(40,), validation=50),
    "flip small": FlipFlop(
        trained=Stream(40, 0.5), tails=(Stream(60, 0.3),), target=0.01, batch=9, test=600
    ),
}
