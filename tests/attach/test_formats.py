"""Other formats: held against their own validators and readers, and against one another."""

import base64
import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from leap_audit.attach.cyclonedx import bom_of, cyclonedx_of
from leap_audit.attach.intoto import intoto_of
from leap_audit.attach.onnx import PREFIX, copy_with_figures
from leap_audit.attach.record import Record, figures_of
from leap_audit.digests import sha256_of
from leap_audit.errors import AuditRefused, ModelRefused, OutputRefused
from leap_audit.run import Session, choose_provider
from tests.attach.conftest import Made


def of_model(record: Record, model: Path) -> Record:
    """Return the record as if it were of this model."""
    identity = record.audit.model.model_copy(
        update={"file": model.name, "sha256": sha256_of(model)}
    )
    audit = record.audit.model_copy(update={"model": identity})
    return Record(record.folder, audit, record.sha256)


def test_the_figures_are_counted(made: Made) -> None:
    figures = {figure.id: figure.text for figure in figures_of(made(samples=2).audit)}
    assert figures["classes"] == "2 of 3"
    assert figures["prototypes"] == "2 of 2"
    assert figures["isolations"] == "8 of 8"
    assert figures["photographs"] == "2"
    assert figures["right"] == "not measured"
    assert figures["verdict"] == "NOT ASSESSED"


def test_a_copy_of_the_model_predicts_the_same(
    record: Record, sample_models: Path, tmp_path: Path
) -> None:
    model, out = tmp_path / "model.onnx", tmp_path / "copy.onnx"
    proto = onnx.load(sample_models / "digits_clean.onnx")
    proto.metadata_props.add(key="author", value="somebody")
    proto.metadata_props.add(key=f"{PREFIX}verdict", value="PASS")
    onnx.save(proto, model)
    before = model.read_bytes()
    out.write_bytes(copy_with_figures(of_model(record, model), model, out))
    assert model.read_bytes() == before
    made = onnx.load(out)
    said = [(each.key, each.value) for each in made.metadata_props]
    assert said[0] == ("author", "somebody")
    assert dict(said)[f"{PREFIX}verdict"] == "NOT ASSESSED"
    assert dict(said)[f"{PREFIX}model_sha256"] == sha256_of(model)
    assert dict(said)[f"{PREFIX}audit_sha256"] == record.sha256
    assert len(dict(said)) == len(said)
    assert made.graph.SerializeToString() == proto.graph.SerializeToString()
    pictures = np.random.default_rng(0).random((2, 1, 28, 28), np.float32)
    old, new = (
        Session(onnx.load(path), choose_provider("cpu"), 1).run({"picture": pictures})[0]
        for path in (model, out)
    )
    np.testing.assert_array_equal(old, new)


def test_weights_beside_a_model_are_found_by_its_copy(
    record: Record, sample_models: Path, tmp_path: Path
) -> None:
    model, out = tmp_path / "model.onnx", tmp_path / "copy.onnx"
    original = sample_models / "digits_clean.onnx"
    onnx.save(
        onnx.load(original),
        model,
        save_as_external_data=True,
        location="weights",
        size_threshold=64,
    )
    assert (tmp_path / "weights").stat().st_size > 100_000
    audited = of_model(record, model)
    with pytest.raises(OutputRefused, match="weights in files beside it"):
        copy_with_figures(audited, model, tmp_path / "elsewhere" / "copy.onnx")
    out.write_bytes(copy_with_figures(audited, model, out))
    assert out.stat().st_size < 50_000
    kept = zip(onnx.load(original).graph.initializer, onnx.load(out).graph.initializer, strict=True)
    for old, new in kept:
        np.testing.assert_array_equal(
            onnx.numpy_helper.to_array(old), onnx.numpy_helper.to_array(new)
        )


def test_only_the_audited_model_is_copied(
    record: Record, sample_models: Path, tmp_path: Path
) -> None:
    model = sample_models / "digits_clean.onnx"
    with pytest.raises(ModelRefused, match=r"is not the model of this audit .*abababababab"):
        copy_with_figures(record, model, tmp_path / "copy.onnx")
    with pytest.raises(ModelRefused, match="no such file"):
        copy_with_figures(record, tmp_path / "none.onnx", tmp_path / "copy.onnx")
    with pytest.raises(OutputRefused, match="is the model itself"):
        copy_with_figures(of_model(record, model), model, model)
    text = tmp_path / "model.keras"
    text.write_text("no ONNX")
    with pytest.raises(ModelRefused, match="not an ONNX model"):
        copy_with_figures(of_model(record, text), text, tmp_path / "copy.onnx")


def test_the_bill_of_materials_is_valid(made: Made, judged: dict[str, Any]) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx is not there")
    from cyclonedx.schema import SchemaVersion

    record = made(**judged)
    text = cyclonedx_of(record)
    assert cyclonedx_of(record) == text
    validator = validation.JsonStrictValidator(SchemaVersion.V1_6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the validators of formats
        assert validator.validate_str(text.decode()) is None
        broken = text.replace(b'"performanceMetrics"', b'"metrics"')
        assert validator.validate_str(broken.decode()) is not None
    component = json.loads(text)["metadata"]["component"]
    assert component["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    metrics = component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert {"type": "Verdict", "value": "FAIL"} in metrics
    assert {"type": "check converged", "value": "FAIL: 0.5", "slice": "at least 0.9"} in metrics
    limits = component["modelCard"]["considerations"]["technicalLimitations"]
    assert any(" classes were not examined." in text for text in limits)
    evidence = {
        each["url"]: each["hashes"][0]["content"] for each in component["externalReferences"]
    }
    assert evidence["audit.json"] == record.sha256
    assert evidence["report.pdf"] == sha256_of(record.folder / "report.pdf")


def test_the_pictures_of_the_bill_are_pictures(record: Record) -> None:
    card = bom_of(record)["metadata"]["component"]["modelCard"]
    graphics = card["quantitativeAnalysis"]["graphics"]["collection"]
    assert [each["name"] for each in graphics] == ["cat", "dog"]
    for each in graphics:
        data = base64.b64decode(each["image"]["content"], validate=True)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            assert picture.size == (160, 160)


def test_a_bill_of_an_audit_that_began_at_no_time(made: Made) -> None:
    record = made()
    environment = record.audit.environment.model_copy(update={"started": "yesterday"})
    audit = record.audit.model_copy(update={"environment": environment})
    assert "timestamp" in bom_of(record)["metadata"]
    assert "timestamp" not in bom_of(Record(record.folder, audit, record.sha256))["metadata"]


def test_the_statement_is_what_in_toto_reads(made: Made, judged: dict[str, Any]) -> None:
    pytest.importorskip("in_toto_attestation", reason="in-toto-attestation is not installed")
    from google.protobuf import json_format
    from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    record = made(**judged)
    parsed = json_format.Parse(intoto_of(record), statement_pb2.Statement())
    Statement.copy_from_pb(parsed).validate()
    assert parsed.predicate_type == "https://in-toto.io/attestation/test-result/v0.1"
    assert dict(parsed.subject[0].digest) == {"sha256": "ab" * 32}
    predicate = json_format.ParseDict(
        json_format.MessageToDict(parsed.predicate), test_result_pb2.TestResult()
    )
    assert predicate.result == "FAILED"
    assert list(predicate.passed_tests) == ["coverage"]
    assert list(predicate.warned_tests) == ["border"]
    assert list(predicate.failed_tests) == ["converged"]
    policy, audit = predicate.configuration
    assert (policy.name, dict(policy.digest)) == ("strict.toml", {"sha256": "ef" * 32})
    assert (audit.name, dict(audit.digest)) == ("audit.json", {"sha256": record.sha256})


@pytest.mark.parametrize(("verdict", "result"), [("PASS", "PASSED"), ("WARN", "WARNED")])
def test_the_results(made: Made, judged: dict[str, Any], verdict: str, result: str) -> None:
    record = made(**judged | {"verdict": verdict})
    assert json.loads(intoto_of(record))["predicate"]["result"] == result


def test_nothing_is_stated_without_a_verdict(record: Record, judged: dict[str, Any]) -> None:
    with pytest.raises(AuditRefused, match="has no verdict"):
        intoto_of(record)
    passed = record.audit.model_copy(update=judged | {"verdict": "PASS", "status": "incomplete"})
    with pytest.raises(AuditRefused, match="was interrupted"):
        intoto_of(Record(record.folder, passed, record.sha256))
