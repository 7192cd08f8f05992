"""What pages of the documentation take for granted, and what is smaller or left out in tests."""

from typing import Any

PREPARED: dict[str, list[str]] = {
    "take-away.md": [
        "miras train deltanet --task mqar",
        "miras train gated-deltanet --task mqar --out runs/mine",
    ],
}
"""Commands before those of a page: what its reader has done already."""

TEXT = "the memory remembers what it has read. " * 200

MEMORY = """\
name: mine
architecture: {kind: matrix, features: l2}
bias: huber
"""

MODEL = """\
model: {dim: 16, layers: 1, heads: 2, pattern: [gated-deltanet]}
"""

DESK = {
    "books/a.txt": TEXT,
    "notes.jsonl": '{"text": "one line"}\n' * 40,
    "my-memory.yaml": MEMORY,
    "my-model.yaml": MODEL,
    "runs/quickstart/best.yaml": MODEL,
}
"""Files that readers have."""

SMALL_TEXT = " --set training.context=16 --set training.batch=4 --set training.windows=8"
SMALL_TASK = " --steps 2 --set task.test=8 --set task.validation=8"

PARITY = (
    "  - {kind: parity, longest: 16, lengths: [32], steps: 200, batch: 64,"
    " validation: 64, test: 256}\n"
)
"""The second task of the tutorial's study."""

SMALLER: dict[str, dict[str, str]] = {
    "tutorial.md": {
        PARITY: "",
        "steps: 300": "steps: 2",
        "steps: 200": "steps: 2",
        "--steps 300": "--steps 3",
        "test: 256": "test: 16",
        "validation: 64": "validation: 8",
        "budget: {trials: 12}": "budget: {trials: 4}\nfirst_look: false",
        "learning_rates: [0.003, 0.01]": "learning_rates: [0.01]",
        "seeds: [101, 102, 103]": "seeds: [101, 102]",
        " --set training.context=128": SMALL_TEXT,
        "miras search my-study.yaml": "miras search my-study.yaml --workers 1",
        "miras confirm runs/my-study": "miras confirm runs/my-study --workers 1",
    },
    "README.md": {
        "--task mqar": "--task mqar" + SMALL_TASK,
        "--text books/": "--text books/ --steps 2" + SMALL_TEXT,
    },
    "train.md": {
        "dim: 256, layers: 4": "dim: 16, layers: 1",
        "context: 512": "context: 16",
        "batch: 64": "batch: 8",
        "tokens: 50000000": "tokens: 512",
        "--steps 2000": "--steps 2 --set model.dim=16" + SMALL_TEXT,
        "training.context=128 --set model.dim=128 --steps 200": "training.context=24 --steps 2",
    },
    "look.md": {
        "gsa --task mqar": "gsa --task mqar --set model.dim=8 --set model.layers=1" + SMALL_TASK,
        "miras look runs/gsa": "miras look runs/gsa --sequences 1",
        "--set model.dim=32": "--set model.dim=8 --set model.layers=1 --sequences 1",
        "--show norms": "--show norms --tokens 100 --set model.dim=8",
    },
    "take-away.md": {
        "--task mqar": "--task mqar" + SMALL_TASK,
        "--text books/": "--text books/ --steps 2" + SMALL_TEXT,
        "--tokenizer tokenizer.json": "--tokenizer books-hf/tokenizer.json",
    },
}
"""What is smaller in the tests than on the page."""

NOT_RUN: dict[str, str] = {
    "make ": "this is where the tests are started, and the quickstart takes eleven minutes",
    "pip install": "the network",
    "miras search studies/quickstart.yaml": "eleven minutes; the tutorial runs a smaller study",
    "miras status runs/quickstart": "as before",
    "miras report runs/quickstart": "as before",
    "miras sweep mine.yaml": "eighteen trainings; tests/test_sweep.py runs a small one",
    "miras sweep needles.yaml": "processes; tests/test_sweep.py runs a small one",
    "miras plot needle runs/needles": "as before",
    "miras plot lengths runs/needles": "as before",
    "miras validate": "hours; tests/test_sweep.py runs a small gate",
    "miras demonstrate": "tests/test_demonstrations.py runs a row",
    "miras space everything": "tests/test_search_census.py draws from it",
    "torchrun": "several processes; tests/test_text_resume.py has two",
    "miras train training.yaml --out runs/books --tensorboard": "an extra; see tests/test_text.py",
    "tensorboard": "a server",
    "optuna-dashboard": "a server",
    "lm_eval": "tests/test_lm_eval.py runs it where the extra is installed",
    "createuser": "a server of PostgreSQL; tests/test_search_storage.py has one",
    "createdb": "as before",
    "miras search quickstart.yaml": "a server, or a cluster; tests/test_search_cluster.py",
    "miras work": "as before",
    "miras status quickstart --storage": "as before",
    "miras confirm quickstart --storage": "as before; tests/test_search_by_name.py",
    "miras migrate quickstart wider.yaml --storage": "as before",
    "RAY_USAGE_STATS_ENABLED=0 ray start": "a cluster; tests/test_search_cluster.py starts one",
}
"""Commands that are not run here, by how they begin, and why. Those of miras are parsed."""

Step = dict[str, Any]
