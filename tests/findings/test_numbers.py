"""Numbers are shown as a person reads them: no false zero, no false whole, no minus before zero."""

import pytest

from leap_audit.report.wording import number, signed
from leap_audit.text.numbers import decimal, percent


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "0.50"), (-1234.0, "−1,234.00"), (-0.004, "0.00"), (-0.0, "0.00"), (-0.006, "−0.01")],
)
def test_a_decimal(value: float, shown: str) -> None:
    assert decimal(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.25, "+0.25"),
        (-0.25, "−0.25"),
        (-0.001, "+0.00"),
        (0.0, "+0.00"),
        (None, "not measured"),
        (float("nan"), "not measured"),
    ],
)
def test_with_its_sign(value: float | None, shown: str) -> None:
    assert signed(value) == shown


def test_what_was_not_measured() -> None:
    assert number(float("inf")) == number(None) == percent(None) == "not measured"


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.0, "0 %"),
        (1e-9, "<0.1 %"),
        (0.00049, "<0.1 %"),
        (0.00051, "0.1 %"),
        (0.034, "3.4 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.914, "91 %"),
        (0.9894, "99 %"),
        (0.9896, "99 %"),
        (0.994, "99.4 %"),
        (0.9994, "99.9 %"),
        (0.9996, ">99.9 %"),
        (1.0, "100 %"),
        (None, "not measured"),
        (float("nan"), "not measured"),
    ],
)
def test_percentages_are_never_a_false_0_or_100(fraction: float | None, text: str) -> None:
    assert percent(fraction).replace("\u00a0", " ") == text
