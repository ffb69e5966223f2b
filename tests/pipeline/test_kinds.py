"""The whole way for every kind of model: what audit.json and the report say of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leap_audit.artifacts import Audit, Prototype, Sample
from leap_audit.errors import ClassesRefused
from leap_audit.pipeline import audit
from leap_audit.report import render_html
from tests.builders import kinds
from tests.builders.classifiers import RAW
from tests.builders.running import TINY

pytestmark = pytest.mark.usefixtures("unprinted")


def audited(path: Path, classes: Any = None, **settings: Any) -> tuple[Audit, str]:
    """Return the audit and its page."""
    given = {**TINY, "preprocessing": RAW, **settings}
    result = audit(path, classes, out=path.parent / "out", **given)
    written = json.loads((result.folder / "audit.json").read_text(encoding="utf-8"))
    assert Audit.model_validate(written) == result.audit
    return result.audit, render_html(result.audit, result.folder)


def shown(folder: Path, picture: Any) -> Path:
    levels = np.rint(picture * 255).astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(levels.squeeze()).save(folder / "p.png")
    return folder / "p.png"


def test_segmentation(tmp_path: Path) -> None:
    path = kinds.segmenter(tmp_path / "m.onnx", "argmax")
    sample = shown(tmp_path, kinds.square())
    record, page = audited(path, ["ground", "red", "blue"], samples=(sample,))
    assert (record.model.task, record.model.places) == ("segmentation", (24, 24))
    assert [p.target for p in record.prototypes] == [(0,), (1,), (2,)]
    assert "averaged over the middle 40\u00a0% of the map" in page
    (seen,) = record.samples
    shares = {p.name: p.share for p in seen.predicted}  # blue is nowhere, and not listed
    assert shares == pytest.approx(
        {"ground": 1 - kinds.truth().mean(), "red": kinds.truth().mean()}
    )
    probs = {each.name: each.prob for each in seen.isolations}
    assert probs["red"] > 0.95  # where the model says it, not over the whole map
    assert [p.prob for p in seen.predicted] == sorted(
        (p.prob for p in seen.predicted), reverse=True
    )
    assert "Share of the map" in page
    assert "averaged over the 24 × 24 places of the map" in page
    assert "‘red’ 21" in page
    assert "where the model says it on the whole picture" in page


def test_a_region_of_the_map(tmp_path: Path) -> None:
    path = kinds.segmenter(tmp_path / "m.onnx")
    sample = shown(tmp_path, kinds.square())
    record, page = audited(path, samples=(sample,), targets="1", region=(0, 0, 0.1, 1))
    assert record.model.region == (0, 0, 0.1, 1)
    assert [p.class_ for p in record.samples[0].predicted] == [0]
    assert record.samples[0].predicted[0].share == 1
    assert "from 0\u00a0% to 10\u00a0% of its height" in page


def test_multi_label(tmp_path: Path) -> None:
    sample = shown(tmp_path, kinds.CHECKS[None])
    record, page = audited(kinds.many_labels(tmp_path / "m.onnx"), samples=(sample,))
    assert (record.model.task, record.model.independent) == ("multi-label", True)
    probs = {p.class_: p.prob for p in record.samples[0].predicted}
    assert probs[0] > 0.99
    assert probs[1] > 0.99
    assert "Several classes can hold at once" in page
    assert "making 100" not in page


@pytest.mark.parametrize(
    ("names", "want"),
    [(["sound", "broken"], ("sound", "broken")), (["broken"], ("not broken", "broken"))],
)
def test_binary(tmp_path: Path, names: list[str], want: tuple[str, str]) -> None:
    sample = shown(tmp_path, kinds.CHECKS[None])
    record, page = audited(kinds.one_score(tmp_path / "m.onnx", True), names, samples=(sample,))
    assert (record.model.task, record.classes) == ("binary", want)
    first, second = record.samples[0].predicted
    assert first.name == "broken"
    assert first.prob + second.prob == pytest.approx(1)
    assert first.prob > 0.99
    assert "single score, which the two classes share" in page
    with pytest.raises(ClassesRefused, match="3 class names for a model with 2"):
        audited(kinds.one_score(tmp_path / "m.onnx", True), ["a", "b", "c"])


def test_bands(tmp_path: Path) -> None:
    path = kinds.banded(tmp_path / "m.onnx")
    np.save(tmp_path / "p.npy", kinds.square(kinds.BANDS, kinds.TELLING))
    record, page = audited(path, samples=(tmp_path / "p.npy",), preprocessing={"range": (0, 1)})
    preprocessing = record.model.preprocessing
    assert (preprocessing.channel_order, len(preprocessing.mean)) == ("BANDS", kinds.BANDS)
    assert preprocessing.assumed["channel_order"] == "it has 7 channels"
    owners: list[Prototype | Sample] = [*record.prototypes, *record.samples]
    for each in owners:
        assert each.bands is not None
        with Image.open(tmp_path / "out" / each.bands) as image:
            assert min(image.size) > kinds.SIDE
        with Image.open(tmp_path / "out" / each.image) as image:
            assert (image.mode, image.size) == ("RGB", (kinds.SIDE, kinds.SIDE))
    assert record.samples[0].predicted[0].class_ == 1
    assert page.count(", each in grey") == len(record.prototypes) + 1
    assert "7 bands, as they are; band 1 is shown as red" in page
    assert "The pictures do not show all bands" in page
