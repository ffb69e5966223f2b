"""What holds for every method of attribution in the registry."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leap_audit.config import DeclaredPreprocessing
from leap_audit.ingest import load
from leap_audit.ingest.model import Model
from leap_audit.ingest.outputs.answer import Detections
from leap_audit.ingest.pictures.images import read_picture
from leap_audit.measure.attribution.smoothing import WRAPPERS, explainer
from leap_audit.measure.detection_targets import DetectionTarget
from leap_audit.measure.detections import raw_detections
from leap_audit.measure.methods import Explanation, load_methods
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.run import choose_provider
from leap_audit.run.session import Array
from tests.builders import coloured
from tests.builders.attention import attending, averaging

ROOT = Path(__file__).resolve().parents[3] / "sample_models"
NAMES = [m.name for m in load_methods().values() if m.kind == "attribution"]
QUICK: dict[str, dict[str, Any]] = {
    "drise": {"masks": 400},
    "rise": {"masks": 400},
    "kernel_shap": {"samples": 200},
    "shapley_sampling": {"permutations": 3},
    "isolation_ranking": {"steps": 12},
    "integrated_gradients": {"steps": 16},
    "xrai": {"steps": 8, "least": 8, "dilation": 1},
    "blur_ig": {"steps": 64},
    "conductance": {"steps": 40},
    "gradient_shap": {"samples": 24},
    "internal_influence": {"steps": 16},
    "layer_ig": {"steps": 16},
    "smoothgrad": {"kind": "square"},
}
COLOURED = DeclaredPreprocessing(range=(0, 1), mean=(0,), std=(1,), channel_order="BGR")
CLASSLESS = {"eigencam", "attention_rollout"}
"""Controls that look at no score at all; other controls depend on it, but hardly."""
DRAWING = {"drise", "rise", "gradient_shap", "smoothgrad", "kernel_shap", "shapley_sampling"}


@pytest.fixture(scope="module")
def run() -> Run:
    model = load(ROOT / "digits_shortcut.onnx", DeclaredPreprocessing(), choose_provider("cpu"))
    return Run(model, 8, 1)


@pytest.fixture(scope="module")
def subjects(run: Run) -> list[Subject]:
    """Pictures of the marked class, and one more."""
    files = sorted((ROOT / "pictures" / "marked").rglob("*.png"))[:3]
    pictures = [read_picture(file, run.model.preprocessing) for file in files]
    return [Subject(p, int(run.logits(p[None])[0].argmax())) for p in pictures]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Networks that have what the digits lack."""
    folder = tmp_path_factory.mktemp("others")
    coloured.detector(folder / "coloured.onnx")
    models = (
        attending(folder / "attending.onnx"),
        averaging(folder / "averaging.onnx"),
        load(folder / "coloured.onnx", COLOURED, choose_provider("cpu"), names=3),
    )
    return [Run(model, 8, 1) for model in models]


def asked(run: Run, picture: Array, class_: int) -> Subject:
    """A class of a picture; of a detector at the row that is surest of it."""
    if not isinstance(run.model.answer, Detections):
        return Subject(picture, class_)
    probs, boxes = raw_detections(run, picture)
    row = int(probs[class_].argmax())
    left, top, right, bottom = map(float, boxes[:, row])
    target = DetectionTarget(row, "class", class_, (left, top, right, bottom))
    return Subject(picture, class_, target=target)


@pytest.fixture
def case(
    name: str, run: Run, subjects: list[Subject], others: list[Run]
) -> tuple[Run, list[Subject]]:
    """A network that has everything that the method needs, with pictures of it."""
    if not explainer(name).unmet(run.model):
        return run, subjects
    fitting = next(each for each in others if not explainer(name).unmet(each.model))
    rng = np.random.default_rng(0)
    pictures = [rng.random(fitting.model.picture_shape).astype(np.float32) for _ in range(3)]
    if isinstance(fitting.model.answer, Detections):
        return fitting, [asked(fitting, p, 0) for p in coloured.pictures(3)]
    return fitting, [Subject(p, int(fitting.logits(p[None])[0].argmax())) for p in pictures]


def explained(
    run: Run, name: str, subjects: list[Subject], seed: int = 0, **more: Any
) -> list[Explanation]:
    method = explainer(name)
    options = method.options.parse({**QUICK.get(name, {}), **more}, "test")
    return list(method.function(run, subjects, options, seed=seed))


def alike(a: Array, b: Array) -> None:
    np.testing.assert_allclose(a, b, atol=2e-4 * np.abs(b).max() + 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_maps_do_not_depend_on_company_and_repeat(
    case: tuple[Run, list[Subject]], name: str
) -> None:
    run, subjects = case
    together = explained(run, name, subjects[:2])
    (alone,) = explained(run, name, subjects[1:2])
    assert together[1].values.shape == subjects[1].picture.shape[1:]
    assert np.isfinite(together[1].values).all()
    assert np.ptp(alone.values) > 0
    alike(together[1].values, alone.values)
    (again,) = explained(run, name, subjects[1:2])
    assert again.values.tobytes() == alone.values.tobytes()
    if name in DRAWING:
        (other,) = explained(run, name, subjects[1:2], seed=1)
        assert not np.array_equal(other.values, alone.values)


@pytest.mark.parametrize("name", NAMES)
def test_batches_change_nothing(case: tuple[Run, list[Subject]], name: str) -> None:
    run, subjects = case
    if name == "isolation_ranking":
        pytest.skip("copies are drawn by the batch")
    (eight,) = explained(run, name, subjects[:1])
    (three,) = explained(run.at_once(4), name, subjects[:1])
    alike(three.values, eight.values)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_promised_to_add_up_does(case: tuple[Run, list[Subject]], name: str) -> None:
    run, subjects = case
    traits = explainer(name).traits
    (found,) = explained(run, name, subjects[:1])
    assert ("completeness_gap" in found.figures) == bool(traits.complete)
    if traits.complete:
        assert found.figures["completeness_gap"] < 3e-2


@pytest.mark.parametrize("name", NAMES)
def test_maps_depend_on_the_class_but_for_the_controls(
    case: tuple[Run, list[Subject]], name: str
) -> None:
    run, subjects = case
    subject = subjects[0]
    other = asked(run, subject.picture, (subject.class_ + 1) % run.model.classes)
    (one,), (two,) = explained(run, name, [subject]), explained(run, name, [other])
    a, b = one.values - one.values.mean(), two.values - two.values.mean()
    cosine = float((a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-12))
    if explainer(name).traits.classes:
        assert cosine < 0.98
    elif name in CLASSLESS:
        assert cosine == pytest.approx(1)


@pytest.mark.parametrize("name", sorted(DRAWING))
def test_the_same_seed_gives_the_same_bytes_in_another_process_order(
    case: tuple[Run, list[Subject]], name: str
) -> None:
    """Draws belong to the picture, the class and the seed, not to what ran before."""
    run, subjects = case
    (first,) = explained(run, name, subjects[2:])
    explained(run, name, subjects[:1])
    (again,) = explained(run, name, subjects[2:])
    assert again.values.tobytes() == first.values.tobytes()


@pytest.mark.parametrize("prefix", WRAPPERS)
def test_wrappers_take_any_method(run: Run, subjects: list[Subject], prefix: str) -> None:
    name = f"{prefix}:gradcam"
    options = {"noise": 0.0, "copies": 2} if prefix == "smooth" else {"mirrored": False, "shift": 0}
    (wrapped,) = explained(run, name, subjects[:1], **options)
    (plain,) = explained(run, "gradcam", subjects[:1])
    alike(wrapped.values, plain.values)
    (real,) = explained(run, name, subjects[:1])
    assert not np.allclose(real.values, plain.values, atol=1e-3 * plain.values.max())
    assert "gradcam" in explainer("tta:smooth:gradcam").name


def test_smoothgrad_is_the_wrapper_of_the_gradient(run: Run, subjects: list[Subject]) -> None:
    for kind in ("mean", "square", "variance"):
        (own,) = explained(run, "smoothgrad", subjects[:1], kind=kind, copies=64)
        (same,) = explained(
            run, "smooth:saliency", subjects[:1], kind=kind, copies=64, absolute=False
        )
        both = np.corrcoef(own.values.ravel(), same.values.ravel())
        assert both[0, 1] > 0.9  # other draws


def test_a_method_with_the_options_of_a_wrapper_is_wrapped(
    run: Run, subjects: list[Subject]
) -> None:
    options = {"copies": 2, "noise": 0.0}
    (plain,) = explained(run, "saliency", subjects[:1], absolute=False)
    for name in ("smooth:smoothgrad", "smooth:smooth:saliency", "tta:smooth:smoothgrad"):
        more = {"absolute": False} if "saliency" in name else {}
        more |= {"mirrored": False, "shift": 0} if "tta" in name else {}
        (found,) = explained(run, name, subjects[:1], **options, **more)
        alike(found.values, plain.values)


@pytest.fixture(scope="module")
def marked(run: Run) -> list[Subject]:
    """Pictures of other digits that the model takes for the marked class, for its mark."""
    files = sorted((ROOT / "pictures" / "marked").rglob("*.png"))
    pictures = [read_picture(file, run.model.preprocessing) for file in files]
    taken = [p for p in pictures if int(run.logits(p[None])[0].argmax()) == MARKED]
    return [Subject(p, MARKED) for p in taken[:2]]


MARKED = 3
MARGIN = 3
"""Pixels around the mark of 4 × 4 that count as on it: maps are coarse, and receptive fields are
wider than the mark."""


def on_the_mark(values: Array) -> float:
    """The share of the highest 2 % of a map that lie on the mark."""
    top, left, bottom, right = json.loads((ROOT / "facts.json").read_text())["mark"]
    mask = np.zeros(values.shape, bool)
    mask[max(top - MARGIN, 0) : bottom + MARGIN, max(left - MARGIN, 0) : right + MARGIN] = True
    highest = np.argsort(-values, axis=None, kind="stable")[: int(0.02 * values.size)]
    return float(mask.ravel()[highest].mean())


@pytest.mark.parametrize("name", [n for n in NAMES if explainer(n).traits.shortcut])
def test_a_shortcut_is_shown(run: Run, marked: list[Subject], name: str) -> None:
    if explainer(name).unmet(run.model):
        pytest.skip("shown on a network that has what it needs")
    for found in explained(run, name, marked):
        assert on_the_mark(found.values) >= 0.7


@pytest.mark.parametrize(("name", "network"), [("cam", averaging), ("gradient_rollout", attending)])
def test_a_bright_mark_is_shown_where_the_answer_is_what_is_bright(
    name: str, network: Callable[..., Model], tmp_path: Path
) -> None:
    run = Run(network(tmp_path / "m.onnx", bright=True), 2, 1)
    picture = 0.05 * np.random.default_rng(0).random((1, 8, 8)).astype(np.float32)
    picture[:, 4:6, 2:4] = 1.0
    (found,) = explained(run, name, [Subject(picture, 0)])
    row, column = np.unravel_index(found.values.argmax(), found.values.shape)
    assert (row // 2, column // 2) == (2, 1)


def test_the_object_of_a_detection_is_shown(others: list[Run]) -> None:
    """Of two squares, the one that is asked about."""
    (run,) = (each for each in others if isinstance(each.model.answer, Detections))
    picture = coloured.picture(("red", 2, 3), ("green", 9, 8))
    for class_, middle in ((0, (2, 3)), (1, (9, 8))):
        (found,) = explained(run, "drise", [asked(run, picture, class_)])
        highest = np.unravel_index(found.values.argmax(), found.values.shape)
        cell = [int(x) // coloured.CELL for x in highest]
        assert np.abs(np.subtract(cell, middle)).max() <= 1


def test_every_shortcut_is_tested_somewhere(run: Run) -> None:
    lacking = {n for n in NAMES if explainer(n).traits.shortcut and explainer(n).unmet(run.model)}
    assert lacking == {"cam", "drise", "gradient_rollout"}


def test_a_model_without_the_shortcut_shows_none(marked: list[Subject]) -> None:
    clean = load(ROOT / "digits_clean.onnx", DeclaredPreprocessing(), choose_provider("cpu"))
    run = Run(clean, 8, 1)
    subjects = [Subject(s.picture, int(run.logits(s.picture[None])[0].argmax())) for s in marked]
    for name in ("occlusion", "integrated_gradients", "hirescam", "rise"):
        assert max(on_the_mark(e.values) for e in explained(run, name, subjects)) < 0.5


def test_grad_cam_misplaces_what_is_flattened_and_hirescam_does_not(
    run: Run, marked: list[Subject]
) -> None:
    """The mean of the gradient loses where it was, unless the map is averaged afterwards."""
    misplaced = [on_the_mark(e.values) for e in explained(run, "gradcam", marked)]
    assert min(misplaced) < 0.3
    assert not explainer("gradcam").traits.shortcut
