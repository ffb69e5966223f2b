"""The whole way for outputs that are no list of logits: what audit.json and the command say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image
from typer.testing import CliRunner

from leap_audit import engine
from leap_audit.artifacts import Audit
from leap_audit.cli import app
from leap_audit.ingest import load
from leap_audit.pipeline import audit
from leap_audit.progress import Silent
from tests.builders.classifiers import RAW
from tests.builders.ends import ENDS, own_answer, write_end, write_text
from tests.builders.running import TINY

pytestmark = pytest.mark.usefixtures("unprinted")

SIDE = 8
NAMES = ["cat", "dog", "eel"]


def audited(path: Path, classes: Any = None, **settings: Any) -> Audit:
    given = {**TINY, "preprocessing": RAW, "seeds": 1, **settings}
    return audit(path, classes, out=path.parent / "out", **given).audit


def shown(folder: Path) -> tuple[Path, Any]:
    """Return a photograph, and what the model sees of it."""
    levels = np.random.default_rng(4).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    Image.fromarray(levels).save(folder / "p.png")
    return folder / "p.png", (levels[None, None] / 255).astype(np.float32)


@pytest.mark.parametrize(
    "name", ["exp and sum", "two softmaxes", "percent", "clipped coarsely", "hard sigmoids"]
)
def test_audit_json_says_what_the_model_says(tmp_path: Path, name: str) -> None:
    end = ENDS[name]
    path = write_end(tmp_path / "m.onnx", end)
    sample, picture = shown(tmp_path)
    record = audited(path, samples=(sample,))
    assert record.model.output == "y"
    assert record.model.meaning.startswith("On 10 pictures its numbers lie in ")
    p = own_answer(path, picture)[0] / end.total
    said = {each.class_: each.prob for each in record.samples[0].predicted}
    assert said == pytest.approx({k: p[k] for k in said}, abs=1e-5)
    isolated = {each.class_: each.prob for each in record.samples[0].isolations}
    assert isolated == pytest.approx({k: p[k] for k in isolated}, abs=1e-5)
    drawn = [Image.open(tmp_path / "out" / each.image) for each in record.prototypes]
    for each, drawing in zip(record.prototypes, drawn, strict=True):
        seen = (np.asarray(drawing.convert("L"))[None, None] / 255).astype(np.float32)
        own = own_answer(path, seen)[0, each.target[0]] / end.total
        assert each.prob == pytest.approx(own, abs=0.05)  # the picture is rounded to 8 bits


def test_generate_says_what_the_model_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_end(tmp_path / "m.onnx", ENDS["two softmaxes"])
    picture = np.random.default_rng(4).random((1, 1, SIDE, SIDE)).astype(np.float32)
    frame, _ = engine.generate(
        "t",
        path,
        NAMES,
        {"max_steps": 4, "output": "y"},
        samples=picture,
        mode="onnx",
        progress=Silent(),
    )
    how = load(path).preprocessing
    low, high = how.range
    x = (picture * (high - low) + low - how.mean[0]) / how.std[0]
    p = own_answer(path, x.astype(np.float32))[0]
    columns = [name for name in frame.columns if "prob" in name]
    assert columns
    found = frame["isolation_prob"] if "isolation_prob" in frame else frame[columns[0]]
    assert float(found.max()) == pytest.approx(float(p.max()), abs=1e-5)


def test_the_names_in_a_zipmap_are_the_classes(tmp_path: Path) -> None:
    zipped = helper.make_node(
        "ZipMap", ["p"], ["s"], domain="ai.onnx.ml", classlabels_strings=NAMES
    )
    floats = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    kind = helper.make_map_type_proto(TensorProto.STRING, floats)
    given = [helper.make_value_info("s", helper.make_sequence_type_proto(kind))]
    path = write_text(
        tmp_path / "m.onnx",
        "z = MatMul (f, w)\np = Softmax (z)",
        [],
        more=[zipped],
        given=given,
        ml=2,
    )
    record = audited(path, targets="dog")
    assert record.classes == tuple(NAMES)
    assert "The names of the classes are those in the ZipMap." in record.notes
    assert record.model.outputs[0].dtype == "sequence(map(string, float))"
    assert "output 's' read from tensor 'p' behind it" in record.model.logits
    assert audited(path, ["a", "b", "c"], targets="1").classes == ("a", "b", "c")


def test_a_softmax_over_one_class_is_a_finding(tmp_path: Path) -> None:
    path = write_text(
        tmp_path / "m.onnx", "z = MatMul (f, one)\ny = Softmax (z)", [("y", ("n", 1))]
    )
    sample, _ = shown(tmp_path)
    record = audited(path, samples=(sample,))
    found = record.findings[0]
    assert (found.id, found.severity) == ("constant-answer", "high")
    assert "a softmax over one class, which gives 1 whatever it is shown" in found.evidence
    assert record.samples[0].predicted[0].prob == pytest.approx(1, abs=1e-6)
    assert record.samples[0].predicted[0].class_ == 1


TWO = "z = MatMul (f, w)\no = MatMul (f, w10)"
HEADS = [("z", ("n", 3)), ("o", ("n", 10))]


def test_the_command_takes_an_output_and_records_it(tmp_path: Path) -> None:
    path = write_text(tmp_path / "m.onnx", TWO, HEADS)
    words = [str(path), "--steps", "1", "--seeds", "1", "--targets", "0", "--out"]
    refused = CliRunner().invoke(app, [*words, str(tmp_path / "a")])
    assert refused.exit_code != 0
    said = " ".join(refused.output.split())
    assert "2 outputs may hold the class scores: 'z' (1 × 3), 'o' (1 × 10)" in said
    unknown = CliRunner().invoke(app, [*words, str(tmp_path / "b"), "--output", "q"])
    assert "no output called 'q'" in " ".join(unknown.output.split())
    done = CliRunner().invoke(app, [*words, str(tmp_path / "c"), "--output", "o"])
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "c" / "audit.json").read_text(encoding="utf-8"))
    assert record["model"]["output"] == "o"
    assert record["config"]["output"] == "o"
    assert len(record["classes"]) == 10


def test_a_file_that_runs_is_never_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leap_audit.canonical import form as canonical
    from leap_audit.errors import Defect

    def fails(*_: object) -> None:
        raise ZeroDivisionError("nought")

    monkeypatch.setenv("LEAP_AUDIT_CONTAINED", "0")
    monkeypatch.setattr(canonical, "_canonical", fails)
    path = write_end(tmp_path / "m.onnx", ENDS["softmax"])
    with pytest.raises(Defect, match="a defect in leap-audit, not in the file") as caught:
        audited(path)
    assert "damaged" not in str(caught.value)
    assert onnx.load(path).graph.node
