"""The registry: a method that is written in one file is everywhere."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import Field
from typer.testing import CliRunner

from leap_audit.cli import app
from leap_audit.config import Options
from leap_audit.errors import ConfigRefused
from leap_audit.measure.methods import (
    BATCH_OF_TWO,
    GRADIENT,
    KINDS,
    METHODS,
    Explanation,
    Setting,
    chosen_attributions,
    load_methods,
    method,
    require,
)
from leap_audit.measure.run import Run
from leap_audit.measure.subject import Subject
from leap_audit.pipeline import audit
from tools.options import PAGE, page


class BrightnessOptions(Options):
    power: int = Field(default=2, ge=1)
    """Power that the pixels are raised to."""


def brightness(
    run: Run,
    subjects: Sequence[Subject],
    options: BrightnessOptions,
    *,
    seed: int,
) -> Iterator[Explanation]:
    """Brightness of the picture."""
    for subject in subjects:
        values = subject.picture.mean(0) ** options.power
        yield Explanation(values, {"mean": float(values.mean())})


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    load_methods()
    monkeypatch.setattr("leap_audit.measure.methods.METHODS", METHODS)
    method(
        "brightness",
        kind="attribution",
        options=BrightnessOptions,
        needs=(GRADIENT,),
        source="Nobody 2026",
    )(brightness)
    monkeypatch.setitem(METHODS, "brightness", METHODS.pop("brightness"))


def test_an_added_method_is_everywhere(
    added: None, sample_models: Path, tmp_path: Path, without_pdf: None
) -> None:
    listed = CliRunner().invoke(app, ["methods"]).stdout
    assert "brightness" in listed
    about = CliRunner().invoke(app, ["methods", "brightness"]).stdout
    assert "power: Power that the pixels are raised to. (default 2)" in about
    assert "| `power` | 2 | Power that the pixels are raised to. |" in page()
    words = [str(sample_models / "digits_clean.onnx"), "--targets", "1", "--seeds", "1"]
    words += ["--steps", "2", "--threads", "1", "--out", str(tmp_path / "out")]
    words += ["--methods", "brightness", "--method-option", "brightness.power=3"]
    (tmp_path / "o.toml").write_text("isolation = {steps = 2, grid = 4, per_prototype = 1}")
    result = CliRunner().invoke(app, [*words, "--config", str(tmp_path / "o.toml")])
    assert result.exit_code == 0, result.output
    from leap_audit.artifacts import Audit

    record = Audit.read(tmp_path / "out")
    assert record.config["method_options"]["brightness"] == {"power": 3}
    (found,) = record.prototypes[0].attributions
    assert (found.method, found.class_) == ("brightness", 1)
    assert found.low < found.figures["mean"] < found.high
    assert (tmp_path / "out" / found.map).is_file()
    assert found.map in record.files
    assert record.methods["brightness"]["power"] == 3
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Nobody 2026" in html


def test_two_methods_have_two_names() -> None:
    load_methods()
    with pytest.raises(ValueError, match="two methods are called 'smoothgrad'"):
        method("smoothgrad", kind="attribution", source="")(brightness)


@pytest.mark.parametrize("name", list(load_methods()))
def test_every_method_says_what_it_is(name: str) -> None:
    each = require(name)
    assert each.kind in KINDS
    assert each.summary.endswith(".")
    assert each.source
    assert each.cost
    assert all(field.description for field in each.options.model_fields.values())


def test_the_order_is_that_of_the_kinds() -> None:
    assert list(load_methods())[:3] == ["prototype", "entanglement", "isolation"]


@pytest.mark.parametrize(
    ("names", "options", "says"),
    [
        (["smothgrad"], {}, "did you mean 'smoothgrad'"),
        (["isolation"], {}, "which every audit has"),
        (["smoothgrad"], {"smoothgrad": {"copy": 1}}, "did you mean 'copies'"),
        (["smoothgrad"], {"smoothgrad": {"copies": 0}}, "method_options.smoothgrad: copies"),
        ([], {"smoothgrad": {}}, "not among the methods"),
    ],
)
def test_what_is_no_method_is_refused(
    names: list[str], options: dict[str, dict[str, Any]], says: str
) -> None:
    with pytest.raises(ConfigRefused, match=says):
        chosen_attributions(names, options)


def test_the_page_of_options_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make options"


def test_a_need_that_is_not_met_is_said() -> None:
    from types import SimpleNamespace

    model: Any = SimpleNamespace(batchable=False)
    assert "takes one" in BATCH_OF_TWO.unmet(model)
    assert "takes one" in require("deeplift").unmet(model)
    assert require("isolation").unmet(model) == ""
    assert require("smoothgrad").unmet(model) == ""
    with pytest.raises(ConfigRefused, match="deeplift cannot run on this model"):
        require("deeplift").require_of(model)


def test_smoothgrad_in_an_audit(sample_models: Path, tmp_path: Path, without_pdf: None) -> None:
    record = audit(
        sample_models / "digits_clean.onnx",
        out=tmp_path / "out",
        targets="3",
        seeds=1,
        threads=1,
        prototype={"steps": 2},
        isolation={"steps": 1, "grid": 2, "per_prototype": 1},
        methods="smoothgrad",
        method_options={"smoothgrad": {"copies": 2, "kind": "square", "blur": 0.1}},
    ).audit
    (found,) = record.prototypes[0].attributions
    assert 0 <= found.low < found.high
    own = require("smoothgrad")
    entry = own.describe(
        own.options.parse({"copies": 2, "kind": "square", "blur": 0.1}, ""), Setting()
    )
    assert record.methods["smoothgrad"] == entry
    assert np.isfinite(found.high)
