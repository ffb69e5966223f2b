"""The limits of an audit, and which requirements of frameworks it contributes evidence to."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from leap_audit.artifacts import Audit
from leap_audit.text.numbers import count

__all__ = ["Limit", "Requirement", "Requirements", "limits_of", "requirements"]


@dataclass(frozen=True)
class Limit:
    title: str
    text: str


def limits_of(audit: Audit) -> list[Limit]:
    """Return the limits of this audit, the one that matters most first."""
    return [*_of_this_audit(audit), *_of_methods(audit), *_ALWAYS]


def _of_methods(audit: Audit) -> Iterator[Limit]:
    """The limits that a method states of itself, under `limits` of its record."""
    for name, method in audit.methods.items():
        if isinstance(method, dict) and isinstance(method.get("limits"), str):
            yield Limit(name.replace("_", " ").capitalize(), method["limits"])


def _of_this_audit(audit: Audit) -> Iterator[Limit]:
    if audit.status == "incomplete":
        yield Limit(
            "The audit is incomplete",
            "It was interrupted. Nothing can be concluded from what is missing, and no sign-off "
            "should rest on this report.",
        )
    assumed = audit.model.preprocessing.assumed
    if assumed:
        yield Limit(
            "The preprocessing was partly assumed",
            f"Nobody declared {_fields(list(assumed))}. If the model was trained with other "
            "values, every picture and every number here is off. Predictions on photographs "
            "whose content is known are the quickest check.",
        )
    coverage = audit.coverage
    missing = coverage.classes_in_all - coverage.classes_audited
    if missing > 0:
        yield Limit(
            "Not every class was audited",
            f"{count(coverage.classes_audited, 'class', 'classes')} of "
            f"{coverage.classes_in_all:,} got a prototype. Nothing is known here about the "
            f"other {missing:,}.",
        )
    if coverage.unfinished:
        yield Limit(
            "The audit did not finish what it planned",
            f"{coverage.unfinished} What is here is whole, and what is missing was not measured. "
            "The same command goes on from there.",
        )
    if coverage.left_out:
        yield Limit(
            "The time did not allow everything",
            f"{'; '.join(coverage.left_out)}. With more time (--minutes, --effort) the pictures "
            "may be clearer and the figures surer.",
        )
    rounding = sum(coverage.operators.get(name, 0) for name in _ROUNDING)
    if rounding:
        yield Limit(
            "The model is quantised, and rounding has no slope",
            f"{count(rounding, 'operator')} of the model {'rounds' if rounding == 1 else 'round'}. "
            "Prototypes and isolations follow the "
            "straight-through gradient: rounding counts as the identity, and nothing passes where "
            "a number was cut off at the end of its range. Every score and probability is the "
            "quantised model's own.",
        )
    if audit.model.preprocessing.channel_order == "BANDS":
        yield Limit(
            "Bands are not what the eye sees",
            "Pictures stand in false colour: only three bands are in them, and what decides may "
            "lie in another. The grey tiles show every band.",
        )
    if not audit.samples:
        yield Limit(
            "No photographs were audited",
            "How the model decides on real pictures was not measured; prototypes alone do not "
            "tell.",
        )


_ROUNDING = ("DynamicQuantizeLinear", "QuantizeLinear")

_ALWAYS = (
    Limit(
        "How often the model is right was not measured",
        "An audit looks at what the model responds to. Accuracy, fairness between groups and "
        "behaviour in the field need labelled data from the place of use.",
    ),
    Limit(
        "A prototype is one answer of many",
        "Another seed gives another picture. What a prototype shows, the model responds to; what "
        "it does not show, the model may respond to as well.",
    ),
    Limit(
        "Entanglement is a tendency, not a rate",
        "It says which classes share features inside the model. How often they are mixed up "
        "depends on the pictures the model meets.",
    ),
    Limit(
        "An isolation holds for its own picture",
        "It is a region that is enough for the answer under the fills that were tried. It need "
        "not be the only one, and it says nothing about other pictures.",
    ),
    Limit(
        "Training data, security and robustness were not examined",
        "The audit reads the model file alone. It does not see what the model was trained on, "
        "nor does it attack the model.",
    ),
)


def _fields(names: list[str]) -> str:
    plain = {
        "channel_order": "the order of the colour channels",
        "range": "the range of pixel values",
        "mean": "the mean",
        "std": "the standard deviation",
        "resize": "how pictures are cut to size",
        "layout": "the layout",
        "input_size": "the input size",
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
