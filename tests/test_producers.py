"""Each producer's model comes in, answers as with its producer, and has the right gradient."""

import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from leap_audit.config import DeclaredPreprocessing
from leap_audit.errors import StraightThrough
from leap_audit.gradient import build_gradient
from leap_audit.gradient.agreement import check_gradient
from leap_audit.ingest import load
from leap_audit.ingest.classes.lists import metadata_names
from leap_audit.ingest.outputs.answer import Softmax
from leap_audit.measure.run import Run
from leap_audit.run import choose_provider
from tests.builders.producers import PRODUCERS, SIZE, Producer
from tools.producers_page import OUT_OF_DATE, written

pytestmark = pytest.mark.xdist_group("tensorflow")  # one process imports it
RNG = np.random.default_rng(0)


def as_probabilities(answers: np.ndarray) -> np.ndarray:
    """Return logits or probabilities of several classes as probabilities."""
    if answers.min() >= 0 and np.allclose(answers.sum(1), 1, atol=1e-3):
        return answers
    return np.stack([Softmax(len(row)).probabilities(row[:, None])[:, 0] for row in answers])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's
@pytest.mark.parametrize("entry", PRODUCERS.values(), ids=PRODUCERS)
def test_a_producer_comes_in(entry: Producer, tmp_path: Path) -> None:
    for package in entry.packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    made = entry.make(tmp_path)
    declared = DeclaredPreprocessing(
        input_size=SIZE, range=made.value_range, mean=(0.0,), std=(1.0,)
    )
    model = load(made.model, declared, choose_provider("cpu"))
    pictures = RNG.random((3, 3, *SIZE), np.float32)
    logits = Run(model, 3, 1).logits(pictures)
    have = np.stack([Softmax(row.size).probabilities(row.reshape(-1, 1))[:, 0] for row in logits])
    want = as_probabilities(made.answers(pictures))
    np.testing.assert_allclose(have, want, atol=1e-4 if entry.exact else 2e-2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StraightThrough)
        shapes = {model.identity.inputs[0].name: (3, *SIZE)}
        free = model.identity.layout == "NCHW"
        gradient = build_gradient(model.proto, **({"shapes": shapes} if free else {}))
    if entry.exact:
        assert check_gradient(gradient).agrees


def test_names_of_ultralytics_are_read(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    made = PRODUCERS["ultralytics"].make(tmp_path)
    model = load(made.model, DeclaredPreprocessing(), choose_provider("cpu"))
    found = metadata_names(model.proto, model.classes)
    assert found is not None
    assert found[0][1] == "name 1"


def test_the_page_lists_every_producer() -> None:
    page, made = written()
    assert page == made, OUT_OF_DATE
