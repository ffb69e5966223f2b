"""Pictures as data URIs: exact where that is small, and never much larger than they need to be."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from leap_audit.report.pictures import Pictures, compact


def read(uri: str) -> tuple[str, np.ndarray, int]:
    """Return the format of a data URI, its pixels and its bytes."""
    kind, _, data = uri.partition(";base64,")
    raw = base64.b64decode(data)
    return kind, np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"), np.float64), len(raw)


def photograph(side: int) -> Image.Image:
    """Return colours that vary as those of a photograph do: smooth, with fine noise."""
    noise = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(4)), np.float64)
    mixed = (smooth - 128) * 4 + 128 + 0.05 * (noise - 128.0)
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def test_a_small_picture_of_few_colours_is_exact() -> None:
    squares = np.kron(np.eye(7, dtype=np.uint8) * 200, np.ones((4, 4), np.uint8))
    kind, shown, _ = read(compact(Image.fromarray(squares).convert("RGB")))
    assert kind == "data:image/png"
    assert (shown[..., 0] == squares).all()


def test_a_small_photograph_takes_about_half_and_looks_the_same() -> None:
    picture = photograph(64)
    exact = io.BytesIO()
    picture.save(exact, "PNG", optimize=True)
    kind, shown, size = read(compact(picture))
    assert kind == "data:image/jpeg"
    assert size < 0.6 * exact.tell()
    assert np.abs(shown - np.asarray(picture, np.float64)).mean() < 4


@pytest.mark.parametrize(("paper", "kind"), [(False, "webp"), (True, "jpeg")])
def test_a_photograph_is_shown_at_the_size_that_is_asked_for(
    tmp_path: Path, paper: bool, kind: str
) -> None:
    photograph(400).save(tmp_path / "photo.png")
    pictures = Pictures(tmp_path, paper=paper)
    format_, shown, _ = read(pictures.photo("photo.png", 360))
    assert format_ == f"data:image/{kind}"
    assert shown.shape == (360, 360, 3)
    smaller = read(pictures.photo("photo.png", 160))
    assert smaller[1].shape == (160, 160, 3)
