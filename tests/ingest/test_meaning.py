"""What the output means is measured: the probabilities reported are the model's own."""

from pathlib import Path

import numpy as np
import pytest

from leap_audit.measure.answer import probabilities
from leap_audit.measure.forward import Classifier
from leap_audit.run.session import Array
from tests.ingest.ends import ENDS, End, own_answer, pictures, write_end
from tests.measure.models import read_model


def reported(path: Path) -> Array:
    """Return (pictures, classes): the probabilities as an audit has them."""
    model = read_model(path)
    how = model.identity.probabilities
    classifier = Classifier.of(model, 3, 1)
    return np.stack([probabilities(s, how)[:, 0] for s in classifier.scores(pictures())])


def wanted(end: End, answer: Array) -> Array:
    """Return the same of the model's own answer."""
    if end.of == "logit":
        if answer.shape[1] == 1:
            answer = np.concatenate([-answer / 2, answer / 2], 1)
        return probabilities(answer.T, "softmax").T
    p = np.exp(answer) if end.of == "log" else answer / end.total
    return np.concatenate([1 - p, p], 1) if end.of == "second" else p


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("name", ENDS)
def test_probabilities_are_the_models_own(tmp_path: Path, name: str, scale: float) -> None:
    """Also of a network that is entirely sure of everything it is shown."""
    if scale > 1 and name == "exp and sum without the maximum":
        pytest.skip("such a network itself gives no numbers then")
    end = ENDS[name]
    path = write_end(tmp_path / "m.onnx", end, scale=scale)
    exact = 1e-3 if name == "half precision" else 1e-5
    np.testing.assert_allclose(
        reported(path), wanted(end, own_answer(path, pictures())), atol=exact
    )


@pytest.mark.parametrize("name", ENDS)
def test_what_was_measured_is_said(tmp_path: Path, name: str) -> None:
    end = ENDS[name]
    model = read_model(write_end(tmp_path / "m.onnx", end))
    identity = model.identity
    assert identity.task == end.task, identity.meaning
    assert end.says in identity.meaning
    assert identity.meaning.startswith("On 10 pictures its numbers lie in ")
    assert not identity.constant
    assert identity.output == "y"
    if end.read:
        tensor = f"tensor '{end.read}'"
        assert end.read == "y" or tensor in identity.meaning
        assert model.reading is not None
        assert model.reading.change == "none"
