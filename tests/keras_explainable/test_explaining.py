"""`explain` over batches, its shortcuts, filters and pictures."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import leap_audit.keras_explainable as ke
from leap_audit.errors import UsageError
from tests.keras_explainable.conftest import HEIGHT, WIDTH, Array, Worked


class Steps:
    """A callback of Keras, as far as it is called."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def set_model(self, model: Any) -> None:
        self.calls.append(("model", model))

    def on_predict_begin(self) -> None:
        self.calls.append("begin")

    def on_predict_batch_begin(self, step: int) -> None:
        self.calls.append(("batch", step))

    def on_predict_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        self.calls.append(("end", step, logs["outputs"][1].shape))

    def on_predict_end(self) -> None:
        self.calls.append("over")


def test_batches_of_any_kind_give_the_same(worked: Worked, inputs: Array, units: Array) -> None:
    scores, maps = ke.gradcam(worked.path, inputs, units, verbose=0)
    pairs = [(inputs[:2], units[:2]), (inputs[2:], units[2:], None)]

    class Data:
        def as_numpy_iterator(self) -> Any:
            return iter(pairs)

    for x, y in ((inputs, units), (iter(pairs), None), (pairs, None), (Data(), None)):
        found = ke.gradcam(worked.path, x, y, batch_size=2, verbose=0)
        np.testing.assert_allclose(found[0], scores, rtol=1e-5)
        np.testing.assert_allclose(found[1], maps, atol=1e-5)
    alone = ke.gradcam(worked.path, inputs, units, batch_size=2, steps=1, verbose=0)
    np.testing.assert_allclose(alone[1], maps[:2], atol=1e-5)


def test_callbacks_are_called_in_keras_order(worked: Worked, inputs: Array, units: Array) -> None:
    steps = Steps()
    ke.cam(worked.path, inputs, units, batch_size=2, verbose=0, callbacks=[steps, None])
    size = (HEIGHT, WIDTH, 2)
    assert steps.calls == [
        ("model", worked.path),
        "begin",
        ("batch", 0),
        ("end", 0, (2, *size)),
        ("batch", 1),
        ("end", 1, (1, *size)),
        "over",
    ]


@pytest.mark.parametrize(
    ("name", "filtered", "size"),
    [
        ("cam", "positive_normalize", (HEIGHT, WIDTH)),
        ("gradcam", "positive_normalize", (HEIGHT, WIDTH)),
        ("gradcampp", "positive_normalize", (HEIGHT, WIDTH)),
        ("scorecam", "positive_normalize", None),
        ("gradients", "normalize", None),
        ("full_gradients", "normalize", None),
    ],
)
def test_shortcuts_have_the_originals_filters_and_sizes(
    worked: Worked, inputs: Array, units: Array, name: str, filtered: str, size: Any
) -> None:
    methods = {
        each.__name__: each for each in (*ke.methods.cams.METHODS, *ke.methods.gradient.METHODS)
    }
    _, maps = getattr(ke, name)(worked.path, inputs, units, verbose=0)
    raw = methods[name](worked.path, inputs, units)[1]
    want = ke.meta.resized(getattr(ke.filters, filtered)(raw), size or raw.shape[1:3])
    np.testing.assert_allclose(maps, want, atol=1e-5)
    assert getattr(ke, name).__name__ == f"{name}_explain"


def test_a_filter_comes_before_the_size(worked: Worked, inputs: Array, units: Array) -> None:
    arguments = ("gradcam", worked.path, inputs, units)
    _, small = ke.explain(*arguments, resizing=False, verbose=0)
    assert small.shape == (3, HEIGHT // 2, WIDTH // 2, 2)
    _, wide = ke.explain(*arguments, postprocessing=ke.filters.positive, resizing=(9, 4), verbose=0)
    want = ke.meta.resized(np.maximum(small, 0), (9, 4))
    np.testing.assert_allclose(wide, want, atol=1e-6)


def test_filters() -> None:
    x = np.array([[[[3.0], [-1.0]], [[0.0], [-5.0]]]])
    flat = {
        "normalize": [1, 0.5, 0.625, 0],
        "positive": [3, 0, 0, 0],
        "negative": [0, 1, 0, 5],  # the original returns max(x, 0)
        "positive_normalize": [1, 0, 0, 0],
        "absolute_normalize": [0.6, 0.2, 0, 1],
        "negative_normalize": [0, 0.2, 0, 1],
    }
    for name, want in flat.items():
        found = getattr(ke.filters, name)(x)
        np.testing.assert_allclose(found.ravel(), want)
        assert type(found.numpy()) is np.ndarray
    assert not ke.filters.normalize(np.full((1, 2, 2, 1), 7)).any()  # integers, and no 0/0
    two = np.stack([x[0], 10 * x[0]], -1)[..., 0, :][None]
    np.testing.assert_allclose(ke.filters.normalize(two)[..., 0], ke.filters.normalize(two)[..., 1])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"method": "gradcm"}, "no 'gradcm'; did you mean 'gradcam'"),
        ({"method": 3}, "a int is no function"),
        ({"x": []}, "no inputs"),
        ({"x": 3}, "a int holds no inputs"),
        ({"x": iter([np.zeros((1, 6, 8, 3))]), "y": [[0]]}, "y: is None where x holds batches"),
        ({"y": [[0]]}, "1 lists of units for 3 inputs"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    worked: Worked, inputs: Array, change: dict[str, Any], says: str
) -> None:
    given = {"method": "cam", "model": worked.path, "x": inputs, "verbose": 0, **change}
    with pytest.raises(UsageError, match=says):
        ke.explain(**given)


def test_what_keras_loop_takes_is_ignored_and_said(worked: Worked, inputs: Array) -> None:
    with pytest.warns(UserWarning, match="workers, use_multiprocessing, force: not needed"):
        ke.cam(worked.path, inputs[:1], [[0]], workers=4, verbose=0)


def test_inputs_within_a_traced_function_are_refused(worked: Worked) -> None:
    class Symbolic:
        def __array__(self, *_: Any, **__: Any) -> Array:
            raise NotImplementedError("symbolic")

    with pytest.raises(UsageError, match=r"as within tf\.function; call the method itself"):
        ke.methods.cams.cam(worked.path, Symbolic())


def test_images_are_drawn_in_a_grid(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib").use("agg")
    image = np.random.default_rng(0).random((3, 4, 4, 3))
    ke.utils.visualize(
        [*image, None],
        titles=list("abc"),
        overlays=[None, image[0, ..., :1]],
        cols=2,
        to_file=str(tmp_path / "grid.png"),
    )
    assert (tmp_path / "grid.png").stat().st_size > 1000
    found = ke.utils.visualize(image, figsize=(3, 1), to_buffer=io.BytesIO())
    assert found.size == (300, 100)
    with pytest.raises(UsageError, match="images: none"):
        ke.utils.visualize([])
