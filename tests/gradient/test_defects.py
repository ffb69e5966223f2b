"""What fails in leap-audit itself is called that, with the node; the file is not blamed."""

import pytest
from onnx import parser

from leap_audit.canonical import form as canonical
from leap_audit.canonical.form import canonicalise
from leap_audit.canonical.rewrite import REWRITINGS, Rewriting
from leap_audit.errors import Defect, ModelRefused
from leap_audit.gradient import build_gradient
from leap_audit.gradient.table import RULES, Rule
from leap_audit.run import choose_provider
from tests.builders.contrib import one_node

MODEL = parser.parse_model(
    '<ir_version: 8, opset_import: ["": 17]> g (float[1,4] x) => (float[1,4] y) { y = Sigmoid(x) }'
)
SENTENCE = r"failed \(TypeError: no luck\)\. This is a defect in leap-audit, not in the file"


def _fails(*_: object, **__: object) -> None:
    raise TypeError("no luck.")


def test_a_rule_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "Sigmoid", Rule("Sigmoid", _fails, (), broadcasting=False))
    with pytest.raises(Defect, match=rf"The gradient rule of Sigmoid \(.*\) {SENTENCE}"):
        build_gradient(MODEL)


def test_a_rewriting_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REWRITINGS, "com.microsoft::QuickGelu", Rewriting(_fails, shapes=False))
    model = one_node("QuickGelu", {"x": (1, 4)})
    with pytest.raises(Defect, match=rf"Writing QuickGelu \(node\) in others {SENTENCE}"):
        canonicalise(model, provider=choose_provider("cpu"))


def test_other_work_that_fails_is_called_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "_canonical", _fails)
    with pytest.raises(Defect, match=rf"Bringing the model to its canonical form {SENTENCE}"):
        canonicalise(MODEL, provider=choose_provider("cpu"))


def test_a_file_that_onnx_runtime_does_not_run_is_still_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(canonical, "_canonical", _fails)
    broken = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[1,4] x) => (float[1,4] y) '
        "<int64[1] s={3}> { y = Reshape(x, s) }"
    )
    with pytest.raises(ModelRefused, match=r"does not (run|load)"):
        canonicalise(broken, provider=choose_provider("cpu"))
