"""audit.json is read back as it was written, or refused in one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from leap_audit.artifacts import SCHEMA, Audit, Finding, Isolation
from leap_audit.artifacts.audit import LARGEST
from leap_audit.artifacts.plausible import implausible
from leap_audit.errors import AuditRefused
from tests.builders.audits import make_audit, with_pictures


def test_it_is_read_back(tmp_path: Path) -> None:
    audit = make_audit(with_pictures(tmp_path))
    audit.write(tmp_path)
    assert Audit.read(tmp_path) == audit
    assert Audit.read(tmp_path / "audit.json") == audit


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "no schema"),
        (b'{"schema": "leap-audit/9"}', "'leap-audit/9', not 'leap-audit/1'"),
        (json.dumps({"schema": SCHEMA}).encode(), "is not a whole audit"),
    ],
)
def test_what_is_no_audit_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "audit.json").write_bytes(data)
    with pytest.raises(AuditRefused, match=r"audit\.json") as refused:
        Audit.read(tmp_path)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditRefused, match="there is no audit"):
        Audit.read(tmp_path)


def test_a_huge_one_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "audit.json").open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(AuditRefused, match="too large"):
        Audit.read(tmp_path)


def test_inputs_of_a_model_may_be_called_like_fields() -> None:
    found = {"classes": ["cat", "dog"], "config": {"set": {"target": 3, "class": [-1, 7]}}}
    assert implausible(found) == ""
    assert implausible(found | {"prototypes": [{"target": 3}]}) == "class 3 of 2"


def isolation(**figures: Any) -> dict[str, Any]:
    given = {"prob": 0.8, "prob_keep": 0.7, "prob_delete": 0.1, "area": 0.1, "enough": True}
    return {"class": 0, "name": "cat", "image": "", "mask": "m.png", **given, **figures}


@pytest.mark.parametrize(
    ("outcome", "figures"),
    [
        ("carried", {}),
        ("carried", {"prob_delete": 0.399}),
        ("not needed", {"prob_delete": 0.4}),
        ("not enough", {"enough": False, "prob_keep": 0.799}),
        ("not enough", {"enough": False, "prob_delete": 0.7}),
        ("nothing to isolate", {"enough": False, "prob_keep": 0.8}),
        ("carried", {"prob": 0.1, "prob_delete": 0.0}),
        ("trace", {"prob": 0.099, "prob_delete": 0.0}),
        ("trace", {"prob": 0.099, "enough": False}),
    ],
)
def test_the_outcome_of_an_isolation_follows_from_its_figures(
    outcome: str, figures: dict[str, Any]
) -> None:
    """An audit of before has no outcome: it is filled in at reading, by the same rule."""
    made = Isolation.model_validate(isolation(**figures))
    assert made.outcome == outcome
    assert json.loads(made.model_dump_json())["outcome"] == outcome
    assert Isolation.model_validate_json(made.model_dump_json(by_alias=True)) == made


@pytest.mark.parametrize(
    ("outcome", "cosines", "figures"),
    [
        ("carried", (0.3, 0.28, 0.19, 0.1), {}),
        ("not needed", (0.3, 0.28, 0.2, 0.1), {}),
        ("not enough", (0.3, 0.31, 0.2, 0.1), {"enough": False}),
        ("nothing to isolate", (0.3, 0.2, 0.2, 0.281), {"enough": False}),
        ("not enough", (0.3, 0.2, 0.2, 0.279), {"enough": False}),
        ("trace", (0.3, 0.28, 0.19, 0.1), {"prob": 0.099}),
    ],
)
def test_the_outcome_of_an_encoder_follows_from_cosines(
    outcome: str, cosines: tuple[float, ...], figures: dict[str, Any]
) -> None:
    """The probabilities of all of these are those of a region that is not needed, or worse."""
    names = ("whole", "keep", "delete", "erased")
    given = {"prob_keep": 0.799, "prob_delete": 0.799, **figures}
    made = Isolation.model_validate(
        isolation(**given, cosines=dict(zip(names, cosines, strict=True)))
    )
    assert made.outcome == outcome
    assert Isolation.model_validate_json(made.model_dump_json(by_alias=True)) == made


def test_what_a_region_of_an_encoder_keeps_and_leaves_is_a_share_of_what_the_picture_adds() -> None:
    cosines = {"whole": 0.3, "keep": 0.25, "delete": 0.05, "erased": 0.1}
    made = Isolation.model_validate(isolation(cosines=cosines))
    assert (made.kept, made.left) == pytest.approx((0.75, 0.0))
    more = Isolation.model_validate(isolation(cosines={**cosines, "keep": 0.4, "delete": 0.2}))
    assert (more.kept, more.left) == pytest.approx((1.0, 0.5))
    of_probabilities = Isolation.model_validate(isolation())
    assert (of_probabilities.kept, of_probabilities.left) == pytest.approx((0.875, 0.125))


@pytest.mark.parametrize(
    ("id_", "rule", "target", "detail"),
    [
        ("constant-answer", "constant-answer", (), ""),
        ("border:3", "border", (3,), ""),
        ("class-not-reached:1+12", "class-not-reached", (1, 12), ""),
        ("one-corner:3:upper-left", "one-corner", (3,), "upper-left"),
    ],
)
def test_a_finding_of_before_gets_its_fields_at_reading(
    id_: str, rule: str, target: tuple[int, ...], detail: str
) -> None:
    texts = dict.fromkeys(("title", "evidence", "limits"), "")
    each = Finding.model_validate({"id": id_, "severity": "low", **texts})
    assert (each.rule, each.target, each.detail) == (rule, target, detail)
    assert Finding.model_validate_json(each.model_dump_json()) == each


def test_an_audit_of_before_is_read(tmp_path: Path) -> None:
    audit = make_audit(with_pictures(tmp_path), prototypes=3)
    before = json.loads(audit.model_dump_json(by_alias=True))
    for each in before["findings"]:
        for field in ("rule", "target", "detail"):
            del each[field]
    several = [i for p in before["prototypes"] + before["samples"] for i in p["isolations"]]
    for each in several:
        del each["outcome"]
    (tmp_path / "audit.json").write_text(json.dumps(before))
    assert several
    assert Audit.read(tmp_path) == audit
    before["findings"] = [
        {"id": "border:3", "severity": "low", "title": "", "evidence": "", "limits": ""}
    ]
    (tmp_path / "audit.json").write_text(json.dumps(before))
    with pytest.raises(AuditRefused, match="a class that is not among the classes"):
        Audit.read(tmp_path)
