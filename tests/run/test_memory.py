"""What graphs hold of the memory of a process."""

import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np
import onnx.parser
from leap_audit.run import Session, choose_provider

TEXT = '''<ir_version: 10, opset_import: ["": 21]>
g (float[1000000] x) => (float[1] y) {
    %s
    all = Concat<axis=0>(%s)
    y = ReduceMax(all)
}'''
parts = [f"p{i}" for i in range(8)]
nodes = " ".join(f"{p} = {'Abs' if i % 2 else 'Neg'}(x)" for i, p in enumerate(parts))
model = onnx.parser.parse_model(TEXT % (nodes, ", ".join(parts)))

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

before, sessions = resident(), []
for _ in range(6):
    sessions.append(Session(model, choose_provider("cpu"), 1))
    sessions[-1].run({"x": np.zeros(1_000_000, np.float32)})
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_graphs_that_take_turns_share_what_their_runs_take() -> None:
    """A run holds eight arrays of 4 MB and the 32 MB that they are joined to."""
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    ).stdout
    assert 30e6 < int(said) < 200e6, "six arenas of their own would hold 380 MB"
