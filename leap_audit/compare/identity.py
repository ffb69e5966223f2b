"""Compare the identities of two models and the settings of their audits."""

from collections.abc import Iterator

from leap_audit.artifacts import Audit, EmbeddingAudit, Preprocessing
from leap_audit.compare.record import Difference
from leap_audit.compare.sides import Side
from leap_audit.report import wording
from leap_audit.report.templates import setting_rows
from leap_audit.text.numbers import percent

__all__ = ["entanglement_method", "identities", "settings", "vectors_of", "warnings_of"]

_AFFECTS = {
    "isolation.per_prototype": "which isolations there are",
    "isolation": "isolations",
    "prototype": "prototypes, their logits and their entanglement",
    "region": "every figure: another part of the map was audited",
    "seed": "prototypes and isolations: by chance alone they differ",
    "seeds": "ranges over the seeds: more seeds make them wider",
    "top_classes": "which isolations there are on photographs",
}
"""Option, or the table it is in -> what depends on it. What is not here changes no figure: where
files lie, how many items are computed together, what was declared of the model itself."""

_VERSIONS = {
    "leap-audit": "methods and rules: a finding may be new or gone because of them",
    "engine": "gradients, and with them prototypes and isolations in their last digits",
    "provider": "last digits; over many steps prototypes can drift apart",
    "pillow": "how photographs are cut and scaled",
}
_NUMERICS = "last digits"
_NOT_MEASURING = {"python", "weasyprint"}

_SHOWN = "every picture and every figure: the models are shown different pictures"


def identities(old: Audit, new: Audit) -> tuple[Difference, ...]:
    """Return what is said of each model, the same and the different."""
    then, now = dict(_identity(old)), dict(_identity(new))
    return tuple(Difference(what=what, old=then[what], new=now[what]) for what in then)


def vectors_of(old: Audit, new: Audit) -> tuple[Difference, ...]:
    """Return the figures of two encoders' vectors; none where a model is no encoder."""
    if old.embedding is None or new.embedding is None:
        return ()
    then, now = dict(_vectors(old.embedding)), dict(_vectors(new.embedding))
    return tuple(
        Difference(what=what, old=then.get(what, "not tried"), new=now.get(what, "not tried"))
        for what in dict.fromkeys([*then, *now])
    )


def settings(old: Side, new: Side) -> tuple[Difference, ...]:
    """Return what differs in how the audits were made and affects their figures."""
    then, now = dict(_settings(old.audit)), dict(_settings(new.audit))
    return tuple(
        Difference(
            what=what,
            old=then.get(what, ("not set", ""))[0],
            new=now.get(what, ("not set", ""))[0],
            affects=(then.get(what) or now[what])[1],
        )
        for what in dict.fromkeys([*then, *now])
        if then.get(what, ("not set", ""))[0] != now.get(what, ("not set", ""))[0]
    )


def entanglement_method(audit: Audit) -> str:
    """Return by what method entanglement was measured; empty where the audit does not say."""
    method = audit.methods.get("entanglement")
    return str(method.get("method", "")) if isinstance(method, dict) else ""


def warnings_of(old: Audit, new: Audit, matched: int, shared: int) -> tuple[str, ...]:
    """Return what makes the comparison doubtful. matched: classes; shared: photographs."""
    return tuple(_warnings(old, new, matched, shared))


def _warnings(old: Audit, new: Audit, matched: int, shared: int) -> Iterator[str]:
    for audit, which in ((old, "old"), (new, "new")):
        if audit.status != "complete":
            yield (
                f"The {which} audit was interrupted: what it has not measured is missing here, and "
                "a finding that is not there may be one that was not looked for."
            )
    if old.model.sha256 == new.model.sha256:
        yield (
            "Both audits are of the same file: whatever differs comes from the audits, not from "
            "the model."
        )
    if old.model.task != new.model.task:
        yield "The two models give different kinds of answers; their probabilities do not compare."
    if not matched:
        yield "No class of the one model is a class of the other: only the wholes are compared."
    if old.policy and new.policy and old.policy.sha256 != new.policy.sha256:
        yield "The two verdicts were given by different policies."
    if (old.policy is None) != (new.policy is None):
        yield "Only one of the audits was held against a policy."
    if (old.samples or new.samples) and not shared:
        yield "No photograph is in both audits: how the two models answer is not compared."


def _identity(audit: Audit) -> Iterator[tuple[str, str]]:
    model = audit.model
    yield "File", model.file
    yield "SHA-256", model.sha256
    yield "Given as", model.converted or "ONNX"
    yield "Opset", str(model.opset)
    yield "Parameters", f"{model.parameters:,}"
    yield "Size", wording.file_size(model.size_bytes)
    yield "Task", model.task
    yield "Classes", f"{len(audit.classes):,}"
    yield "Class names from", model.classes_file or "no file"
    yield "Operators", f"{sum(audit.coverage.operators.values()):,}"
    yield from _preprocessing(model.preprocessing)


def _vectors(each: EmbeddingAudit) -> Iterator[tuple[str, str]]:
    yield "Dimensions", f"{each.dimensions:,}"
    yield "Photographs", f"{each.pictures:,}"
    yield "Mean cosine of two photographs", f"{each.mean_cosine:.3f}"
    yield "Effective rank", f"{each.effective_rank:.1f} of {each.possible_rank:,}"
    yield "Hubness", f"{each.hubness:.2f}"
    duplicates = sum(pair.across or pair.classes_differ for pair in each.duplicates)
    yield "Near-duplicates in two folders", str(duplicates)
    if each.agreement is not None:
        yield "Nearest photographs of the same class", percent(each.agreement)
    for change in each.changes:
        yield f"Found again, {change.change}", percent(change.found / change.pictures)


def _preprocessing(each: Preprocessing) -> Iterator[tuple[str, str]]:
    yield "Input, height × width", " × ".join(map(str, each.input_size))
    yield "Order of the colours", wording.channels(each)
    yield "Range (black, white)", ", ".join(f"{x:g}" for x in each.range)
    yield "Mean", ", ".join(f"{x:g}" for x in each.mean)
    yield "Standard deviation", ", ".join(f"{x:g}" for x in each.std)
    cut = "stretched" if each.resize == "stretch" else "scaled to fit, the rest grey"
    if each.resize == "crop":
        cut = f"centre, {each.crop:g} of the short side"
    yield "Cutting to size", f"{cut}, {each.interpolation}"


def _settings(audit: Audit) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield (what, (its value in words, what it affects))."""
    for what, value in _preprocessing(audit.model.preprocessing):
        yield what, (value, _SHOWN)
    if counted := wording.detections_counted(audit.model):
        yield "objects counted", (counted, "every figure of objects: others are counted")
    for key, value in setting_rows(audit.config):
        if affects := _AFFECTS.get(key) or _AFFECTS.get(key.split(".")[0]):
            yield key, (value, affects)
    if method := entanglement_method(audit):
        yield "entanglement", (method, "entanglement: two different measures are not compared")
    environment = audit.environment
    yield "engine", (audit.coverage.engine, _VERSIONS["engine"])
    yield "provider", (environment.provider, _VERSIONS["provider"])
    for name, version in environment.versions.items():
        if name not in _NOT_MEASURING:
            yield name, (version, _VERSIONS.get(name, _NUMERICS))
