"""`leap_audit.explain`, `check`, `methods`, and the command."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import leap_audit
from leap_audit.cli import app
from leap_audit.errors import ConfigRefused, PictureRefused, UsageError
from leap_audit.measure.run import Run
from leap_audit.pipeline.explain import opened
from leap_audit.run.session import Array


@pytest.fixture(scope="module")
def model(sample_models: Path) -> Run:
    return opened(sample_models / "digits_shortcut.onnx")[0]


@pytest.fixture(scope="module")
def picture() -> Array:
    return np.random.default_rng(0).random((1, 28, 28), np.float32)


def test_an_explanation_has_what_it_promises(model: Run, picture: Array) -> None:
    found = leap_audit.explain(model, picture)
    assert found.method == "integrated_gradients"
    assert found.map.shape == (28, 28)
    np.testing.assert_allclose(found.map, found.values.sum(0))
    logits = model.logits(picture[None])[0]
    assert found.score == pytest.approx(logits.max(), abs=1e-4)
    assert found.completeness is not None
    assert found.completeness < 5e-2
    assert found.options["steps"] == 50
    two = leap_audit.explain(model, np.stack([picture, 1 - picture]), 3, "saliency")
    assert [each.subject.class_ for each in two] == [3, 3]


def test_targets(model: Run, picture: Array) -> None:
    plain = leap_audit.explain(model, picture, 3, "saliency", absolute=False).values
    other = leap_audit.explain(model, picture, 5, "saliency", absolute=False).values
    apart = leap_audit.Difference(3, (5,), alpha=0.5)
    found = leap_audit.explain(model, picture, apart, "saliency", absolute=False)
    np.testing.assert_allclose(found.values, plain - 0.5 * other, atol=1e-5)
    logits = model.logits(picture[None])[0]
    assert found.score == pytest.approx(logits[3] - 0.5 * logits[5], abs=1e-4)
    inner = model.model.graph.graph.outputs[0].name
    element = leap_audit.Tensor(str(inner), (3,))
    found = leap_audit.explain(model, picture, element, "saliency", absolute=False)
    np.testing.assert_allclose(found.values, plain, atol=1e-5)
    assert found.score == pytest.approx(logits[3], abs=1e-4)


def test_a_baseline_of_ones_own(model: Run, picture: Array) -> None:
    named = leap_audit.explain(model, picture, 3, baseline="white", steps=8).values
    given = leap_audit.explain(model, picture, 3, baseline=np.ones_like(picture), steps=8).values
    np.testing.assert_array_equal(named, given)
    assert not leap_audit.explain(model, picture, 3, baseline=picture, steps=8).values.any()


def test_auto_takes_what_the_model_has_all_for(model: Run, picture: Array) -> None:
    assert leap_audit.explain(model, picture, method="auto").method == "hirescam"


def test_checks_of_an_explanation(model: Run, picture: Array) -> None:
    found = leap_audit.explain(model, picture, method="hirescam")
    quick = leap_audit.check(found, slow=False)
    assert {"gain_blur", "gain_mean", "infidelity", "sparseness"} <= set(quick)
    assert "pointing" in leap_audit.check(found, mask=found.map > 0, slow=False)


def test_methods_are_those_of_the_registry() -> None:
    assert {"gradcam", "integrated_gradients", "rise"} <= set(leap_audit.methods())
    assert "prototype" not in leap_audit.methods()


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        ({"method": "gradcan"}, ConfigRefused, "did you mean 'gradcam'"),
        ({"method": "smoth:gradcam"}, ConfigRefused, "there are smooth, tta"),
        ({"method": "gradient_rollout"}, ConfigRefused, "no attention"),
        ({"step": 3}, ConfigRefused, "did you mean 'steps'"),
        ({"target": 10}, UsageError, "no class 10"),
        ({"target": "nought"}, Exception, "not a class"),
        ({"method": "gradcam", "at": "nowhere"}, UsageError, "no tensor 'nowhere'"),
        ({"at": "c"}, ConfigRefused, "integrated_gradients looks at no tensor.*layer_ig"),
        (
            {"target": leap_audit.Place(1, (0, 0, 1, 1)), "method": "saliency"},
            UsageError,
            "whole map",
        ),
        (
            {"target": leap_audit.Tensor("logits", (99,)), "method": "saliency"},
            UsageError,
            "no position",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    model: Run, picture: Array, words: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        leap_audit.explain(model, picture, **words)


def test_pictures_of_another_size_are_refused(model: Run) -> None:
    with pytest.raises(PictureRefused, match=r"takes \[1, 28, 28\]"):
        leap_audit.explain(model, np.zeros((3, 28, 28)))


def test_the_command_writes_maps_overlays_record_and_page(
    sample_models: Path, tmp_path: Path
) -> None:
    words = ["explain", str(sample_models / "digits_shortcut.onnx")]
    words += [
        str(sample_models / "pictures" / "marked" / "eight"),
        "-m",
        "hirescam,smooth:saliency",
    ]
    words += ["--method-option", "smooth:saliency.copies=2", "--compare", "--json"]
    result = CliRunner().invoke(app, [*words, "--threads", "1", "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["methods"] == ["hirescam", "smooth:saliency"]
    record = json.loads((tmp_path / "out" / "explain.json").read_text(encoding="utf-8"))
    assert record["schema"] == "leap-audit-explain/1"
    assert len(record["pictures"]) == 2
    for row in record["pictures"]:
        for found in row["maps"]:
            values = np.load(tmp_path / "out" / found["map"])
            assert values.shape == (28, 28)
            assert (tmp_path / "out" / found["overlay"]).is_file()
            assert {"gain_blur", "gain_mean"} <= set(found["checks"])
    assert record["pictures"][0]["maps"][1]["options"]["copies"] == 2
    assert {s["method"] for s in record["standings"]["blur"]} == {"hirescam", "smooth:saliency"}
    page = (tmp_path / "out" / "explain.html").read_text(encoding="utf-8")
    assert "Draelos and Carin 2020" in page
    assert page.count("data:image/") >= 6
    again = CliRunner().invoke(app, [*words, "--threads", "1", "-o", str(tmp_path / "out")])
    assert again.exit_code == 0  # its own folder may be replaced


def test_a_tensor_that_no_method_looks_at_is_refused(sample_models: Path, tmp_path: Path) -> None:
    words = ["explain", str(sample_models / "digits_shortcut.onnx")]
    words += [str(sample_models / "pictures" / "marked" / "eight"), "--at", "nowhere"]
    words += ["--threads", "1", "-o", str(tmp_path / "out"), "-m"]
    refused = CliRunner().invoke(app, [*words, "occlusion,integrated_gradients"])
    assert refused.exit_code != 0
    assert "occlusion, integrated_gradients looks at no tensor" in " ".join(refused.stderr.split())
    one = CliRunner().invoke(app, [*words, "occlusion,layer_ig"])
    assert "no tensor 'nowhere' inside" in " ".join(one.stderr.split())


def test_the_command_lists_methods_and_what_a_model_lacks(sample_models: Path) -> None:
    listed = CliRunner().invoke(app, ["explain", "--methods"])
    assert listed.exit_code == 0
    assert "gradcam" in listed.stdout
    of_model = CliRunner().invoke(
        app, ["explain", str(sample_models / "digits_clean.onnx"), "--methods"]
    )
    assert "not here: it has no attention" in of_model.stdout
    refused = CliRunner().invoke(app, ["explain", str(sample_models / "digits_clean.onnx")])
    assert refused.exit_code == 2


def test_the_command_explains_what_makes_two_pictures_alike(
    sample_models: Path, tmp_path: Path
) -> None:
    """A classifier's logits as a vector: the map of the command is that of the target."""
    model = sample_models / "digits_clean.onnx"
    one, other = sorted((sample_models / "pictures" / "marked" / "eight").glob("*.png"))[:2]
    out = tmp_path / "out"
    words = ["explain", str(model), str(one), "--task", "embedding", "--threads", "1"]
    words += ["-m", "saliency", "-o", str(out)]
    result = CliRunner().invoke(app, [*words, "--similar-to", str(other)])
    assert result.exit_code == 0, result.output
    record = json.loads((out / "explain.json").read_text(encoding="utf-8"))
    (row,) = record["pictures"]
    assert row["target"] == f"similarity to {other.name}"
    run, _ = opened(model, threads=1, more={"task": "embedding"})
    pictures = [np.asarray(each.picture) for each in _subjects(run, [one, other])]
    found = leap_audit.explain(run, pictures[0], leap_audit.Similarity(pictures[1]), "saliency")
    np.testing.assert_allclose(np.load(out / row["maps"][0]["map"]), found.map, rtol=1e-4)
    assert row["maps"][0]["score"] == pytest.approx(found.score, rel=1e-5)

    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    record = json.loads((out / "explain.json").read_text(encoding="utf-8"))
    assert record["pictures"][0]["target"] == "the model's vector"
    result = CliRunner().invoke(app, [*words, "--dimension", "3"])
    assert result.exit_code == 0, result.output
    record = json.loads((out / "explain.json").read_text(encoding="utf-8"))
    assert record["pictures"][0]["target"] == "dimension 3"


def _subjects(run: Run, paths: list[Path]) -> list[Any]:
    return [leap_audit.explain(run, path, method="saliency").subject for path in paths]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--dimension", "3", "--target", "4"], "each say what is explained; give one"),
        (["--similar-to", "FOLDER"], "pictures; name one"),
        (["--dimension", "10"], "no dimension 10; the vector has 10"),
    ],
)
def test_a_vector_is_asked_for_once(
    sample_models: Path, tmp_path: Path, words: list[str], says: str
) -> None:
    folder = sample_models / "pictures" / "marked" / "eight"
    words = [str(folder) if word == "FOLDER" else word for word in words]
    start = ["explain", str(sample_models / "digits_clean.onnx"), str(folder)]
    out = tmp_path / "out"
    more = ["--task", "embedding", "--threads", "1", "-m", "saliency", "-o", str(out)]
    result = CliRunner().invoke(app, [*start, *more, *words])
    assert result.exit_code == 2, result.output
    assert says in " ".join(result.output.split())
    assert not out.exists()
