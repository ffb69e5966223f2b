"""Networks that judge the prototypes of one another."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import transfer
from benchmarks.judging import log_probabilities, ranks
from benchmarks.sheets import contact_sheet
from benchmarks.transfer_matrix import Judgement, judge, print_matrix, prototypes_of, summary
from leap_audit.config import PrototypeOptions
from tests.builders.classifiers import linear, read_model

CLASSES = 5


def test_log_probabilities_are_those_of_a_softmax() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]])) + 1000
    assert np.exp(log_probabilities(logits, [1, 1])) == pytest.approx([0.2, 0.5])


def test_the_rank_is_the_number_of_classes_above() -> None:
    assert ranks(np.array([[3.0, 2, 1, 2], [0, 5, 1, 1]]), [3, 1]).tolist() == [1, 0]


def test_a_network_with_a_background_is_judged_by_the_other_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(1001, 64))
    weights[0] = 100  # the background: first on every picture, and no class of the suite
    pictures = rng.random((3, 1, 8, 8)).astype(np.float32)
    pictures = np.round(pictures * 255) / 255
    plain = read_model(linear(tmp_path / "plain.onnx", weights[1:]))
    behind = read_model(linear(tmp_path / "behind.onnx", weights))
    one, other = (judge(each, pictures, [7, 8, 9], 1) for each in (plain, behind))
    assert other.log_p == pytest.approx(one.log_p, abs=1e-4)
    assert (other.ranks == one.ranks + 1).all()


def test_prototypes_are_made_once_for_each_setting(tmp_path: Path) -> None:
    model = read_model(
        linear(tmp_path / "m.onnx", np.random.default_rng(0).normal(size=(CLASSES, 64)))
    )
    short, long = PrototypeOptions(steps=1), PrototypeOptions(steps=3)
    first = prototypes_of(model, [1, 2], short, 0, tmp_path / "keep", 1)
    kept = sorted((tmp_path / "keep").rglob("*.png"))
    assert [path.name for path in kept] == ["0001-0.png", "0002-0.png"]
    before = [path.stat().st_mtime_ns for path in kept]
    again = prototypes_of(model, [2, 1], short, 0, tmp_path / "keep", 1)
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert (again[::-1] == first).all()
    assert (prototypes_of(model, [1, 2], long, 0, tmp_path / "keep", 1) != first).any()
    assert len(list((tmp_path / "keep").rglob("*.png"))) == 4


def test_a_matrix_says_how_far_below_photographs_the_pairs_lie(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def seen(*places: int) -> Judgement:
        return Judgement(np.array(places), np.full(len(places), -1.5))

    made = {"a": {"a": seen(0, 0), "b": seen(0, 7)}, "b": {"a": seen(0, 2), "b": seen(9, 9)}}
    print_matrix(made, {"a": seen(0, 0), "b": seen(0, 1)}, classes=2)
    said = capsys.readouterr().out
    assert (
        "| a | 1.00 / 1.00, -1.50 (1.00–1.00) (itself) | 0.50 / 0.50, -1.50 (0.00–1.00) |" in said
    )
    assert "| photographs | 1.00 / 1.00" in said
    assert "over 2 pairs: median -0.25, least -0.50 (b judged by a)" in said


def test_a_summary_has_the_90_percent_interval() -> None:
    judgement = Judgement(np.array([0] * 10 + [5] * 10), np.linspace(-2, 0, 20))
    assert summary(judgement, np.random.default_rng(0)) == "0.50 / 0.50, -1.00 (0.30–0.70)"


@pytest.mark.parametrize(
    ("side", "size"), [(None, (14 * 8 * 2 + 4, 14 * 8 * 2 + 4)), (4, (12, 12))]
)
def test_a_sheet_has_its_pictures_row_by_row(
    side: int | None, size: tuple[int, int], tmp_path: Path
) -> None:
    greys = np.array([0, 51, 102], np.float32).reshape(3, 1, 1, 1) / 255
    pictures = np.broadcast_to(greys, (3, 1, 8, 8))
    contact_sheet(pictures, tmp_path / "s.png", columns=2, side=side)
    sheet = Image.open(tmp_path / "s.png")
    assert sheet.size == size
    corners = [(0, 0), (size[0] - 1, 0), (0, size[1] - 1), (size[0] - 1, size[1] - 1)]
    assert [sheet.getpixel(at) for at in corners] == [
        (0, 0, 0), (51, 51, 51), (102, 102, 102), (255, 255, 255)
    ]  # fmt: skip


def test_a_model_or_a_matrix_must_be_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["transfer"])
    with pytest.raises(SystemExit):
        transfer.main()
    assert "give a model and --classes, or --matrix" in capsys.readouterr().err
