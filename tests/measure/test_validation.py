"""What the method page says of how good the measurements are."""

import re

from leap_audit.measure.validation import NEVER, validated


def test_a_validation_names_the_networks_the_figures_and_the_day() -> None:
    said = validated("entanglement")
    assert "MobileNetV2" in said
    assert re.search(r"0\.\d\d", said)
    assert re.search(r"\. Measured on \d{4}-\d\d-\d\d\.$", said)


def test_what_was_not_measured_says_so() -> None:
    assert validated("speed") == NEVER
