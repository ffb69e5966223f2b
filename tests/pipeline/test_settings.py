"""audit() in Python takes what the command line takes, by the same names."""

import json
from pathlib import Path
from typing import Any

import pytest

from leap_audit.config import AuditOptions, PrototypeOptions
from leap_audit.errors import ConfigRefused
from leap_audit.pipeline.settings import nested


def options(**settings: Any) -> AuditOptions:
    return AuditOptions.parse(nested(settings), "audit()")


def test_steps_are_the_prototypes() -> None:
    assert options(steps=24).prototype.steps == 24
    assert options(steps=24, prototype={"lr": 0.1}).prototype.lr == 0.1
    assert options(prototype=PrototypeOptions(lr=0.1), steps=3).prototype.steps == 3


def test_what_is_said_of_the_picture() -> None:
    found = options(input_size=96, mean=0.5, preprocessing={"std": 2}).preprocessing
    assert (found.input_size, found.mean, found.std) == ((96, 96), (0.5,), (2,))


def test_a_preprocessing_by_its_name_or_file(tmp_path: Path) -> None:
    found = options(preprocessing="keras.caffe", layout="NHWC").preprocessing
    assert (found.channel_order, found.layout) == ("BGR", "NHWC")
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"range": [0, 255]}), encoding="utf-8")
    assert options(preprocessing=path).preprocessing.range == (0, 255)


def test_a_file_of_options(tmp_path: Path) -> None:
    path = tmp_path / "options.toml"
    path.write_text("seeds = 5\n[prototype]\nsteps = 7\n", encoding="utf-8")
    found = options(config=path, steps=9)
    assert (found.seeds, found.prototype.steps) == (5, 9)


def test_an_option_of_a_group_says_where_it_belongs() -> None:
    with pytest.raises(ConfigRefused, match=r"unknown option 'noise'; did you mean 'prototype"):
        options(noise=0.1)
    with pytest.raises(ConfigRefused, match=r"'prototype.logit_scale' or 'isolation.logit_scale'"):
        options(logit_scale=1)
