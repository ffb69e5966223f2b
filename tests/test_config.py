"""Options: defaults, layers, files, and sentences for what does not fit."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from leap_audit.config import AuditOptions, DeclaredPreprocessing
from leap_audit.errors import ConfigRefused
from leap_audit.tables import layered, read_table


def test_the_defaults_are_those_of_the_documents() -> None:
    options = AuditOptions()
    assert (options.prototype.steps, options.isolation.steps) == (192, 48)
    assert (options.top_classes, options.seed, options.provider) == (3, 0, "auto")
    assert options.preprocessing == DeclaredPreprocessing()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"seeed": 1}, "file.toml: unknown option 'seeed'; did you mean 'seed'"),
        ({"prototype": {"stps": 1}}, "'prototype.stps'; did you mean 'prototype.steps'"),
        ({"preprocessing": {"means": 1}}, "did you mean 'preprocessing.mean'"),
        ({"seed": -1}, "seed: .*greater than or equal to 0 .got -1"),
        ({"prototype": {"lr": float("nan")}}, "prototype.lr: .*finite number"),
        ({"prototype": 3}, "prototype: .*got 3"),
        ({"preprocessing": {"layout": "CHWN"}}, "preprocessing.layout: .*'NCHW' or 'NHWC'"),
        ({"preprocessing": {"range": [1]}}, "preprocessing.range"),
        ({"targets": [["a"]]}, "targets.0"),
        ({"provider": "x" * 10_000, "batch": "y" * 10_000}, r"batch: .{,200}$"),
    ],
)
def test_what_does_not_fit_is_one_sentence(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigRefused, match=says):
        AuditOptions.parse(values, "file.toml")


def test_the_short_ways_to_write_a_value() -> None:
    options = AuditOptions.parse(
        {
            "targets": [1, "8,20-25", "hen"],
            "samples": "photos",
            "preprocessing": {"mean": 0.5, "std": [1, 2, 3], "input_size": 96},
        },
        "here",
    )
    assert options.targets == ("1", "8,20-25", "hen")
    assert options.samples == (Path("photos"),)
    assert options.preprocessing.mean == (0.5,)
    assert options.preprocessing.input_size == (96, 96)
    assert AuditOptions.parse({"targets": 3}, "here").targets == ("3",)


def test_options_do_not_change() -> None:
    with pytest.raises(ValidationError):
        AuditOptions().seed = 1


def test_layers() -> None:
    below = {"seed": 1, "prototype": {"steps": 5, "lr": 0.1}}
    above = {"batch": 2, "prototype": {"steps": 9}}
    assert layered(below, {}, above) == {
        "seed": 1,
        "batch": 2,
        "prototype": {"steps": 9, "lr": 0.1},
    }
    assert below == {"seed": 1, "prototype": {"steps": 5, "lr": 0.1}}
    assert layered({"prototype": 3}, {"prototype": {"steps": 1}}) == {"prototype": {"steps": 1}}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("o.toml", "seed = 3\n[prototype]\nsteps = 4\n"),
        ("o.conf", "\ufeffseed = 3\nprototype.steps = 4\n"),
        ("o.JSON", '{"seed": 3, "prototype": {"steps": 4}}'),
    ],
)
def test_files_of_options(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_table(tmp_path / name) == {"seed": 3, "prototype": {"steps": 4}}


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("o.toml", b"seed 3", "is not valid TOML"),
        ("o.json", b"{", "is not valid JSON"),
        ("o.json", b"[" * 50_000, "nested too deeply"),
        ("o.json", b"[1]", "holds a list, not a table"),
        ("o.toml", b"\xff\xfe", "is not text"),
        ("none.toml", None, "No such file"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, name: str, data: bytes | None, says: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigRefused, match=says):
        read_table(tmp_path / name)
