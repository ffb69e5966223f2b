"""Where ONNX Runtime's optimiser breaks a graph, a lower level runs it, and says so."""

import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

from leap_audit.errors import LeapAuditError, LessOptimised
from leap_audit.run import Loop, Session, choose_provider
from leap_audit.run import session as sessions
from leap_audit.run.options import LEVELS, session_options

CPU = choose_provider("cpu")
COUNTER = parser.parse_model(
    '<ir_version: 10, opset_import: ["": 21]> g (float[2] a, float[2] one, float[2] draw) => '
    "(float[2] next) { b = Add(a, one) next = Mul(b, draw) }"
)
SIGNED = parser.parse_model(
    '<ir_version: 10, opset_import: ["": 21]> g (float[3,4] x) => (float[4,3] y) '
    "<float s = {0.1}, int8 z = {3}> { q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) "
    "t = Transpose<perm=[1,0]>(d) y = Softmax(t) }"
)
"""ONNX Runtime 1.32 makes an invalid graph of this one, at EXTENDED and above."""

PADDED = parser.parse_model(
    '<ir_version: 10, opset_import: ["": 21]> g (float[1,1,4,4] x) => (float[1,1,4,4] y, '
    "float[1,1,5,5] z) <float[1,1,2,2] w = {1, 2, 3, 4}, int64[8] p = {0, 0, 1, 1, 0, 0, 1, 1}, "
    "float low = {-0.5}, float high = {0.5}> "
    "{ b = Clip(x, low, high) y = Identity(b) q = Pad(b, p) z = Conv(q, w) }"
)
"""ONNX Runtime 1.32 loses a tensor of this one, at BASIC and above, and calls it the file's fault.
"""


class Fail(Exception):
    """Bears the name of an error of ONNX Runtime's."""


class InvalidArgument(Exception):
    """Bears the name of an error that no level of optimisation helps against."""


def _failing(
    monkeypatch: pytest.MonkeyPatch, *, loads: int = 0, runs: int = 0, error: type = Fail
) -> list[str]:
    """Let ONNX Runtime fail to load, or to run, what it optimises at the first levels."""
    real, tried = Session._loaded, []

    class Broken:
        def __init__(self, session: Any) -> None:
            self._session = session

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

        def run(self, *_: Any) -> Any:
            raise error("the kernel of Node (fused) does not run")

        def run_with_iobinding(self, *_: Any) -> Any:
            raise error("the kernel of Node (fused) does not run")

    def loaded(self: Session, *args: Any) -> Any:
        level = args[-1]
        tried.append(level)
        if LEVELS.index(level) < loads:
            raise error("Node (t_q) does not load")
        made = real(self, *args)
        return Broken(made) if LEVELS.index(level) < runs else made

    monkeypatch.setattr(sessions.Session, "_loaded", loaded)
    return tried


def test_a_graph_that_the_optimiser_breaks_runs_at_a_lower_level() -> None:
    x = {"x": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)}
    plain = Session(SIGNED, CPU, often=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session = Session(SIGNED, CPU)
    np.testing.assert_allclose(session.run(x)[0], plain.run(x)[0], rtol=1e-5)
    assert [w.category for w in caught] == ([] if session.level == "ALL" else [LessOptimised])


def test_a_tensor_that_the_optimiser_loses_is_no_fault_of_the_graph() -> None:
    x = {"x": np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 1, 4, 4)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session = Session(PADDED, CPU)
    np.testing.assert_allclose(session.run(x)[0], np.clip(x["x"], -0.5, 0.5))
    assert [w.category for w in caught] == ([] if session.level == "ALL" else [LessOptimised])


@pytest.mark.parametrize("broken", [1, 2, 3])
def test_the_next_level_that_loads_is_used(broken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = _failing(monkeypatch, loads=broken)
    with pytest.warns(LessOptimised, match=rf"\(Node \(t_q\) does not load\).*{LEVELS[broken]}"):
        session = Session(COUNTER, CPU)
    assert session.level == LEVELS[broken]
    assert tried == list(LEVELS[: broken + 1])
    one = np.ones(2, np.float32)
    np.testing.assert_array_equal(session.run({"a": one, "one": one, "draw": one})[0], [2, 2])


@pytest.mark.parametrize("broken", [1, 3])
def test_what_loads_and_does_not_run_runs_at_a_lower_level(
    broken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _failing(monkeypatch, runs=broken)
    session = Session(COUNTER, CPU)
    one = np.ones(2, np.float32)
    with pytest.warns(LessOptimised, match=LEVELS[broken]):
        (y,) = session.run({"a": one, "one": one, "draw": one})
    np.testing.assert_array_equal(y, [2, 2])
    session.run({"a": one, "one": one, "draw": one})  # and stays there, without another word


def test_a_loop_goes_on_at_a_lower_level(monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, runs=2)
    one = np.ones(2, np.float32)
    loop = Loop(Session(COUNTER, CPU), {"a": ("next", np.zeros(2, np.float32))}, {"one": one})
    with pytest.warns(LessOptimised, match="BASIC"):
        loop.step({"draw": one})
    for factor in (2, 3):
        loop.step({"draw": factor * one})
    np.testing.assert_array_equal(loop.state("a"), [15, 15])  # ((0 + 1) * 1 + 1) * 2 + 1) * 3


def test_a_graph_that_no_level_loads_is_refused_with_the_first_reason() -> None:
    broken = onnx.ModelProto()
    broken.CopyFrom(COUNTER)
    broken.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(LeapAuditError, match=r"cannot load the graph: .*NoSuchOperator"):
        Session(broken, CPU)


def test_a_graph_that_no_level_runs_raises_the_first_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _failing(monkeypatch, runs=4)
    session = Session(COUNTER, CPU)
    one = np.ones(2, np.float32)
    with pytest.raises(Fail, match="fused"):
        session.run({"a": one, "one": one, "draw": one})
    assert session.level == "ALL"


def test_a_wrong_input_is_not_the_optimisers_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = _failing(monkeypatch)
    session = Session(COUNTER, CPU)
    with pytest.raises(Exception, match="one"):
        session.run({"a": np.ones(2, np.float32)})
    assert tried == ["ALL"]


@pytest.mark.parametrize("message", ["std::bad_alloc", "Failed to allocate memory for requested"])
def test_missing_memory_is_not_the_optimisers_fault(
    message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def loaded(self: Session, *args: Any) -> Any:
        tried.append(args[-1])
        raise Fail(message)

    monkeypatch.setattr(sessions.Session, "_loaded", loaded)
    with pytest.raises(LeapAuditError, match="cannot load"):
        Session(COUNTER, CPU)
    assert tried == ["ALL"]


def test_each_level_is_one_of_onnx_runtimes() -> None:
    found = [str(session_options(level=level).graph_optimization_level) for level in LEVELS]
    assert [name.rpartition("_")[2] for name in found] == ["ALL", "EXTENDED", "BASIC", "ALL"]
    assert len(set(found)) == len(LEVELS)
