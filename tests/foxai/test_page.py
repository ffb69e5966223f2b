"""Every block of code on docs/from-foxai.md runs, one after the other."""

from pathlib import Path
from typing import Any

import onnx
import pytest

from leap_audit.foxai.explainer import CLASSIFICATION, DETECTION
from tests.builders.documentation import ROOT, blocks

PAGE = "docs/from-foxai.md"


def test_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed").use("agg")
    from leap_audit.ingest.frameworks.torch import export_module

    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    of = torch.nn
    layer = of.Conv2d(3, 4, 3, padding=1)
    norm = of.BatchNorm2d(4)
    norm.running_mean.fill_(0.2)
    pool = [of.AdaptiveAvgPool2d(1), of.Flatten(), of.Linear(4, 5)]
    model = of.Sequential(layer, norm, of.ReLU(), *pool).eval()
    onnx.save(export_module(model, (3, 8, 10)), "model.onnx")
    names: dict[str, Any] = {
        "model": model,
        "layer": layer,
        "label": torch.tensor(3),
        "inputs": torch.randn(2, 3, 8, 10),
        "pictures": [(torch.randn(1, 3, 8, 10), torch.tensor([i % 3])) for i in range(6)],
        "wandb_logger": object(),
    }
    with pytest.warns(UserWarning, match="is folded into the layer after it"):
        exec(compile("\n".join(blocks(PAGE)), PAGE, "exec"), names)
    assert next(iter(names["explanations"])) == "CV_INTEGRATED_GRADIENTS_EXPLAINER_0"
    assert names["attributions"].shape == (2, 3, 8, 10)
    assert 0 <= names["deleted"] <= 1
    assert len(names["curve"]) == 31
    assert 0 <= names["share"] <= 1
    for file in ("gradcam.png", "input.png"):
        assert Path(file).stat().st_size > 1000


def test_every_explainer_has_a_row() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    table = text[text.index("| FoXAI | method |") : text.index("What is not offered")]
    for name, each in {**CLASSIFICATION, **DETECTION}.items():
        (row,) = [line for line in table.splitlines() if f"`{name}`" in line]
        assert ("| none" in row) == bool(each().missing), name
        if not each().missing:
            assert f"`{each().translated(each()._values({}))[0]}`" in row, name
