"""docs/methods.md is what the registry says."""

import re

from leap_audit.pipeline.explain import methods
from tools.methods import PAGE, PICTURES, page


def test_the_page_of_methods_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tools.methods"


def test_every_method_is_on_it_with_formula_and_advice() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, method in methods().items():
        assert f"## {name}\n" in text
        assert method.traits.formula, name
        assert method.traits.advice, name
    shown = set(re.findall(r"images/methods/(\S+\.png)", text))
    assert shown == {file.name for file in PICTURES.glob("*.png")}
