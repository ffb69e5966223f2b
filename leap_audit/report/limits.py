"""The limits of an audit, and which requirements of frameworks it contributes evidence to."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from leap_audit.artifacts import Audit
from leap_audit.findings.assumptions import open_assumptions
from leap_audit.findings.basis import CALIBRATION_NEEDS
from leap_audit.findings.evidence import doubt, labelled_answers
from leap_audit.text.numbers import count

__all__ = ["Limit", "Requirement", "Requirements", "limits_of", "requirements"]


@dataclass(frozen=True)
class Limit:
    title: str
    text: str


def limits_of(audit: Audit) -> list[Limit]:
    """Return the limits of this audit, in order of consequence.

    What the audit itself could check ranks lower: an assumed preprocessing that labelled
    photographs support, for instance.
    """
    doubtful, checked = _preprocessing(audit)
    return [
        *_incomplete(audit),
        *doubtful,
        *_of_coverage(audit),
        *_of_this_model(audit),
        *_of_methods(audit),
        *_accuracy(audit),
        *checked,
        *_of_every_audit(audit),
    ]


def _of_methods(audit: Audit) -> Iterator[Limit]:
    """The limits that a method states of itself, under `limits` of its record."""
    for name, method in audit.methods.items():
        if isinstance(method, dict) and isinstance(method.get("limits"), str):
            yield Limit(name.replace("_", " ").capitalize(), method["limits"])


def _incomplete(audit: Audit) -> Iterator[Limit]:
    if audit.status == "incomplete":
        yield Limit(
            "The audit is incomplete",
            "It was interrupted. Nothing follows from what is missing. Do not base a decision on "
            "this report.",
        )


def _preprocessing(audit: Audit) -> tuple[list[Limit], list[Limit]]:
    """The limit of an assumed preprocessing: as doubtful, or as checked on photographs."""
    fields = open_assumptions(audit.model.preprocessing)
    if not fields:
        return [], []
    readings = audit.readings
    if (
        readings is not None
        and readings.photographs >= CALIBRATION_NEEDS
        and doubt(readings) is None
        and 2 * readings.right > readings.photographs
    ):
        return [], [
            Limit(
                "Photographs support the assumed preprocessing",
                f"Nobody declared {_fields(fields)}. On {readings.photographs} labelled "
                "photographs no other preprocessing was clearly better.",
            )
        ]
    check = "To check it quickly, use labelled photographs."
    if audit.embedding is not None:  # whose directions are made of the photographs themselves
        check = "Find out those of the training, and declare them."
    return [
        Limit(
            "The preprocessing was partly assumed",
            f"Nobody declared {_fields(fields)}. If the model was trained with other values, the "
            f"results may be invalid. {check}",
        )
    ], []


def _of_coverage(audit: Audit) -> Iterator[Limit]:
    coverage = audit.coverage
    missing = coverage.classes_in_all - coverage.classes_audited
    if missing > 0:
        yield Limit(
            f"{missing:,} of {coverage.classes_in_all:,} classes were not examined",
            f"{count(coverage.classes_audited, 'class has', 'classes have')} a prototype. This "
            "report says nothing about the others."
            if coverage.classes_audited
            else "No class has a prototype.",
        )
    if coverage.unfinished:
        yield Limit(
            "The audit did not finish what it planned",
            f"{coverage.unfinished} Everything in this report was measured in full; the rest was "
            "not measured. The same command continues from there.",
        )
    if coverage.left_out:
        yield Limit(
            "The time did not allow everything",
            f"Left out: {'; '.join(coverage.left_out)}. With more time (--minutes, --effort) "
            "the prototypes may be clearer and the figures more certain.",
        )
    if not audit.samples and audit.embedding is None:
        yield Limit(
            "No photographs were examined",
            "Prototypes alone do not show how the model decides on real pictures.",
        )


def _of_this_model(audit: Audit) -> Iterator[Limit]:
    rounding = sum(audit.coverage.operators.get(name, 0) for name in _ROUNDING)
    if rounding:
        yield Limit(
            "The model is quantised, and rounding has no slope",
            f"{count(rounding, 'operator rounds', 'operators round')} values. Prototypes and "
            "isolations use the straight-through gradient, which ignores rounding. All "
            "probabilities are those of the quantised model as its file defines them. On x86 "
            "processors without VNNI, ONNX Runtime may give others: test the model there.",
        )
    if audit.model.preprocessing.channel_order == "BANDS":
        yield Limit(
            "The pictures do not show all bands",
            "They show three bands in false colour, and another band may decide. The grey tiles "
            "show every band.",
        )


def _accuracy(audit: Audit) -> Iterator[Limit]:
    known = len(labelled_answers(audit.samples))
    if known and audit.centroids:
        yield Limit(
            "No accuracy was measured",
            f"The classes are centroids of the {count(known, 'labelled photograph')}, and their "
            "factor fits them: right answers and probabilities are better than on others. Accuracy "
            "needs labelled data from the place of use.",
        )
        return
    yield Limit(
        "The accuracy in use was not measured",
        f"The {count(known, 'labelled photograph')} of this audit are no random sample. Accuracy "
        "and fairness need labelled data from the place of use."
        if known
        else "Accuracy, fairness between groups and behaviour in use need labelled data from the "
        "place of use.",
    )


_ROUNDING = ("DynamicQuantizeLinear", "QuantizeLinear")


def _of_every_audit(audit: Audit) -> Iterator[Limit]:
    yield Limit(
        "A prototype is one answer of many",
        "Another run gives another picture. The model reacts to what a prototype shows, and "
        "perhaps to other things as well.",
    )
    yield Limit(
        "Entanglement is a tendency, not an error rate",
        "It shows which classes share features inside the model. How often the model confuses "
        "them depends on the pictures in use.",
    )
    detector = audit.model.task == "detection"
    what = f"is enough for the {'detection' if detector else 'answer'}"
    if audit.encoder:
        what = "keeps enough of the cosine"
    yield Limit(
        "An isolation holds for its own picture",
        f"The region {what} when the rest is blurred. Other regions may do so too.",
    )
    yield Limit(
        "Training data, security and robustness were not examined",
        "The audit reads the model file alone. It does not attack the model.",
    )


def _fields(names: list[str]) -> str:
    plain = {
        "channel_order": "the order of the colour channels",
        "range": "the range of pixel values",
        "mean": "the mean",
        "std": "the standard deviation",
        "resize": "how pictures are cut to size",
    }
    words = [plain.get(name, name) for name in names]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


@dataclass(frozen=True)
class Requirement:
    source: str
    asks: str
    evidence: tuple[tuple[str, str], ...]
    """(anchor of the part of the report, what it contributes)."""
    not_shown: str
    note: str = ""


@dataclass(frozen=True)
class Requirements:
    as_of: str
    """When the statements were last checked, month and year."""
    each: tuple[Requirement, ...]


@cache
def requirements() -> Requirements:
    """Return the contents of requirements.toml."""
    table = tomllib.loads((Path(__file__).parent / "requirements.toml").read_text("utf-8"))
    return Requirements(
        table["as_of"],
        tuple(
            Requirement(**(each | {"evidence": tuple(map(tuple, each["evidence"]))}))
            for each in table["requirement"]
        ),
    )
