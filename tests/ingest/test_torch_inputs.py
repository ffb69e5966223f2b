"""Networks of PyTorch with several inputs, and what else a picture's input may be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402

from leap_audit.config import DeclaredPreprocessing  # noqa: E402
from leap_audit.errors import ModelRefused  # noqa: E402
from leap_audit.ingest import load  # noqa: E402
from leap_audit.ingest.inputs.selection import Inputs  # noqa: E402
from leap_audit.measure.run import Run  # noqa: E402
from leap_audit.run import choose_provider  # noqa: E402

CPU = choose_provider("cpu")
AGE = np.array([[0.5, -1.0]], np.float32)


class WithMetadata(nn.Module):
    """A convolution, whose features are joined by two numbers of each picture."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Linear(6, 3)

    def forward(self, image: torch.Tensor, age: torch.Tensor) -> torch.Tensor:
        features = self.conv(image).mean((2, 3))
        return self.last(torch.cat([features, age], 1))


class Optional(nn.Module):
    """Gives what it was not asked for as None, as models of transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> Any:
        return {"loss": None, "hidden": (None,), "logits": self.conv(x).mean((2, 3))}


class OfBytes(nn.Module):
    """Takes pixels of 0..255 as whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x.float() / 255).mean((2, 3))


def pictures() -> np.ndarray:
    return np.random.default_rng(0).random((3, 3, 8, 8), np.float32)


def declared(**more: Any) -> DeclaredPreprocessing:
    given = {"range": (0, 1), "mean": 0, "std": 1, "input_size": 8, **more}
    return DeclaredPreprocessing.model_validate(given)


def logits(model: Any) -> np.ndarray:
    return Run(model, 3, 1).logits(pictures())


def program(module: nn.Module, *example: Any, free: Any = None) -> Any:
    return torch.export.export(module.eval(), example, dynamic_shapes=free, strict=False)


def metadata_program() -> Any:
    batch = torch.export.Dim("batch")
    return program(
        WithMetadata(), torch.rand(2, 3, 8, 8), torch.rand(2, 2), free=({0: batch}, {0: batch})
    )


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", ["module", "program", ".pt2", "script", ".pt"])
def test_metadata_beside_the_picture(kind: str, tmp_path: Path) -> None:
    module = WithMetadata().eval()
    with torch.no_grad():
        want = module(torch.from_numpy(pictures()), torch.tensor(AGE).expand(3, -1)).numpy()
    given: Any = module
    if kind in ("program", ".pt2"):
        given = metadata_program()
    elif kind != "module":
        given = torch.jit.script(module)
    if kind == ".pt2":
        torch.export.save(given, tmp_path / "m.pt2")
        given = tmp_path / "m.pt2"
    elif kind == ".pt":
        given.save(str(tmp_path / "m.pt"))
        given = tmp_path / "m.pt"
    model = load(given, declared(), CPU, inputs=Inputs(values={"age": AGE}))
    np.testing.assert_allclose(logits(model), want, rtol=1e-4, atol=1e-5)
    assert [each.name for each in model.identity.fixed_inputs] == ["age"]


def test_a_program_names_the_input_that_has_no_value() -> None:
    with pytest.raises(ModelRefused, match=r"beside the picture 'image' it takes 'age'"):
        load(metadata_program(), declared(), CPU)


@pytest.mark.parametrize("kind", ["module", "program"])
def test_entries_that_are_none_are_left_out(kind: str) -> None:
    module: Any = Optional().eval()
    with torch.no_grad():
        want = module(torch.from_numpy(pictures()))["logits"].numpy()
    free = ({0: torch.export.Dim("batch")},)
    given = module if kind == "module" else program(module, torch.rand(2, 3, 8, 8), free=free)
    np.testing.assert_allclose(logits(load(given, declared(), CPU)), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32])
def test_a_program_that_takes_whole_numbers(kind: Any) -> None:
    module = OfBytes().eval()
    with torch.no_grad():
        want = module(torch.from_numpy(pictures() * 255)).numpy()
    given = program(module, torch.zeros((1, 3, 8, 8), dtype=kind))
    model = load(given, DeclaredPreprocessing(), CPU)
    assert model.preprocessing.range == (0, 255)
    np.testing.assert_allclose(logits(model), want, rtol=1e-4, atol=1e-5)


def test_a_free_size_that_does_not_run_is_refused_with_what_to_do() -> None:
    side = torch.export.Dim("side", min=8, max=32)
    made = program(OfBytes(), torch.rand(1, 3, 16, 16), free=({2: side, 3: side},))
    with pytest.raises(ModelRefused, match=r"leaves the size .* --input-size HEIGHT,WIDTH"):
        load(made, DeclaredPreprocessing(range=(0, 1)), CPU)
    with pytest.raises(ModelRefused, match=r"does not run on 3 × 64 × 64 .* with fixed sizes\."):
        load(made, declared(input_size=64), CPU)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_of_one_channel_says_what_to_pass(tmp_path: Path) -> None:
    torch.jit.script(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())).save(str(tmp_path / "m.pt"))
    with pytest.raises(ModelRefused, match="pass --channel-order GRAY"):
        load(tmp_path / "m.pt", DeclaredPreprocessing(input_size=(8, 8)), CPU)
    grey = DeclaredPreprocessing(input_size=(8, 8), channel_order="GRAY")
    assert load(tmp_path / "m.pt", grey, CPU).picture_shape == (1, 8, 8)
