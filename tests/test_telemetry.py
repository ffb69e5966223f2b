"""No command and no library looks up a name, opens a connection or leaves a marker."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from leap_audit.telemetry import SILENCE
from tests.walls.listening import here, listen

pytestmark = pytest.mark.skipif(
    not here(), reason="this machine does not let a process watch another's connections"
)
SAMPLES = Path(__file__).parents[1] / "sample_models"
MODEL = str(SAMPLES / "digits_clean.onnx")


def run(folder: Path, *words: str, **variables: str) -> tuple[str, list[str], list[str]]:
    """Return what a Python said, whom it wanted to reach, and the files that it left behind."""
    home, scratch = folder / "home", folder / "scratch"
    for each in (home, scratch):
        each.mkdir(exist_ok=True)
    passed = {k: v for k, v in os.environ.items() if k not in SILENCE and not k.startswith("LEAP_")}
    passed |= {"HOME": str(home), "TMPDIR": str(scratch), "NO_COLOR": "1", "LANG": "C.UTF-8"}
    passed |= {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore"} | variables
    done, wanted = listen([sys.executable, *words], env=passed, cwd=folder)
    assert done.returncode in (0, 1), done.stderr
    left = [str(p.relative_to(folder)) for each in (home, scratch) for p in each.rglob("*")]
    return done.stdout + done.stderr, wanted, left


def test_a_look_up_is_noticed(tmp_path: Path) -> None:
    code = (
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "try: s.connect(('192.0.2.1', 53))\n"
        "except OSError: print('refused')"
    )
    said, wanted, _ = run(tmp_path, "-c", code)
    assert said.strip() == "refused"
    assert wanted == ["192.0.2.1:53"]
    in_a_child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    assert run(tmp_path, "-c", in_a_child)[1] == ["192.0.2.1:53"]


def test_what_onnx_runtime_leaves_is_noticed(tmp_path: Path) -> None:
    """The counterpart: without the variable, ONNX Runtime 1.32 leaves a marker of this machine."""
    _, _, left = run(tmp_path, "-c", "import onnxruntime")
    if not left:
        pytest.skip("this version of ONNX Runtime leaves nothing")
    assert any("onnxruntime" in name or ".ses" in name for name in left)


EVERY_COMMAND = """
import sys
from leap_audit.cli import main
for words in {commands!r}:
    print(words[0])
    sys.argv = ["leap-audit", *words]
    try:
        main()
    except SystemExit as ended:
        assert ended.code in (None, 0, 1), words
"""


def test_the_commands(tmp_path: Path) -> None:
    """One after the other in one process, which imports everything once."""
    photograph = sorted((SAMPLES / "pictures" / "plain").rglob("*.png"))[0]
    quick = ["--effort", "quick", "--targets", "1", "--steps", "1", "--samples", str(photograph)]
    commands = [
        [MODEL, *quick, "--out", "a"],
        ["report", "a", "--out", "b"],
        ["compare", "a", "b"],
        ["verify", "a", "--model", MODEL],
        ["gradient", MODEL, "--out", "g.onnx"],
        ["operators", MODEL],
        ["export", MODEL, "--out", "e.onnx"],
        ["doctor"],
    ]
    if find_spec("huggingface_hub"):
        commands.append(["attach", "a", "README.md"])
    said, wanted, left = run(tmp_path, "-c", EVERY_COMMAND.format(commands=commands))
    assert (wanted, left) == ([], []), said
    assert (tmp_path / "a" / "report.pdf").is_file()
    assert (tmp_path / "e.onnx").is_file()


def test_the_program_itself(tmp_path: Path) -> None:
    said, wanted, left = run(tmp_path, "-m", "leap_audit", "operators", MODEL)
    assert (wanted, left) == ([], []), said


def test_every_variable_is_set_before_a_library_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys, leap_audit, os; from leap_audit.telemetry import SILENCE\n"
        "print([n for n in SILENCE if os.environ.get(n) != SILENCE[n]])\n"
        "print([m for m in ('onnxruntime', 'numpy', 'torch') if m in sys.modules])"
    )
    said, _, _ = run(tmp_path, "-c", code)
    assert said.split() == ["[]", "[]"]


LIBRARIES = {
    "huggingface_hub": "import huggingface_hub as h; h.ModelCard('---\\ntags: []\\n---\\n')",
    "mlflow": "import mlflow; mlflow.set_tracking_uri('sqlite:///m.db'); mlflow.start_run(); "
    "mlflow.log_metric('a', 1); mlflow.end_run()",
    "wandb": "import wandb; r = wandb.init(mode='offline', dir='.', project='p'); r.log({'a': 1}); "
    "r.finish()",
    "torch": "import torch, torch.onnx; torch.nn.Linear(2, 2)(torch.ones(1, 2))",
    "tensorflow": "import tensorflow, keras; keras.layers.Dense(2)(tensorflow.ones((1, 2)))",
    "ray": "import ray; ray.init(local_mode=True); ray.shutdown()",
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library(tmp_path: Path, name: str) -> None:
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    said, wanted, _ = run(tmp_path, "-c", f"import leap_audit\n{LIBRARIES[name]}")
    assert wanted == [], said
