"""The code that leap_ie's own README gave its users runs as it stands, but for the import."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from PIL import Image

FIRST, LAST = "from leap_ie import engine", "engine.display_results("


def blocks(text: str) -> list[str]:
    """Return the pieces of code, each from an import to the results being shown."""
    found, inside = [], []
    for line in text.splitlines():
        if line.startswith(("from ", "import ", "config = ")) or inside:
            inside.append(line)
        if inside and line.startswith(LAST):
            code = "\n".join(inside)
            found.append(code[code.index("from ") :])
            inside = []
    return [code for code in found if FIRST in code]


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give `transforms.ToTensor` where torchvision itself is not installed."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    class ToTensor:
        def __call__(self, image: Image.Image) -> object:
            return torch.from_numpy(np.asarray(image, np.float32).transpose(2, 0, 1) / 255)

    package, transforms = ModuleType("torchvision"), ModuleType("torchvision.transforms")
    transforms.ToTensor = ToTensor  # type: ignore[attr-defined]
    package.transforms = transforms  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.transforms", transforms)


@pytest.mark.parametrize("number", [0, 1])
def test_a_block_runs(
    number: int, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torchvision: None
) -> None:
    reference = shared / "reference" / "leap_ie_readme.txt"
    if not reference.is_file():
        pytest.skip(f"{reference} is absent")
    monkeypatch.chdir(tmp_path)
    Image.open(shared / "images" / "misc" / "pets.jpg").convert("RGB").save("tools.jpeg")
    found = blocks(reference.read_text(encoding="utf-8"))
    assert len(found) == 2
    model = shared / "models" / "mlperf_tiny_resnet8_tflite.onnx"
    code = re.sub(r"\bleap_ie\b", "leap_audit", found[number])
    code = code.replace("torchvision.resnet18", f"onnx:{model}")
    names: dict[str, object] = {}
    exec(compile(code, str(reference), "exec"), names)
    frame, stages = names["isolations" if number else "prototypes"]
    assert isinstance(frame, pd.DataFrame)
    assert stages
    if number:
        assert list(frame["kind"]) == ["isolation"] * 3
        assert Path(frame["mask"].iloc[0]).is_file()
    else:
        rows = frame[frame["kind"] == "prototype"]
        assert list(rows["target_index"]) == [0, 1, 2]
        assert all(Path(path).is_file() for path in rows["prototype"])
        assert all(stage["step"] == [32, 64, 96, 128, 160, 192] for stage in stages.values())
        assert {"entanglement", "isolation"} <= set(frame["kind"])
