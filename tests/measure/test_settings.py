"""The settings that the options leave open, and what they do to a prototype."""

from pathlib import Path

import numpy as np
import pytest

from leap_audit.config import PrototypeOptions
from leap_audit.ingest.model import Model
from leap_audit.measure.plan import logit_spread
from leap_audit.measure.prototype import Request, make_prototypes, settled
from leap_audit.measure.run import Run
from leap_audit.run.session import Array
from tests.builders.classifiers import RAW, read_model, uncounted, write_model

SIDE, PATCH, CLASSES = 32, 8, 3
FORMER = {"total_variation": 0.1, "noise": 0.1}
"""What small pictures in colour had before their prototypes were judged by other networks."""


@pytest.mark.parametrize(
    ("shape", "noise", "variation"),
    [
        ((3, 224, 224), 0.1, 0.0),
        ((3, 64, 64), 0.1, 0.0),
        ((3, 63, 224), 0.02, 8.0),
        ((3, 32, 32), 0.02, 8.0),
        ((4, 32, 32), 0.02, 8.0),
        ((1, 63, 28), 0.1, 18.0),
        ((1, 64, 64), 0.1, 12.0),
        ((1, 224, 224), 0.1, 12.0),
    ],
)
def test_noise_and_total_variation_follow_the_size_and_the_channels(
    shape: tuple[int, int, int], noise: float, variation: float
) -> None:
    chosen = settled(PrototypeOptions(), shape)
    assert (chosen.noise, chosen.total_variation) == (noise, variation)


@pytest.mark.parametrize(
    ("shape", "drawing"),
    [((1, 28, 28), True), ((1, 63, 200), True), ((1, 64, 64), False), ((3, 32, 32), False)],
)
def test_only_a_small_grey_picture_is_an_object_on_a_plain_ground(
    shape: tuple[int, int, int], drawing: bool
) -> None:
    chosen = settled(PrototypeOptions(), shape)
    assert (chosen.plain_ground, chosen.hold, chosen.ink) == (
        (True, 8.0, 2.0) if drawing else (False, 0.0, 0.0)
    )
    asked = PrototypeOptions(plain_ground=not drawing, hold=1.0, ink=0.5)
    chosen = settled(asked, shape)
    assert (chosen.plain_ground, chosen.hold, chosen.ink) == (not drawing, 1.0, 0.5)


def test_two_readers_of_digits_read_each_others_prototypes(
    sample_models: Path, shared: Path
) -> None:
    mnist = shared / "models/mnist_cntk.onnx"
    if not mnist.is_file():
        pytest.skip(f"{mnist} is absent")
    pair = [read_model(sample_models / "digits_clean.onnx"), read_model(mnist)]
    former = {"plain_ground": False, "hold": 0.0, "ink": 0.0, "total_variation": 12.0}
    for source, judge, least in (pair[1], pair[0], 9), (*pair, 7):
        now, before = (_prototypes(source, given) for given in ({}, former))
        assert (Run(judge, 1, 1).logits(now).argmax(1) == range(10)).sum() >= least
        # Strokes on black, not patches: less ink, and none at the border.
        assert now.mean() < 0.8 * before.mean()
        border = np.concatenate([now[..., 0], now[..., -1], now[..., 0, :], now[..., -1, :]])
        assert border.mean() < 0.06


@pytest.mark.parametrize("shape", [(3, 224, 224), (3, 32, 32), (1, 28, 28)])
def test_what_is_asked_for_is_kept(shape: tuple[int, int, int]) -> None:
    asked = PrototypeOptions(noise=0.0, total_variation=0.5, shift=0.3)
    chosen = settled(asked, shape)
    assert (chosen.noise, chosen.total_variation, chosen.shift) == (0.0, 0.5, 0.3)


@pytest.mark.parametrize("size", [1.0, 100.0])
def test_the_prototype_of_a_small_patch_model_is_smooth_and_still_its_class(
    tmp_path: Path, size: float
) -> None:
    """The penalty is weighed in the spread of the logits, so their size changes nothing."""
    model = _patches(tmp_path / "patches.onnx", size)
    now, former = _prototypes(model, {}), _prototypes(model, FORMER)
    assert _variation(now) < 0.75 * _variation(former)
    logits = Run(model, 1, 1).logits(now)
    assert logits.argmax(1).tolist() == list(range(CLASSES))


def test_another_network_recognises_the_prototypes_of_a_small_transformer(shared: Path) -> None:
    models = shared / "models"
    if not (models / "vit_pgd_2_3_16.onnx").is_file():
        pytest.skip(f"{models / 'vit_pgd_2_3_16.onnx'} is absent")
    mean, std = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.201)
    vit = read_model(models / "vit_pgd_2_3_16.onnx", range=(0, 1), mean=mean, std=std)
    judge = read_model(
        models / "mlperf_tiny_resnet8_tflite.onnx", layout="NHWC", range=(0, 255), mean=0.0, std=1.0
    )
    recognised = [
        (Run(judge, 1, 1).logits(_prototypes(vit, given)).argmax(1) == range(10)).sum()
        for given in ({}, FORMER)
    ]
    assert recognised[0] >= 7
    assert recognised[0] > recognised[1]


def _patches(path: Path, size: float) -> Model:
    """A network of one patch embedding: each class is a slope of colour in a patch, and specks."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(-1, 1, PATCH)
    kernel = 0.5 * rng.standard_normal((CLASSES, 3, PATCH, PATCH))
    for k in range(CLASSES):
        kernel[k, k] += 2 * ramp[:, None]
    kernel -= kernel.mean((1, 2, 3), keepdims=True)
    return read_model(
        write_model(
            path,
            [
                ("Conv", ["x", "kernel", "bias"], "tokens", {"strides": [PATCH, PATCH]}),
                ("Relu", ["tokens"], "features"),
                ("GlobalAveragePool", ["features"], "pooled"),
                ("Flatten", ["pooled"], "flat"),
                ("Gemm", ["flat", "head"], "y"),
            ],
            {"kernel": kernel, "bias": np.ones(CLASSES), "head": size * np.eye(CLASSES)},
            shape=("n", 3, SIDE, SIDE),
            outputs=[("y", ("n", CLASSES))],
        ),
        **RAW,
    )


def _prototypes(model: Model, given: dict[str, float]) -> Array:
    """One prototype of each class on the levels of a PNG, (classes, channels, height, width)."""
    options = settled(PrototypeOptions.model_validate(given), model.picture_shape)
    spread = logit_spread(Run(model, 1, 1), 0)
    made = make_prototypes(
        Run(model, 1, 1),
        [Request((k,)) for k in range(model.classes)],
        options,
        seed=0,
        batch=model.classes,
        spread=spread,
        advance=uncounted,
    )
    return np.stack([np.round(each.picture * 255) / 255 for each in made]).astype(np.float32)


def _variation(pictures: Array) -> float:
    """Mean absolute difference of neighbouring pixels."""
    return float(sum(np.abs(np.diff(pictures, axis=axis)).mean() for axis in (2, 3)))
