"""The context manager, the metrics, the pictures and the callback."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leap_audit.errors import ConfigRefused, PictureRefused, UsageError
from leap_audit.foxai import (
    CVClassificationExplainers,
    Explainers,
    ExplainerWithParams,
    FoXaiExplainer,
    array_utils,
    visualizer,
)
from leap_audit.foxai.callbacks.wandb_callback import WandBCallback
from leap_audit.foxai.metrics import deletion, insertion
from leap_audit.foxai.metrics.focus import (
    create_mosaic_picture,
    create_mosaics_from_images,
    focus,
)
from leap_audit.measure.smooth import blur_matrix
from tests.builders.classifiers import linear
from tests.foxai.conftest import HEIGHT, WIDTH, Prepared

SIDE = 8
WEIGHTS = np.full((SIDE, SIDE), -1 / 3)
WEIGHTS[:4, :4] = 1


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose class 1 is bright where WEIGHTS is; a picture of one colour is of no class."""
    weights = np.stack([np.zeros(SIDE**2), WEIGHTS.ravel()])
    return linear(tmp_path_factory.mktemp("linear") / "m.onnx", weights, SIDE)


@pytest.fixture
def inputs() -> Any:
    return np.random.default_rng(0).normal(size=(2, 1, SIDE, SIDE)).astype(np.float32)


def test_explanations_stand_beside_the_answer(prepared: Prepared) -> None:
    torch = pytest.importorskip("torch")
    module = prepared.module.train()
    module[1].eval()
    chosen = [
        ExplainerWithParams(CVClassificationExplainers["CV_SALIENCY_EXPLAINER"], abs_value=False),
        ExplainerWithParams(explainer_name="CV_SALIENCY_EXPLAINER"),
    ]
    with FoXaiExplainer(model=module, explainers=chosen, target=torch.tensor(2)) as xai:
        assert not module.training
        output, explanations = xai(prepared.inputs)
    assert [part.training for part in module][:3] == [True, False, True]  # each as it was
    assert module.eval().training is False
    torch.testing.assert_close(output, module(prepared.inputs).detach())
    assert list(explanations) == ["CV_SALIENCY_EXPLAINER_0", "CV_SALIENCY_EXPLAINER_1"]
    signed, absolute = explanations.values()
    torch.testing.assert_close(signed.abs(), absolute)
    assert signed.min() < 0


def test_the_weights_are_those_at_the_start_of_a_block(inputs: Any) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(SIDE**2, 2))
    chosen = [ExplainerWithParams(Explainers["CV_SALIENCY_EXPLAINER"])]
    xai = FoXaiExplainer(module, chosen, target=1)
    for factor in (1, 3):
        with torch.no_grad():
            module[1].weight.fill_(factor)
        with xai:
            _, explanations = xai(torch.from_numpy(inputs))
        assert float(explanations["CV_SALIENCY_EXPLAINER_0"].mean()) == pytest.approx(factor)


def test_files_are_explained_too(path: Path, inputs: Any) -> None:
    chosen = [ExplainerWithParams(CVClassificationExplainers["CV_INPUT_X_GRADIENT_EXPLAINER"])]
    with FoXaiExplainer(path, chosen, target=1) as xai:
        output, explanations = xai(inputs)
    want = WEIGHTS * inputs
    scores = want.sum((1, 2, 3))
    np.testing.assert_allclose(output, np.stack([0 * scores, scores], 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(explanations["CV_INPUT_X_GRADIENT_EXPLAINER_0"], want, atol=1e-5)


@pytest.mark.parametrize(
    ("explainers", "kind", "says"),
    [
        ([], UsageError, "explainers: none"),
        (["CV_SALIENCI_EXPLAINER"], ConfigRefused, "did you mean 'CV_SALIENCY_EXPLAINER'"),
    ],
)
def test_explainers_are_refused_before_anything_is_computed(
    explainers: list[str], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        FoXaiExplainer(object(), [ExplainerWithParams(name) for name in explainers])


def test_models_of_several_inputs_are_refused(path: Path, inputs: Any) -> None:
    with (
        FoXaiExplainer(path, [ExplainerWithParams("CV_SALIENCY_EXPLAINER")]) as xai,
        pytest.raises(UsageError, match="models of one input"),
    ):
        xai(inputs, inputs)


def test_metrics_are_of_the_models_answers(path: Path, inputs: Any) -> None:
    """FoXAI's is the mean of the map's thresholds, and masks the picture transposed."""
    picture = np.zeros((1, SIDE, SIDE), np.float32)
    picture[0, :4, :2] = 1  # class 1, as long as it is there
    upper = np.zeros((1, SIDE, SIDE))
    upper[0, :4, :2] = 1
    other = np.swapaxes(upper, 1, 2)[..., ::-1]
    found = []
    for values in (upper, other):
        shown, curve = insertion(values, picture, path, 1)
        removed, gone = deletion(values, picture, path, 1)
        found.append((shown, removed))
        assert len(curve) == len(gone) == 31
        assert [share for share, _ in curve] == pytest.approx(np.linspace(0, 1, 31))
        assert gone[0][1] == curve[-1][1] == pytest.approx(1 / (1 + np.exp(-8)))  # all of it
        assert shown == round(float(np.mean([p for _, p in curve])), 4)
    assert found[0][0] > found[1][0]
    assert found[0][1] < found[1][1] - 0.05
    assert gone[-1][1] == pytest.approx(0.5, abs=1e-5)  # the mean colour alone
    _, blurred = insertion(upper, picture, path, 1, kernel=(5, 13))
    down, across = blur_matrix(SIDE, 2.3), blur_matrix(SIDE, 1.1)
    fill = down @ picture[0] @ across.T
    assert blurred[0][1] == pytest.approx(1 / (1 + np.exp(-(WEIGHTS * fill).sum())), rel=1e-4)
    with pytest.raises(PictureRefused, match="give one input"):
        insertion(upper, picture[None], path, 1)
    with pytest.raises(PictureRefused, match="those of one input"):
        insertion(upper[None], picture, path, 1)


def test_mosaics_and_their_focus() -> None:
    torch = pytest.importorskip("torch")
    pairs = [[torch.full((1, 3, 2, 4), float(i)), torch.tensor([i])] for i in range(4)]
    whole = create_mosaic_picture(pairs, shuffle=False)
    assert whole.mosaic_image.shape == (1, 3, 4, 8)
    assert whole.mosaic_labels.tolist() == [[0, 2], [1, 3]]
    np.testing.assert_array_equal(whole.mosaic_image[0, 0, ::2, ::4], whole.mosaic_labels)
    attributions = whole.mosaic_image[0] - 1  # only 2 and 3 are positive: 1 and 2
    assert focus(attributions, whole.mosaic_labels, 2) == pytest.approx(1 / 3)
    assert focus(attributions[0], whole.mosaic_labels, 3) == pytest.approx(2 / 3)
    assert focus(-attributions * 0, whole.mosaic_labels, 3) == 0
    shuffled = create_mosaic_picture(pairs, seed=1)
    assert [int(label) for _, label in pairs] == [0, 1, 2, 3]  # the list is as it was
    np.testing.assert_array_equal(shuffled.mosaic_image[0, 0, ::2, ::4], shuffled.mosaic_labels)
    with pytest.raises(UsageError, match="four images of one shape"):
        create_mosaic_picture(pairs[:3])
    with pytest.raises(UsageError, match="those of one mosaic"):
        focus(attributions, torch.zeros(3), 1)


def test_mosaics_hold_two_images_of_the_class() -> None:
    pairs = [[np.full((1, 2, 2), float(i)), np.array([i % 3])] for i in range(9)]
    found = create_mosaics_from_images(pairs, 5, 1, seed=3)
    assert len(found) == 5
    for each in found:
        assert sorted(each.mosaic_labels.ravel().tolist()) == [0, 1, 1, 2]
        np.testing.assert_array_equal(each.mosaic_image[0, ::2, ::2] % 3, each.mosaic_labels)
    again = create_mosaics_from_images(pairs, 5, 1, seed=3)
    np.testing.assert_array_equal(again[4].mosaic_image, found[4].mosaic_image)
    with pytest.raises(UsageError, match="0 images of the class 7"):
        create_mosaics_from_images(pairs, 1, 7)


def test_arrays_are_turned_and_brought_to_a_range() -> None:
    of = array_utils
    x = np.arange(24.0).reshape(2, 3, 4)
    assert of.transpose_color_last_in_array_np(x).shape == (3, 4, 2)
    assert of.transpose_color_first_in_array_np(x[None]).shape == (1, 4, 2, 3)
    np.testing.assert_allclose(of.standardize_array(x).ravel()[[0, -1]], [0, 1])
    assert not of.standardize_array(np.full(3, 7.0)).any()
    assert of.convert_standardized_float_to_uint8(np.array([0, 0.5, 1])).tolist() == [0, 127, 255]
    signed = np.array([-1.0, 2.0])
    assert of.retain_only_positive(signed).tolist() == [0, 2]
    assert signed.tolist() == [-1, 2]
    np.testing.assert_allclose(of.normalize_attributes(x), x.mean(0))
    assert of.resize_attributes(x[0], dest_width=8, dest_height=6).shape == (6, 8)
    torch = pytest.importorskip("torch")
    assert of.transpose_color_last_in_array_pt(torch.zeros(1, 2, 3, 4)).shape == (1, 3, 4, 2)
    assert of.transpose_color_first_in_array_pt(torch.zeros(3, 4, 2)).shape == (2, 3, 4)
    with pytest.raises(UsageError, match="there are none"):
        of.validate_result(x[:0])
    with pytest.raises(PictureRefused, match="2 dimensions"):
        of.transpose_color_last_in_array_np(x[0])


def test_figures_are_matplotlibs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    picture, values = np.random.default_rng(0).normal(size=(2, 3, 8, 6))
    figure = visualizer.mean_channels_visualization(values[:, :4, :3], picture, title="map")
    figure.savefig(tmp_path / "map.png")
    axes = figure.axes[0]
    shown = axes.images[1].get_array()
    assert shown.shape == (8, 6)
    assert (shown.min(), shown.max()) == (0, pytest.approx(1))
    assert axes.get_title() == "map"
    single = visualizer.single_channel_visualization(values, picture, 1, ax=axes)
    want = array_utils.standardize_array(np.maximum(values[1], 0))
    np.testing.assert_allclose(single.axes[0].images[3].get_array(), want)
    assert visualizer.draw_image(picture[:1], "grey").axes[0].images[0].get_array().shape == (
        8,
        6,
        3,
    )
    with pytest.raises(UsageError, match="no channel 3"):
        visualizer.single_channel_visualization(values, picture, 3)
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setattr(pyplot, "show", lambda: None)
    visualizer.visualize_metric([(0.0, 0.1), (1.0, 0.9)], 0.5, "Insertion")
    assert pyplot.gca().get_xlabel() == "Share of the image revealed"
    pyplot.close("all")


class Logger:
    """What the callback calls of Lightning's WandbLogger."""

    def __init__(self) -> None:
        self.tables: list[Any] = []
        self.images: dict[str, Any] = {}

    def log_table(self, key: str, columns: list[str], data: list[Any]) -> None:
        self.tables.append((key, columns, data))

    def log_image(self, key: str, images: list[Any], caption: list[str]) -> None:
        self.images[key] = (images, caption)


class Loader:
    """Batches, again and again, as a DataLoader gives them."""

    def __init__(self, batches: list[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Any:
        return iter(self._batches)


def test_the_callback_logs_pictures_and_their_explanations(prepared: Prepared) -> None:
    logger = Logger()
    callback = WandBCallback(
        logger, [ExplainerWithParams("CV_LAYER_GRADCAM_EXPLAINER")], {0: "cat", 1: "dog"}, 3
    )
    loader = Loader([(prepared.inputs, [0, 1]), (prepared.inputs, [1, 0])])
    trainer = SimpleNamespace(val_dataloaders=loader)
    callback.on_train_start(trainer, prepared.module)
    assert logger.tables == [("idx2label", ["index", "label"], [[0, "cat"], [1, "dog"]])]
    images, captions = logger.images["validation_data"]
    assert captions == ["label: cat", "label: dog", "label: dog"]
    assert [(i.shape, i.dtype) for i in images] == [((HEIGHT, WIDTH, 3), np.uint8)] * 3
    callback.on_validation_epoch_end(SimpleNamespace(val_dataloaders=[loader]), prepared.module)
    key = "CV_LAYER_GRADCAM_EXPLAINER_0"
    maps, captions = logger.images[key]
    assert captions == ["label: cat", "label: dog", "label: dog"]
    assert [(m.shape, m.dtype, m.max()) for m in maps] == [((HEIGHT, WIDTH, 1), np.uint8, 255)] * 3
    assert logger.images[f"{key}_explanations"][0][0].shape == (HEIGHT, WIDTH, 3)
    again = Logger()
    callback.wandb_logger = again
    for hook in (callback.on_train_start, callback.on_validation_epoch_end):
        hook(SimpleNamespace(val_dataloaders=None), prepared.module)
    assert not again.images
