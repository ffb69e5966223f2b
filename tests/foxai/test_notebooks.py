"""What FoXAI's own notebooks and examples call, in their words, on a small network like theirs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leap_audit.errors import ConfigRefused
from leap_audit.foxai.callbacks.wandb_callback import WandBCallback
from leap_audit.foxai.context_manager import (
    CVClassificationExplainers,
    ExplainerWithParams,
    FoXaiExplainer,
)
from leap_audit.foxai.metrics import deletion, insertion
from leap_audit.foxai.metrics.focus import create_mosaics_from_images, focus
from leap_audit.foxai.visualizer import (
    draw_image,
    mean_channels_visualization,
    single_channel_visualization,
    visualize_metric,
)

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
SIDE, BATCH = 16, 1
LABEL = torch.tensor(2)
OF: Any = CVClassificationExplainers


@pytest.fixture(scope="module")
def model() -> Any:
    """Blocks of convolution, normalisation and activation in place, and the mean of the places."""
    of = torch.nn
    torch.manual_seed(1)

    def block(channels: int, out: int, stride: int) -> list[Any]:
        convolution = of.Conv2d(channels, out, 3, stride, 1, bias=False)
        return [convolution, of.BatchNorm2d(out), of.ReLU(inplace=True)]

    features = of.Sequential(*block(3, 8, 2), *block(8, 16, 2))
    features[1].running_mean.normal_(0, 0.3)
    features[4].running_var.uniform_(0.5, 2)
    head = [of.AdaptiveAvgPool2d((1, 1)), of.Flatten(), of.Dropout(), of.Linear(16, 4)]
    head[-1].weight.data[0].abs_()  # of class 0 every map has something to show
    return of.Sequential(features, *head).eval()


@pytest.fixture
def sample() -> Any:
    return torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(4))


@pytest.fixture(autouse=True)
def _unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed").use("agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setattr(pyplot, "show", lambda: None)


def last_convolution(model: Any) -> Any:
    return [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)][-1]


def explained(model: Any, sample: Any, explainers: list[Any], label: Any = LABEL) -> Any:
    input_data = sample.reshape(1, sample.shape[0], sample.shape[1], sample.shape[2])
    with FoXaiExplainer(model=model, explainers=explainers, target=label) as xai_model:
        return xai_model(input_data)


def test_basic_usage(model: Any, sample: Any, tmp_path: Path) -> None:
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    zeros = torch.zeros((BATCH, 3, SIDE, SIDE))
    listed = [
        ExplainerWithParams(explainer_name=OF.CV_GRADIENT_SHAP_EXPLAINER, baselines=zeros),
        ExplainerWithParams(explainer_name=OF.CV_INPUT_X_GRADIENT_EXPLAINER),
        ExplainerWithParams(explainer_name=OF.CV_INTEGRATED_GRADIENTS_EXPLAINER, baselines=zeros),
        ExplainerWithParams(explainer_name=OF.CV_XRAI_EXPLAINER),
    ]
    _, attributes_dict = explained(model, sample, listed)
    assert list(attributes_dict) == [f"{e.key}_{i}" for i, e in enumerate(listed)]
    for key, value in attributes_dict.items():
        assert value.shape == (1, 1 if "XRAI" in key else 3, SIDE, SIDE)
        figure = mean_channels_visualization(
            attributions=value[0], transformed_img=sample, title=f"Mean of channels ({key})"
        )
        figure.savefig(tmp_path / f"{key}.png")
        assert (tmp_path / f"{key}.png").stat().st_size > 1000
    x = sample[None].clone().requires_grad_()
    score = model(x)[0, LABEL]
    want = (x * torch.autograd.grad(score, x)[0]).detach()
    found = attributes_dict["CV_INPUT_X_GRADIENT_EXPLAINER_1"]
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-6)
    apart = float((score - model(zeros)[0, LABEL]).detach())
    path = attributes_dict["CV_INTEGRATED_GRADIENTS_EXPLAINER_2"]
    assert float(path.sum()) == pytest.approx(apart, rel=2e-2)


def test_explainers_of_the_last_convolution(model: Any, sample: Any) -> None:
    """Its output is folded away; that of the normalisation after it stands for it."""
    layer = last_convolution(model)
    listed = [
        ExplainerWithParams(explainer_name=OF.CV_GUIDEDGRADCAM_EXPLAINER, layer=layer),
        ExplainerWithParams(explainer_name=OF.CV_LAYER_GRADCAM_EXPLAINER, layer=layer),
    ]
    with pytest.warns(UserWarning, match="is folded into the layer after it"):
        _, found = explained(model, sample, listed)
    guided, cam = found.values()
    assert guided.shape == (1, 3, SIDE, SIDE)
    assert cam.shape == (1, 1, SIDE, SIDE)
    inner = model[0][:5](sample[None]).detach().requires_grad_()
    score = model[1:](torch.relu(inner))[0, LABEL]
    (gradient,) = torch.autograd.grad(score, inner)
    small = (gradient.mean((2, 3), keepdim=True) * inner).sum(1, keepdim=True).relu()
    wide = torch.nn.functional.interpolate(small, (SIDE, SIDE), mode="bilinear").detach()
    want = (wide - wide.min()) / (wide.max() - wide.min())
    torch.testing.assert_close(cam, want, rtol=1e-3, atol=1e-4)


def test_insertion_and_deletion_within_the_block(model: Any, sample: Any) -> None:
    chosen_explainer = OF.CV_LAYER_GRADCAM_EXPLAINER
    key = f"{chosen_explainer.name}_0"
    input_data = sample[None]
    listed = [ExplainerWithParams(explainer_name=chosen_explainer, layer=model[0][-1])]
    with FoXaiExplainer(model=model, explainers=listed, target=LABEL) as xai_model:
        first_output, attributes_dict = xai_model(input_data)
        value = attributes_dict[key][0]
        chosen_class = first_output.argmax()
        results = []
        for metric, name in ((insertion, "Insertion"), (deletion, "Deletion")):
            result, importance_lst = metric(value, sample, model, chosen_class)
            visualize_metric(importance_lst, result, metric_type=name)
            results.append((result, importance_lst))
    whole = float(torch.softmax(model(input_data).detach(), 1)[0, chosen_class])
    assert results[0][1][-1][1] == pytest.approx(whole, abs=1e-4)  # all inserted
    assert results[1][1][0][1] == pytest.approx(whole, abs=1e-4)  # nothing deleted yet
    assert all(0 <= result <= 1 for result, _ in results)


def test_focus_of_mosaics(model: Any) -> None:
    from matplotlib import pyplot

    draws = torch.Generator().manual_seed(7)
    half = SIDE // 2
    pictures = [
        (torch.randn(1, 3, half, half, generator=draws), torch.tensor([i % 3])) for i in range(6)
    ]
    chosen = OF.CV_LAYER_GRADCAM_EXPLAINER
    for mosaic_data in create_mosaics_from_images(pictures, mosaics_num=1, target_class=0):
        listed = [ExplainerWithParams(explainer_name=chosen, layer=model[0][-1])]
        with FoXaiExplainer(model=model, explainers=listed, target=0) as xai_model:
            first_output, attributes_dict = xai_model(mosaic_data.mosaic_image)
        value = attributes_dict["CV_LAYER_GRADCAM_EXPLAINER_0"][0]
        assert 0 <= first_output.argmax().item() < 4
        found = focus(attributions=value, mosaic_labels=mosaic_data.mosaic_labels, target_class=0)
        quarters = value[0].reshape(2, half, 2, half).sum((1, 3))
        inside = torch.as_tensor(np.asarray(mosaic_data.mosaic_labels) == 0)
        assert found == pytest.approx(float(quarters[inside].sum() / quarters.sum()), rel=1e-5)
        _, axes = pyplot.subplots(nrows=1, ncols=2)
        image = mosaic_data.mosaic_image[0]
        draw_image(image=image, title="Label", ax=axes[0])
        mean_channels_visualization(
            attributions=value, transformed_img=image, title="Mean of channels", ax=axes[1]
        )
        assert [a.get_title() for a in axes] == ["Label", "Mean of channels"]
        single_channel_visualization(value, image, 0)
        pyplot.close("all")


def test_noise_of_the_detectors_example(model: Any, sample: Any) -> None:
    """One noisy copy: the square of its integrated gradients."""
    given = {"nt_samples": 1, "nt_type": "smoothgrad_sq", "stdevs": 0.1}
    chosen = OF.CV_NOISE_TUNNEL_EXPLAINER
    _, found = explained(
        model, sample, [ExplainerWithParams(explainer_name=chosen, **given)], label=0
    )
    values = found["CV_NOISE_TUNNEL_EXPLAINER_0"]
    assert values.min() >= 0
    assert values.squeeze().shape == sample.shape
    mean_channels_visualization(attributions=values.squeeze(), transformed_img=sample)
    other = [ExplainerWithParams(explainer_name=chosen, target=0, **given)]
    with pytest.raises(ConfigRefused, match="the class is FoXaiExplainer's target"):
        explained(model, sample, other)


def test_the_callback_of_the_training_example(model: Any, sample: Any) -> None:
    logged: dict[str, Any] = {}

    class Logger:
        def log_table(self, **_: Any) -> None: ...

        def log_image(self, key: str, images: list[Any], caption: list[str]) -> None:
            logged[key] = (images, caption)

    callback = WandBCallback(
        wandb_logger=Logger(),
        explainers=[
            ExplainerWithParams(explainer_name=OF.CV_INTEGRATED_GRADIENTS_EXPLAINER),
            ExplainerWithParams(explainer_name=OF.CV_GRADIENT_SHAP_EXPLAINER),
        ],
        idx_to_label={index: index for index in range(4)},
    )

    data = torch.utils.data.TensorDataset(torch.stack([sample, -sample]), torch.tensor([1, 2]))
    trainer = SimpleNamespace(val_dataloaders=torch.utils.data.DataLoader(data, batch_size=2))
    callback.on_train_start(trainer, model)
    callback.on_validation_epoch_end(trainer, model)
    assert {len(pictures) for pictures, _ in logged.values()} == {2}
    names = ["CV_INTEGRATED_GRADIENTS_EXPLAINER_0", "CV_GRADIENT_SHAP_EXPLAINER_1"]
    maps = {key for name in names for key in (name, f"{name}_explanations")}
    assert set(logged) == {"validation_data", *maps}
