"""Preprocessing as other projects write it down, read as our own."""

import json
from pathlib import Path
from typing import Any

import pytest

from leap_audit.errors import ConfigRefused, PreprocessingRefused
from leap_audit.ingest.pictures.preprocessing import read_preprocessing, resolve, statement
from leap_audit.ingest.pictures.presets import KERAS_MODES, KERAS_NETWORKS

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def declared(folder: Path, table: dict[str, Any], name: str = "preprocessor_config.json") -> Any:
    (folder / name).write_text(json.dumps(table))
    return read_preprocessing(folder / name)


def test_a_vision_transformer_of_hugging_face(tmp_path: Path) -> None:
    found = declared(
        tmp_path,
        {
            **HALF,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_processor_type": "ViTImageProcessor",
            "resample": 2,
            "rescale_factor": 0.00392156862745098,
            "size": {"height": 224, "width": 224},
        },
    )
    assert found.range == pytest.approx((0, 1))
    assert (found.mean, found.std, found.resize) == ((0.5,) * 3, (0.5,) * 3, "stretch")
    assert (found.input_size, found.interpolation) == ((224, 224), "bilinear")
    whole = resolve(found, (1, 3, 224, 224))
    assert "Hugging Face" in statement(whole)[0]
    assert set(whole.assumed) == {"layout"}


def test_a_crop_of_hugging_face(tmp_path: Path) -> None:
    """MobileNetV2, CLIP and MobileViT: 224 of 256, all of 224, and channels turned round."""
    crop = {"do_center_crop": True, "crop_size": {"height": 224, "width": 224}}
    found = declared(tmp_path, {**HALF, **crop, "size": {"shortest_edge": 256}, "resample": 2})
    assert (found.resize, found.crop, found.input_size) == ("crop", 0.875, (224, 224))
    found = declared(tmp_path, {**HALF, **crop, "size": 224, "crop_size": 224, "resample": 3})
    assert (found.crop, found.interpolation, found.input_size) == (1, "bicubic", (224, 224))
    found = declared(
        tmp_path,
        {
            "feature_extractor_type": "MobileViTFeatureExtractor",
            "do_flip_channel_order": True,
            **crop,
            "size": {"shortest_edge": 288},
        },
    )
    assert (found.channel_order, found.mean, found.std) == ("BGR", (0,), (1,))
    assert found.crop == pytest.approx(224 / 288, abs=1e-6)


def test_other_scalings_of_hugging_face(tmp_path: Path) -> None:
    offset = {"do_rescale": True, "rescale_factor": 1 / 127.5, "rescale_offset": True}
    assert declared(tmp_path, {**offset, "do_normalize": False}).range == pytest.approx((-1, 1))
    levels = declared(tmp_path, {**HALF, "do_rescale": False, "do_normalize": False})
    assert (levels.range, levels.mean) == ((0, 255), (0,))
    convnext = {**HALF, "crop_pct": 0.875, "size": {"shortest_edge": 224}}
    found = declared(tmp_path, convnext)
    assert (found.resize, found.crop, found.input_size) == ("crop", 0.875, (224, 224))


def test_timm(tmp_path: Path) -> None:
    config = {
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "input_size": [3, 288, 256],
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "crop_mode": "center",
    }
    found = declared(
        tmp_path, {"architecture": "resnet50", "pretrained_cfg": config}, "config.json"
    )
    assert found == declared(tmp_path, config, "config.json")
    assert (found.crop, found.input_size, found.interpolation) == (0.95, (288, 256), "bicubic")
    assert found.mean == (0.485, 0.456, 0.406)
    squashed = declared(tmp_path, config | {"crop_mode": "squash", "input_size": [1, 28, 28]})
    assert (squashed.resize, squashed.channel_order) == ("stretch", "GRAY")


@pytest.mark.parametrize("name", [*KERAS_MODES, *" ".join(KERAS_NETWORKS.values()).split()])
def test_keras_modes_are_kerass_own(name: str) -> None:
    """Of every mode and network; the numbers are compared with Keras where TensorFlow is tested."""
    found = read_preprocessing(f"keras.{name}")
    assert found.range in ((-1, 1), (0, 1), (0, 255))
    assert (found.channel_order == "BGR") == (name in "caffe " + KERAS_NETWORKS["caffe"])


def test_names_of_timm_and_torchvision(torchvision: Any) -> None:
    pytest.importorskip("timm", reason="timm is not installed")
    found = read_preprocessing("timm.vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    assert (found.mean, found.crop, found.interpolation) == ((0.5,) * 3, 0.9, "bicubic")
    first = read_preprocessing("torchvision.resnet50")
    assert first.declared_by == "torchvision's ResNet50_Weights.IMAGENET1K_V2"
    assert first.crop == pytest.approx(224 / 232, abs=1e-6)
    second = read_preprocessing("torchvision.ResNet50_Weights.IMAGENET1K_V1")
    assert second.crop == 0.875
    with pytest.raises(PreprocessingRefused, match=r"did you mean 'torchvision\.resnet50'"):
        read_preprocessing("torchvision.resnet5O")
    with pytest.raises(PreprocessingRefused, match="timm has none of that name"):
        read_preprocessing("timm.vit_teeny")


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PreprocessingRefused, match=r"did you mean 'keras\.caffe'"):
        read_preprocessing("keras.cafe")
    with pytest.raises(ConfigRefused, match="cannot be read"):
        read_preprocessing("nothing.json")
    crop = {"do_center_crop": True, "crop_size": 256, "size": 224}
    with pytest.raises(PreprocessingRefused, match="crops 256 of 224"):
        declared(tmp_path, {**HALF, **crop})
    with pytest.raises(ConfigRefused, match="mean"):
        declared(tmp_path, {"image_mean": ["a"], "do_normalize": True})
