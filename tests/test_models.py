"""Models by name: preprocessing, model and classes that belong together."""

import json
import logging
import shutil
import sys
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from leap_audit.artifacts import Preprocessing
from leap_audit.errors import ClassesRefused, ModelRefused, RuntimeMissing
from leap_audit.ingest.pictures.callables import steps
from leap_audit.models import get_model
from leap_audit.run import Session, choose_provider

DIGITS = [f"digit {index}" for index in range(10)]


@pytest.fixture
def digits(sample_models: Path, tmp_path: Path) -> Path:
    """The bundled model, alone in its folder."""
    return Path(shutil.copy(sample_models / "digits_clean.onnx", tmp_path / "digits.onnx"))


def classes(path: Path) -> list[str]:
    return get_model(f"onnx:{path}")[2]


def test_a_file_with_what_is_inferred_of_it(digits: Path, sample_models: Path) -> None:
    (digits.parent / "classes.txt").write_text("\n".join(DIGITS))
    preprocessing, model, names = get_model(f"onnx:{digits}")
    assert model == digits
    assert names == DIGITS
    first: Any = preprocessing[0]
    assert isinstance(first.preprocessing, Preprocessing)
    assert preprocessing == steps(first.preprocessing)
    channels = 1 if first.preprocessing.channel_order == "GRAY" else 3
    x = np.random.default_rng(0).random((1, channels, 50, 40), np.float32)
    for step in preprocessing:
        x = step(x)
    session = Session(onnx.load(digits), choose_provider("cpu"), 1)
    (scores,) = session.run({session.inputs[0]: x})
    assert scores.size == 10


@pytest.mark.parametrize("file", ["digits.classes.txt", "digits.labels.txt", "digits.txt"])
def test_names_beside_the_file(digits: Path, file: str) -> None:
    """Of the same stem come first; the folder's list counts where nothing else is there."""
    (digits.parent / "labels.txt").write_text("\n".join(f"other {i}" for i in range(10)))
    (digits.parent / file).write_text("\n".join(DIGITS))
    assert classes(digits) == DIGITS


def test_a_list_of_the_models_own_must_fit_and_the_folders_may(
    digits: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (digits.parent / "classes.txt").write_text("cat\ndog")
    assert classes(digits) == [str(index) for index in range(10)]
    assert "no class names were found" in caplog.text
    (digits.parent / "digits.classes.txt").write_text("cat\ndog")
    with pytest.raises(ClassesRefused, match=r"digits\.classes\.txt: 2 class names"):
        classes(digits)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("names", str(dict(enumerate(DIGITS)))),
        ("id2label", json.dumps({str(i): DIGITS[i] for i in reversed(range(10))})),
        ("classes", json.dumps(DIGITS)),
        ("Labels", ",".join(DIGITS)),
        ("class_names", "\n".join(DIGITS)),
    ],
)
def test_names_in_the_metadata(
    digits: Path, key: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = onnx.load(digits)
    model.metadata_props.append(onnx.StringStringEntryProto(key=key, value=text))
    onnx.save(model, digits)
    with caplog.at_level(logging.INFO):
        assert classes(digits) == DIGITS
    assert [r for r in caplog.records if r.name.startswith("leap_audit")] == []


@pytest.mark.parametrize("text", ["{'a': 'b'}", "[1, 2]", "__import__('os').getcwd()", "x" * 40])
def test_metadata_that_says_nothing(digits: Path, text: str) -> None:
    model = onnx.load(digits)
    model.metadata_props.append(onnx.StringStringEntryProto(key="names", value=text))
    onnx.save(model, digits)
    assert classes(digits) == [str(index) for index in range(10)]


@pytest.mark.parametrize("name", ["resnet18", "keras.resnet50", "torchvision.", ""])
def test_a_name_that_says_no_model(name: str) -> None:
    with pytest.raises(ModelRefused, match=r"names no model; say 'torchvision\.NAME'"):
        get_model(name)


@pytest.mark.parametrize("package", ["torchvision", "timm"])
def test_a_package_that_is_not_there(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(RuntimeMissing, match=f"pip install {package}"):
        get_model(f"{package}.resnet18")


@pytest.fixture
def no_network(torchvision: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Downloads go to an empty folder, and do not come."""
    import torch

    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


@pytest.mark.usefixtures("no_network")
def test_a_model_of_torchvision(torchvision: Any, tmp_path: Path) -> None:
    """With weights that were downloaded before: here random ones, in their place."""
    import torch

    weights = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(1)
    want = torchvision.models.squeezenet1_1().eval()
    torch.save(want.state_dict(), folder / Path(weights.url).name)
    (fit, *after), model, names = get_model("torchvision.squeezenet1_1")
    assert (len(names), names[1]) == (1000, "goldfish")
    picture = torch.rand(1, 3, 300, 260)
    assert fit(picture).shape == (1, 3, 224, 224)
    x = fit(picture)
    for step in after:
        x = step(x)
    torch.testing.assert_close(x, weights.transforms()(picture))
    with torch.no_grad():
        torch.testing.assert_close(model(x), want(x))
    assert not model.training


@pytest.mark.usefixtures("no_network")
def test_what_torchvision_does_not_have() -> None:
    with pytest.raises(ModelRefused, match=r"no model 'resnet19'; did you mean 'torchvision\.res"):
        get_model("torchvision.resnet19")
    with pytest.raises(ModelRefused, match="is not a classifier of pictures"):
        get_model("torchvision.fasterrcnn_resnet50_fpn")
    with pytest.raises(ModelRefused, match=r"could not be downloaded .*no route.*checkpoints"):
        get_model("torchvision.resnet18")


def test_a_model_of_timm(torchvision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it would have downloaded: the same model with random weights."""
    timm = pytest.importorskip("timm", reason="timm is not installed")
    import torch

    def created(name: str, pretrained: bool) -> Any:
        assert pretrained
        return create(name)

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", created)
    (fit, *after), model, names = get_model("timm.test_resnet.r160_in1k")
    assert (len(names), names[1][:8]) == (1000, "goldfish")
    x = fit(torch.rand(1, 3, 300, 260))
    assert x.shape == (1, 3, *model.pretrained_cfg["input_size"][1:])
    assert len(after) == 1
    with torch.no_grad():
        assert model(after[0](x)).shape == (1, 1000)
