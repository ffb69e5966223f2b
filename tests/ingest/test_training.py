"""Models that were exported as they train are named; what does no harm passes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import ModelRefused
from leap_audit.ingest import load
from leap_audit.ingest.inputs.selection import Inputs
from leap_audit.ingest.training import require_prediction
from leap_audit.run import choose_provider
from tests.builders.inputs import F32, HEAD, behind, network

CPU = choose_provider("cpu")
ONES = np.ones(3, np.float32)
NORM = {"scale": ONES, "offset": 0 * ONES, "mean": 0 * ONES, "var": ONES}
DROP = {
    "half": np.array(0.5, np.float32),
    "none": np.array(0, np.float32),
    "yes": np.array(True),
    "no": np.array(False),
}
PARTS = ["x", *NORM]
SAVED = ["z", "m", "v", "sm", "sv"]


@pytest.mark.parametrize(
    ("node", "opset", "says"),
    [
        (("BatchNormalization", PARTS, ["z"], {"training_mode": 1}), 15, "normalises each batch"),
        (("BatchNormalization", PARTS, SAVED[:3], {"training_mode": 1}), 17, "normalises each"),
        (("BatchNormalization", PARTS, SAVED), 9, "normalises each batch"),
        (("BatchNormalization", PARTS, ["z"], {"is_test": 0}), 6, "normalises each batch"),
        (("Dropout", ["x"], ["z"], {"is_test": 0, "ratio": 0.5}), 6, "drops features"),
        (("Dropout", ["x", "half", "yes"], ["z"]), 12, "drops features"),
        (("Dropout", ["x", "", "yes"], ["z"]), 13, "drops features"),
        (("RandomNormalLike", ["x"], ["z"]), 17, "draws numbers at random"),
        (("Bernoulli", ["x"], ["z"]), 17, "draws numbers at random"),
    ],
)
def test_training_is_named(node: Sequence[Any], opset: int, says: str) -> None:
    model = behind([node], {**NORM, **DROP}, opset=opset)
    with pytest.raises(ModelRefused, match=rf"training mode: {node[0]} \(z\) {says}.*model.eval"):
        require_prediction(model)


@pytest.mark.parametrize(
    ("node", "opset"),
    [
        (("BatchNormalization", PARTS, ["z"]), 15),
        (("BatchNormalization", PARTS, ["z"]), 9),
        (("BatchNormalization", PARTS, ["z"], {"is_test": 1}), 6),
        (("Dropout", ["x"], ["z"]), 10),
        (("Dropout", ["x", "none", "yes"], ["z"]), 13),
        (("Dropout", ["x", "half", "no"], ["z"]), 13),
        (("Dropout", ["x", "half"], ["z"]), 13),
        (("RandomNormalLike", ["x"], ["z"], {"seed": 1.0}), 17),
    ],
)
def test_what_predicts_passes(node: Sequence[Any], opset: int) -> None:
    require_prediction(behind([node], {**NORM, **DROP}, opset=opset))


def test_the_mode_of_a_constant_node() -> None:
    value = numpy_helper.from_array(np.array(True))
    nodes = [
        ("Constant", [], ["c"], {"value": value}),
        ("Identity", ["c"], ["mode"]),
        ("Dropout", ["x", "half", "mode"], ["z"]),
    ]
    with pytest.raises(ModelRefused, match="training mode: Dropout"):
        require_prediction(behind(nodes, DROP))


def in_a_function(mode: Mapping[str, int]) -> onnx.ModelProto:
    body = helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], **mode)
    function = helper.make_function(
        "own", "norm", ["x", "s", "b", "m", "v"], ["y"], [body], [helper.make_opsetid("", 17)]
    )
    model = behind([("norm", PARTS, ["z"])], NORM)
    model.graph.node[0].domain = "own"
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    return model


def test_a_model_is_refused_when_it_is_loaded() -> None:
    with pytest.raises(ModelRefused, match="training mode: BatchNormalization"):
        load(in_a_function({"training_mode": 1}), DeclaredPreprocessing(), CPU)
    assert load(in_a_function({}), DeclaredPreprocessing(), CPU).classes == 3


def test_a_mode_that_is_an_input() -> None:
    nodes = [("Dropout", ["x", "half", "training"], ["z"]), *HEAD]
    inputs = [("x", F32, ("n", 3, 8, 8)), ("training", TensorProto.BOOL, ())]
    model = network(nodes, inputs, DROP)
    predicting = load(model, DeclaredPreprocessing(), CPU, inputs=Inputs(values={"training": 0}))
    assert predicting.classes == 3
    with pytest.raises(ModelRefused, match="training mode: Dropout"):
        load(model, DeclaredPreprocessing(), CPU, inputs=Inputs(values={"training": 1}))
