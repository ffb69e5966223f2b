"""What the report says was done in an experiment."""

from pathlib import Path
from typing import Any

import pytest

from leap_audit.artifacts import EvidencePicture
from leap_audit.report import render_html
from tests.builders.audits import changed
from tests.builders.pages import Page
from tests.builders.records import finding, suspected
from tests.report.conftest import Build


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("region", ["1. Original", "2. Covered", "3. Control", "4. Pasted"]),
        ("colour", ["1. Original", "2. Taken back", "3. Control", "4. Changed"]),
        ("convolution", ["1. Original", "2. Taken back", "3. Control", "4. Changed"]),
    ],
)
def test_headings_say_what_was_done(
    build: Build, folder: Path, kind: str, steps: list[str]
) -> None:
    audit = build(prototypes=4, samples=0)
    roles: tuple[Any, ...] = ("original", "covered", "control", "pasted")
    pictures = tuple(
        EvidencePicture(image=prototype.image, caption="c.", role=role)
        for prototype, role in zip(audit.prototypes, roles, strict=True)
    )
    found = finding("shortcut", "high", 0).model_copy(update={"pictures": pictures})
    row = suspected(0, 0.9, kind=kind, pictures=pictures)
    audit = changed(audit, findings=(found,), suspicion=(row,), experiments=(row.pasted,))
    text = Page(render_html(audit, folder)).text
    places = [text.index(step) for step in steps]
    assert places == sorted(places)
    whole = "A change of the whole picture, as of its colours, is given" in text
    assert whole == (kind != "region")
