"""Which tensors are maps of places, and which attention is among all of them."""

from pathlib import Path

import pytest

from leap_audit.measure.attribution.places import attends_within_windows, attentions
from leap_audit.measure.attribution.smoothing import explainer
from tests.builders.attention import attending


def test_attention_among_all_tokens_is_rolled_out(tmp_path: Path) -> None:
    model = attending(tmp_path / "m.onnx", 1)
    assert [value.shape[-1] for value in attentions(model) if value.shape] == [16]
    assert not attends_within_windows(model)
    assert not explainer("gradient_rollout").unmet(model)


@pytest.mark.parametrize("method", ["gradient_rollout", "attention_rollout"])
def test_attention_within_windows_is_not(tmp_path: Path, method: str) -> None:
    """Windows of 2 × 2 places are a grid as well, of another part of the picture each."""
    model = attending(tmp_path / "m.onnx", 4)
    assert not attentions(model)
    assert attends_within_windows(model)
    assert "within windows" in explainer(method).unmet(model)
