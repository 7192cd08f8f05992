"""lm-eval on an exported folder: the log-likelihoods are those of the model that was exported."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from docs_pages import blocks, files
from typer.testing import CliRunner

pytest.importorskip("lm_eval")
pytest.importorskip("transformers")

from miras import checkpoint
from miras.cli import app
from miras.model import Model, ModelSpec

pytestmark = pytest.mark.slow

MEMORIES = ("gated-deltanet", "lstm", "sliding-window")
"""A matrix, a vector, stored pairs."""

MORE = [
    {"question": "Ärger, naïve 記憶:", "choices": ["ja", "nein, 決して"], "answer": 0},
    {
        "question": " ".join(["one two three four"] * 40),
        "choices": ["five", "four", ""],
        "answer": 0,
    },
    {"question": "x", "choices": ["y " * 150, "z"], "answer": 1},
]
"""Questions of other lengths: batches are padded, and no memory may read the padding.

None ends in a space, which the harness would count to the answer.
"""

SCRIPT = """
import json, shlex, sys
from lm_eval.__main__ import cli_evaluate
for line in json.loads(sys.argv[1]):
    sys.argv = shlex.split(line)
    cli_evaluate()
"""
"""The command, several times in one process: it imports for longer than it works."""


def command() -> str:
    """The command of the page."""
    found = [line for block in blocks("take-away.md") for line in block.commands]
    (line,) = (line for line in found if line.startswith("lm_eval"))
    return line


def own(model: Model, context: str, continuation: str) -> tuple[float, bool]:
    """Log-likelihood of a continuation by our model, and whether it is the most likely one."""
    ids = torch.tensor([list((context + continuation).encode())])
    start = len(context.encode())
    with torch.no_grad():
        logits, _ = model(ids[:, :-1])
    chances = logits[0, start - 1 :].double().log_softmax(-1)
    wanted = ids[0, start:]
    return float(chances.gather(1, wanted[:, None]).sum()), bool(
        (chances.argmax(-1) == wanted).all()
    )


def test_log_likelihoods_are_those_of_the_model(tmp_path: Path) -> None:
    shown = files("take-away.md")
    (tmp_path / "questions").mkdir()
    for name, text in shown.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with (tmp_path / "questions/capitals.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(each) + "\n" for each in MORE)
    lines: list[str] = []
    for name in MEMORIES:
        torch.manual_seed(3)
        spec = {"dim": 32, "layers": 2, "heads": 2, "pattern": [name]}
        model = Model(ModelSpec.model_validate(spec), 256).eval()
        with torch.no_grad():  # far from uniform, as after training
            model.embedding.weight.mul_(6)
        checkpoint.save(model, tmp_path / "runs" / name / "model.safetensors", {})
        words = ["export", str(tmp_path / "runs" / name), str(tmp_path / name), "--to", "hf"]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        lines.append(command().replace("books-hf", name).replace("runs/eval", f"seen/{name}"))
        assert shlex.split(lines[-1])[-1] == "--log_samples"
    quiet = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(lines)],
        cwd=tmp_path,
        env=os.environ | quiet | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for name in MEMORIES:
        model = checkpoint.load(tmp_path / "runs" / name / "model.safetensors").eval()
        (samples,) = (tmp_path / "seen" / name).rglob("samples_capitals_*.jsonl")
        asked = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
        assert len(asked) == 3 + len(MORE)
        compared = 0
        for sample in asked:
            for place, response in enumerate(sample["filtered_resps"]):
                arguments = sample["arguments"][f"gen_args_{place}"]
                likelihood, best = own(model, arguments["arg_0"], arguments["arg_1"])
                assert float(response[0]) == pytest.approx(likelihood, rel=1e-5, abs=1e-4), name
                assert str(response[1]) == str(best)
                compared += 1
        assert compared == sum(len(sample["doc"]["choices"]) for sample in asked)
