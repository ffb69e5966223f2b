"""What the method page says of how good the measurements are."""

import re

import pytest

from leap_audit.measure.validation import validated


@pytest.mark.parametrize("stage", ["isolation", "entanglement"])
def test_a_validation_names_the_network_its_figures_and_the_day(stage: str) -> None:
    said = validated(stage)
    assert "MobileNetV2" in said
    assert re.search(r"\d\.\d\d", said)
    assert re.search(r"\. Measured on \d{4}-\d\d-\d\d\.$", said)


def test_what_was_not_measured_has_no_validation() -> None:
    with pytest.raises(KeyError):
        validated("speed")
